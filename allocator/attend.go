package allocator

import (
	"fmt"
	"slices"

	"poold/pool"
)

// What a client reads as the state of a node it was given.
const (
	shownReady    = string(pool.NodeReady)
	shownInUse    = string(pool.NodeInUse)
	shownHold     = string(pool.NodeHold)
	shownReleased = "released"
	shownFailed   = string(pool.NodeFailed)
)

// attend looks after the requests that were answered: it accepts, holds and
// gives back nodes as their clients ask, tells them what died, and ends what
// has lasted too long.
func (d *decider) attend() {
	for _, a := range d.snap.Allocations {
		r := d.requests[a.Ref()]
		if r == nil {
			continue
		}
		if d.overdue(a, r) {
			continue
		}
		if a.State == pool.AllocationFulfilled {
			d.update(a, r)
		}
	}
}

// overdue removes a request whose lifetime is over; its nodes are released
// once it is gone.
func (d *decider) overdue(a *pool.Allocation, r *pool.Request) bool {
	life, ok := lifetime(r)
	if !ok {
		return false
	}
	end := a.Created.Add(life)
	if d.now.Before(end) {
		d.wake(end)
		return false
	}
	d.answered[[2]string{a.Client, a.ID}] = true
	d.decide(Decision{
		Operation: OpExpire, Subject: name(r.Ref()), Reason: "its max_lifetime of " + r.MaxLifetime + " is over",
		Write: pool.Write{By: pool.Allocator, Requests: []pool.Change[pool.Request]{pool.Remove(r)}},
	})
	return true
}

// upkeep is an answered allocation while its next version is worked out.
type upkeep struct {
	*decider
	a, next *pool.Allocation
	r       *pool.Request
	changes []pool.Change[pool.Node]
	late    bool
}

func (d *decider) update(a *pool.Allocation, r *pool.Request) {
	u := &upkeep{decider: d, a: a, r: r}
	deadline := a.Since.Add(acceptTimeout)
	u.late = !r.Accepted && !d.now.Before(deadline)
	ignored := u.ignored()
	for i := range a.Nodes {
		u.node(i)
	}
	if !slices.Equal(ignored, a.Ignored) {
		u.draft().Ignored = ignored
	}
	if !r.Accepted && slices.ContainsFunc(a.Nodes, func(n pool.AllocatedNode) bool { return n.State == shownReady }) {
		d.wake(deadline)
	}
	if u.next == nil || !d.free(u.changes) {
		return
	}
	d.decide(Decision{
		Operation: OpAnswer, Subject: name(a.Ref()), Reason: u.reason(),
		Write: pool.Write{
			By: pool.Allocator, Nodes: u.changes, Unchanged: []*pool.Request{r},
			Allocations: []pool.Change[pool.Allocation]{pool.Update(a, u.next)},
		},
	})
}

func (u *upkeep) reason() string {
	if u.next.State == pool.AllocationFailed {
		return "not accepted in time"
	}
	return "its request or its nodes changed"
}

// node brings the i-th node of the allocation up to what became of its record
// and to what the request says.
func (u *upkeep) node(i int) {
	shown := &u.a.Nodes[i]
	n := u.nodes[shown.ID]
	if shown.State == shownReleased {
		return // and possibly somebody else's by now
	}
	if n == nil || n.AllocatedTo == nil || *n.AllocatedTo != u.a.Ref() {
		u.show(i, shownFailed)
		return
	}
	switch n.State {
	case pool.NodeReady:
		u.offered(i, n)
	case pool.NodeInUse, pool.NodeHold:
		u.lent(i, n)
	case pool.NodeUsed, pool.NodeFailed, pool.NodeDeleting, pool.NodeDeleted, pool.NodePending, pool.NodeBuilding:
		if shown.State == shownHold && n.Failure == "" {
			u.show(i, shownReleased)
			return
		}
		u.show(i, shownFailed)
	}
}

// lent is a node whose address the client knows.
func (u *upkeep) lent(i int, n *pool.Node) {
	switch {
	case slices.Contains(u.r.Release, n.ID):
		u.move(n, n.Moved(pool.NodeUsed, pool.Allocator, "released early", u.now))
		u.show(i, shownReleased)
	case n.State == pool.NodeHold:
		u.show(i, shownHold)
	case u.r.Hold != nil && slices.Contains(u.r.Hold.Nodes, n.ID):
		u.hold(n)
		u.show(i, shownHold)
	default:
		u.show(i, shownInUse)
	}
}

// offered is a node whose address is still hidden.
func (u *upkeep) offered(i int, n *pool.Node) {
	switch {
	case slices.Contains(u.r.Release, n.ID):
		u.move(n, u.returned(n, ""))
		u.show(i, shownReleased)
	case u.late:
		u.move(n, u.returned(n, ""))
		next := u.draft()
		next.State, next.Since, next.Nodes = pool.AllocationFailed, u.now, nil
		next.Error = "not accepted within " + acceptTimeout.String()
	case u.r.Accepted:
		u.move(n, n.Moved(pool.NodeInUse, pool.Allocator, "accepted by "+name(u.a.Ref()), u.now))
		u.draft().Nodes[i] = revealed(n)
	default:
		u.show(i, shownReady)
	}
}

func (u *upkeep) hold(n *pool.Node) {
	until, err := u.holdUntil(u.r.Hold.TTL)
	if err != nil {
		until, _ = u.holdUntil("") // as long as allowed; the client is told
	}
	after := n.Moved(pool.NodeHold, pool.Allocator, "held by "+name(u.a.Ref()), u.now)
	after.HoldUntil, after.HoldReason = until, u.r.Hold.Reason
	u.move(n, after)
}

func (u *upkeep) move(before, after *pool.Node) {
	u.changes = append(u.changes, pool.Update(before, after))
}

// draft is the allocation's next version; that there is one means that
// something changed.
func (u *upkeep) draft() *pool.Allocation {
	if u.next == nil {
		next := *u.a
		next.Nodes = slices.Clone(next.Nodes) // the snapshot's may not be changed
		u.next = &next
	}
	return u.next
}

func (u *upkeep) show(i int, state string) {
	if u.a.Nodes[i].State == state || u.next != nil && u.next.State == pool.AllocationFailed {
		return
	}
	u.draft().Nodes[i].State = state
}

// ignored names what the request says that has no effect.
func (u *upkeep) ignored() []string {
	var said []string
	if u.r.Defect != "" {
		return []string{u.r.Defect}
	}
	if !slices.EqualFunc(u.r.Labels, u.a.Nodes, func(l string, n pool.AllocatedNode) bool { return l == n.Label }) {
		said = append(said, "labels: a request that was answered cannot ask for others")
	}
	for _, id := range u.r.Release {
		if !u.owns(id) {
			said = append(said, fmt.Sprintf("release: %s is not a node of this request", id))
		}
	}
	if u.r.Hold == nil {
		return said
	}
	for _, id := range u.r.Hold.Nodes {
		switch n := u.nodes[id]; {
		case !u.owns(id):
			said = append(said, fmt.Sprintf("hold: %s is not a node of this request", id))
		case n != nil && n.State == pool.NodeReady:
			said = append(said, fmt.Sprintf("hold: %s is not in use", id))
		}
	}
	if _, err := u.holdUntil(u.r.Hold.TTL); err != nil {
		said = append(said, "hold: "+err.Error())
	}
	return said
}

func (u *upkeep) owns(id pool.NodeID) bool {
	return slices.ContainsFunc(u.a.Nodes, func(n pool.AllocatedNode) bool { return n.ID == id })
}

// revealed is all that a client is told of a node in use.
func revealed(n *pool.Node) pool.AllocatedNode {
	shown := hidden(n)
	shown.State = shownInUse
	shown.AZ, shown.Slot, shown.HostID = n.AZ, n.Slot, n.HostID
	shown.Addresses, shown.InterfaceIP, shown.HostKeys = n.Addresses, n.InterfaceIP, n.HostKeys
	return shown
}

// hidden is what a client is told of a node before it accepts it: nothing that
// would let it use the node.
func hidden(n *pool.Node) pool.AllocatedNode {
	shown := pool.AllocatedNode{
		ID: n.ID, Label: n.Label, Provider: n.Provider, State: shownReady, Pool: n.Pool,
		Cloud: n.Cloud, Region: n.Region, AZ: n.AZ, Image: n.Image,
		Attributes: n.Attributes, Connection: n.Connection,
	}
	if n.Slot != nil {
		shown.AZ = "" // it is the host
	}
	return shown
}
