package allocator

import (
	"fmt"

	"poold/pool"
)

// bookUnreadable books what nodes may take up whose records cannot be read. Nobody
// knows which pool and which tenant they are of, or how large they are: each takes
// a place in every pool of its provider and of every tenant, as large as the
// largest there is. What they use of the provider's quota its cloud says.
func (d *decider) bookUnreadable() {
	for _, p := range d.order {
		n := int64(d.snap.UnreadableNodes(p.conf.Name))
		if n == 0 {
			continue
		}
		largest := pool.Resources{Instances: 1}
		for _, s := range p.slices {
			for _, o := range s.slots {
				largest = largest.Most(o.resources)
			}
		}
		for _, s := range p.slices {
			s.book(largest.Times(n))
		}
		for _, t := range d.tenants {
			t.book(largest.Times(n))
		}
	}
}

// unseated says why nobody knows which hosts of a provider are free, or "".
func (d *decider) unseated(p *provider) string {
	n := 0
	if p.conf.Static() {
		n = d.snap.UnreadableNodes(p.conf.Name)
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("which of its hosts are free is not known: %d records of its nodes cannot be read", n)
}
