package allocator

import (
	"slices"

	"poold/pool"
)

// makeRoom retires idle nodes nobody claimed where a request waits for what
// they take up. Nodes on their way out already are counted first, so that no
// more are retired than needed.
func (d *decider) makeRoom() {
	for _, c := range d.claims {
		if c.served || c.failed || c.place != nil {
			continue
		}
		short := slices.ContainsFunc(c.reasons, func(r pool.Reason) bool {
			return r.Class == ClassQuota || r.Class == ClassPoolFull
		})
		if short {
			d.makeRoomFor(c)
		}
	}
}

func (d *decider) makeRoomFor(c *claim) {
	if c.shape.crowded[c.tenant] {
		return
	}
	for _, k := range c.shape.cands {
		if k.slice.static() {
			k.slice.contest(k.shape.labels)
			continue
		}
		k.slice.prov.contested = true
	}
	for _, k := range c.shape.cands {
		if !k.withheld(c) && d.clear(c, k) {
			return
		}
	}
	c.shape.crowded[c.tenant] = true
}

// clear sees to it that a request will fit a candidate, and tells whether it
// will.
func (d *decider) clear(c *claim, k *cand) bool {
	for _, p := range k.places {
		o, why := weigh(c, p)
		if why.class != ClassQuota && why.class != ClassPoolFull {
			continue
		}
		doomed, ok := d.enough(c, p, o.want)
		if !ok {
			continue
		}
		for _, n := range doomed {
			d.strike(n)
			d.end(n, pool.NodeDeleting, "idle, makes room for "+name(c.ref))
		}
		k.slice.book(o.want)
		k.slice.prov.book(o.want)
		return true
	}
	return false
}

// enough returns the idle nodes to retire so that want fits once they and all
// that is leaving are gone: of the same pool first, the oldest first.
func (d *decider) enough(c *claim, p *place, want pool.Resources) ([]*pool.Node, bool) {
	s, prov := p.cand.slice, p.cand.slice.prov
	if s.static() {
		return d.evict(c, p)
	}
	var doomed []*pool.Node
	var here, all pool.Resources
	fit := func() bool {
		return s.fitsOnce(here, want) && (s.conf.IgnoreProviderQuota || prov.fitsOnce(all, want))
	}
	if fit() {
		return nil, true
	}
	for _, n := range s.idle() {
		doomed = append(doomed, n)
		here, all = here.Add(n.Resources), all.Add(n.Resources)
		if fit() {
			return doomed, true
		}
	}
	if !s.fitsOnce(here, want) {
		return nil, false
	}
	for _, other := range prov.slices {
		if other == s {
			continue
		}
		for _, n := range other.idle() {
			doomed = append(doomed, n)
			all = all.Add(n.Resources)
			if fit() {
				return doomed, true
			}
		}
	}
	return nil, false
}

// idle lists the ready nodes of the pool that nobody claimed, oldest first.
func (s *slice) idle() []*pool.Node {
	if s.spare != nil {
		return s.spare
	}
	s.spare = []*pool.Node{}
	for _, z := range s.zones {
		for _, o := range z.supplies {
			s.spare = append(s.spare, o.ready...)
		}
	}
	slices.SortFunc(s.spare, oldestFirst)
	return s.spare
}

// strike takes an idle node out of its supply and notes that it is leaving.
func (d *decider) strike(n *pool.Node) {
	s := d.slices[[2]string{n.Provider, n.Pool}]
	isIt := func(other *pool.Node) bool { return other == n }
	o := s.zoneOf(n).supply(n.Label)
	o.ready = slices.DeleteFunc(slices.Clone(o.ready), isIt)
	s.spare = slices.DeleteFunc(slices.Clone(s.spare), isIt)
	s.freeing = s.freeing.Add(n.Resources)
	s.prov.freeing = s.prov.freeing.Add(n.Resources)
}
