package allocator

import (
	"testing"
	"time"

	"poold/pool"
)

// What is stopped is told with since when and the last node that failed; a
// kind of launch that works again is not told of.
func TestBreakers(t *testing.T) {
	begin := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	node := func(id pool.NodeID, flavor string, state pool.NodeState, after time.Duration) *pool.Node {
		n := &pool.Node{
			ID: id, Provider: "east", Pool: "main", ImageID: "img", FlavorID: flavor, Batch: string(id),
			State: pool.NodeBuilding, Created: begin,
		}
		if state == pool.NodeFailed {
			n.Failure = pool.KindTimeout
		}
		return n.Moved(state, pool.Launcher, "", begin.Add(after))
	}
	got := Breakers([]*pool.Node{
		node("a", "small", pool.NodeFailed, time.Minute),
		node("b", "small", pool.NodeFailed, 2*time.Minute),
		node("c", "large", pool.NodeFailed, time.Minute),
		node("d", "large", pool.NodeFailed, 2*time.Minute),
		node("e", "large", pool.NodeReady, 3*time.Minute),
	}, begin.Add(4*time.Minute))
	if len(got) != 1 {
		t.Fatalf("%d breakers, want that of small: %+v", len(got), got)
	}
	b := got[0]
	if b.FlavorID != "small" || b.Kind != pool.KindTimeout || b.Last != "b" || !b.Since.Equal(begin.Add(time.Minute)) || b.Next == nil {
		t.Errorf("got %+v", b)
	}
}
