package allocator

import (
	"fmt"
	"slices"

	"poold/pool"
)

// option is a place as a request finds it.
type option struct {
	place *place
	// missing nodes have to be launched; now is how many of them may be at
	// once; want is what they need.
	missing, now int
	want         pool.Resources
	headroom     int64
}

// better orders options: what can be launched in full at once, then what is
// preferred, then with the fewest launches, then by priority, and then by the
// age of the nodes if there is nothing to launch, or by weight or headroom, the
// load of the provider and the zone, and name.
func (o *option) better(than *option) bool {
	if than.place == nil {
		return true
	}
	if whole, other := o.now == o.missing, than.now == than.missing; whole != other {
		return whole
	}
	if preferred := o.place.cand.preferred(); preferred != than.place.cand.preferred() {
		return preferred
	}
	if o.missing != than.missing {
		return o.missing < than.missing
	}
	return o.nearer(than)
}

// nearer orders options that need as many launches.
func (o *option) nearer(than *option) bool {
	a, b := o.place.cand.slice, than.place.cand.slice
	switch {
	case a.priority != b.priority:
		return a.priority < b.priority
	case o.missing == 0:
		// By what stays the same until the nodes are ready: a request that
		// changed its mind would have nodes launched and given up for ever.
		return oldestFirst(o.place.first(), than.place.first()) < 0
	case o.place.cand.shape.weighted && a != b && a.used.Instances*b.weight() != b.used.Instances*a.weight():
		return a.used.Instances*b.weight() < b.used.Instances*a.weight()
	case o.headroom != than.headroom:
		return o.headroom > than.headroom
	case a.prov != b.prov && a.prov.used.Instances != b.prov.used.Instances:
		return a.prov.used.Instances < b.prov.used.Instances
	}
	return a == b && o.place.zone.load < than.place.zone.load
}

// first is a node that stands for what the place has; there is one.
func (p *place) first() *pool.Node {
	if s := p.supplies[0]; len(s.ready) == 0 {
		return s.inFlight[0]
	}
	return p.supplies[0].ready[0]
}

// settle places a request that cannot be served at once, or finds out why it
// cannot be placed.
func (d *decider) settle(c *claim) {
	if stuck, ok := c.shape.stuck[c.tenant]; ok {
		c.reasons = stuck
		d.reserve(c)
		return
	}
	var best option
	var paused []*place
	for _, k := range c.shape.cands {
		var here option
		var worst option // the one to blame
		var why verdict
		for _, p := range k.places {
			o, v := weigh(c, p)
			if v.class == "" && o.better(&here) {
				here = o
			}
			if v.class == ClassBreaker {
				paused = append(paused, p)
			}
			if why.class == "" || why.class == ClassNoZone {
				worst, why = o, v
			}
		}
		if here.place == nil {
			c.blame(&worst, why)
		} else if here.better(&best) {
			best = here
		}
	}
	if best.place != nil {
		d.take(c, &best)
	} else {
		c.shape.stuck[c.tenant] = c.reasons
		d.reserve(c)
	}
	d.probeFor(c, paused, best.place)
}

// blame adds the reason of a candidate, if it is the first of its provider.
func (c *claim) blame(o *option, why verdict) {
	n := o.place.cand.slice.prov.conf.Name
	for i := range c.reasons {
		if c.reasons[i].Provider == n {
			return
		}
	}
	c.reasons = append(c.reasons, pool.Reason{Provider: n, Class: why.class, Text: c.words(o, why), Next: why.next})
}

// words is the text of a verdict. Those with numbers get theirs only here,
// because few verdicts are ever shown.
func (c *claim) words(o *option, why verdict) string {
	s := o.place.cand.slice
	if why.text != "" {
		return why.text
	}
	switch why.class {
	case ClassTenant:
		return "the limit of tenant " + c.r.Tenant + ": " + c.tenant.short(o.place.cand.resources)
	case ClassPoolFull:
		return "pool " + s.conf.Name + ": " + s.short(o.want)
	case ClassQuota:
		return s.prov.short(o.want)
	case ClassTooLarge:
		return o.place.cand.tooLarge
	}
	return why.text
}

// unlessTooLarge is the class of what does not fit now, or that it never will.
func (c *cand) unlessTooLarge(class string) string {
	if c.tooLarge != "" {
		return ClassTooLarge
	}
	return class
}

// within tells whether the tenant of the request may use so much more.
func (c *claim) within(want *pool.Resources) bool { return c.tenant == nil || c.tenant.fits(want) }

// weigh finds out what it takes to serve a request in a place, or why it
// cannot be done there now.
func weigh(c *claim, p *place) (option, verdict) {
	o := option{place: p}
	k := p.cand
	if k.withheld(c) {
		return o, verdict{class: ClassReserved, text: "kept for " + name(k.slice.prov.reserved.ref)}
	}
	var problem verdict
	found := 0
	for i, s := range p.supplies {
		have := min(k.shape.counts[i], len(s.ready)+s.coming(c.ref))
		found += have
		lack := k.shape.counts[i] - have
		if lack == 0 {
			continue
		}
		slot := k.slots[i]
		if problem.class == "" {
			problem = slot.problem
		}
		o.missing += lack
		if slot.paused(p.zone) == nil {
			o.now += lack
		}
		o.want = o.want.Add(slot.resources.Times(int64(lack)))
	}
	if !c.within(&k.resources) {
		return o, verdict{class: ClassTenant}
	}
	if o.missing == 0 {
		return o, verdict{}
	}
	if problem.class == "" {
		problem = shortOf(c, p, &o)
	}
	if problem.class == "" && o.now == 0 && found == 0 {
		problem = held(k, p)
	}
	return o, problem
}

// shortOf tells whether the missing nodes fit, and lowers what can be launched at
// once to what may be in flight.
func shortOf(c *claim, p *place, o *option) verdict {
	k, prov := p.cand, p.cand.slice.prov
	switch {
	case !p.launchable():
		return verdict{class: ClassNoZone, text: "nothing can be launched in availability zone " + p.zone.az}
	case !k.slice.fits(&o.want):
		return verdict{class: k.unlessTooLarge(ClassPoolFull)}
	case !k.slice.conf.IgnoreProviderQuota && !prov.fits(&o.want):
		return verdict{class: k.unlessTooLarge(ClassQuota)}
	}
	if k.slice.static() {
		if lacks := p.lacks(c); k.slice.seat(k.shape.labels, lacks, func(h *host) int { return h.vacant(c) }) == nil {
			return c.seatless(k, lacks)
		}
	}
	o.now = max(0, min(o.now, prov.slotsLeft))
	o.headroom = k.headroom(&o.want)
	return verdict{}
}

// launchable tells whether the shape's nodes may be launched in the zone.
func (p *place) launchable() bool {
	if p.cand.shape.total > 1 {
		return p.zone.set
	}
	return p.zone.single
}

// open tells whether no breaker keeps the shape from being launched in the
// zone.
func (p *place) open() bool {
	return p.launchable() && !slices.ContainsFunc(p.cand.slots, func(o *slot) bool { return o.paused(p.zone) != nil })
}

func (c *cand) headroom(want *pool.Resources) int64 {
	n := c.slice.headroom(want)
	if !c.slice.conf.IgnoreProviderQuota {
		n = min(n, c.slice.prov.headroom(want))
	}
	return n
}

// held says why nothing may be launched at once though there is room.
func held(k *cand, p *place) verdict {
	for _, o := range k.slots {
		if b := o.paused(p.zone); b != nil {
			return verdict{class: ClassBreaker, text: b.text(), next: b.next()}
		}
	}
	return verdict{class: ClassConcurrency, text: fmt.Sprintf("%d nodes are being launched, the most that may be at once",
		k.slice.prov.conf.MaxConcurrency)}
}

// probeFor tries one of the paused places that a request would rather have
// than the one it got, if any.
func (d *decider) probeFor(c *claim, paused []*place, got *place) {
	for _, p := range paused {
		if got != nil && p.cand.slice.priority > got.cand.slice.priority {
			return
		}
		for _, o := range p.cand.slots {
			if o.paused(p.zone) != nil && d.probe(o, p.zone, o.source, c) {
				return
			}
		}
	}
}

// take claims what a place has for a request and has the rest launched. Room
// is booked for all of it, though not all may be launched at once.
func (d *decider) take(c *claim, o *option) {
	p := o.place
	k := p.cand
	prov := k.slice.prov
	c.place = p
	prov.book(o.want)
	k.slice.book(o.want)
	if c.tenant != nil {
		c.tenant.book(k.resources)
	}
	left := o.now
	var older []*slot
	seats := d.seats(c, p)
	for i, s := range p.supplies {
		d.demand(c, p, i, k.shape.counts[i])
		lack := s.claim(k.shape.counts[i], c.ref)
		if lack == 0 {
			continue
		}
		slot := k.slots[i]
		n := min(lack, left)
		if slot.paused(p.zone) != nil {
			n = 0
		}
		left -= n
		d.launchFor(p.zone, slot, n, c, seats[i])
		if n > 0 && slot.newer != nil {
			older = append(older, slot)
		}
	}
	for _, slot := range older {
		d.probe(slot, p.zone, slot.newer, c) // in the room that is left
	}
	c.reasons = []pool.Reason{k.building(p)}
	if o.now < o.missing {
		d.probeFor(c, []*place{p}, p)
	}
}

// building is the reason of a request that waits for nodes in flight.
func (c *cand) building(p *place) pool.Reason {
	r := pool.Reason{
		Provider: c.slice.prov.conf.Name, Class: ClassBuilding,
		Text: fmt.Sprintf("waits for %d nodes in %s", c.shape.total, p.where()),
	}
	if t := c.slice.prov.trouble; t.class == ClassFrozen {
		r.Class, r.Text = t.class, r.Text+", but "+t.text
		return r
	}
	for _, o := range c.slots {
		if why := o.fallback(); why != "" {
			r.Class, r.Text = ClassFallback, r.Text+", "+why
			break
		}
	}
	return r
}

// reserve keeps a provider for a request that could be placed in principle but
// has waited too long: its idle nodes and what is freed there are withheld
// from requests behind it. The choice must be the same each time, so it looks
// at nothing that moves.
func (d *decider) reserve(c *claim) {
	if due := c.since.Add(patience); d.now.Before(due) {
		d.wake(due)
		return
	}
	for _, k := range c.shape.cands {
		prov := k.slice.prov
		ok := prov.reserved == nil && k.never(c.tenant) == "" && c.within(&k.resources)
		if ok && k.slice.static() {
			k.slice.reserve(c)
			return
		}
		for _, o := range k.slots {
			ok = ok && o.problem.class == ""
		}
		if ok && slices.ContainsFunc(k.places, (*place).open) {
			prov.reserved = c
			return
		}
	}
}
