package allocator

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"poold/pool"
)

// retire ends what has had its time: holds, idle nodes that are too old or
// that nobody offers any more, and the memory of dead ones.
func (d *decider) retire() {
	var dead []*pool.Node
	for _, n := range d.snap.Nodes {
		if d.taken[n] {
			continue
		}
		switch n.State {
		case pool.NodeHold:
			d.expireHold(n)
		case pool.NodeReady, pool.NodePending:
			if n.AllocatedTo == nil {
				d.retireIdle(n)
			}
		case pool.NodeDeleted:
			dead = append(dead, n)
		case pool.NodeInUse:
			d.retireInUse(n)
		case pool.NodeBuilding:
			d.retireUnoffered(n)
		case pool.NodeUsed, pool.NodeFailed, pool.NodeDeleting:
		}
	}
	d.forget(dead)
}

// forget removes the records of dead nodes that are too old, or too many.
func (d *decider) forget(dead []*pool.Node) {
	surplus := len(dead) - tombstonesMax
	if surplus > 0 {
		slices.SortFunc(dead, func(a, b *pool.Node) int {
			return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID))
		})
	}
	var forgotten []pool.Change[pool.Node]
	for i, n := range dead {
		if gone := n.Since.Add(tombstoneAge); i >= surplus && d.now.Before(gone) {
			d.wake(gone)
		} else {
			forgotten = append(forgotten, pool.Remove(n))
		}
	}
	chunks(forgotten, func(some []pool.Change[pool.Node]) {
		d.decide(Decision{
			Operation: OpForget, Subject: fmt.Sprintf("%d nodes", len(some)),
			Reason: fmt.Sprintf("deleted more than %s ago, or %d others were since", tombstoneAge, tombstonesMax),
			Write:  pool.Write{By: pool.Allocator, Nodes: some},
		})
	})
}

// Remembered is from when on the records tell of every node that is gone.
func Remembered(nodes []*pool.Node, now time.Time) time.Time {
	since, dead, oldest := now.Add(-tombstoneAge), 0, now
	for _, n := range nodes {
		if n.State != pool.NodeDeleted {
			continue
		}
		if dead++; n.Since.Before(oldest) {
			oldest = n.Since
		}
	}
	if dead >= tombstonesMax && oldest.After(since) {
		return oldest
	}
	return since
}

func (d *decider) expireHold(n *pool.Node) {
	until := d.capHold(n, n.HoldUntil)
	if until == nil {
		return
	}
	if d.now.Before(*until) {
		d.wake(*until)
		return
	}
	d.end(n, pool.NodeUsed, "the hold expired")
}

// retireInUse takes a node away from a client that has had it for too long.
func (d *decider) retireInUse(n *pool.Node) {
	l := d.labels[n.Label]
	if l == nil || l.MaxInUseAge <= 0 {
		return
	}
	if end := n.Since.Add(l.MaxInUseAge); d.now.Before(end) {
		d.wake(end)
		return
	}
	d.end(n, pool.NodeUsed, "in use for longer than max-in-use-age")
}

// retireUnoffered ends a node that nobody offers any more, and returns whether it
// is one. It need not boot for that: nobody knows any more how it is to be
// reached, and its boot would run into the timeout.
func (d *decider) retireUnoffered(n *pool.Node) bool {
	s := d.slices[[2]string{n.Provider, n.Pool}]
	switch {
	case s == nil:
		d.endUnlessDisputed(n, "its pool left the configuration")
	case s.slots[n.Label] == nil || d.labels[n.Label] == nil:
		d.endUnlessDisputed(n, "its label left the configuration")
	default:
		return false
	}
	return true
}

func (d *decider) retireIdle(n *pool.Node) {
	s := d.slices[[2]string{n.Provider, n.Pool}]
	switch {
	case d.retireUnoffered(n):
	case d.outOfService(n) != "":
		d.end(n, onTheWayOut(n), "its image was "+d.outOfService(n))
	case s.outdated(n) != "":
		d.end(n, onTheWayOut(n), s.outdated(n))
	case d.vain(n):
		d.end(n, pool.NodeDeleted, "launches like it fail")
	case n.State == pool.NodePending:
	case d.tooOld(n):
		d.end(n, pool.NodeDeleting, "ready for longer than max-ready-age")
	case d.labels[n.Label].MaxReadyAge > 0:
		d.wake(n.Since.Add(d.labels[n.Label].MaxReadyAge))
	}
}

func (d *decider) endUnlessDisputed(n *pool.Node, reason string) {
	if !d.disputed(n) {
		d.end(n, onTheWayOut(n), reason)
	}
}

// disputed tells whether a peer has what a node is of in its configuration, and
// this one has not or has it differently: nothing is retired before they agree.
func (d *decider) disputed(n *pool.Node) bool {
	if d.unsettled == nil {
		d.unsettled = map[string]bool{}
	}
	for key, here := range map[string]bool{
		"provider/" + n.Provider: d.providers[n.Provider] != nil, "label/" + n.Label: d.labels[n.Label] != nil,
	} {
		doubted, seen := d.unsettled[key]
		if !seen {
			disputed, known := d.snap.Disputed(key)
			doubted = disputed || known && !here
			d.unsettled[key] = doubted
		}
		if doubted {
			return true
		}
	}
	return false
}

// onTheWayOut is the state of an unwanted node: one that was not asked for yet
// is gone at once.
func onTheWayOut(n *pool.Node) pool.NodeState {
	if n.State == pool.NodePending {
		return pool.NodeDeleted
	}
	return pool.NodeDeleting
}

// end moves one node on its own.
func (d *decider) end(n *pool.Node, to pool.NodeState, reason string) {
	op := OpRetire
	if to == pool.NodeUsed {
		op = OpExpire
	}
	d.decide(Decision{
		Operation: op, Subject: string(n.ID), Reason: reason,
		Write: pool.Write{By: pool.Allocator, Nodes: []pool.Change[pool.Node]{
			pool.Update(n, n.Moved(to, pool.Allocator, reason, d.now)),
		}},
	})
}

// release gives back the nodes of requests that are gone. An answer to an
// earlier request of the same id is withdrawn before the new one is answered.
func (d *decider) release() {
	done := map[pool.RequestRef]bool{}
	for _, a := range d.snap.Allocations {
		if ref := a.Ref(); d.requests[ref] == nil {
			done[ref] = true
			d.releaseAll(ref, a)
		}
	}
	for _, n := range d.snap.Nodes {
		if n.AllocatedTo == nil || done[*n.AllocatedTo] || d.requests[*n.AllocatedTo] != nil {
			continue
		}
		done[*n.AllocatedTo] = true
		d.releaseAll(*n.AllocatedTo, nil)
	}
}

func (d *decider) releaseAll(ref pool.RequestRef, a *pool.Allocation) {
	w := pool.Write{By: pool.Allocator, Gone: []pool.RequestRef{ref}}
	for _, n := range d.owned[ref] {
		w.Nodes = append(w.Nodes, pool.Update(n, d.returned(n, "its request is gone")))
	}
	if a != nil {
		w.Allocations = []pool.Change[pool.Allocation]{pool.Remove(a)}
	}
	if a == nil && len(w.Nodes) == 0 || !d.free(w.Nodes) {
		return
	}
	d.decide(Decision{Operation: OpRelease, Subject: name(ref), Reason: "the request is gone", Write: w})
}

// returned is a node that its request gives back. One whose address was
// revealed is used up; one that is still ready never was, and is idle again.
func (d *decider) returned(n *pool.Node, reason string) *pool.Node {
	if n.State != pool.NodeReady {
		return n.Moved(pool.NodeUsed, pool.Allocator, reason, d.now)
	}
	idle := n.Clone()
	idle.AllocatedTo, idle.Tenant = nil, ""
	return d.doubted(idle)
}

// lifetime is how long a request may exist, and false if for ever.
func lifetime(r *pool.Request) (time.Duration, bool) {
	life, err := time.ParseDuration(r.MaxLifetime)
	return life, err == nil && life > 0
}
