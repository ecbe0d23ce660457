package allocator

import (
	"fmt"

	"poold/pool"
)

// batch is new nodes of one label in one zone for the same purpose.
type batch struct {
	zone   *zone
	slot   *slot
	source *source
	ref    *pool.RequestRef // of the set they are for
	reason string
	count  int
	asked  int // requests
	// seats are those of the nodes, of a static provider.
	seats []seat
}

// launchFor has n nodes launched for a request, on the first seats if there are
// any.
func (d *decider) launchFor(z *zone, o *slot, n int, c *claim, seats []seat) {
	if n <= 0 {
		return
	}
	var ref *pool.RequestRef
	if c.shape.total > 1 {
		ref = &c.ref
	}
	b := d.batch(z, o, o.source, ref)
	b.count += n
	b.seats = append(b.seats, seats[:min(n, len(seats))]...)
	b.asked++
	b.reason = fmt.Sprintf("wanted by %d requests", b.asked)
	if b.asked == 1 {
		b.reason = "wanted by " + name(c.ref)
	}
	started(z, o, n)
}

// started counts n new nodes towards what may be in flight.
func started(z *zone, o *slot, n int) {
	o.slice.prov.slotsLeft -= n
	z.load += n
}

// batch returns the provider's batch for a purpose; the purposes of one
// provider are few, or new ones come last.
func (d *decider) batch(z *zone, o *slot, from *source, ref *pool.RequestRef) *batch {
	prov := o.slice.prov
	k := batchKey{zone: z, slot: o, source: from}
	if ref != nil {
		k.ref = *ref
	}
	b := d.batches[k]
	if b == nil {
		b = &batch{zone: z, slot: o, source: from, ref: ref}
		d.batches[k] = b
		prov.launches = append(prov.launches, b)
	}
	return b
}

type batchKey struct {
	zone   *zone
	slot   *slot
	source *source
	ref    pool.RequestRef
}

// launch turns what was ordered into writes of a bounded number of new nodes
// each.
func (d *decider) launch() {
	for _, p := range d.order {
		var some []Launch
		size := 0
		flush := func() {
			if size > 0 {
				d.decide(Decision{
					Operation: OpLaunch, Subject: p.conf.Name, Reason: fmt.Sprintf("%d new nodes", size),
					Write: pool.Write{By: pool.Allocator}, Launches: some,
				})
			}
			some, size = nil, 0
		}
		for _, b := range p.launches {
			for b.count > 0 {
				n := min(b.count, maxChanges-size)
				node := d.newNode(b)
				if len(b.seats) > 0 {
					n, node = 1, b.seats[0].on(node)
					b.seats = b.seats[1:]
				}
				some = append(some, Launch{Node: node, Count: n})
				b.count -= n
				if size += n; size == maxChanges {
					flush()
				}
			}
		}
		flush()
	}
}

// newNode is the record of a node that is to be launched, but for its id.
func (d *decider) newNode(b *batch) *pool.Node {
	o := b.slot
	conf := o.slice.prov.conf
	n := &pool.Node{
		V: pool.RecordVersion, Provider: conf.Name, Pool: o.slice.conf.Name, Label: o.spec.Name,
		State: pool.NodePending, Since: d.now, Created: d.now, Reason: b.reason,
		Timeline: []pool.Stamp{{State: pool.NodePending, At: d.now, By: pool.Allocator, Reason: b.reason}},
		Cloud:    conf.Cloud, Region: conf.Region, AZ: b.zone.az,
		FlavorID: o.flavor.ID, Flavor: o.flavor.Name, Resources: o.resources,
		Image: o.image, Build: b.source.build, ImageID: b.source.imageID, Connection: b.source.connection,
		Attributes: o.slice.conf.Attributes, Canary: b.source.canary,
	}
	if b.ref != nil {
		ref := *b.ref
		n.ForSet = &ref
	}
	return n
}
