package allocator

import (
	"fmt"
	"slices"

	"poold/pool"
)

// keepReady fills every label up to its floors of nodes ready ahead of demand,
// those of single pools and that of the whole system, and gives up pending ones
// that are beyond them. Requests come first: they had their choice of room and
// of launches, and a provider whose quota one waits for gets no node ahead of
// demand.
func (d *decider) keepReady() {
	names := make([]string, 0, len(d.labels))
	for n := range d.labels {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		have := 0
		for _, o := range d.offers[n] {
			for o.stocked() < o.spec.MinReady && d.launchAhead([]*slot{o}, o.spec.MinReady) {
				continue
			}
			have += o.stocked()
		}
		floor := d.labels[n].Floor(d.now, d.inUse[n])
		if have > floor {
			d.giveUp(n, have-floor)
		}
		for ; have < floor; have++ {
			if !d.launchAhead(d.offers[n], floor) {
				break
			}
		}
	}
}

// stocked is how many nodes nobody claimed a slot has, ready or in flight.
func (o *slot) stocked() int {
	n := o.ahead
	for _, z := range o.slice.zones {
		if s := z.supplies[o.spec.Name]; s != nil {
			n += len(s.ready) + len(s.inFlight)
		}
	}
	return n
}

// launchAhead launches one node of a label, in a pool of the best priority that
// can: the one that has the smallest part of its weight, or where the room for
// each that is there already is the most, so that every provider gets a share.
func (d *decider) launchAhead(offers []*slot, floor int) bool {
	d.probeAhead(offers)
	var best *slot
	var at *zone
	var bestRoom int64
	for _, o := range offers {
		if best != nil && o.slice.priority > best.slice.priority {
			break
		}
		z, room := o.nextAhead()
		if o.slice.static() {
			room = min(room, int64(len(d.seatsAhead(o))))
		}
		if room > 0 && (best == nil || o.behind(room, best, bestRoom)) {
			best, at, bestRoom = o, z, room
		}
	}
	if best == nil {
		return false
	}
	b := d.batch(at, best, best.source, nil)
	b.count++
	if best.slice.static() {
		b.seats = append(b.seats, d.seatsAhead(best)[0].take())
	}
	if b.asked == 0 {
		b.reason = fmt.Sprintf("min-ready %d", floor)
	}
	best.ahead++
	best.slice.book(best.resources)
	best.slice.prov.book(best.resources)
	started(at, best, 1)
	if best.newer != nil {
		d.probe(best, at, best.newer, nil)
	}
	return true
}

// behind tells whether a slot with so much room has less of its share of the
// nodes than another.
func (o *slot) behind(room int64, other *slot, otherRoom int64) bool {
	have, others := int64(o.stocked())+1, int64(other.stocked())+1
	if a, b := o.slice, other.slice; a.weighted() || b.weighted() {
		return have*b.weight() < others*a.weight()
	}
	return room*others > otherRoom*have
}

// probeAhead tries the paused zones of the pools that nodes ahead of demand
// would be launched in. A probe takes room, so the pool is chosen after it.
func (d *decider) probeAhead(offers []*slot) {
	var open *slot
	for _, o := range offers {
		if open != nil && o.slice.priority > open.slice.priority {
			return
		}
		for _, z := range o.slice.zones {
			if o.mayGoAhead() && z.single && o.paused(z) != nil {
				d.probe(o, z, o.source, nil)
			}
		}
		if _, room := o.nextAhead(); room > 0 {
			open = o
		}
	}
}

// mayGoAhead tells whether anything of a slot may be launched ahead of demand.
func (o *slot) mayGoAhead() bool {
	p := o.slice.prov
	return o.problem.class == "" && p.reserved == nil && !p.contested && p.slotsLeft > 0
}

// nextAhead returns the zone in which a slot may launch ahead of demand, and its
// headroom; zero if it may not.
func (o *slot) nextAhead() (*zone, int64) {
	if !o.mayGoAhead() {
		return nil, 0
	}
	var at *zone
	for _, z := range o.slice.zones {
		if z.single && o.paused(z) == nil && (at == nil || z.load < at.load) {
			at = z
		}
	}
	if at == nil {
		return nil, 0
	}
	p := o.slice.prov
	n := o.slice.headroom(&o.resources)
	if !o.slice.conf.IgnoreProviderQuota {
		n = min(n, p.headroom(&o.resources))
	}
	return at, n
}

// giveUp takes back up to n nodes of a label that nobody wants any more: those
// that are pending and canaries that have done their work, the newest first,
// and none that its pool needs for its own floor.
func (d *decider) giveUp(label string, n int) {
	var spare []*pool.Node
	for _, o := range d.offers[label] {
		spare = append(spare, d.beyond(o)...)
	}
	slices.SortFunc(spare, func(a, b *pool.Node) int { return oldestFirst(b, a) })
	for _, node := range spare[:min(n, len(spare))] {
		d.end(node, onTheWayOut(node), "no longer wanted")
	}
}

// beyond are the pending nodes and the canaries of a slot, the newest first,
// that are more than the floor of its pool.
func (d *decider) beyond(o *slot) []*pool.Node {
	var spare []*pool.Node
	for _, z := range o.slice.zones {
		if s := z.supplies[o.spec.Name]; s != nil {
			for _, node := range slices.Concat(s.inFlight, s.ready) {
				if (node.State == pool.NodePending || node.Canary && node.State == pool.NodeReady) && !d.taken[node] {
					spare = append(spare, node)
				}
			}
		}
	}
	slices.SortFunc(spare, func(a, b *pool.Node) int { return oldestFirst(b, a) })
	return spare[:max(0, min(len(spare), o.stocked()-o.spec.MinReady))]
}
