package launcher

import (
	"testing"
	"time"

	"poold/cloud"
	"poold/pool"
)

// swap has the cloud show the instances of another project from now on, and
// returns those of this one.
func (w *world) swap(others []*fakeInstance) []*fakeInstance {
	w.cloud.mu.Lock()
	defer w.cloud.mu.Unlock()
	ours := w.cloud.instances
	w.cloud.instances = others
	return ours
}

// stand has nodes of all kinds: 20 in use and 20 ready.
func (w *world) stand() {
	w.t.Helper()
	w.store.add(ids(40)...)
	pass(time.Minute)
	w.want(pool.NodeReady, 40)
	w.store.move(pool.NodeInUse, ids(20)...)
}

// vanished is how many nodes the metric says have vanished.
func (w *world) vanished() float64 {
	w.t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "poold_launcher_vanished_nodes" {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	return -1
}

// When all that stands seems to vanish, as with the credentials of another
// project, no node is given up and nothing is launched or deleted, whether
// that comes while poold runs or while it does not; and all goes on when they
// are seen again.
func TestAnotherProject(t *testing.T) {
	for name, restarts := range map[string]struct{ before, after bool }{
		"while it runs": {}, "while it is down": {true, false}, "put right while it is down": {false, true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(w *world) {
				w.start()
				w.stand()
				if restarts.before {
					w.end()
				}
				ours := w.swap(nil)
				if restarts.before {
					w.start()
				}
				pass(10 * time.Minute)
				w.want(pool.NodeInUse, 20)
				w.want(pool.NodeReady, 20)
				if n := len(w.store.sick().Vanished); n != 40 || w.vanished() != 40 {
					t.Errorf("%d on record and %v in the metric of 40 that vanished", n, w.vanished())
				}
				creates := w.cloud.called("create")
				w.store.add("new")
				w.store.move(pool.NodeUsed, "n000")
				pass(time.Hour)
				w.want(pool.NodePending, 1)
				w.want(pool.NodeUsed, 1)
				if n := w.cloud.called("create") - creates; n > 0 || w.cloud.called("delete") > 0 {
					t.Errorf("%d creates and %d deletes while held", n, w.cloud.called("delete"))
				}
				if restarts.after {
					w.end()
				}
				w.swap(ours)
				if restarts.after {
					w.start()
				}
				pass(10 * time.Minute)
				w.want(pool.NodeInUse, 19)
				w.want(pool.NodeReady, 21)
				if n := len(w.store.sick().Vanished); n != 0 || w.vanished() != 0 {
					t.Errorf("%d on record and %v in the metric though all are there", n, w.vanished())
				}
				if left, _ := w.cloud.left(); left != 40 {
					t.Errorf("%d instances, want 40", left)
				}
				w.end()
			})
		})
	}
}

// What was not known in another project says nothing: each that a list lacks
// when we look at our own again is looked at anew.
func TestAnotherProjectsWordIsForgotten(t *testing.T) {
	bubble(t, func(w *world) {
		w.start()
		w.stand()
		ours := w.swap(nil)
		pass(10 * time.Minute)
		w.cloud.mu.Lock()
		w.cloud.hidden = func(i cloud.Instance) bool { return i.ID > "id-0030" }
		w.cloud.mu.Unlock()
		w.swap(ours)
		pass(10 * time.Minute)
		w.want(pool.NodeInUse, 20)
		w.want(pool.NodeReady, 20)
		if n := len(w.store.sick().Vanished); n != 0 {
			t.Errorf("%d on record though all are there", n)
		}
		w.end()
	})
}

// An operator who agrees that they are gone ends it, for those that were on
// record.
func TestVanishedAgreed(t *testing.T) {
	bubble(t, func(w *world) {
		w.start()
		w.stand()
		w.swap(nil)
		pass(10 * time.Minute)
		w.store.add("new")
		h := w.store.sick()
		if len(h.Vanished) != 40 {
			t.Fatalf("%d on record of 40 that vanished", len(h.Vanished))
		}
		var few, all []string
		for i := range h.Vanished {
			all = append(all, h.Vanished[i].Key())
		}
		few = all[:10]
		w.store.order(pool.Command{ID: "c0", Verb: pool.VerbRemoveLeaks, Target: "p", By: "me", Leaks: few})
		pass(10 * time.Minute)
		w.want(pool.NodeDeleting, 10)
		w.want(pool.NodePending, 1)
		w.store.order(pool.Command{ID: "c1", Verb: pool.VerbRemoveLeaks, Target: "p", By: "me", Leaks: all[10:]})
		pass(time.Minute)
		w.want(pool.NodeDeleted, 40)
		w.want(pool.NodeReady, 1)
		if n := w.store.node("n039"); n.Failure != pool.KindVanished {
			t.Errorf("failed with %q", n.Failure)
		}
		if n := len(w.store.sick().Vanished); n != 0 || w.vanished() != 0 {
			t.Errorf("%d on record after all is done", n)
		}
		w.end()
	})
}

// Few nodes may all vanish, and what the cloud shows as deleted is gone
// whatever else it knows.
func TestVanishedIsBelieved(t *testing.T) {
	bubble(t, func(w *world) {
		w.start()
		w.store.add(ids(4)...)
		pass(time.Minute)
		w.swap(nil)
		pass(10 * time.Minute)
		w.want(pool.NodeDeleted, 4)
		w.end()
	})
	bubble(t, func(w *world) {
		w.start()
		w.stand()
		for _, id := range ids(40) {
			w.cloud.kill(w.store.node(id).InstanceID)
		}
		pass(10 * time.Minute)
		w.want(pool.NodeDeleted, 40)
		w.end()
	})
}
