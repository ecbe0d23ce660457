package allocator

import (
	"cmp"
	"slices"

	"poold/pool"
)

// supply is the nodes of one label in one zone that nobody has claimed yet.
type supply struct {
	ready    []*pool.Node // oldest first
	inFlight []*pool.Node // building before pending, then oldest first
	// meant counts those in flight that are meant for the set of a request
	// that waits; allMeant is their sum.
	meant    map[pool.RequestRef]int
	allMeant int
}

// indexRefusals notes the newest launch of each provider that was refused for
// its credentials.
func (d *decider) indexRefusals() {
	for _, n := range d.snap.Nodes {
		if n.Failure == pool.KindUnauthorized {
			if at := failedAt(n); at.After(d.refused[n.Provider]) {
				d.refused[n.Provider] = at
			}
		}
	}
}

// indexNodes books every live node and sorts the idle ones and those in flight
// into supplies. It needs the requests.
func (d *decider) indexNodes() {
	for _, n := range d.snap.Nodes {
		d.nodes[n.ID] = n
		if !n.State.Live() {
			continue
		}
		s := d.slices[[2]string{n.Provider, n.Pool}]
		d.book(n, s)
		if n.State == pool.NodeInUse {
			d.inUse[n.Label]++
		}
		if n.AllocatedTo != nil && (n.State == pool.NodeInUse || n.State == pool.NodeReady) {
			d.owned[*n.AllocatedTo] = append(d.owned[*n.AllocatedTo], n)
		}
		if s != nil {
			d.stock(s.zoneOf(n), n)
		}
	}
	d.bookUnreadable()
	for _, p := range d.order {
		for _, s := range p.slices {
			for _, z := range s.zones {
				z.sort()
			}
		}
	}
}

// leaving tells whether a node is on its way out.
func leaving(n *pool.Node) bool {
	return n.State == pool.NodeUsed || n.State == pool.NodeFailed || n.State == pool.NodeDeleting
}

func (d *decider) book(n *pool.Node, s *slice) {
	leaving := leaving(n)
	d.occupy(n)
	if p := d.providers[n.Provider]; p != nil {
		p.book(n.Resources)
		if leaving {
			p.freeing = p.freeing.Add(n.Resources)
		}
		if inFlight(n) {
			p.slotsLeft--
		}
	}
	if s != nil {
		s.book(n.Resources)
		if leaving {
			s.freeing = s.freeing.Add(n.Resources)
		}
	}
	if t := d.tenants[n.Tenant]; t != nil && n.Tenant != "" {
		t.book(n.Resources)
	}
}

// halted tells whether nobody sees to a node in flight, for now: where nobody
// launches, or, as long as it is not asked for, where launching is paused.
func halted(p *provider, n *pool.Node) bool {
	return p.conf.Away != "" || p.pause != nil && n.State == pool.NodePending
}

// stock puts a node that belongs to nobody into its supply, unless it is too
// old to be given away, its image is out of service or nobody should count on
// it, as on any of a provider that is held, or one in flight that is halted.
func (d *decider) stock(z *zone, n *pool.Node) {
	z.load++
	switch {
	case !d.idle(z.slice, n):
	case inFlight(n):
		if d.doubtful(n) || d.vain(n) || halted(z.slice.prov, n) {
			return
		}
		s := z.supply(n.Label)
		s.inFlight = append(s.inFlight, n)
		if n.ForSet == nil || !d.waits(*n.ForSet) {
			return
		}
		if s.meant == nil {
			s.meant = map[pool.RequestRef]int{}
		}
		if s.meant[*n.ForSet] == 0 {
			d.meant[*n.ForSet] = append(d.meant[*n.ForSet], s)
		}
		s.meant[*n.ForSet]++
		s.allMeant++
	case n.State == pool.NodeReady && !d.tooOld(n):
		s := z.supply(n.Label)
		s.ready = append(s.ready, n)
	}
}

// idle tells whether a node of a pool is nobody's, offered, and neither going nor
// on trial.
func (d *decider) idle(s *slice, n *pool.Node) bool {
	trying := n.Canary && inFlight(n)
	return n.AllocatedTo == nil && s.slots[n.Label] != nil && d.labels[n.Label] != nil && !d.taken[n] &&
		!s.prov.held && d.outOfService(n) == "" && s.outdated(n) == "" && !trying
}

// doubtful tells whether a node in flight may well never become ready: nobody
// knows whether the cloud was asked for it, or others like it failed. It books
// what it needs, and is given away when it is ready after all, but a request
// does not wait for it.
func (d *decider) doubtful(n *pool.Node) bool {
	return n.Doubtful && n.State == pool.NodeBuilding || d.circuits.tries(n, d.now)
}

// vain tells whether a node that was not asked for yet would be launched into a
// breaker that has opened since it was made, or from an image that has proved
// bad since.
func (d *decider) vain(n *pool.Node) bool {
	s := d.slices[[2]string{n.Provider, n.Pool}]
	if n.State != pool.NodePending || s == nil || !d.circuits.in[n.Provider] || d.circuits.tries(n, d.now) {
		return false
	}
	o := s.slots[n.Label]
	return o != nil && o.newer != nil && o.newer.imageID == n.ImageID ||
		slices.ContainsFunc(d.circuits.before(keyOf(n)), func(b *breaker) bool { return b.open && !n.Created.After(b.newest) })
}

func (d *decider) tooOld(n *pool.Node) bool {
	l := d.labels[n.Label]
	return l != nil && l.MaxReadyAge > 0 && !d.now.Before(n.Since.Add(l.MaxReadyAge))
}

// waits tells whether a request exists and is not answered yet.
func (d *decider) waits(ref pool.RequestRef) bool {
	if d.requests[ref] == nil {
		return false
	}
	a := d.allocations[[2]string{ref.Client, ref.ID}]
	return a == nil || a.RequestRevision != ref.CreateRevision || a.State == pool.AllocationWaiting
}

func (z *zone) sort() {
	for _, s := range z.supplies {
		slices.SortFunc(s.ready, oldestFirst)
		slices.SortFunc(s.inFlight, func(a, b *pool.Node) int {
			return cmp.Or(cmp.Compare(stage(a), stage(b)), oldestFirst(a, b))
		})
	}
}

// stage is how far a node in flight is from being ready.
func stage(n *pool.Node) int {
	if n.State == pool.NodeBuilding {
		return 0
	}
	return 1
}

// coming is how many nodes in flight a request may count on.
func (s *supply) coming(ref pool.RequestRef) int {
	return max(0, len(s.inFlight)-s.allMeant+s.meant[ref])
}

// claim takes nodes out of the supply, ready ones first, and returns how many
// of n it did not find.
func (s *supply) claim(n int, ref pool.RequestRef) int {
	ready := min(n, len(s.ready))
	s.ready = s.ready[ready:]
	n -= ready
	if s.allMeant == 0 {
		coming := min(n, len(s.inFlight))
		s.inFlight = s.inFlight[coming:]
		return n - coming
	}
	own := s.meant[ref]
	n = s.pick(n, func(node *pool.Node) bool { return node.ForSet != nil && *node.ForSet == ref })
	s.allMeant -= own
	s.meant[ref] = 0
	return s.pick(n, func(node *pool.Node) bool { return node.ForSet == nil || s.meant[*node.ForSet] == 0 })
}

// give takes ready nodes out of the supply.
func (s *supply) give(nodes []*pool.Node) {
	if len(nodes) > 0 && s.ready[0] == nodes[0] && s.ready[len(nodes)-1] == nodes[len(nodes)-1] {
		s.ready = s.ready[len(nodes):]
		return
	}
	s.ready = slices.DeleteFunc(slices.Clone(s.ready), func(n *pool.Node) bool { return slices.Contains(nodes, n) })
}

// pick takes at most n of the nodes in flight that match, and returns how many
// of n it did not find.
func (s *supply) pick(n int, match func(node *pool.Node) bool) int {
	kept := make([]*pool.Node, 0, len(s.inFlight))
	for _, node := range s.inFlight {
		if n > 0 && match(node) {
			n--
			continue
		}
		kept = append(kept, node)
	}
	s.inFlight = kept
	return n
}

// waive gives up what was meant for a request and not claimed by it: it had
// its choice, and those behind it can use the rest.
func (d *decider) waive(ref pool.RequestRef) {
	for _, s := range d.meant[ref] {
		s.allMeant -= s.meant[ref]
		s.meant[ref] = 0
	}
}
