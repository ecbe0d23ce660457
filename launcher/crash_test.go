package launcher

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"poold/cloud"
	"poold/pool"
)

// errDied ends every call of a process that died.
var errDied = errors.New("the process died")

// dieAt makes the launcher's process die at the k-th boundary between it and
// the world: before or after a write or a call. From then on nothing that it
// does has any effect. It returns how many boundaries were passed.
func (w *world) dieAt(k int) func() int {
	passed, died := 0, false
	step := func(string) error {
		w.store.mu.Lock()
		defer w.store.mu.Unlock()
		passed++
		if passed == k {
			died = true
			w.stop()
		}
		if died {
			return errDied
		}
		return nil
	}
	w.store.step, w.cloud.step = step, step
	return func() int {
		w.store.mu.Lock()
		defer w.store.mu.Unlock()
		return passed
	}
}

// script is what the allocator does with two nodes: one is used, the other is
// given up while it is building. It goes on as far as the launcher does.
func (w *world) script() {
	w.store.add("used", "surplus")
	pass(5 * time.Second)
	if w.store.node("surplus").State == pool.NodeBuilding {
		w.store.move(pool.NodeDeleting, "surplus")
	}
	pass(15 * time.Second)
	w.use()
	pass(30 * time.Second)
}

func (w *world) use() {
	if w.store.node("used").State == pool.NodeReady {
		w.store.move(pool.NodeInUse, "used")
		w.store.move(pool.NodeUsed, "used")
	}
}

// Wherever a launcher dies, the next one brings every node to an end, asks for
// no batch twice, and leaves nothing in the cloud. This walks through every
// boundary between a write and a call of the scenario, in each of the rows of
// docs/recovery.md.
func TestDieAnywhere(t *testing.T) {
	total := 0
	for k := 0; k == 0 || k <= total; k++ {
		t.Run(fmt.Sprintf("boundary %d", k), func(t *testing.T) {
			bubble(t, func(w *world) {
				w.cfg.Provider.Pools[0].AutoFloatingIP = true
				passed := w.dieAt(k)
				w.start()
				w.script()
				w.end()
				if k == 0 {
					total = passed()
				}
				w.store.step, w.cloud.step = nil, nil
				w.start()
				pass(time.Minute)
				if n := w.store.node("surplus"); n.State == pool.NodePending {
					w.t.Errorf("surplus is %s", n.State)
				}
				for _, id := range []pool.NodeID{"used", "surplus"} {
					if w.store.node(id).State == pool.NodeReady {
						w.store.move(pool.NodeDeleting, id)
					}
				}
				pass(5 * time.Minute)
				w.want(pool.NodeDeleted, 2)
				if servers, ips := w.cloud.left(); servers+ips > 0 {
					w.t.Errorf("%d servers and %d floating IPs are left", servers, ips)
				}
				asked := map[string]int{}
				for _, s := range w.cloud.specs() {
					if asked[s.Name]++; asked[s.Name] > 1 {
						w.t.Errorf("batch %s was asked for twice", s.Name)
					}
				}
				if n := w.cloud.called("create"); k > 0 && n > 2 {
					w.t.Errorf("%d creates", n)
				}
				w.end()
			})
		})
	}
	if total < 40 {
		t.Errorf("only %d boundaries: the scenario did not happen", total)
	}
}

// A new owner adopts what the old one asked for in the middle of a batch, and
// learns the rest from the list; a ready node's instance is not mixed up with
// a second one of its name.
func TestTakeoverMidBatch(t *testing.T) {
	bubble(t, func(w *world) {
		w.start()
		w.store.add(ids(20)...)
		pass(4 * time.Second)
		w.want(pool.NodeBuilding, 20)
		w.end()
		spec := w.cloud.specs()[0]
		w.cloud.plant(spec.Name+"-1", spec.Mark)
		pass(time.Second)
		w.start()
		pass(20 * time.Second)
		w.want(pool.NodeReady, 20)
		if id := w.store.node("n000").InstanceID; id != "id-0001" {
			w.t.Errorf("n000 took %s, not the eldest of its name", id)
		}
		pass(15 * time.Minute)
		if left, _ := w.cloud.left(); left != 20 {
			w.t.Errorf("%d instances, want 20: the second claimant is a leak", left)
		}
		if n := w.cloud.called("create"); n != 1 {
			w.t.Errorf("%d creates", n)
		}
		w.end()
	})
}

// Two launchers at once, the old one not yet aware: only one's writes count
// and nothing is doubled.
func TestTwoAtOnce(t *testing.T) {
	bubble(t, func(w *world) {
		w.start()
		cfg := w.cfg
		cfg.Registerer = nil // another process has its own
		second, err := New(cfg)
		if err != nil {
			w.t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(w.t.Context())
		ended := make(chan error, 1)
		go func() { ended <- second.Run(ctx) }()
		w.store.add(ids(10)...)
		pass(time.Minute)
		w.want(pool.NodeReady, 10)
		if left, _ := w.cloud.left(); left != 10 {
			w.t.Errorf("%d instances for 10 nodes", left)
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			w.t.Errorf("the second run ended with %v", err)
		}
		synctest.Wait()
		w.end()
	})
}

// A floating IP that was made before its maker died is taken, not doubled.
func TestTakeoverOfFloatingIP(t *testing.T) {
	bubble(t, func(w *world) {
		w.cfg.Provider.Pools[0].AutoFloatingIP = true
		w.cloud.step = func(what string) error {
			if what == "after expose" {
				w.stop()
				return errDied
			}
			return nil
		}
		w.start()
		w.store.add("n1")
		pass(time.Minute)
		w.end()
		w.want(pool.NodeBuilding, 1)
		w.cloud.step = nil
		w.start()
		pass(time.Minute)
		w.want(pool.NodeReady, 1)
		if _, ips := w.cloud.left(); ips != 1 {
			w.t.Errorf("%d floating IPs for one node", ips)
		}
		w.end()
	})
}

// doubtful is how many nodes are marked as such.
func (w *world) doubtful() int {
	n := 0
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	for _, node := range w.store.current().Nodes {
		if node.Doubtful {
			n++
		}
	}
	return n
}

// Whoever takes over between the write of a batch and its create does not know
// whether the create was sent, and says so on the record once a list shows no
// instance: nobody waits for the nodes then. A batch that was sent is adopted
// without a doubt.
func TestTakeoverDoubts(t *testing.T) {
	for at, want := range map[string]int{"before create": 3, "after create": 0} {
		t.Run(at, func(t *testing.T) {
			bubble(t, func(w *world) {
				w.cloud.step = func(what string) error {
					if what == at {
						w.stop()
						return errDied
					}
					return nil
				}
				w.start()
				w.store.add(ids(3)...)
				pass(doubtAfter)
				w.end()
				w.cloud.step = nil
				w.want(pool.NodeBuilding, 3)
				w.start()
				pass(3 * time.Second)
				if got := w.doubtful(); got != want {
					w.t.Errorf("%d doubtful nodes, want %d", got, want)
				}
				pass(30 * time.Second)
				w.want(pool.NodeReady, 3-want)
				w.want(pool.NodeBuilding, want)
				w.end()
			})
		})
	}
}

// A node that is given up before its instance was ever seen is not forgotten
// before the instance can no longer show: one that shows late is deleted.
func TestGivenUpUnseen(t *testing.T) {
	bubble(t, func(w *world) {
		w.cloud.fault = func(op string) (error, bool) {
			if op == "create" {
				return fail(cloud.Ambiguous), true
			}
			return nil, false
		}
		w.cloud.hidden = func(cloud.Instance) bool { return true }
		w.start()
		w.store.add("n1")
		pass(5 * time.Second)
		w.store.move(pool.NodeDeleting, "n1")
		pass(90 * time.Second)
		w.want(pool.NodeDeleting, 1)
		w.cloud.mu.Lock()
		w.cloud.hidden = nil
		w.cloud.mu.Unlock()
		pass(time.Minute)
		w.want(pool.NodeDeleted, 1)
		if left, _ := w.cloud.left(); left != 0 || w.store.node("n1").InstanceID == "" {
			w.t.Errorf("%d instances left", left)
		}
		w.end()
	})
}
