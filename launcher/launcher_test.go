package launcher

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"poold/cloud"
	"poold/pool"
)

// world is a launcher with its surroundings, within a bubble.
type world struct {
	t        *testing.T
	store    *fakeStore
	cloud    *fakeCloud
	cfg      Config
	registry *prometheus.Registry
	stop     context.CancelFunc
	ended    chan error
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, store: newFakeStore(), cloud: newFakeCloud()}
	w.cfg = Config{
		Provider: pool.Provider{
			Name: "p", BootTimeout: time.Minute, LaunchTimeout: 10 * time.Minute,
			CloudImages: []pool.CloudImage{{Name: "deb", ImageName: "Debian"}},
			Pools: []pool.Pool{{Name: "main", Labels: []pool.LabelSpec{
				{Name: "small", Networks: []string{"net"}, HostKeyChecking: true, ConsoleLog: true},
			}}},
		},
		Installation: "inst", Store: w.store, Driver: w.cloud, Random: rand.Reader, Log: zap.NewNop(),
		Reach: func(context.Context, Target) ([]string, error) {
			return []string{"ssh-ed25519 AAAA"}, nil
		},
	}
	return w
}

// start runs a fresh launcher, with a fresh registry.
func (w *world) start() {
	w.t.Helper()
	w.registry = prometheus.NewPedanticRegistry()
	w.cfg.Registerer = w.registry
	l, err := New(w.cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	w.stop, w.ended = cancel, make(chan error, 1)
	go func() { w.ended <- l.Run(ctx) }()
}

// end ends the launcher and waits for it.
func (w *world) end() {
	w.stop()
	if err := <-w.ended; !errors.Is(err, context.Canceled) {
		w.t.Errorf("the run ended with %v", err)
	}
}

// pass lets time pass.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// bubble runs a test of a world in a bubble.
func bubble(t *testing.T, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(newWorld(t)) })
}

func ids(n int) []pool.NodeID {
	var all []pool.NodeID
	for k := range n {
		all = append(all, pool.NodeID(fmt.Sprintf("n%03d", k)))
	}
	return all
}

func (w *world) want(state pool.NodeState, n int) {
	w.t.Helper()
	if got := w.store.count(state); got != n {
		for _, node := range w.store.current().Nodes {
			w.t.Logf("%s is %s (%s): %s", node.ID, node.State, node.Failure, node.Reason)
		}
		w.t.Fatalf("%d nodes are %s, want %d", got, state, n)
	}
}

// A call that is not answered for long keeps nothing busy: neither the looks
// that are due meanwhile nor anything else makes the loop go round.
func TestNothingSpinsWhileCallsHang(t *testing.T) {
	for _, hangs := range []string{"before facts", "before list"} {
		bubble(t, func(w *world) {
			answered := make(chan struct{})
			w.cloud.step = func(what string) error {
				if what == hangs {
					<-answered
				}
				return nil
			}
			w.start()
			pass(9 * time.Minute)
			before := w.store.looks.Load()
			pass(9 * time.Minute)
			if n := w.store.looks.Load() - before; n > 100 {
				t.Errorf("%s: %d decisions in nine minutes", hangs, n)
			}
			close(answered)
			w.end()
		})
	}
}

// A node goes all the way with few calls: one create for all, no list before
// the instances can be expected, nothing left in the end.
func TestLife(t *testing.T) {
	bubble(t, func(w *world) {
		w.start()
		w.store.add(ids(30)...)
		pass(20 * time.Second)
		w.want(pool.NodeReady, 30)
		specs := w.cloud.specs()
		if len(specs) != 1 || specs[0].Count != 30 || specs[0].Networks[0] != "net" {
			w.t.Errorf("asked for %+v, want one batch of 30", specs)
		}
		if m := specs[0].Mark; m.Installation != "inst" || m.Provider != "p" || m.Batch != specs[0].Name || m.Revision == 0 {
			w.t.Errorf("mark %+v", m)
		}
		n := w.store.node("n000")
		if n.InstanceID == "" || n.InterfaceIP != "10.0.0.1" || n.AZ != "az1" || n.HostID != "host1" || len(n.HostKeys) != 1 {
			w.t.Errorf("ready node lacks something: %+v", n)
		}
		w.store.move(pool.NodeInUse, ids(30)...)
		w.store.move(pool.NodeUsed, ids(30)...)
		pass(20 * time.Second)
		w.want(pool.NodeDeleted, 30)
		if left, _ := w.cloud.left(); left != 0 {
			w.t.Errorf("%d instances left", left)
		}
		if n := w.cloud.called("delete"); n != 30 {
			w.t.Errorf("%d deletes, want 30", n)
		}
		if n := w.cloud.called("look"); n != 0 {
			w.t.Errorf("looked %d times by id, want 0: the list tells", n)
		}
		w.end()
	})
}

// Nothing is listed while nothing is in flight, but for the slow look.
func TestIdleIsQuiet(t *testing.T) {
	bubble(t, func(w *world) {
		w.start()
		w.store.add(ids(3)...)
		pass(time.Minute)
		w.want(pool.NodeReady, 3)
		before := w.cloud.called("list")
		pass(time.Hour)
		// One list a minute and one for each sweep.
		if n := w.cloud.called("list") - before; n > 75 {
			w.t.Errorf("%d lists in an idle hour", n)
		}
		w.end()
	})
}

// What a label's boot takes is learned, and no list is asked for before most
// of it has passed.
func TestPollsFollowWhatIsLearned(t *testing.T) {
	bubble(t, func(w *world) {
		w.cloud.boot = 100 * time.Second
		w.start()
		w.store.add("first")
		pass(3 * time.Minute)
		w.store.add("second")
		synctest.Wait()
		w.cloud.mu.Lock()
		w.cloud.lists = nil
		w.cloud.mu.Unlock()
		began := time.Now()
		pass(110 * time.Second)
		w.want(pool.NodeReady, 2)
		w.end()
		early := slices.DeleteFunc(slices.Clone(w.cloud.lists), func(at time.Time) bool { return at.Sub(began) > 65*time.Second })
		if len(early) > 2 {
			w.t.Errorf("%d lists before the boot can be over", len(early))
		}
		if len(w.cloud.lists) < 3 {
			w.t.Errorf("%d lists in all", len(w.cloud.lists))
		}
	})
}

// At the edge of the quota what fits is made, the rest fails as quota and not
// as a bad launch, and the believed limit is lowered.
func TestQuotaEdge(t *testing.T) {
	for name, quota := range map[string]int{"five of eight": 5, "one of eight": 1} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(w *world) {
				w.cloud.quota = quota
				w.start()
				pass(time.Second)
				w.store.add(ids(8)...)
				// The facts are not asked again within half a minute.
				pass(24 * time.Second)
				w.want(pool.NodeReady, quota)
				failed := 0
				for _, n := range w.store.current().Nodes {
					if n.Failure == pool.KindQuota {
						failed++
					}
				}
				if failed != 8-quota {
					w.t.Errorf("%d failed for quota, want %d", failed, 8-quota)
				}
				q := w.store.published()
				if q.Lowered == nil || q.Lowered.Instances != int64(quota) || q.Lowered.RAMMiB != pool.Unlimited {
					w.t.Errorf("lowered to %+v, want %d instances", q.Lowered, quota)
				}
				pass(10 * time.Minute)
				if q := w.store.published(); q.Lowered != nil {
					w.t.Errorf("still lowered: %+v", q.Lowered)
				}
				w.want(pool.NodeDeleted, 8-quota)
				if n := len(w.cloud.specs()); n != 1 {
					w.t.Errorf("%d creates, want 1", n)
				}
				w.end()
			})
		})
	}
}

// A node that got an instance but no floating IP does not count as having one:
// what the cloud has given to others is what is missing.
func TestQuotaOfFloatingIPs(t *testing.T) {
	bubble(t, func(w *world) {
		w.cfg.Provider.Pools[0].AutoFloatingIP = true
		w.cloud.fault = func(op string) (error, bool) {
			if op == "expose" && len(w.cloud.ips) == 1 {
				return fail(cloud.Quota), false
			}
			return nil, false
		}
		w.start()
		pass(time.Second)
		w.store.addWith(pool.Resources{Instances: 1, FloatingIPs: 1}, "n1", "n2")
		pass(20 * time.Second)
		if q := w.store.published(); q.Lowered == nil || q.Lowered.FloatingIPs != 1 {
			w.t.Errorf("lowered to %+v, want one floating IP", q.Lowered)
		}
		w.end()
	})
}

// Each refusal fails the whole batch at once, with its kind.
func TestRefusals(t *testing.T) {
	for _, kind := range []cloud.Kind{cloud.Quota, cloud.RateLimited, cloud.Invalid, cloud.Capacity, cloud.Transient} {
		t.Run(string(kind), func(t *testing.T) {
			bubble(t, func(w *world) {
				w.cloud.fault = func(op string) (error, bool) {
					if op == "create" {
						return fail(kind), false
					}
					return nil, false
				}
				w.start()
				w.store.add(ids(4)...)
				pass(5 * time.Second)
				w.want(pool.NodeDeleted, 4) // nothing was made: no need to wait
				if n := w.store.node("n000"); n.Failure != kind || !strings.Contains(n.Reason, "made to fail") {
					w.t.Errorf("failed with %s: %s", n.Failure, n.Reason)
				}
				w.end()
			})
		})
	}
}

// What a launch was made from may be gone when the cloud refuses it: the facts
// are asked for again, though not at once for each.
func TestRefusalsAskForFacts(t *testing.T) {
	for kind, want := range map[cloud.Kind]int{
		cloud.Invalid: 2, cloud.NotFound: 2, cloud.Capacity: 2, cloud.Transient: 1, cloud.RateLimited: 1,
	} {
		t.Run(string(kind), func(t *testing.T) {
			bubble(t, func(w *world) {
				w.cloud.fault = func(op string) (error, bool) {
					if op == "create" {
						return fail(kind), false
					}
					return nil, false
				}
				w.start()
				pass(time.Second)
				w.store.add("n1")
				pass(5 * time.Second)
				w.store.add("n2")
				pass(20 * time.Second)
				if n := w.cloud.called("facts"); n != 1 {
					w.t.Errorf("asked %d times for facts within half a minute, want once", n)
				}
				pass(time.Minute)
				if n := w.cloud.called("facts"); n != want {
					w.t.Errorf("asked %d times for facts, want %d", n, want)
				}
				w.end()
			})
		})
	}
}

// Refused credentials stop launching until the cloud answers again.
func TestUnauthorized(t *testing.T) {
	bubble(t, func(w *world) {
		w.cloud.fault = func(string) (error, bool) { return fail(cloud.Unauthorized), false }
		w.start()
		w.store.add("n1")
		pass(time.Minute)
		w.want(pool.NodePending, 1)
		if w.store.published().Trouble == "" {
			w.t.Error("no trouble published")
		}
		w.cloud.mu.Lock()
		w.cloud.fault = nil
		w.cloud.mu.Unlock()
		pass(2 * time.Minute)
		w.want(pool.NodeReady, 1)
		if q := w.store.published(); q.Trouble != "" || q.Limits.Instances != 1000 || q.CloudImages["deb"] != "id-of-Debian" {
			w.t.Errorf("published %+v", q)
		}
		w.end()
	})
}

// A create whose answer is lost is not made again: what it made is adopted,
// and the rest fails as never seen, after the bound and not before.
func TestLostCreateReply(t *testing.T) {
	for name, c := range map[string]struct {
		done               bool
		ready, seen, never int
	}{
		"it was done":     {done: true, ready: 6},
		"it was not done": {never: 6},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(w *world) {
				w.cloud.fault = func(op string) (error, bool) {
					if op == "create" {
						return fail(cloud.Ambiguous), c.done
					}
					return nil, false
				}
				w.start()
				w.store.add(ids(6)...)
				pass(doubtAfter - time.Second)
				if n := w.doubtful(); n != 0 {
					w.t.Errorf("%d doubtful nodes at first", n)
				}
				pass(8 * time.Second)
				if n := w.doubtful(); n != c.never {
					w.t.Errorf("%d doubtful nodes, want %d", n, c.never)
				}
				pass(100*time.Second - doubtAfter - 7*time.Second)
				w.want(pool.NodeReady, c.ready)
				w.want(pool.NodeBuilding, c.never)
				pass(30 * time.Second)
				for _, n := range w.store.current().Nodes {
					if c.never > 0 && n.Failure != pool.KindNeverSeen {
						w.t.Errorf("%s is %s, %q", n.ID, n.State, n.Failure)
					}
				}
				pass(10 * time.Second)
				w.want(pool.NodeDeleted, c.never)
				if n := w.cloud.called("create"); n != 1 {
					w.t.Errorf("%d creates", n)
				}
				w.end()
			})
		})
	}
}

// A batch that breaks as a whole makes the next ones smaller; one that works
// makes them larger again. The fault and the console are kept.
func TestBrokenBatches(t *testing.T) {
	bubble(t, func(w *world) {
		w.cloud.broken = func(cloud.Instance) (string, cloud.Kind) { return "No valid host", cloud.Capacity }
		w.start()
		w.store.add(ids(8)...)
		pass(12 * time.Second)
		n := w.store.node("n000")
		if n.Failure != cloud.Capacity || n.Reason != "No valid host" || n.Evidence != "kernel panic" || n.InstanceID == "" {
			w.t.Errorf("failed as %+v", n)
		}
		pass(time.Minute)
		w.want(pool.NodeDeleted, 8)
		w.cloud.mu.Lock()
		w.cloud.broken = nil
		w.cloud.mu.Unlock()
		w.store.add("a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8")
		pass(time.Minute)
		w.store.add("b1", "b2", "b3", "b4", "b5", "b6", "b7", "b8")
		pass(time.Minute)
		var sizes []int
		for _, s := range w.cloud.specs() {
			sizes = append(sizes, s.Count)
		}
		slices.Sort(sizes[3:]) // these two were asked for at once
		if want := []int{8, 4, 4, 2, 6}; !slices.Equal(sizes, want) {
			w.t.Errorf("batches of %v, want %v", sizes, want)
		}
		w.end()
	})
}

// MaxConcurrency bounds how many nodes are building.
func TestMaxConcurrency(t *testing.T) {
	bubble(t, func(w *world) {
		w.cfg.Provider.MaxConcurrency = 3
		w.start()
		w.store.add(ids(7)...)
		pass(5 * time.Second)
		w.want(pool.NodeBuilding, 3)
		pass(time.Minute)
		w.want(pool.NodeReady, 7)
		w.end()
	})
}

// Launches that somebody waits for go before those ahead of demand.
func TestLanes(t *testing.T) {
	bubble(t, func(w *world) {
		w.start()
		w.store.add("ready1")
		pass(time.Second)
		w.store.mu.Lock()
		w.store.requests = []*pool.Request{{Client: "ci", ID: "1", Labels: []string{"small"}, CreateRevision: 7}}
		w.store.mu.Unlock()
		w.store.add("wanted1")
		pass(time.Second)
		w.end()
		if want := []cloud.Lane{cloud.LaneReady, cloud.LaneRequest}; !slices.Equal(w.cloud.lanes, want) {
			w.t.Errorf("lanes %v, want %v", w.cloud.lanes, want)
		}
	})
}

// Nothing is launched before the first facts are known, so that they are asked
// for as urgently; later ones only keep what is known fresh.
func TestFirstFactsAreUrgent(t *testing.T) {
	bubble(t, func(w *world) {
		w.start()
		pass(time.Hour)
		w.end()
		lanes := w.cloud.factLanes
		if len(lanes) < 2 || lanes[0] != cloud.LaneRequest ||
			slices.ContainsFunc(lanes[1:], func(l cloud.Lane) bool { return l != cloud.LanePoll }) {
			w.t.Errorf("facts were asked for in lanes %v", lanes)
		}
	})
}

// A node of which the configuration knows nothing can never be asked for.
func TestImpossible(t *testing.T) {
	bubble(t, func(w *world) {
		w.cfg.Provider.Pools[0].Name = "renamed"
		w.start()
		w.store.add("n1")
		pass(5 * time.Second)
		w.want(pool.NodeDeleted, 1)
		if n := w.store.node("n1"); n.Failure != pool.KindInvalid {
			w.t.Errorf("failed with %q", n.Failure)
		}
		if n := w.cloud.called("create"); n != 0 {
			w.t.Errorf("%d creates", n)
		}
		w.end()
	})
}

// What others use in the project is what is used less what our records book.
func TestForeignUse(t *testing.T) {
	bubble(t, func(w *world) {
		w.cloud.foreign = 7
		w.start()
		w.store.add(ids(3)...)
		pass(11 * time.Minute)
		q := w.store.published()
		if want := (pool.Resources{Instances: 7}); q.Foreign != want {
			w.t.Errorf("foreign %+v, want %+v", q.Foreign, want)
		}
		before := w.store.written()
		pass(time.Hour)
		if n := w.store.written() - before; n != int(time.Hour/healthEvery) {
			w.t.Errorf("%d writes though nothing changed, want those of the health record alone", n)
		}
		w.end()
	})
}

// Owners that die more often than the ambiguity bound is long must not keep a
// node waiting for an instance that was never asked for.
func TestNeverSeenThoughOwnersKeepDying(t *testing.T) {
	bubble(t, func(w *world) {
		w.cloud.fault = func(op string) (error, bool) {
			if op == "create" {
				return fail(cloud.Ambiguous), false
			}
			return nil, false
		}
		w.start()
		w.store.add("n1")
		for range 11 {
			pass(10 * time.Second)
			w.want(pool.NodeBuilding, 1)
			w.end()
			w.start()
		}
		pass(ambiguityBound - 110*time.Second + 10*time.Second)
		if n := w.store.node("n1"); n.Failure != pool.KindNeverSeen {
			w.t.Errorf("after %v it is %s, %q", ambiguityBound, n.State, n.Failure)
		}
		w.end()
	})
}
