package allocator

import (
	"fmt"
	"slices"
	"time"

	"poold/pool"
)

// The pause after failed launches: the first, and the longest.
const (
	firstPause   = 5 * time.Second
	longestPause = 5 * time.Minute
	// repeated is how many nodes have to fail in a row before the launches
	// like them pause. One alone happens in every cloud.
	repeated = 2
)

// breakerKey says which launches fail together, whatever label they are for. A
// zone that is full says nothing about other zones or flavors; a node that
// never answers says nothing about other images.
type breakerKey struct{ provider, slice, az, image, flavor string }

func keyOf(n *pool.Node) breakerKey {
	return breakerKey{n.Provider, n.Pool, n.AZ, n.ImageID, n.FlavorID}
}

// at is the key in another zone.
func (k breakerKey) at(az string) breakerKey {
	k.az = az
	return k
}

// room is the key of the failures for want of capacity, to which the image is
// all the same.
func (k breakerKey) room() breakerKey {
	k.image = ""
	return k
}

// upload is the key of what speaks against an image wherever in the provider
// it is launched.
func (k breakerKey) upload() breakerKey { return breakerKey{provider: k.provider, image: k.image} }

// blamed is what the failure of n speaks against.
func blamed(n *pool.Node) []breakerKey {
	k := keyOf(n)
	switch {
	case n.Failure == pool.KindCapacity:
		return []breakerKey{k.room()}
	case n.Failure.SpeaksOfImage():
		return []breakerKey{k, k.upload()}
	}
	return []breakerKey{k}
}

// breaker is the failures since the last success of one kind of launch.
type breaker struct {
	success time.Time
	// failures is how many nodes failed in a row, and streak how many
	// launches, a batch as one; oldest and newest are when the first and the
	// last of them did, and last is why.
	failures, streak int
	oldest, newest   time.Time
	last             *pool.Node
	batch            map[string]bool
	// open says that nothing may be launched but probes; until is when the
	// next one may be, and probing that one is under way.
	open    bool
	until   time.Time
	probing bool
}

// circuits are the breakers of all launches that failed lately.
type circuits struct {
	all map[breakerKey]*breaker
	// in tells which providers have any.
	in map[string]bool
}

// newCircuits derives the breakers from the records of nodes, dead ones
// included.
func newCircuits(nodes []*pool.Node, now time.Time) *circuits {
	c := &circuits{all: map[breakerKey]*breaker{}, in: map[string]bool{}}
	for _, n := range nodes {
		if !launchFailed(n) {
			continue
		}
		for _, k := range blamed(n) {
			if c.all[k] == nil {
				c.all[k] = &breaker{batch: map[string]bool{}}
			}
		}
		c.in[n.Provider] = true
	}
	if len(c.all) > 0 {
		c.learn(nodes, now)
	}
	return c
}

// learn works out from the nodes which breakers are open and which are being
// probed.
func (c *circuits) learn(nodes []*pool.Node, now time.Time) {
	for _, n := range nodes {
		if at, ok := n.Entered(pool.NodeReady); ok {
			for _, b := range c.of(n) {
				b.succeeded(at)
			}
		}
	}
	for _, n := range nodes {
		if launchFailed(n) {
			for _, k := range blamed(n) {
				c.all[k].failed(n)
			}
		}
	}
	for _, b := range c.all {
		b.judge()
	}
	for _, n := range nodes {
		if !inFlight(n) {
			continue
		}
		for _, b := range c.of(n) {
			b.probing = b.probing || b.tries(n, now)
		}
	}
}

// of returns the breakers that the outcome of a node matters to. Where the
// cloud chose the zone, the record of a node that is ready says which, and that
// of one in flight does not.
func (c *circuits) of(n *pool.Node) []*breaker {
	if !c.in[n.Provider] {
		return nil
	}
	k := keyOf(n)
	keys := []breakerKey{k, k.room(), k.upload()}
	if n.AZ != "" && !inFlight(n) {
		keys = append(keys, k.at(""), k.at("").room())
	}
	return c.those(keys)
}

// before returns the breakers that a launch has to pass.
func (c *circuits) before(k breakerKey) []*breaker {
	if !c.in[k.provider] {
		return nil
	}
	return c.those([]breakerKey{k, k.room()})
}

// doubt is what speaks against an upload, or nil: launches from it fail that
// never worked, or do not work any more.
func (c *circuits) doubt(u *pool.Upload) *breaker {
	b := c.all[breakerKey{provider: u.Provider, image: u.ExternalID}]
	if b == nil || !b.open || !b.success.IsZero() && !decisive(b.last.Failure) {
		return nil
	}
	return b
}

func (c *circuits) those(keys []breakerKey) []*breaker {
	var some []*breaker
	for _, k := range keys {
		if b := c.all[k]; b != nil {
			some = append(some, b)
		}
	}
	return some
}

// tries tells whether a node in flight is a probe: asked for while its kind of
// launch was paused.
func (c *circuits) tries(n *pool.Node, now time.Time) bool {
	return slices.ContainsFunc(c.of(n), func(b *breaker) bool { return b.tries(n, now) })
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

func (b *breaker) succeeded(at time.Time) {
	if at.After(b.success) {
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
	if b.oldest.IsZero() || at.Before(b.oldest) {
		b.oldest = at
	}
	b.failures++
	if n.Batch == "" || !b.batch[n.Batch] {
		b.streak++
		b.batch[n.Batch] = true
	}
	b.open = b.open || decisive(n.Failure)
}

// decisive tells whether one failure is enough to know that the next launch
// would fail as well.
func decisive(k pool.Kind) bool {
	switch k {
	case pool.KindCapacity, pool.KindInvalid, pool.KindNotFound, pool.KindUnauthorized:
		return true
	case pool.KindTransient, pool.KindRateLimited, pool.KindQuota, pool.KindConflict, pool.KindAmbiguous,
		pool.KindUnclassified, pool.KindNeverSeen, pool.KindTimeout, pool.KindUnreachable, pool.KindVanished:
	}
	return false
}

func (b *breaker) judge() {
	b.open = b.open || b.failures >= repeated
	if !b.open {
		return
	}
	pause := longestPause
	if doublings := b.streak - 1; doublings < 10 {
		pause = min(pause, firstPause<<doublings)
	}
	b.until = b.newest.Add(pause)
}

// tries tells whether a node in flight was launched after the breaker opened.
func (b *breaker) tries(n *pool.Node, now time.Time) bool {
	return b.open && !now.Before(b.until) && n.Created.After(b.newest)
}

// due tells whether a probe may be launched.
func (b *breaker) due(now time.Time) bool { return b.open && !b.probing && !now.Before(b.until) }

// next is when a probe may be launched, or nil while one is under way.
func (b *breaker) next() *time.Time {
	if b.probing {
		return nil
	}
	at := b.until
	return &at
}

// why is the failures that opened the breaker, for a reader.
func (b *breaker) why() string {
	if b.failures == 1 {
		return fmt.Sprintf("a launch failed: %s (%s)", b.last.ID, b.last.Failure)
	}
	return fmt.Sprintf("%d launches in a row failed, last %s (%s)", b.failures, b.last.ID, b.last.Failure)
}

// text says why the breaker is open and what comes next, for a reader.
func (b *breaker) text() string {
	if b.probing {
		return b.why() + ", one is being tried"
	}
	return b.why() + ", one is tried at " + b.until.Format("15:04:05")
}
