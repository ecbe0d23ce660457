package builder

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"poold/pool"
)

// ask gives a command about a build and returns what became of it.
func (h *bench) ask(b *Builder, verb pool.Verb, build string) *pool.Command {
	h.t.Helper()
	h.store.Edit(func() {
		h.store.Commands = []*pool.Command{{
			ID: fmt.Sprint(h.store.Revision), Verb: verb, Target: "noble/" + build, By: "ann", Reason: "it panics",
			Record: pool.Record{Revision: h.store.Revision},
		}}
	})
	h.settle(b)
	return h.store.Snapshot().Commands[0]
}

// twice builds the image two times and returns the newer build.
func (h *bench) twice(b *Builder) *pool.Build {
	h.t.Helper()
	for range 2 {
		h.settle(b)
		h.now = h.now.Add(25 * time.Hour)
	}
	h.now = h.now.Add(-25 * time.Hour)
	return h.store.Snapshot().BuildsOf("noble")[0]
}

// A build that is deleted by hand goes with its files, its record says who and
// why, and the next build waits for its time: it would be like it.
func TestRollBackByDeleting(t *testing.T) {
	h := newBench(t, produce)
	b := h.builder()
	bad := h.twice(b)
	if c := h.ask(b, pool.VerbDeleteBuild, bad.ID); !c.Done || c.Error != "" {
		t.Fatalf("%+v", c)
	}
	if d := cmp.Diff([]string{"deleted", "ready"}, h.states()); d != "" {
		t.Error(d)
	}
	gone := h.store.Snapshot().BuildsOf("noble")[0]
	if want := "deleted by ann: it panics"; gone.Withdrawn != want || gone.Timeline[2].Reason != want {
		t.Errorf("withdrawn: %q; timeline %+v", gone.Withdrawn, gone.Timeline)
	}
	if slices.ContainsFunc(h.ls(), func(f string) bool { return strings.Contains(f, bad.ID) }) {
		t.Errorf("files are left: %v", h.ls())
	}
	h.now = h.now.Add(23 * time.Hour)
	h.settle(b)
	if d := cmp.Diff([]string{"deleted", "ready"}, h.states()); d != "" {
		t.Errorf("before its time: %s", d)
	}
	h.now = h.now.Add(2 * time.Hour)
	h.settle(b)
	if d := cmp.Diff([]string{"ready", "deleted", "ready"}, h.states()); d != "" {
		t.Errorf("at its time: %s", d)
	}
}

// A paused build stays, also when a newer one is there, and can be put back;
// once two newer ones serve it goes.
func TestRollBackByPausing(t *testing.T) {
	h := newBench(t, produce)
	b := h.builder()
	bad := h.twice(b)
	withdrawn := func() string { return find(h.store.Snapshot().BuildsOf("noble"), bad.ID).Withdrawn }
	h.ask(b, pool.VerbWithdrawBuild, bad.ID)
	if got := withdrawn(); got != "paused by ann: it panics" {
		t.Errorf("withdrawn: %q", got)
	}
	h.ask(b, pool.VerbRestoreBuild, bad.ID)
	if got := withdrawn(); got != "" {
		t.Errorf("put back: %q", got)
	}
	h.ask(b, pool.VerbWithdrawBuild, bad.ID)
	h.now = h.now.Add(25 * time.Hour)
	h.settle(b)
	if d := cmp.Diff([]string{"ready", "ready", "ready"}, h.states()); d != "" {
		t.Errorf("the newer, the paused and the one that served meanwhile: %s", d)
	}
	h.now = h.now.Add(25 * time.Hour)
	h.settle(b)
	if d := cmp.Diff([]string{"ready", "ready", "deleted", "deleted"}, h.states()); d != "" {
		t.Error(d)
	}
}

// What is withdrawn altogether is built anew at once.
func TestNothingServes(t *testing.T) {
	h := newBench(t, produce)
	b := h.builder()
	h.settle(b)
	only := h.store.Snapshot().Builds[0]
	h.ask(b, pool.VerbWithdrawBuild, only.ID)
	if d := cmp.Diff([]string{"ready", "ready"}, h.states()); d != "" {
		t.Error(d)
	}
}

func TestCommandsRefused(t *testing.T) {
	h := newBench(t, produce)
	b := h.builder()
	h.settle(b)
	ready := h.store.Snapshot().Builds[0].ID
	for id, state := range map[string]pool.BuildState{"building": pool.BuildBuilding, "failed": pool.BuildFailed, "going": pool.BuildDeleting, "gone": pool.BuildDeleted} {
		is := &pool.Build{Image: "noble", ID: id, State: state}
		for verb, want := range map[pool.Verb]string{
			pool.VerbDeleteBuild:   map[string]string{"building": "it is being built", "gone": "no such build"}[id],
			pool.VerbWithdrawBuild: map[string]string{"building": "it is being built", "failed": "it is failed", "going": "it is deleting", "gone": "no such build"}[id],
		} {
			w := carryOut(&pool.Command{Verb: verb}, is, t0)
			if got := w.Commands[0].After; !got.Done || got.Error != want || got.NotFound != (id == "gone") {
				t.Errorf("%s of a build that is %s: %+v, want %q", verb, state, got, want)
			}
			if changed := len(w.Builds) > 0; changed != (verb == pool.VerbDeleteBuild && id == "failed") {
				t.Errorf("%s of a build that is %s changes %d", verb, state, len(w.Builds))
			}
		}
	}
	if c := h.ask(b, pool.VerbDeleteBuild, "none"); !c.NotFound {
		t.Errorf("%+v", c)
	}
	h.store.Edit(func() {
		h.store.Commands[0] = &pool.Command{ID: "x", Verb: pool.VerbDeleteBuild, Target: "noble-arm/" + ready}
	})
	h.settle(b)
	if c := h.store.Snapshot().Commands[0]; c.Done {
		t.Errorf("another image's: %+v", c)
	}
}

// A pause holds for the clock and for commands, and says who made it.
func TestPaused(t *testing.T) {
	h := newBench(t, produce)
	h.store.Pauses = []*pool.Pause{{Image: "other"}}
	v := Due(h.store.Snapshot(), &h.image, t0)
	if !v.Build {
		t.Errorf("another image is paused: %+v", v)
	}
	h.store.Pauses = []*pool.Pause{{Image: "noble", By: "ann", Reason: "mirror is broken"}}
	v = Due(h.store.Snapshot(), &h.image, t0)
	if v.Build || v.Reason != "paused by ann: mirror is broken" {
		t.Errorf("%+v", v)
	}
}
