package cloudtest

import (
	"slices"

	"github.com/google/go-cmp/cmp"

	"poold/cloud"
	"poold/pool"
)

// exposing is a driver that gives out floating IPs and can find them again.
type exposing interface {
	cloud.Exposer
	cloud.Sweeper
}

func hasFloats(s *subject) bool {
	_, ok := s.Driver.(exposing)
	return ok && s.Floats
}

// exposed makes an instance with a floating IP.
func (s *subject) exposed() (d exposing, spec cloud.ExposeSpec, got pool.Address) {
	s.t.Helper()
	d, ok := s.Driver.(exposing)
	if !ok {
		s.t.Fatal("no floating IPs")
	}
	made := s.create(s.spec(1))[0]
	needs, err := d.NeedsFloatingIP(s.t.Context(), made)
	if err != nil || !needs {
		s.t.Fatalf("needs a floating IP: got %v, %v, want true", needs, err)
	}
	spec = cloud.ExposeSpec{
		InstanceID: made.ID,
		Mark:       cloud.Mark{Installation: s.Installation, Provider: "suite", Node: "node-" + made.Name, Revision: 43},
	}
	got, err = d.Expose(s.t.Context(), spec)
	if err != nil {
		s.t.Fatalf("expose: %v", err)
	}
	if got.IP == "" || !got.Floating || got.Version != 4 || got.Network != made.Addresses[0].Network {
		s.t.Errorf("address is %+v", got)
	}
	// The cloud's own list may not show it yet.
	made.Addresses = append(made.Addresses, got)
	s.connects(made, got.IP)
	return d, spec, got
}

func expose(s *subject) {
	d, spec, first := s.exposed()
	spec.Again = true
	again, err := d.Expose(s.t.Context(), spec)
	if err != nil || again != first {
		s.t.Errorf("exposed again: got %+v, %v, want %+v", again, err, first)
	}
	found, err := d.Resources(s.t.Context(), cloud.FloatingIP)
	if err != nil || len(found) != 1 {
		s.t.Fatalf("resources: got %+v, %v, want one", found, err)
	}
	if diff := cmp.Diff(spec.Mark, found[0].Mark); diff != "" {
		s.t.Errorf("mark (-want +got):\n%s", diff)
	}
	if found[0].InstanceID != spec.InstanceID {
		s.t.Errorf("it is attached to %q, want %q", found[0].InstanceID, spec.InstanceID)
	}
	s.shown(d, spec.InstanceID, first)
	if err := d.Remove(s.t.Context(), cloud.FloatingIP, found[0].ID); err != nil {
		s.t.Fatalf("remove: %v", err)
	}
	s.until("floating IP gone", func() bool {
		return cloud.KindOf(d.Remove(s.t.Context(), cloud.FloatingIP, found[0].ID)) == cloud.NotFound
	})
}

// shown waits until an instance has its floating IP, and then needs no other.
func (s *subject) shown(d exposing, id string, want pool.Address) {
	s.t.Helper()
	s.until("the instance shows its floating IP", func() bool {
		i, err := s.Driver.Instance(s.t.Context(), id)
		if err != nil {
			s.t.Fatalf("look: %v", err)
		}
		if !slices.ContainsFunc(i.Addresses, func(a pool.Address) bool { return a.Floating && a.IP == want.IP }) {
			return false
		}
		if needs, err := d.NeedsFloatingIP(s.t.Context(), i); err != nil || needs {
			s.t.Errorf("needs another: got %v, %v", needs, err)
		}
		s.connects(i, want.IP)
		return true
	})
}

func foreignFloatingIP(s *subject) {
	d, _, _ := s.exposed()
	found, err := d.Resources(s.t.Context(), cloud.FloatingIP)
	if err != nil || len(found) != 1 {
		s.t.Fatalf("resources: got %+v, %v, want one", found, err)
	}
	other, ok := s.Other.(exposing)
	if !ok {
		s.t.Skip("nobody else is there")
	}
	theirs, err := other.Resources(s.t.Context(), cloud.FloatingIP)
	if err != nil || len(theirs) != 0 {
		s.t.Errorf("others see %+v, %v", theirs, err)
	}
	s.is("others remove it", other.Remove(s.t.Context(), cloud.FloatingIP, found[0].ID), cloud.Conflict)
	if found, err := d.Resources(s.t.Context(), cloud.FloatingIP); err != nil || len(found) != 1 {
		s.t.Errorf("it is no longer there: %+v, %v", found, err)
	}
}

// connects fails the test unless an instance is to be reached at an address.
func (s *subject) connects(i cloud.Instance, want string) {
	s.t.Helper()
	d, ok := s.Driver.(cloud.Addresser)
	if !ok {
		return
	}
	if got, err := d.InterfaceIP(s.t.Context(), i); err != nil || got != want {
		s.t.Errorf("connect to %q, %v, want %q", got, err, want)
	}
}
