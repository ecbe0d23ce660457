package allocator

import (
	"slices"
	"strings"

	"poold/pool"
)

// shape is what requests for the same labels from the same providers have in
// common.
type shape struct {
	labels []string // sorted, each once
	counts []int
	total  int
	// prefer is the provider that the requests would rather have, if any.
	prefer string
	// weighted tells whether any candidate has a weight.
	weighted bool
	cands    []*cand // best first
	// stuck remembers, by tenant, that a request of this shape could not be
	// placed and why. Within one decision room only shrinks, so the next one
	// cannot be placed either.
	stuck map[*ledger][]pool.Reason
	// crowded remembers likewise that no room can be made.
	crowded map[*ledger]bool
}

// cand is a pool that offers every label of a shape.
type cand struct {
	slice     *slice
	shape     *shape
	slots     []*slot
	resources pool.Resources
	known     bool
	// tooLarge is why the shape can never fit, or "".
	tooLarge string
	places   []*place
}

// place is a zone of a candidate.
type place struct {
	cand     *cand
	zone     *zone
	supplies []*supply
}

func (p *place) where() string {
	return where(p.cand.slice.prov.conf.Name, p.cand.slice.conf.Name, p.zone.az)
}

// shape returns the shape of a request whose labels are all offered.
func (d *decider) shape(r *pool.Request) *shape {
	sorted := slices.Sorted(slices.Values(r.Labels))
	key := r.Provider + "\x00" + r.Prefer + "\x00" + strings.Join(sorted, "\x00")
	if s := d.shapes[key]; s != nil {
		return s
	}
	s := &shape{total: len(sorted), prefer: r.Prefer, stuck: map[*ledger][]pool.Reason{}, crowded: map[*ledger]bool{}}
	for _, l := range sorted {
		if n := len(s.labels); n > 0 && s.labels[n-1] == l {
			s.counts[n-1]++
			continue
		}
		s.labels, s.counts = append(s.labels, l), append(s.counts, 1)
	}
	for _, o := range d.offers[s.labels[0]] {
		if r.Provider == "" || r.Provider == o.slice.prov.conf.Name {
			s.add(o.slice)
		}
	}
	d.shapes[key] = s
	return s
}

// add makes a pool a candidate if it offers all labels.
func (s *shape) add(from *slice) {
	c := &cand{slice: from, shape: s, known: true}
	for i, l := range s.labels {
		o := from.slots[l]
		if o == nil {
			return
		}
		c.slots = append(c.slots, o)
		c.known = c.known && o.known
		c.resources = c.resources.Add(o.resources.Times(int64(s.counts[i])))
	}
	for _, z := range from.zones {
		p := &place{cand: c, zone: z}
		for _, l := range s.labels {
			p.supplies = append(p.supplies, z.supply(l))
		}
		c.places = append(c.places, p)
	}
	c.tooLarge = c.never(nil)
	s.weighted = s.weighted || from.weighted()
	s.cands = append(s.cands, c)
}

// never says why no candidate can serve the shape even when nothing else is in
// use, or "" if one can or might.
func (s *shape) never(tenant *ledger) string {
	var whys []string
	for _, c := range s.cands {
		why := c.never(tenant)
		if why == "" {
			return ""
		}
		whys = append(whys, c.slice.prov.conf.Name+"/"+c.slice.conf.Name+": "+why)
	}
	return "can never fit: " + strings.Join(whys, "; ")
}

// gone says that nobody has run the provider of any candidate for long, or "".
func (s *shape) gone() string {
	for _, c := range s.cands {
		if !c.slice.prov.conf.Gone {
			return ""
		}
	}
	return "it needs provider " + s.cands[0].slice.prov.conf.Name + ": " + s.cands[0].slice.prov.conf.Away
}

// never says why the candidate can never serve the shape. A limit that a quota
// fault lowered and what others use may change any time, so they do not count.
func (c *cand) never(tenant *ledger) string {
	if why := c.tooMany(); why != "" {
		return why
	}
	nothing := pool.Resources{}
	q := c.slice.prov.quota
	if q == nil {
		return ""
	}
	for _, o := range c.slots {
		if !o.known && len(q.Flavors) > 0 {
			return "no flavor " + o.spec.FlavorName + " for " + o.spec.Name
		}
	}
	switch {
	case !c.known:
		return ""
	case !fits(&c.slice.limits, &nothing, &c.resources):
		return "the pool's limit: " + shortage(c.slice.limits, nothing, c.resources)
	case !c.slice.conf.IgnoreProviderQuota && !fits(&q.Limits, &nothing, &c.resources):
		return "the provider's quota: " + shortage(q.Limits, nothing, c.resources)
	case tenant != nil && !fits(&tenant.limits, &nothing, &c.resources):
		return "the tenant's limit: " + shortage(tenant.limits, nothing, c.resources)
	}
	return ""
}

// tooMany says why the candidate can never have so many nodes, whatever its
// cloud has, or "".
func (c *cand) tooMany() string {
	nothing := pool.Resources{}
	if want := (pool.Resources{Instances: int64(c.shape.total)}); !fits(&c.slice.limits, &nothing, &want) {
		return "the pool's limit: " + shortage(c.slice.limits, nothing, want)
	}
	if c.slice.static() && c.slice.seat(c.shape.labels, c.shape.counts, func(h *host) int { return h.conf.Slots }) == nil {
		return "not enough slots on its hosts"
	}
	return ""
}

// withheld tells whether the pool's provider is kept for another request.
func (c *cand) withheld(from *claim) bool {
	r := c.slice.prov.reserved
	return r != nil && r != from
}

// idlePlace returns the place that can serve a request at once: in the provider
// that it prefers, by priority of the pool, then by the age of the oldest node.
func idlePlace(c *claim) *place {
	if c.shape.prefer != "" {
		if p := idlePlaceIn(c, (*cand).preferred); p != nil {
			return p
		}
	}
	return idlePlaceIn(c, func(*cand) bool { return true })
}

// preferred tells whether the pool is in the provider that is preferred.
func (c *cand) preferred() bool { return c.slice.prov.conf.Name == c.shape.prefer }

func idlePlaceIn(c *claim, among func(k *cand) bool) *place {
	var best *place
	for _, k := range c.shape.cands {
		if best != nil && k.slice.priority > best.cand.slice.priority {
			break
		}
		if k.withheld(c) || !among(k) {
			continue
		}
		for _, p := range k.places {
			if p.ready(c) && p.allows(c) &&
				(best == nil || oldestFirst(p.supplies[0].ready[0], best.supplies[0].ready[0]) < 0) {
				best = p
			}
		}
	}
	return best
}

func (p *place) ready(c *claim) bool {
	for i, n := range p.cand.shape.counts {
		if len(p.supplies[i].ready) < n || len(p.givable(c, i)) < n {
			return false
		}
	}
	return true
}

// allows tells whether the nodes that would be given are within the tenant's
// limit.
func (p *place) allows(c *claim) bool {
	if c.tenant == nil {
		return true
	}
	var want pool.Resources
	for i, n := range p.cand.shape.counts {
		for _, node := range p.supplies[i].ready[:n] {
			want = want.Add(node.Resources)
		}
	}
	return c.tenant.fits(&want)
}
