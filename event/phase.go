package event

import (
	"time"

	"poold/pool"
)

// The phases of a node's life, each from when the node is that until it is more.
const (
	// Queued is a node that is wanted, until the cloud is asked for it.
	Queued = "queued"
	// Asked is one that the cloud was asked for, until its instance is active.
	Asked = "asked"
	// Active lasts until the instance has the address to connect to, Addressed
	// until it answers there, and Reachable until it is ready as its label says.
	Active    = "active"
	Addressed = "addressed"
	Reachable = "reachable"
	// Idle is a node that is ready, until somebody gets it or nobody is to.
	Idle = "idle"
	// HandedOut is one that is in use, and Held one that is kept for a human.
	HandedOut = "handed-out"
	Held      = "held"
	// Released is one that nobody needs any more, until it is gone.
	Released = "released"
)

// PhaseNames lists the phases in the order of a normal life.
func PhaseNames() []string {
	return []string{Queued, Asked, Active, Addressed, Reachable, Idle, HandedOut, Held, Released}
}

// Phase is a part of a node's life that is over.
type Phase struct {
	Name       string
	Begin, End time.Time
	// Cut says that the node did not get further on its way to being ready: it
	// failed, or was not wanted any more.
	Cut bool
}

// Phases returns the phases of a node's life that are over, oldest first. They
// only become more: those of a later version of the record begin with these.
//
// The clocks of peers differ. No phase ends before it begins.
func Phases(n *pool.Node) []Phase {
	var all []Phase
	state, begin := pool.NodePending, n.Created
	for _, st := range n.Timeline {
		if st.State == state || leaves(state) && leaves(st.State) {
			continue
		}
		switch state {
		case pool.NodePending:
			all = append(all, phase(Queued, begin, st.At, st.State != pool.NodeBuilding))
		case pool.NodeBuilding:
			all = append(all, boot(n, begin, st)...)
		case pool.NodeReady:
			all = append(all, phase(Idle, begin, st.At, false))
		case pool.NodeInUse:
			all = append(all, phase(HandedOut, begin, st.At, false))
		case pool.NodeHold:
			all = append(all, phase(Held, begin, st.At, false))
		case pool.NodeUsed, pool.NodeFailed, pool.NodeDeleting:
			all = append(all, phase(Released, begin, st.At, false))
		case pool.NodeDeleted:
		}
		state, begin = st.State, st.At
	}
	return all
}

// leaves tells whether a node in a state is on its way to be gone.
func leaves(s pool.NodeState) bool {
	return s == pool.NodeUsed || s == pool.NodeFailed || s == pool.NodeDeleting
}

func phase(name string, begin, end time.Time, cut bool) Phase {
	if end.Before(begin) {
		end = begin
	}
	return Phase{Name: name, Begin: begin, End: end, Cut: cut}
}

// boot returns the phases between the asking and a state after it. Of a node
// whose record does not say how it became ready there are none.
func boot(n *pool.Node, begin time.Time, end pool.Stamp) []Phase {
	var all []Phase
	name, ready := Asked, end.State == pool.NodeReady
	for _, mark := range []struct {
		at   *time.Time
		next string
	}{{n.Active, Active}, {n.Addressed, Addressed}, {n.Reachable, Reachable}} {
		if mark.at == nil {
			break
		}
		p := phase(name, begin, *mark.at, false)
		all = append(all, p)
		name, begin = mark.next, p.End
	}
	if ready && name != Reachable {
		return nil
	}
	return append(all, phase(name, begin, end.At, !ready))
}

// Ended returns the phases that ended between two versions of a record; before
// is nil if there was none.
func Ended(before, after *pool.Node) []Phase {
	all := Phases(after)
	if before == nil {
		return all
	}
	return all[min(len(all), len(Phases(before))):]
}

// EndedBetween tells of the phases that ended from one look at all nodes to the
// next.
func EndedBetween(before, after *pool.Snapshot, tell func(*pool.Node, Phase)) {
	each(before.Nodes, after.Nodes, nodeKey, func(was, is *pool.Node) {
		if is == nil {
			return // an hour after it was gone
		}
		for _, p := range Ended(was, is) {
			tell(is, p)
		}
	})
}
