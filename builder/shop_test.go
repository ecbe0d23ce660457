package builder

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"poold/builder/export"
	"poold/cloud"
	"poold/pool"
)

// gated is a build command that waits until it may go on.
const gated = `
echo run >> "$DIR/runs"; echo $$ > "$DIR/pid"; touch "$DIR/begun"
while [ ! -e "$DIR/go" ]; do sleep 0.05; done
` + produce

var errLeaseLost = errors.New("the lease is lost")

// lostWhile returns the builder's world after its build has begun and its ownership
// was lost, and where the command can be told to go on.
func lostWhile(t *testing.T) (h *bench, dir string) {
	t.Helper()
	h, dir = newBench(t, gated), t.TempDir()
	h.image.Env["DIR"] = dir
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan error)
	go func() { ended <- h.builder().Run(ctx) }()
	waitFile(t, filepath.Join(dir, "begun"))
	cancel(errLeaseLost)
	if err := <-ended; !errors.Is(err, errLeaseLost) {
		t.Errorf("Run returned %v", err)
	}
	t.Cleanup(h.shop.Close)
	h.now = time.Now() // as Run saw it
	if d := cmp.Diff([]string{"building"}, h.states()); d != "" {
		t.Error(d)
	}
	return h, dir
}

// goOn tells the command of a build to go on.
func goOn(t *testing.T, dir string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// owned is a new owner of the image in the same process.
func (h *bench) owned() *Builder {
	b := h.builder()
	b.resume()
	return b
}

// A build goes on without an owner, who would only record it; the next one in this
// process does, whether it ended before or ends afterwards.
func TestOutlivesItsOwner(t *testing.T) {
	for _, before := range []bool{true, false} {
		h, dir := lostWhile(t)
		if before {
			goOn(t, dir)
			<-h.shop.of("noble").done
		} else if !alive(pidIn(t, filepath.Join(dir, "pid"))) {
			t.Fatal("the command was ended")
		}
		b := h.owned()
		if !before {
			if _, err := b.step(t.Context(), h.now); err != nil {
				t.Fatal(err)
			}
			goOn(t, dir)
		}
		h.settle(b)
		got := h.store.Snapshot().Builds
		if len(got) != 1 || got[0].State != pool.BuildReady || got[0].Artifact("raw") == nil {
			t.Errorf("ended before its next owner %v: got %v, %s", before, h.states(), got[0].Error)
		}
		if runs, err := os.ReadFile(filepath.Join(dir, "runs")); err != nil || string(runs) != "run\n" {
			t.Errorf("the command was run as often as %q says, %v", runs, err)
		}
		if h.shop.of("noble") != nil {
			t.Error("the build is still under way")
		}
	}
}

// A build that is over by its record ends, with all that is there of it: another
// peer owned the image, or etcd was restored from an older copy.
func TestEndsWhatIsOver(t *testing.T) {
	for name, end := range map[string]func(h *bench){
		"failed": func(h *bench) {
			h.store.Builds = []*pool.Build{failed(h.store.Builds[0], "builder p1 lost the image", h.now)}
			h.store.Builds[0].Revision = h.store.Revision
		},
		"unknown": func(h *bench) { h.store.Builds = nil },
	} {
		for _, owned := range []bool{true, false} {
			h, dir := lostWhile(t)
			h.shop.Prune(h.store.Snapshot())
			if w := h.shop.of("noble"); w == nil || w.isDone() {
				t.Fatalf("%s: ended by a record that says nothing of it", name)
			}
			h.store.Edit(func() { end(h) })
			h.image.Paused = true // nothing new is built
			w := h.shop.of("noble")
			if owned {
				h.settle(h.owned())
			} else {
				h.shop.Prune(h.store.Snapshot())
				<-w.done
				h.shop.Prune(h.store.Snapshot())
			}
			if !errors.Is(w.outcome.err, errOver) {
				t.Errorf("%s, owned %v: it ended with %v", name, owned, w.outcome.err)
			}
			waitGone(t, pidIn(t, filepath.Join(dir, "pid")))
			if got := h.ls(); len(got) != 0 {
				t.Errorf("%s, owned %v: files are left: %v", name, owned, got)
			}
			if h.shop.of("noble") != nil {
				t.Errorf("%s, owned %v: it is still under way", name, owned)
			}
		}
	}
}

// A record that is not yet seen says nothing of its build.
func TestPrunesNothingNew(t *testing.T) {
	h, dir := lostWhile(t)
	h.shop.Prune(&pool.Snapshot{Revision: h.store.Revision - 1})
	goOn(t, dir)
	h.settle(h.owned())
	if d := cmp.Diff([]string{"ready"}, h.states()); d != "" {
		t.Error(d)
	}
}

// An image that is built in another way by now is built anew, and one whose other
// settings changed is not.
func TestAnotherRecipeMeanwhile(t *testing.T) {
	h, dir := lostWhile(t)
	h.image.RebuildAge, h.image.DeleteAfterUpload = 0, true
	goOn(t, dir)
	h.settle(h.owned())
	if d := cmp.Diff([]string{"ready"}, h.states()); d != "" {
		t.Error(d)
	}
	h, dir = lostWhile(t)
	h.image.Elements = []string{"other"}
	b := h.owned()
	w := b.work
	<-w.done
	goOn(t, dir)
	h.settle(b)
	if d := cmp.Diff([]string{"ready", "failed"}, h.states()); d != "" {
		t.Error(d)
	}
	if got := h.store.Snapshot().BuildsOf("noble")[1]; got.Error != errAnother.Error() {
		t.Errorf("it failed with %q", got.Error)
	}
}

// With the process its builds end, and nothing of them is left.
func TestClose(t *testing.T) {
	h, dir := lostWhile(t)
	h.shop.Close()
	waitGone(t, pidIn(t, filepath.Join(dir, "pid")))
	if got := h.ls(); len(got) != 0 {
		t.Errorf("files are left: %v", got)
	}
}

// slow is a cloud whose images nobody ever gets.
type slow struct {
	shelf

	asked chan struct{}
}

func (s *slow) Source(ctx context.Context, _ string) (cloud.Source, error) {
	close(s.asked)
	<-ctx.Done()
	return cloud.Source{}, context.Cause(ctx)
}

// A build that calls a cloud ends with the ownership: only an owner may.
func TestExportEndsWithItsOwner(t *testing.T) {
	h := newBench(t, "exit 1")
	s := &slow{shelf: shelf{id: "i"}, asked: make(chan struct{})}
	b := h.taker(&s.shelf, pool.SnapshotOf{Image: "golden"})
	b.export = &export.Exporter{Driver: s, Provider: "north", Installation: "i"}
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan error)
	go func() { ended <- b.Run(ctx) }()
	<-s.asked
	cancel(errLeaseLost)
	if err := <-ended; !errors.Is(err, errLeaseLost) {
		t.Errorf("Run returned %v", err)
	}
	<-h.shop.of("noble").done
	h.settle(h.owned())
	if got := h.store.Snapshot().Builds[0]; got.State != pool.BuildFailed || !strings.Contains(got.Error, errLeaseLost.Error()) {
		t.Errorf("got %s %q", got.State, got.Error)
	}
}
