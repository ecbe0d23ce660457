package cloudtest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/go-cmp/cmp"

	"poold/cloud"
	"poold/pool"
)

func batchIsAsAsked(s *subject) {
	spec := s.spec(3)
	made := s.create(spec)
	if all := s.batch(spec); len(all) != 3 {
		s.t.Errorf("got %d instances, want 3", len(all))
	}
	for k, i := range made {
		if diff := cmp.Diff(spec.Mark, i.Mark); diff != "" {
			s.t.Errorf("mark of %s (-want +got):\n%s", i.Name, diff)
		}
		if want := fmt.Sprintf("%s-%d", spec.Name, k+1); i.Name != want {
			s.t.Errorf("name is %q, want %q", i.Name, want)
		}
		looked, err := s.Driver.Instance(s.t.Context(), i.ID)
		if err != nil {
			s.t.Fatalf("look: %v", err)
		}
		if diff := cmp.Diff(i, looked); diff != "" {
			s.t.Errorf("a look by id (-list +look):\n%s", diff)
		}
	}
}

func loneInstance(s *subject) {
	spec := s.spec(1)
	if got := s.create(spec)[0]; got.Name != spec.Name {
		s.t.Errorf("name is %q, want %q", got.Name, spec.Name)
	}
}

func deleteTwice(s *subject) {
	id := s.create(s.spec(1))[0].ID
	if err := s.Driver.Delete(s.t.Context(), id); err != nil {
		s.t.Fatalf("delete: %v", err)
	}
	if err := s.Driver.Delete(s.t.Context(), id); err != nil {
		s.is("delete again", err, cloud.NotFound)
	}
	s.untilGone(id)
	s.is("delete what is gone", s.Driver.Delete(s.t.Context(), id), cloud.NotFound)
	for _, i := range s.list(cloud.ListMark{}).Instances {
		if i.ID == id {
			s.t.Errorf("a full list shows what is gone: %+v", i)
		}
	}
}

// untilGone waits for the only proof that an instance is gone.
func (s *subject) untilGone(id string) {
	s.t.Helper()
	s.until("instance gone", func() bool {
		_, err := s.Driver.Instance(s.t.Context(), id)
		if err != nil {
			s.is("look at what is being deleted", err, cloud.NotFound)
		}
		return cloud.KindOf(err) == cloud.NotFound
	})
}

func unknownIsNotFound(s *subject) {
	id := newUUID()
	_, err := s.Driver.Instance(s.t.Context(), id)
	s.is("look", err, cloud.NotFound)
	s.is("delete", s.Driver.Delete(s.t.Context(), id), cloud.NotFound)
	_, err = s.Driver.FindImage(s.t.Context(), "no image has this name")
	s.is("find image", err, cloud.NotFound)
	_, err = s.Driver.FindImage(s.t.Context(), id)
	s.is("find image by id", err, cloud.NotFound)
}

func changes(s *subject) {
	first := s.create(s.spec(1))[0]
	full := s.list(cloud.ListMark{})
	if !full.Full || full.Next.At.IsZero() {
		s.t.Fatalf("a list without a mark: full %v, next %v", full.Full, full.Next.At)
	}
	second := s.create(s.spec(1))[0]
	fresh := s.list(full.Next)
	if fresh.Full {
		s.t.Skip("this cloud tells no changes")
	}
	if i := byID(fresh, second.ID); i == nil || i.Status != cloud.StatusActive {
		s.t.Errorf("a new instance is not among the changes: %+v", i)
	}
	if err := s.Driver.Delete(s.t.Context(), first.ID); err != nil {
		s.t.Fatalf("delete: %v", err)
	}
	mark := fresh.Next
	s.until("a deleted instance is among the changes", func() bool {
		l := s.list(mark)
		mark = l.Next
		i := byID(l, first.ID)
		return i != nil && i.Status == cloud.StatusDeleted
	})
	if mark.At.Before(full.Next.At) {
		s.t.Errorf("the mark went back from %v to %v", full.Next.At, mark.At)
	}
}

func byID(l cloud.Listing, id string) *cloud.Instance {
	if k := slices.IndexFunc(l.Instances, func(i cloud.Instance) bool { return i.ID == id }); k >= 0 {
		return &l.Instances[k]
	}
	return nil
}

func othersAreHidden(s *subject) {
	theirs := subject{Env: s.Env, t: s.t}
	theirs.Driver, theirs.Installation = s.Other, s.OtherInstallation
	foreign := theirs.create(theirs.spec(1))[0]
	own := s.create(s.spec(1))[0]
	l := s.list(cloud.ListMark{})
	if byID(l, foreign.ID) != nil || byID(l, own.ID) == nil {
		s.t.Errorf("a list shows what is not ours, or not what is: %+v", l.Instances)
	}
	if l.Others < 1 {
		s.t.Errorf("others are %d, want 1 at least", l.Others)
	}
	if byID(theirs.list(cloud.ListMark{}), own.ID) != nil {
		s.t.Error("ours is shown to others")
	}
}

func invalidSpecs(s *subject) {
	for name, change := range map[string]func(*cloud.BatchSpec){
		"unknown flavor":  func(b *cloud.BatchSpec) { b.FlavorID = "no-such-flavor" },
		"unknown image":   func(b *cloud.BatchSpec) { b.ImageID = newUUID() },
		"unknown network": func(b *cloud.BatchSpec) { b.Networks = []string{"no-such-network"} },
		"no instances":    func(b *cloud.BatchSpec) { b.Count = 0 },
		"not our mark":    func(b *cloud.BatchSpec) { b.Mark.Installation = "somebody-else" },
	} {
		spec := s.spec(1)
		change(&spec)
		s.is(name, s.Driver.Create(s.t.Context(), spec), cloud.Invalid)
		if made := s.batch(spec); len(made) > 0 {
			s.t.Errorf("%s: %d instances were made", name, len(made))
		}
	}
}

func facts(s *subject) {
	s.create(s.spec(1))
	f, err := s.Driver.Facts(s.t.Context())
	if err != nil {
		s.t.Fatalf("facts: %v", err)
	}
	if len(f.Zones) == 0 {
		s.t.Error("there are no zones")
	}
	if f.Used.Instances < 1 {
		s.t.Errorf("one instance is there, but %d are used", f.Used.Instances)
	}
	if f.Limits.Short(pool.Resources{}, pool.Resources{Instances: 1, Cores: 1, RAMMiB: 1}) != "" {
		s.t.Errorf("limits allow nothing: %+v", f.Limits)
	}
	if !s.Lent {
		s.sizes(f)
	}
}

// sizes checks what facts say of the sizes of instances.
func (s *subject) sizes(f cloud.Facts) {
	s.t.Helper()
	k := slices.IndexFunc(f.Flavors, func(v pool.Flavor) bool { return v.ID == s.FlavorID })
	if k < 0 {
		s.t.Fatalf("flavor %s is not among %+v", s.FlavorID, f.Flavors)
	}
	if v := f.Flavors[k]; v.Name == "" || v.Cores < 1 || v.RAMMiB < 1 {
		s.t.Errorf("flavor is %+v", v)
	}
	if f.Used.Cores < 1 || f.Used.RAMMiB < 1 {
		s.t.Errorf("one instance is there, but %+v is used", f.Used)
	}
}

func findImage(s *subject) {
	for _, name := range []string{s.ImageName, s.ImageID} {
		if id, err := s.Driver.FindImage(s.t.Context(), name); err != nil || id != s.ImageID {
			s.t.Errorf("image %s: got %q, %v, want %s", name, id, err, s.ImageID)
		}
	}
}

func endedContext(s *subject) {
	why := errors.New("no longer the owner")
	ctx, end := context.WithCancelCause(s.t.Context())
	end(why)
	spec := s.spec(1)
	err := s.Driver.Create(ctx, spec)
	s.is("create", err, cloud.Transient)
	if !errors.Is(err, why) {
		s.t.Errorf("create: got %v, which does not say why the context ended", err)
	}
	_, err = s.Driver.Instance(ctx, newUUID())
	s.is("look", err, cloud.Transient)
	s.settle()
	if made := s.batch(spec); len(made) > 0 {
		s.t.Errorf("%d instances were made", len(made))
	}
}

func hasConsole(s *subject) bool {
	_, ok := s.Driver.(cloud.Console)
	return ok
}

func console(s *subject) {
	c, ok := s.Driver.(cloud.Console)
	if !ok {
		s.t.Fatal("no console")
	}
	id := s.create(s.spec(1))[0].ID
	if text, err := c.Console(s.t.Context(), id, 20); err != nil || text == "" {
		s.t.Errorf("console: got %q, %v", text, err)
	}
	_, err := c.Console(s.t.Context(), newUUID(), 20)
	s.is("console of nothing", err, cloud.NotFound)
}
