package launcher

import (
	"context"
	"errors"
	"testing"
	"time"

	"poold/cloud"
	"poold/internal/sleep"
	"poold/pool"
)

// slowly gives floating IPs and host keys that take a time.
func slowly(w *world, expose, answer time.Duration) {
	w.cfg.Provider.Pools[0].AutoFloatingIP = true
	w.cloud.step = func(what string) error {
		if what == "before expose" {
			time.Sleep(expose)
		}
		return nil
	}
	w.cfg.Reach = func(ctx context.Context, _ Target) ([]string, error) {
		if err := sleep.For(ctx, answer); err != nil {
			return nil, err
		}
		return []string{"ssh-ed25519 AAAA"}, nil
	}
}

// A record says when its instance was active, had its address and answered.
func TestMarks(t *testing.T) {
	bubble(t, func(w *world) {
		slowly(w, 3*time.Second, 7*time.Second)
		w.start()
		w.store.add("a")
		pass(40 * time.Second)
		w.want(pool.NodeReady, 1)
		n := w.store.node("a")
		if n.Active == nil || n.Addressed == nil || n.Reachable == nil {
			t.Fatalf("marks are missing: %v %v %v", n.Active, n.Addressed, n.Reachable)
		}
		if n.Active.Before(n.Timeline[0].At) || n.Since.Before(*n.Reachable) {
			t.Errorf("active %v, reachable %v, beyond the boot: %+v", n.Active, n.Reachable, n.Timeline)
		}
		if took := n.Addressed.Sub(*n.Active); took < 3*time.Second || took > 4*time.Second {
			t.Errorf("it took %v to get an address, want 3s", took)
		}
		if took := n.Reachable.Sub(*n.Addressed); took < 7*time.Second || took > 8*time.Second {
			t.Errorf("it took %v to answer, want 7s", took)
		}
		w.end()
	})
}

// A boot that fails says how far it got.
func TestMarksOfFailures(t *testing.T) {
	for _, c := range []struct {
		what                         string
		spoil                        func(w *world)
		active, addressed, reachable bool
	}{
		{"it does not answer", func(w *world) { slowly(w, 0, time.Hour) }, true, true, false},
		{"there is no address", func(w *world) {
			slowly(w, 0, 0)
			w.cloud.fault = func(op string) (error, bool) {
				if op == "expose" {
					return fail(cloud.Invalid), false
				}
				return nil, false
			}
		}, true, false, false},
		{"it answers and is not ready", func(w *world) {
			slowly(w, 0, 0)
			w.cfg.Provider.Pools[0].Labels[0].ReadyCommand = "true"
			w.cfg.Provider.Pools[0].Labels[0].ReadyKeyFile, _ = newKey(w.t)
			w.cfg.Run = func(context.Context, Command) (string, error) { return "", fail(cloud.Invalid) }
		}, true, true, true},
	} {
		bubble(t, func(w *world) {
			c.spoil(w)
			w.start()
			w.store.add("a")
			pass(2 * time.Minute)
			n := w.store.node("a")
			if n.Failure == "" {
				t.Errorf("%s: it did not fail: %s", c.what, n.State)
			}
			if (n.Active != nil) != c.active || (n.Addressed != nil) != c.addressed || (n.Reachable != nil) != c.reachable {
				t.Errorf("%s: active %v, addressed %v, reachable %v", c.what, n.Active, n.Addressed, n.Reachable)
			}
			w.end()
		})
	}
}

// The next process sees for itself how far the instance is.
func TestMarksAfterACrash(t *testing.T) {
	bubble(t, func(w *world) {
		slowly(w, 0, time.Hour)
		w.start()
		w.store.add("a")
		pass(30 * time.Second)
		w.want(pool.NodeBuilding, 1)
		w.stop()
		if err := <-w.ended; !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		slowly(w, 0, time.Second)
		restarted := time.Now()
		w.start()
		pass(30 * time.Second)
		w.want(pool.NodeReady, 1)
		n := w.store.node("a")
		if n.Active == nil || n.Active.Before(restarted) || n.Reachable == nil {
			t.Errorf("active %v, reachable %v, restarted at %v", n.Active, n.Reachable, restarted)
		}
		w.end()
	})
}
