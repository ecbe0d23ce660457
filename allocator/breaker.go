package allocator

import (
	"fmt"
	"math"
	"time"

	"poold/pool"
)

// The pause after failed launches: the first, and the longest.
const (
	firstPause   = 5 * time.Second
	longestPause = 5 * time.Minute
)

// breakerKey says which launches fail together. A zone that is full says
// nothing about other zones; a node that never answers says nothing about
// other images.
type breakerKey struct {
	provider, slice, label, imageID string
	// zone is set, with capacity, for failures for want of capacity.
	zone     string
	capacity bool
}

func keyOf(n *pool.Node) breakerKey {
	return breakerKey{provider: n.Provider, slice: n.Pool, label: n.Label, imageID: n.ImageID}
}

// at is the key of the failures for want of capacity in a zone.
func (k breakerKey) at(az string) breakerKey {
	k.imageID, k.zone, k.capacity = "", az, true
	return k
}

// blamed is what the failure of n speaks against.
func blamed(n *pool.Node) breakerKey {
	if n.Failure == pool.KindCapacity {
		return keyOf(n).at(n.AZ)
	}
	return keyOf(n)
}

// breaker is the failures since the last success of one kind of launch.
type breaker struct {
	success time.Time
	// streak is how many launches failed in a row, a batch as one; newest is
	// when the last of them did, and last why.
	streak int
	newest time.Time
	last   *pool.Node
	batch  map[string]bool
	// left is how many launches are allowed now.
	left  int
	until time.Time
}

// breakers derives the pauses from the records of nodes, dead ones included.
func breakers(nodes []*pool.Node, now time.Time) map[breakerKey]*breaker {
	all := map[breakerKey]*breaker{}
	for _, n := range nodes {
		if launchFailed(n) {
			all[blamed(n)] = &breaker{batch: map[string]bool{}}
		}
	}
	if len(all) == 0 {
		return all
	}
	for _, n := range nodes {
		if at, ok := n.Entered(pool.NodeReady); ok {
			succeeded(all[keyOf(n)], at)
			succeeded(all[keyOf(n).at(n.AZ)], at)
		}
	}
	for _, n := range nodes {
		if launchFailed(n) {
			all[blamed(n)].failed(n)
		}
	}
	for _, b := range all {
		b.open(now)
	}
	for _, n := range nodes {
		if inFlight(n) {
			probed(all[keyOf(n)], n)
			probed(all[keyOf(n).at(n.AZ)], n)
		}
	}
	return all
}

// launchFailed tells whether n says that its kind of launch does not work: one
// that was ready once was launched well.
func launchFailed(n *pool.Node) bool {
	if n.Failure == "" || !n.Failure.CountsAsLaunchFailure() {
		return false
	}
	_, ready := n.Entered(pool.NodeReady)
	return !ready
}

func failedAt(n *pool.Node) time.Time {
	if at, ok := n.Entered(pool.NodeFailed); ok {
		return at
	}
	return n.Since
}

func inFlight(n *pool.Node) bool {
	return n.State == pool.NodePending || n.State == pool.NodeBuilding
}

func succeeded(b *breaker, at time.Time) {
	if b != nil && at.After(b.success) {
		b.success = at
	}
}

func (b *breaker) failed(n *pool.Node) {
	at := failedAt(n)
	if !at.After(b.success) {
		return
	}
	if b.last == nil || at.After(b.newest) {
		b.newest, b.last = at, n
	}
	if n.Batch == "" || !b.batch[n.Batch] {
		b.streak++
		b.batch[n.Batch] = true
	}
}

func (b *breaker) open(now time.Time) {
	b.left = math.MaxInt
	if b.streak == 0 {
		return
	}
	pause := longestPause
	if doublings := b.streak - 1; doublings < 10 {
		pause = min(pause, firstPause<<doublings)
	}
	b.until = b.newest.Add(pause)
	b.left = 0
	if !now.Before(b.until) {
		b.left = 1 // the probe
	}
}

// probed counts a launch that was asked for since the last failure as the
// probe.
func probed(b *breaker, n *pool.Node) {
	if b != nil && b.streak > 0 && n.Created.After(b.newest) {
		b.left = 0
	}
}

// text says why the breaker is open, for a reader.
func (b *breaker) text() string {
	s := fmt.Sprintf("%d launches in a row failed, last %s (%s)", b.streak, b.last.ID, b.last.Failure)
	if b.streak == 1 {
		s = fmt.Sprintf("a launch failed: %s (%s)", b.last.ID, b.last.Failure)
	}
	return s + ", until " + b.until.Format("15:04:05") + " then one is tried"
}
