package launcher

import (
	"testing"
	"time"

	"poold/pool"
)

// The same in one provider.
func TestPause(t *testing.T) {
	bubble(t, func(w *world) {
		w.start()
		w.store.pause("p")
		w.store.add("late")
		pass(time.Hour)
		w.want(pool.NodePending, 1)
		w.store.pause("other")
		pass(20 * time.Second)
		w.want(pool.NodeReady, 1)
		w.end()
	})
}

// While launching is frozen nothing is asked for, and what is used is deleted
// all the same.
func TestFreeze(t *testing.T) {
	bubble(t, func(w *world) {
		w.store.add(ids(2)...)
		w.start()
		pass(20 * time.Second)
		w.want(pool.NodeReady, 2)
		w.store.freeze(&pool.Freeze{By: "ann"})
		w.store.add("late")
		w.store.move(pool.NodeInUse, "n000")
		w.store.move(pool.NodeUsed, "n000")
		pass(time.Hour)
		w.want(pool.NodePending, 1)
		w.want(pool.NodeDeleted, 1)
		w.store.freeze(nil)
		pass(20 * time.Second)
		w.want(pool.NodeReady, 2)
		w.end()
	})
}
