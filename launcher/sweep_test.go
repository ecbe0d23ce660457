package launcher

import (
	"fmt"
	"testing"
	"time"

	"poold/cloud"
	"poold/pool"
)

func (w *world) mark(revision int64) cloud.Mark {
	return cloud.Mark{Installation: "inst", Provider: "p", Batch: "plost", Revision: revision}
}

// lose makes instances that no record explains, of a certain age.
func (w *world) lose(n int, revision int64, age time.Duration) []string {
	var ids []string
	for k := range n {
		id := w.cloud.plant(fmt.Sprintf("plost-%d", k+1), w.mark(revision))
		w.cloud.mu.Lock()
		w.cloud.find(id).Created = time.Now().Add(-age)
		w.cloud.mu.Unlock()
		ids = append(ids, id)
	}
	return ids
}

// A leak is removed after it was seen twice; what is not of our mark is not
// touched.
func TestSweepRemovesLeaks(t *testing.T) {
	bubble(t, func(w *world) {
		w.store.add("n1")
		leak := w.lose(1, 5, 2*time.Hour)[0]
		foreign := w.mark(5)
		foreign.Installation = "other"
		w.cloud.plant("plost", foreign)
		sibling := w.mark(5)
		sibling.Provider = "q"
		w.cloud.plant("plost", sibling)
		w.cloud.ips = append(w.cloud.ips,
			cloud.Resource{Kind: cloud.FloatingIP, ID: "ip-leak", Mark: cloud.Mark{Installation: "inst", Provider: "p", Node: "nobody"}},
			cloud.Resource{Kind: cloud.FloatingIP, ID: "ip-live", Mark: cloud.Mark{Installation: "inst", Provider: "p", Node: "n1"}},
			cloud.Resource{Kind: cloud.FloatingIP, ID: "ip-other", Mark: cloud.Mark{Installation: "other", Provider: "p", Node: "nobody"}},
		)
		w.start()
		pass(time.Minute)
		if left, _ := w.cloud.left(); left != 4 {
			w.t.Errorf("%d instances after the first sweep, want 4: seen once only", left)
		}
		if h := w.store.sick(); len(h.Leaks) != 2 || h.Leaks[1].ID != leak || h.Leaks[1].Goes == nil || h.Frozen != "" {
			w.t.Errorf("on record are %+v", h)
		}
		pass(10 * time.Minute)
		if left, ips := w.cloud.left(); left != 3 || ips != 2 {
			w.t.Errorf("%d instances and %d floating IPs, want 3 and 2", left, ips)
		}
		if w.cloud.exists(leak) {
			w.t.Error("the leak is left")
		}
		if h := w.store.sick(); len(h.Leaks) != 0 {
			w.t.Errorf("still on record: %+v", h.Leaks)
		}
		w.want(pool.NodeReady, 1)
		w.end()
	})
}

// Too much at once, and an etcd that is older than the cloud, freeze the sweep.
func TestSweepFreezes(t *testing.T) {
	for name, c := range map[string]struct {
		leaks    int
		revision int64
		age      time.Duration
		watched  time.Duration
		left     int
	}{
		"ten are credible":                        {10, 5, 2 * time.Hour, 3 * time.Hour, 0},
		"eleven are not":                          {11, 5, 2 * time.Hour, 3 * time.Hour, 11},
		"etcd is older than the cloud":            {1, 1 << 40, 2 * time.Hour, 3 * time.Hour, 1},
		"nobody watched when it was made":         {1, 5, 4 * time.Hour, 3 * time.Hour, 1},
		"new, and there should be a record of it": {1, 5, 10 * time.Minute, 3 * time.Hour, 1},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(w *world) {
				w.store.health.Watched = time.Now().Add(-c.watched).UTC()
				w.lose(c.leaks, c.revision, c.age)
				w.start()
				pass(3 * time.Hour)
				if left, _ := w.cloud.left(); left != c.left {
					w.t.Errorf("%d left, want %d; frozen: %q", left, c.left, w.store.sick().Frozen)
				}
				w.end()
			})
		})
	}
}

// A store that is restored from an old copy, or that came back empty, lets the
// servers in use alone, whatever the revisions are by now.
func TestSweepAfterARestore(t *testing.T) {
	for name, forget := range map[string]func(w *world){
		"an old copy": func(w *world) {
			w.store.health.At = time.Now().UTC().Add(-5 * time.Minute)
		},
		"a very old copy": func(w *world) {
			w.store.health.At = time.Now().UTC().Add(-20 * time.Hour)
		},
		"empty": func(w *world) { w.store.health = nil },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(w *world) {
				w.store.add("n1", "n2")
				w.start()
				pass(5 * time.Minute)
				w.want(pool.NodeReady, 2)
				w.store.move(pool.NodeInUse, "n1", "n2")
				if name == "a very old copy" {
					pass(2 * time.Hour) // the servers are older than any tombstone
				}
				w.end()
				w.store.mu.Lock()
				clear(w.store.nodes)
				w.store.revision += 1000 // the copy was raised beyond what was lost
				forget(w)
				w.store.mu.Unlock()
				w.start()
				pass(5 * time.Hour)
				if left, _ := w.cloud.left(); left != 2 {
					w.t.Errorf("%d of 2 servers in use are left", left)
				}
				h := w.store.sick()
				if h.Frozen == "" || len(h.Leaks) != 2 || h.Leaks[0].Goes != nil {
					w.t.Errorf("on record is %+v", h)
				}
				w.agreeToOne(&h)
				w.end()
			})
		})
	}
}

// agreeToOne agrees to the removal of the first of two leaks of a frozen sweep.
func (w *world) agreeToOne(h *pool.Health) {
	w.t.Helper()
	w.store.order(pool.Command{
		ID: "c0", Verb: pool.VerbRemoveLeaks, Target: "p", By: "me", Leaks: []string{h.Leaks[0].Key(), "instance/no-such"},
	})
	pass(10 * time.Minute)
	if c := w.store.answer("c0"); !c.Done || !c.NotFound {
		w.t.Errorf("an agreement to something that is no leak was answered %+v", c)
	}
	if left, _ := w.cloud.left(); left != 2 {
		w.t.Error("a refused agreement removed something")
	}
	w.store.order(pool.Command{
		ID: "c1", Verb: pool.VerbRemoveLeaks, Target: "p", By: "me", Leaks: []string{h.Leaks[0].Key()},
	})
	pass(10 * time.Minute)
	if c := w.store.answer("c1"); !c.Done || c.Error != "" {
		w.t.Errorf("the agreement was answered %+v", c)
	}
	if w.cloud.exists(h.Leaks[0].ID) || !w.cloud.exists(h.Leaks[1].ID) {
		w.t.Error("removed was not exactly what was agreed to")
	}
	if h := w.store.sick(); h.Frozen == "" || len(h.Leaks) != 1 {
		w.t.Errorf("an agreement to one was a blank cheque: %+v", h)
	}
}

// A list that omits what it showed before neither forgets nor removes.
func TestSweepOfAListThatOmits(t *testing.T) {
	bubble(t, func(w *world) {
		ids := w.lose(12, 5, 2*time.Hour)
		w.start()
		pass(time.Minute)
		w.cloud.mu.Lock()
		w.cloud.hidden = func(i cloud.Instance) bool { return i.ID != ids[0] }
		w.cloud.mu.Unlock()
		pass(time.Hour)
		w.cloud.mu.Lock()
		w.cloud.hidden = nil
		w.cloud.mu.Unlock()
		pass(time.Hour)
		if left, _ := w.cloud.left(); left != 12 {
			w.t.Errorf("%d of 12 left: a short list thawed the sweep", left)
		}
		w.end()
	})
}

// What is young is no leak, however often it is seen.
func TestSweepGrace(t *testing.T) {
	bubble(t, func(w *world) {
		w.store.add("n1")
		w.start()
		pass(firstSweep + time.Second)
		mark := w.mark(5)
		mark.Batch = w.store.node("n1").Batch // there is a record of it
		id := w.cloud.plant(mark.Batch, mark)
		w.cloud.mu.Lock()
		w.cloud.find(id).Created = time.Now().Add(9 * time.Minute)
		w.cloud.mu.Unlock()
		pass(10 * time.Minute)
		if !w.cloud.exists(id) {
			w.t.Error("removed before its grace was over")
		}
		pass(10 * time.Minute)
		if w.cloud.exists(id) {
			w.t.Error("left after its grace")
		}
		w.end()
	})
}
