package launcher

import (
	"context"
	"testing"
	"time"

	"poold/cloud"
	"poold/pool"
)

// sureCloud remembers what it said until it is doubted.
type sureCloud struct {
	*fakeCloud

	doubts *int
}

func (c sureCloud) Doubt() { *c.doubts++ }

func (c sureCloud) Facts(ctx context.Context) (cloud.Facts, error) {
	f, err := c.fakeCloud.Facts(ctx)
	f.Zones = []string{"az1"}
	return f, err
}

// wantFacts has the allocator want the facts of now.
func (w *world) wantFacts() {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	q := *w.store.quota
	w.store.revision++
	q.Wanted, q.Revision = w.store.revision, w.store.revision
	w.store.quota = &q
	w.store.tell()
}

// Facts that somebody wants are asked for soon and anew, once, and it is on
// record as of when they are.
func TestWantedFacts(t *testing.T) {
	bubble(t, func(w *world) {
		doubts := 0
		w.cfg.Provider.Pools[0].Labels[0].FlavorName = "small"
		w.cfg.Driver = sureCloud{w.cloud, &doubts}
		w.start()
		pass(time.Minute)
		before := w.cloud.called("facts")
		w.wantFacts()
		pass(time.Minute)
		if n := w.cloud.called("facts") - before; n != 1 || doubts != 1 {
			t.Errorf("asked %d times, doubted %d times, want once each", n, doubts)
		}
		if q := w.store.published(); q.Asked < q.Wanted {
			t.Errorf("on record is as of %d, wanted is %d", q.Asked, q.Wanted)
		}
		writes := w.store.written()
		pass(4 * time.Minute)
		if n := w.store.written() - writes; n > 0 {
			t.Errorf("%d writes of what was said already", n)
		}
		w.end()
	})
}

// While something that is configured is not there, nothing is taken for known.
func TestLackingFacts(t *testing.T) {
	for name, lack := range map[string]func(p *pool.Provider){
		"nothing": func(*pool.Provider) {},
		"flavor":  func(p *pool.Provider) { p.Pools[0].Labels[0].FlavorName = "large" },
		"zone":    func(p *pool.Provider) { p.Pools[0].AZs = []string{"az9"} },
	} {
		bubble(t, func(w *world) {
			doubts := 0
			w.cfg.Provider.Pools[0].Labels[0].FlavorName = "small"
			lack(&w.cfg.Provider)
			w.cfg.Driver = sureCloud{w.cloud, &doubts}
			w.start()
			pass(time.Hour)
			if (doubts > 10) != (name != "nothing") {
				t.Errorf("%s is lacking: doubted %d times in an hour", name, doubts)
			}
			w.end()
		})
	}
}
