package allocator

import (
	"fmt"
	"slices"

	"poold/pool"
)

// keepReady fills every label up to its floor of nodes ready ahead of demand,
// and gives up pending ones that are beyond it. Requests come first: they had
// their choice of room and of launches, and a provider whose quota one waits
// for gets no node ahead of demand.
func (d *decider) keepReady() {
	names := make([]string, 0, len(d.labels))
	for n := range d.labels {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		have := 0
		for _, o := range d.offers[n] {
			have += o.stocked()
		}
		floor := d.labels[n].MinReady
		if have > floor {
			d.giveUp(n, have-floor)
		}
		for ; have < floor; have++ {
			if !d.launchAhead(n) {
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

// launchAhead launches one node of a label where the room for each that is
// there already is the most, among the pools of the best priority that can:
// so every provider gets a share by its headroom.
func (d *decider) launchAhead(label string) bool {
	var best *slot
	var at *zone
	var bestRoom, bestHave int64
	for _, o := range d.offers[label] {
		if best != nil && o.slice.priority > best.slice.priority {
			break
		}
		z, room := d.ahead(o)
		if room == 0 {
			continue
		}
		have := int64(o.stocked()) + 1
		if best == nil || room*bestHave > bestRoom*have {
			best, at, bestRoom, bestHave = o, z, room, have
		}
	}
	if best == nil {
		return false
	}
	b := d.batch(at, best, best.source, nil)
	b.count++
	if b.asked == 0 {
		b.reason = fmt.Sprintf("min-ready %d", d.labels[label].MinReady)
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

// ahead returns the zone in which a slot may launch ahead of demand, and its
// headroom; zero if it may not.
func (d *decider) ahead(o *slot) (*zone, int64) {
	p := o.slice.prov
	if o.problem.class != "" || p.reserved != nil || p.contested || p.slotsLeft <= 0 {
		return nil, 0
	}
	var at *zone
	for _, z := range o.slice.zones {
		if !z.single {
			continue
		}
		if o.paused(z) != nil {
			d.probe(o, z, o.source, nil)
			continue
		}
		if at == nil || z.load < at.load {
			at = z
		}
	}
	if at == nil {
		return nil, 0
	}
	n := o.slice.headroom(&o.resources)
	if !o.slice.conf.IgnoreProviderQuota {
		n = min(n, p.headroom(&o.resources))
	}
	return at, n
}

// giveUp takes back up to n pending nodes of a label that nobody wants any
// more, the newest first.
func (d *decider) giveUp(label string, n int) {
	var pending []*pool.Node
	for _, o := range d.offers[label] {
		for _, z := range o.slice.zones {
			s := z.supplies[label]
			if s == nil {
				continue
			}
			for _, node := range s.inFlight {
				if node.State == pool.NodePending && !d.taken[node] {
					pending = append(pending, node)
				}
			}
		}
	}
	slices.SortFunc(pending, func(a, b *pool.Node) int { return oldestFirst(b, a) })
	for _, node := range pending[:min(n, len(pending))] {
		d.end(node, pool.NodeDeleted, "no longer wanted")
	}
}
