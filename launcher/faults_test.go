package launcher

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"poold/cloud"
	"poold/pool"
)

// A list that omits a cell proves nothing: nodes stay what they are, and stay
// once it is back. Launching goes on. In twenty minutes there are nine full lists
// at most, with a look for each instance that is missed, and no more than ten.
func TestOmittedCell(t *testing.T) {
	for name, c := range map[string]struct{ omitted, looks int }{"a few": {3, 27}, "most": {30, 90}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(w *world) {
				w.start()
				w.store.add(ids(40)...)
				pass(time.Minute)
				w.want(pool.NodeReady, 40)
				w.cloud.mu.Lock()
				w.cloud.hidden = func(i cloud.Instance) bool { return i.ID <= fmt.Sprintf("id-%04d", c.omitted) }
				w.cloud.mu.Unlock()
				pass(20 * time.Minute)
				w.want(pool.NodeReady, 40)
				if n := w.cloud.called("look"); n == 0 || n > c.looks {
					w.t.Errorf("looked %d times by id", n)
				}
				w.store.add("new")
				pass(time.Minute)
				w.want(pool.NodeReady, 41)
				w.end()
			})
		})
	}
}

// Instances that are really gone, half of all, are found out though a list
// without them is not believed.
func TestMassVanish(t *testing.T) {
	bubble(t, func(w *world) {
		w.start()
		w.store.add(ids(40)...)
		pass(time.Minute)
		w.store.move(pool.NodeInUse, ids(20)...)
		w.cloud.mu.Lock()
		w.cloud.instances = w.cloud.instances[10:30] // the others are not even shown as deleted
		w.cloud.mu.Unlock()
		pass(10 * time.Minute)
		w.want(pool.NodeInUse, 10)
		w.want(pool.NodeDeleted, 20)
		if n := w.store.node("n039"); n.Failure != pool.KindVanished {
			w.t.Errorf("failed with %q", n.Failure)
		}
		w.end()
	})
}

// What vanishes or breaks fails its node; a held node is deleted if it
// vanished and kept if it broke.
func TestVanish(t *testing.T) {
	bubble(t, func(w *world) {
		w.start()
		w.store.add("ready", "used", "held", "heldbroken", "broken")
		pass(time.Minute)
		w.store.move(pool.NodeInUse, "used", "held", "heldbroken")
		w.store.move(pool.NodeHold, "held", "heldbroken")
		w.cloud.kill(w.store.node("ready").InstanceID)
		w.cloud.kill(w.store.node("used").InstanceID)
		w.cloud.kill(w.store.node("held").InstanceID)
		sick := []string{w.store.node("broken").InstanceID, w.store.node("heldbroken").InstanceID}
		w.cloud.mu.Lock()
		w.cloud.broken = func(i cloud.Instance) (string, cloud.Kind) {
			if slices.Contains(sick, i.ID) {
				return "disk on fire", cloud.Transient
			}
			return "", ""
		}
		w.cloud.mu.Unlock()
		pass(10 * time.Minute)
		for id, want := range map[pool.NodeID]pool.Kind{
			"ready": pool.KindVanished, "used": pool.KindVanished, "broken": pool.KindVanished, "held": "",
		} {
			if n := w.store.node(id); n.State != pool.NodeDeleted || n.Failure != want {
				w.t.Errorf("%s is %s, %q", id, n.State, n.Failure)
			}
		}
		if n := w.store.node("broken"); n.Reason != "disk on fire" {
			w.t.Errorf("broken because %q", n.Reason)
		}
		if n := w.store.node("heldbroken"); n.State != pool.NodeHold {
			w.t.Errorf("the held broken node is %s", n.State)
		}
		w.end()
	})
}

// A delete that has no effect is asked for again, less and less often, and the
// node is not deleted before the cloud says that the instance is gone.
func TestStuckDelete(t *testing.T) {
	bubble(t, func(w *world) {
		w.cloud.stuck = func(cloud.Instance) bool { return true }
		w.cloud.unforced = true
		w.start()
		w.store.add("n1")
		pass(time.Minute)
		w.store.move(pool.NodeDeleting, "n1")
		pass(time.Hour)
		w.want(pool.NodeDeleting, 1)
		if n := w.cloud.called("delete"); n < 5 || n > 12 {
			w.t.Errorf("%d deletes in an hour", n)
		}
		w.cloud.mu.Lock()
		w.cloud.stuck = nil
		w.cloud.mu.Unlock()
		pass(15 * time.Minute)
		w.want(pool.NodeDeleted, 1)
		w.end()
	})
}

// Deletes with lost replies, refusals and rate limits come to an end.
func TestDeleteFaults(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		done bool
	}{
		"lost reply":           {fail(cloud.Ambiguous), true},
		"lost request":         {fail(cloud.Ambiguous), false},
		"transient":            {fail(cloud.Transient), false},
		"conflict":             {fail(cloud.Conflict), false},
		"gone already":         {fail(cloud.NotFound), true},
		"asked to come later":  {&cloud.Error{Kind: cloud.RateLimited, Op: "delete", RetryAfter: time.Minute}, false},
		"not a driver's error": {errors.New("odd"), false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(w *world) {
				w.start()
				w.store.add("n1")
				pass(time.Minute)
				once := true
				w.cloud.mu.Lock()
				w.cloud.fault = func(op string) (error, bool) {
					if op != "delete" || !once {
						return nil, false
					}
					once = false
					return c.err, c.done
				}
				w.cloud.mu.Unlock()
				w.store.move(pool.NodeDeleting, "n1")
				pass(2 * time.Minute)
				w.want(pool.NodeDeleted, 1)
				if left, _ := w.cloud.left(); left != 0 {
					w.t.Error("the instance is left")
				}
				w.end()
			})
		})
	}
}

// A node that the allocator gives up while it is building, asked for or
// reached is deleted with its instance.
func TestGivenUpWhileBuilding(t *testing.T) {
	for name, after := range map[string]time.Duration{
		"while the create is answered": 500 * time.Millisecond,
		"while it boots":               5 * time.Second,
		"while it is reached":          20 * time.Second,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(w *world) {
				w.cloud.latency = time.Second
				w.cfg.Reach = func(ctx context.Context, _ Target) ([]string, error) {
					<-ctx.Done()
					return nil, context.Cause(ctx)
				}
				w.start()
				w.store.add(ids(3)...)
				pass(after)
				w.store.move(pool.NodeDeleting, "n000", "n001", "n002")
				pass(40 * time.Second)
				w.want(pool.NodeDeleted, 3)
				if w.store.node("n001").InstanceID == "" {
					w.t.Error("the tombstone does not say which instance it was")
				}
				if left, _ := w.cloud.left(); left != 0 {
					w.t.Errorf("%d instances left", left)
				}
				w.end()
			})
		})
	}
}

// The time-outs of launching and booting name themselves, and keep the console.
func TestTimeouts(t *testing.T) {
	bubble(t, func(w *world) {
		w.cfg.Reach = func(ctx context.Context, _ Target) ([]string, error) {
			<-ctx.Done()
			return nil, context.Cause(ctx)
		}
		w.start()
		w.store.add("deaf")
		pass(65 * time.Second)
		w.want(pool.NodeBuilding, 1)
		pass(15 * time.Second)
		if n := w.store.node("deaf"); n.Failure != pool.KindUnreachable || n.Evidence != "kernel panic" {
			w.t.Errorf("deaf failed with %q, console %q", n.Failure, n.Evidence)
		}
		w.cloud.mu.Lock()
		w.cloud.boot = time.Hour
		w.cloud.mu.Unlock()
		w.store.add("slow")
		pass(10*time.Minute - time.Second)
		if n := w.store.node("slow"); n.State != pool.NodeBuilding {
			w.t.Errorf("slow is %s too early: %s", n.State, n.Reason)
		}
		pass(time.Minute)
		if n := w.store.node("slow"); n.Failure != pool.KindTimeout {
			w.t.Errorf("slow failed with %q", n.Failure)
		}
		w.end()
	})
}

// While the cloud does not answer, and while no process runs, no launch fails
// for its time-out.
func TestNobodyLooked(t *testing.T) {
	bubble(t, func(w *world) {
		w.start()
		w.store.add("down", "outage")
		pass(2 * time.Second)
		w.cloud.mu.Lock()
		w.cloud.fault = func(string) (error, bool) { return fail(cloud.Transient), false }
		w.cloud.mu.Unlock()
		pass(time.Hour)
		w.want(pool.NodeBuilding, 2)
		w.end()
		pass(time.Hour)
		w.cloud.mu.Lock()
		w.cloud.fault = nil
		w.cloud.mu.Unlock()
		w.start()
		pass(10 * time.Second)
		w.want(pool.NodeReady, 2)
		w.end()
	})
}

// Nothing is decided on a snapshot that is older than our own write: a slow
// watch costs time, not a second create.
func TestSlowWatch(t *testing.T) {
	bubble(t, func(w *world) {
		w.store.lag = 3 * time.Second
		w.start()
		w.store.add(ids(10)...)
		pass(time.Minute)
		w.want(pool.NodeReady, 10)
		if n := w.cloud.called("create"); n != 1 {
			w.t.Errorf("%d creates", n)
		}
		conflicts := w.store.written()
		w.store.move(pool.NodeDeleting, ids(10)...)
		pass(time.Minute)
		w.want(pool.NodeDeleted, 10)
		if n := w.store.written() - conflicts; n > 30 {
			w.t.Errorf("%d writes to delete 10 nodes", n)
		}
		w.end()
	})
}

// A write of unknown outcome is repeated until it is known, and neither its
// intention is lost nor its effect doubled.
func TestUnknownWrites(t *testing.T) {
	for name, done := range map[string]bool{"it was done": true, "it was not done": false} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(w *world) {
				seen := map[string]bool{}
				w.store.fault = func(wr pool.Write) (error, bool) {
					if wr.By != pool.Launcher || len(wr.Nodes) == 0 {
						return nil, false
					}
					key := fmt.Sprint(wr.Nodes[0].After.ID, wr.Nodes[0].After.State)
					if seen[key] {
						return nil, false
					}
					seen[key] = true
					return pool.ErrUnknown, done
				}
				w.start()
				w.store.add(ids(5)...)
				pass(time.Minute)
				w.want(pool.NodeReady, 5)
				if n := w.cloud.called("create"); n != 1 {
					w.t.Errorf("%d creates", n)
				}
				w.store.move(pool.NodeInUse, ids(5)...)
				w.store.move(pool.NodeUsed, ids(5)...)
				pass(time.Minute)
				w.want(pool.NodeDeleted, 5)
				w.end()
			})
		})
	}
}

// A store that cannot be reached stops everything; it all goes on when it is
// back. Losing the ownership ends the run.
func TestStoreTroubles(t *testing.T) {
	bubble(t, func(w *world) {
		w.start()
		w.store.add("n1")
		w.store.mu.Lock()
		w.store.fault = func(pool.Write) (error, bool) { return pool.ErrUnavailable, false }
		w.store.mu.Unlock()
		pass(time.Minute)
		w.want(pool.NodePending, 1)
		if n := w.cloud.called("create"); n != 0 {
			w.t.Errorf("%d creates without a record", n)
		}
		w.store.mu.Lock()
		w.store.fault = nil
		w.store.mu.Unlock()
		pass(time.Minute)
		w.want(pool.NodeReady, 1)
		w.store.mu.Lock()
		w.store.fault = func(w pool.Write) (error, bool) {
			if w.By == pool.Launcher {
				return pool.ErrNotOwner, false
			}
			return nil, false
		}
		w.store.mu.Unlock()
		w.store.add("n2")
		if err := <-w.ended; !errors.Is(err, pool.ErrNotOwner) {
			w.t.Errorf("ended with %v", err)
		}
		if n := w.cloud.called("create"); n != 1 {
			w.t.Errorf("%d creates as a stranger", n-1)
		}
		w.stop()
	})
}

// A floating IP is on record before it is asked for, is removed before its
// server, and nothing is left of it when the node is deleted.
func TestFloatingIP(t *testing.T) {
	for name, faulty := range map[string]bool{"calmly": false, "with a lost reply": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(w *world) {
				w.cfg.Provider.Pools[0].AutoFloatingIP = true
				lose := faulty
				w.cloud.fault = func(op string) (error, bool) {
					if op == "expose" && lose {
						lose = false
						return fail(cloud.Ambiguous), true
					}
					return nil, false
				}
				w.start()
				w.store.add("n1", "n2")
				pass(time.Minute)
				w.want(pool.NodeReady, 2)
				n := w.store.node("n1")
				if n.ExposeAsked == nil || n.InterfaceIP != "203.0.113.1" {
					w.t.Errorf("exposed at %v with %q", n.ExposeAsked, n.InterfaceIP)
				}
				if _, ips := w.cloud.left(); ips != 2 {
					w.t.Errorf("%d floating IPs for 2 nodes", ips)
				}
				w.store.move(pool.NodeDeleting, "n1")
				pass(20 * time.Second)
				w.want(pool.NodeDeleted, 1)
				if servers, ips := w.cloud.left(); ips != 1 || servers != 1 {
					w.t.Errorf("%d servers, %d floating IPs left", servers, ips)
				}
				w.end()
			})
		})
	}
}

// The metrics say how launches of one launcher ended.
func TestMetrics(t *testing.T) {
	bubble(t, func(w *world) {
		w.start()
		w.store.add("n1")
		w.store.add("n2")
		pass(time.Minute)
		want := `
# HELP poold_launcher_launches_total Launches that ended, by outcome: ready, or the kind of failure.
# TYPE poold_launcher_launches_total counter
poold_launcher_launches_total{outcome="ready",provider="p"} 2
`
		if err := testutil.GatherAndCompare(w.registry, strings.NewReader(want), "poold_launcher_launches_total"); err != nil {
			w.t.Error(err)
		}
		w.end()
	})
}
