package allocator

import (
	"slices"

	"poold/pool"
)

// An idle node of a static host may have stood for long, and no cloud tells
// when a host dies. So it is looked at again when somebody wants it: who claims
// one asks for that, waits as for a node in flight, and is given one that was
// found well after the request was made.

// givable are the ready nodes of the i-th label that a claim may have at once.
func (p *place) givable(c *claim, i int) []*pool.Node {
	ready := p.supplies[i].ready
	if !p.cand.slice.static() {
		return ready
	}
	return slices.DeleteFunc(slices.Clone(ready), func(n *pool.Node) bool { return !p.cand.slice.proven(n, c) })
}

// proven tells whether a ready node was found well after a request was made.
// Revisions tell what came after what: clocks may differ. No other write than
// that of who found it well follows the one that asked for it.
func (s *slice) proven(n *pool.Node, c *claim) bool {
	h := s.host(n.AZ)
	return h != nil && !h.conf.Checking || n.ProofAsked == nil && n.Revision > c.ref.CreateRevision
}

// demand has the ready nodes looked at that a claim is about to take.
func (d *decider) demand(c *claim, p *place, i, n int) {
	s := p.cand.slice
	if !s.static() {
		return
	}
	ready := p.supplies[i].ready
	for _, node := range ready[:min(n, len(ready))] {
		if s.proven(node, c) || node.ProofAsked != nil || d.taken[node] {
			continue
		}
		d.decide(Decision{
			Operation: OpProve, Subject: string(node.ID), Reason: "wanted by " + name(c.ref),
			Write: pool.Write{By: pool.Allocator, Nodes: []pool.Change[pool.Node]{pool.Update(node, d.doubted(node.Clone()))}},
		})
	}
}

// doubted is a ready node that is to be looked at before it is given away.
func (d *decider) doubted(n *pool.Node) *pool.Node {
	if n.Slot != nil {
		at := d.now
		n.ProofAsked = &at
	}
	return n
}
