package uploader

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"poold/cloud"
	"poold/pool"
)

// ask gives a command about the upload of a build and returns what became of
// it within a few passes.
func (b *bench) ask(verb pool.Verb, build string) *pool.Command {
	b.t.Helper()
	b.store.Edit(func() {
		b.store.Commands = []*pool.Command{{
			ID: fmt.Sprint(b.store.Revision), Verb: verb, Target: "a/" + build, Provider: "pr", By: "ann", Reason: "it panics",
			Record: pool.Record{Revision: b.store.Revision},
		}}
	})
	pass(10 * time.Second)
	c := b.store.Snapshot().Commands[0]
	if !c.Done {
		b.t.Errorf("%s is not answered", verb)
	}
	return c
}

// An upload that an operator deletes is not made again until he wants it; the
// one before stays.
func TestDeletedByHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a")
		defer b.run()()
		for _, id := range []string{"1", "2"} {
			b.build("a", id)
			pass(time.Minute)
		}
		if c := b.ask(pool.VerbDeleteUpload, "2"); c.Error != "" {
			t.Errorf("%+v", c)
		}
		pass(time.Hour)
		gone := b.want("a", "2", pool.UploadDeleted)
		if want := "deleted by ann: it panics"; gone.Withdrawn != want || gone.Timeline[3].Reason != want {
			t.Errorf("withdrawn: %q; timeline %+v", gone.Withdrawn, gone.Timeline)
		}
		b.exactly(b.want("a", "1", pool.UploadReady))
		if c := b.ask(pool.VerbRetryUpload, "2"); c.Error != "" {
			t.Errorf("%+v", c)
		}
		pass(time.Minute)
		back := b.want("a", "2", pool.UploadReady)
		b.exactly(b.want("a", "1", pool.UploadReady), back)
		var states []string
		for _, e := range back.Timeline {
			states = append(states, string(e.State))
		}
		want := []string{"pending", "uploading", "ready", "deleting", "deleted", "pending", "uploading", "ready"}
		if d := cmp.Diff(want, states); d != "" {
			t.Error(d)
		}
	})
}

// A paused upload stays and can be put back; it does not count as one of the
// two that are kept, and goes when two newer ones serve.
func TestPausedByHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a")
		defer b.run()()
		for _, id := range []string{"1", "2"} {
			b.build("a", id)
			pass(time.Minute)
		}
		b.ask(pool.VerbWithdrawUpload, "2")
		if u := b.want("a", "2", pool.UploadReady); u.Withdrawn != "paused by ann: it panics" {
			t.Errorf("%q", u.Withdrawn)
		}
		b.ask(pool.VerbRestoreUpload, "2")
		if u := b.want("a", "2", pool.UploadReady); u.Withdrawn != "" {
			t.Errorf("put back: %q", u.Withdrawn)
		}
		b.ask(pool.VerbWithdrawUpload, "2")
		b.build("a", "3")
		pass(time.Minute)
		b.exactly(b.want("a", "1", pool.UploadReady), b.want("a", "2", pool.UploadReady), b.want("a", "3", pool.UploadReady))
		b.build("a", "4")
		pass(time.Minute)
		b.exactly(b.want("a", "3", pool.UploadReady), b.want("a", "4", pool.UploadReady))
	})
}

// A build that is withdrawn is not uploaded; the one before is, where it is
// missing.
func TestWithdrawnBuild(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a")
		b.cloud.pace = time.Minute
		b.build("a", "1")
		pass(time.Second)
		bad := b.build("a", "2")
		defer b.run()()
		pass(30 * time.Second)
		b.want("a", "2", pool.UploadUploading)
		b.want("a", "1", "none")
		b.store.Edit(func() {
			after := *bad
			after.Withdrawn = "paused by ann"
			b.store.Builds[1] = &after
		})
		pass(30 * time.Minute)
		b.exactly(b.want("a", "1", pool.UploadReady))
		b.want("a", "2", "none")
	})
}

// An upload is stopped before it is deleted, in the middle of its data too, and
// nothing of it is left.
func TestDeletedWhileSending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a")
		b.cloud.pace = time.Minute
		b.build("a", "1")
		defer b.run()()
		pass(30 * time.Second)
		b.want("a", "1", pool.UploadUploading)
		if c := b.ask(pool.VerbDeleteUpload, "1"); c.Error != "" {
			t.Errorf("%+v", c)
		}
		pass(time.Minute)
		b.want("a", "1", pool.UploadDeleted)
		b.exactly()
		if n := b.cloud.count("send"); n != 1 {
			t.Errorf("%d sends", n)
		}
	})
}

// A retry does not wait for the back-off, but for the image of the attempt
// before.
func TestRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a")
		b.cloud.fault = func(when, op, _ string) error {
			if when == "before" && op == "create" {
				return fail(cloud.Invalid)
			}
			return nil
		}
		b.build("a", "1")
		defer b.run()()
		pass(time.Hour)
		failed := b.want("a", "1", pool.UploadDeleted)
		if failed.Attempts < 5 {
			t.Fatalf("%d attempts", failed.Attempts)
		}
		b.cloud.mu.Lock()
		b.cloud.fault = nil
		b.cloud.mu.Unlock()
		b.ask(pool.VerbRetryUpload, "1")
		pass(20 * time.Second)
		u := b.want("a", "1", pool.UploadReady)
		b.exactly(u)
		if u.Attempts != 0 || len(u.Timeline) > 40 || !slices.ContainsFunc(u.Timeline, func(e pool.Entry[pool.UploadState]) bool {
			return e.State == pool.UploadFailed && e.Reason != ""
		}) {
			t.Errorf("attempt %d, %+v", u.Attempts, u.Timeline)
		}
	})
}

func TestCommandsRefused(t *testing.T) {
	p := pool.Provider{Name: "pr", Images: []pool.ProviderImage{{Name: "a"}}}
	build := &pool.Build{Image: "a", ID: "2", State: pool.BuildReady, Builder: "p1", Artifacts: []pool.Artifact{{Format: "raw"}}}
	older := &pool.Build{Image: "a", ID: "1", State: pool.BuildReady}
	for _, c := range []struct {
		verb     pool.Verb
		build    string
		state    pool.UploadState
		want     string
		notFound bool
	}{
		{pool.VerbRetryUpload, "2", pool.UploadReady, "it is ready", false},
		{pool.VerbRetryUpload, "2", pool.UploadUploading, "it is uploading", false},
		{pool.VerbRetryUpload, "1", pool.UploadDeleted, "its build is not what the provider should have", false},
		{pool.VerbWithdrawUpload, "2", pool.UploadUploading, "it is uploading", false},
		{pool.VerbRestoreUpload, "2", pool.UploadDeleted, "it is deleted", false},
		{pool.VerbDeleteUpload, "3", pool.UploadReady, "no such upload", true},
	} {
		s := &pool.Snapshot{
			Builds:   []*pool.Build{older, build},
			Uploads:  []*pool.Upload{{Image: "a", Build: min(c.build, "2"), Provider: "pr", State: c.state}},
			Commands: []*pool.Command{{Verb: c.verb, Target: "a/" + c.build, Provider: "pr"}},
		}
		plan := Decide(View{Snapshot: s, Provider: &p, Peer: "p1", Format: "raw"}, time.Now())
		if len(plan.Answers) != 1 {
			t.Fatalf("%+v: %d answers", c, len(plan.Answers))
		}
		w := plan.Answers[0].write()
		if got := w.Commands[0].After; got.Error != c.want || got.NotFound != c.notFound || !got.Done || len(w.Uploads) != 0 {
			t.Errorf("%+v: answered %+v with %d changes", c, got, len(w.Uploads))
		}
		s.Commands[0].Provider = "other"
		if plan = Decide(View{Snapshot: s, Provider: &p, Peer: "p1", Format: "raw"}, time.Now()); len(plan.Answers) != 0 {
			t.Errorf("%+v: another provider's is answered", c)
		}
	}
}

// While a record cannot be read nobody concludes that there is none.
func TestUnreadableBuild(t *testing.T) {
	p := pool.Provider{Name: "pr", Images: []pool.ProviderImage{{Name: "a"}}}
	s := &pool.Snapshot{Uploads: []*pool.Upload{{Image: "a", Build: "1", Provider: "pr", State: pool.UploadReady}}}
	if got := Decide(View{Snapshot: s, Provider: &p}, time.Now()); len(got.Retire) != 1 {
		t.Errorf("without a build: %+v", got)
	}
	s.Unreadable = []string{"/poold/v1/images/a/builds/1"}
	if got := Decide(View{Snapshot: s, Provider: &p}, time.Now()); len(got.Retire) != 0 {
		t.Errorf("of a build that cannot be read: %+v", got)
	}
}
