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

// A leak is removed after it was seen twice; what is not of our mark is not
// touched.
func TestSweepRemovesLeaks(t *testing.T) {
	bubble(t, func(w *world) {
		w.store.add("n1")
		leak := w.cloud.plant("plost", w.mark(5))
		w.cloud.find(leak).Created = time.Now().Add(-time.Hour)
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
		pass(10 * time.Minute)
		if left, ips := w.cloud.left(); left != 3 || ips != 2 {
			w.t.Errorf("%d instances and %d floating IPs, want 3 and 2", left, ips)
		}
		if w.cloud.exists(leak) {
			w.t.Error("the leak is left")
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
		left     int
	}{
		"ten are credible":     {10, 5, 0},
		"eleven are not":       {11, 5, 11},
		"etcd lost its memory": {1, 1 << 40, 1},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(w *world) {
				for k := range c.leaks {
					w.cloud.plant(fmt.Sprintf("plost-%d", k+1), w.mark(c.revision))
				}
				w.start()
				pass(30 * time.Minute)
				if left, _ := w.cloud.left(); left != c.left {
					w.t.Errorf("%d left, want %d", left, c.left)
				}
				w.end()
			})
		})
	}
}

// What is young is no leak, however often it is seen.
func TestSweepGrace(t *testing.T) {
	bubble(t, func(w *world) {
		w.start()
		pass(firstSweep + time.Second)
		id := w.cloud.plant("plost", w.mark(5))
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
