package allocator

import (
	"slices"
	"time"

	"poold/pool"
)

// The times that are nobody's to configure.
const (
	// acceptTimeout is how long nodes are kept for a client that has not
	// accepted them.
	acceptTimeout = 10 * time.Minute
	// patience is how long a request waits before a provider is kept for it.
	patience = 5 * time.Minute
	// reasonsEvery bounds how often the reasons of one request are rewritten.
	reasonsEvery = 10 * time.Second
	// tombstoneAge is how long a deleted node is remembered, tombstonesMax how
	// many are: every decision looks at them.
	tombstoneAge  = time.Hour
	tombstonesMax = 10_000
)

// The classes of reasons.
const (
	ClassBuilding    = "building"
	ClassFallback    = "fallback"
	ClassQuota       = "quota"
	ClassPoolFull    = "pool-full"
	ClassTenant      = "tenant-limit"
	ClassConcurrency = "concurrency"
	ClassBreaker     = "breaker"
	ClassReserved    = "reserved"
	ClassNoImage     = "no-image"
	ClassNoFlavor    = "no-flavor"
	ClassNoZone      = "no-zone"
	ClassTrouble     = "trouble"
	ClassVanished    = "vanished"
	ClassFrozen      = "frozen"
	ClassPaused      = "paused"
	ClassUnknown     = "unknown-quota"
	ClassTooLarge    = "too-large"
	ClassAway        = "away"
	ClassPartial     = "partial"
)

// decider is the work of one decision.
type decider struct {
	snap *pool.Snapshot
	cat  *pool.Catalog
	now  time.Time
	plan Plan

	labels    map[string]*pool.Label
	providers map[string]*provider
	order     []*provider                 // by name
	slices    map[[2]string]*slice        // by provider and pool
	offers    map[string][]*slot          // by label, best first
	uploads   map[pool.Use][]*pool.Upload // that serve, newest first
	withdrawn map[[3]string]string
	hosts     map[string]*host // by id
	builds    map[[2]string]*pool.Build
	tenants   map[string]*ledger
	circuits  *circuits
	// unsettled says what peers do not agree on, of what was looked at.
	unsettled map[string]bool
	refused   map[string]time.Time

	requests    map[pool.RequestRef]*pool.Request
	allocations map[[2]string]*pool.Allocation
	nodes       map[pool.NodeID]*pool.Node
	owned       map[pool.RequestRef][]*pool.Node // ready and in use
	shapes      map[string]*shape
	claims      []*claim
	inUse       map[string]int                // by label
	meant       map[pool.RequestRef][]*supply // that have nodes in flight for its set
	batches     map[batchKey]*batch

	// taken are the nodes, and answered the allocations, that this plan has
	// changed already.
	taken    map[*pool.Node]bool
	answered map[[2]string]bool

	// asked is the request that an explanation is wanted of, story the
	// explanation.
	asked *pool.Request
	story *pool.Explanation
}

// Decide computes what to do about a snapshot at a time. It is pure: it reads
// nothing else, changes neither argument, and equal arguments give equal
// plans. It is safe for concurrent use.
func Decide(s *pool.Snapshot, c *pool.Catalog, now time.Time) Plan {
	d := newDecider(s, c, now)
	d.run()
	return d.plan
}

func newDecider(s *pool.Snapshot, c *pool.Catalog, now time.Time) *decider {
	d := &decider{
		snap: s, cat: c, now: now.UTC().Truncate(time.Millisecond),
		labels:      make(map[string]*pool.Label, len(c.Labels)),
		providers:   make(map[string]*provider, len(c.Providers)),
		slices:      map[[2]string]*slice{},
		hosts:       map[string]*host{},
		offers:      map[string][]*slot{},
		withdrawn:   map[[3]string]string{},
		builds:      map[[2]string]*pool.Build{},
		tenants:     map[string]*ledger{},
		refused:     map[string]time.Time{},
		requests:    make(map[pool.RequestRef]*pool.Request, len(s.Requests)),
		allocations: make(map[[2]string]*pool.Allocation, len(s.Allocations)),
		nodes:       make(map[pool.NodeID]*pool.Node, len(s.Nodes)),
		owned:       map[pool.RequestRef][]*pool.Node{},
		inUse:       map[string]int{},
		shapes:      map[string]*shape{},
		batches:     map[batchKey]*batch{},
		meant:       map[pool.RequestRef][]*supply{},
		taken:       map[*pool.Node]bool{},
		answered:    map[[2]string]bool{},
	}
	for _, r := range s.Requests {
		d.requests[r.Ref()] = r
	}
	for _, a := range s.Allocations {
		d.allocations[[2]string{a.Client, a.ID}] = a
	}
	return d
}

func (d *decider) run() {
	d.indexRefusals()
	d.freeze()
	d.indexCatalog()
	d.commands()
	d.indexNodes()
	d.release()
	d.attend()
	d.retire()
	d.noteFailing()
	d.tryUploads()
	d.answer()
	d.unkeep()
	d.ask()
	d.makeRoom()
	d.keepReady()
	d.launch()
}

// decide adds a decision to the plan and notes what it changes.
func (d *decider) decide(one Decision) {
	for _, c := range one.Write.Nodes {
		d.taken[c.Before] = true
	}
	for _, c := range one.Write.Allocations {
		a := c.Before
		if a == nil {
			a = c.After
		}
		d.answered[[2]string{a.Client, a.ID}] = true
	}
	d.plan.Decisions = append(d.plan.Decisions, one)
}

// wake asks for a decision at a time, if that is still to come.
func (d *decider) wake(at time.Time) {
	if at.After(d.now) && (d.plan.Next.IsZero() || at.Before(d.plan.Next)) {
		d.plan.Next = at
	}
}

// free tells whether no decision of this plan changes any of the nodes.
func (d *decider) free(changes []pool.Change[pool.Node]) bool {
	return !slices.ContainsFunc(changes, func(c pool.Change[pool.Node]) bool { return d.taken[c.Before] })
}
