package allocator

import (
	"fmt"
	"testing"
	"time"

	"poold/pool"
)

func tellFreeze(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, aProvider("east", nil))
	w.cat.Labels[1].MinReady = 1
	w.request("first", "small")
	w.pass("launches for a request and ahead of demand")
	w.boot("n001")
	w.frozen = &pool.Freeze{By: "ann", Reason: "the network is being moved"}
	w.request("late", "small small")
	w.after(time.Minute)
	w.pass("what is ready is still given; nothing is launched, and the client is told why")
	w.frozen = nil
	w.after(time.Minute)
	w.pass("then it goes on")
	return w
}

// tellAlike: what fails in one cloud is that cloud's fault; what fails alike in
// all of them is ours.
func tellAlike(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, aProvider("east", nil), aProvider("west", nil))
	for i := range 12 {
		w.request(fmt.Sprint(i), "small", func(r *pool.Request) { r.Provider = []string{"east", "west"}[i%2] })
	}
	w.quietly()
	for i, n := range w.snapshot().Nodes {
		w.after(time.Second)
		if n.Provider == "east" {
			w.breakDown(n.ID, pool.KindUnreachable, fmt.Sprint(i))
		}
	}
	w.pass("one cloud in which everything fails: its breaker opens, the other goes on")
	for i, n := range w.snapshot().Nodes {
		w.after(time.Second)
		if n.Provider == "west" && inFlight(n) {
			w.breakDown(n.ID, pool.KindUnreachable, fmt.Sprint("w", i))
		}
	}
	w.pass("both: nothing is launched anywhere")
	w.after(alikePause)
	w.pass("after a while it is tried again")
	return w
}
