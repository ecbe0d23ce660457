package allocator

import (
	"fmt"
	"strings"
	"time"

	"poold/pool"
)

// commands applies what operators want done with nodes, and answers what they
// ask: each command's effect and its result are one write.
func (d *decider) commands() {
	d.explain()
	nodes := map[pool.NodeID]*pool.Node{}
	var open []*pool.Command
	for _, c := range d.snap.Commands {
		if !c.Done && (c.Verb == pool.VerbDelete || c.Verb == pool.VerbForceDelete ||
			c.Verb == pool.VerbHold || c.Verb == pool.VerbUnhold) {
			open = append(open, c)
			nodes[c.Node] = nil
		}
	}
	if len(open) == 0 {
		return
	}
	for _, n := range d.snap.Nodes {
		if _, ok := nodes[n.ID]; ok {
			nodes[n.ID] = n
		}
	}
	for _, c := range open {
		n := nodes[c.Node]
		if d.taken[n] {
			continue // the next decision sees what became of it
		}
		d.command(c, n)
	}
}

// explain answers the first question about a request; each costs a decision of
// its own, so the others have to wait for the next one.
func (d *decider) explain() {
	if d.asked != nil {
		return // this is such a decision
	}
	for _, c := range d.snap.Commands {
		if c.Done || c.Verb != pool.VerbExplain {
			continue
		}
		done := *c
		done.Done = true
		client, id, _ := strings.Cut(c.Target, "/")
		done.Explanation = Explain(d.snap, d.cat, pool.RequestRef{Client: client, ID: id}, d.now)
		if done.Explanation == nil {
			done.Error, done.NotFound = "no such request", true
		}
		d.decide(Decision{
			Operation: OpCommand, Subject: c.Target, Reason: fmt.Sprintf("%s by %s", c.Verb, c.By),
			Write: pool.Write{By: pool.Operator, Commands: []pool.Change[pool.Command]{pool.Update(c, &done)}},
		})
		return
	}
}

func (d *decider) command(c *pool.Command, n *pool.Node) {
	done := *c
	done.Done = true
	w := pool.Write{By: pool.Operator}
	after, refusal := (*pool.Node)(nil), "no such node"
	if n != nil {
		after, refusal = d.effect(c, n)
	}
	done.Error, done.NotFound = refusal, n == nil
	if after != nil {
		w.Nodes = []pool.Change[pool.Node]{pool.Update(n, after)}
	}
	w.Commands = []pool.Change[pool.Command]{pool.Update(c, &done)}
	d.decide(Decision{
		Operation: OpCommand, Subject: string(c.Node), Write: w,
		Reason: fmt.Sprintf("%s by %s", c.Verb, c.By),
	})
}

// effect is the node after the command, or nil if it stays as it is, and why
// the command is refused.
func (d *decider) effect(c *pool.Command, n *pool.Node) (*pool.Node, string) {
	reason := string(c.Verb) + " by " + c.By
	if c.Reason != "" {
		reason += ": " + c.Reason
	}
	switch c.Verb {
	case pool.VerbHold:
		return d.holdFor(c, n, reason)
	case pool.VerbUnhold:
		if n.State != pool.NodeHold {
			return nil, "it is not held, it is " + string(n.State)
		}
		return n.Moved(pool.NodeUsed, pool.Operator, reason, d.now), ""
	case pool.VerbDelete:
		if n.State == pool.NodeHold {
			return nil, "it is held: " + n.HoldReason
		}
		if n.AllocatedTo != nil && (n.State == pool.NodeInUse || n.State == pool.NodeReady) {
			return nil, "it is in use by " + name(*n.AllocatedTo)
		}
		return d.deleted(n, reason), ""
	case pool.VerbForceDelete:
		return d.deleted(n, reason), ""
	case pool.VerbExplain, pool.VerbRemoveLeaks,
		pool.VerbPauseImage, pool.VerbUnpauseImage, pool.VerbPauseProvider, pool.VerbUnpauseProvider,
		pool.VerbFreeze, pool.VerbUnfreeze, pool.VerbDrainPeer, pool.VerbUndrainPeer, pool.VerbForgetPeer, pool.VerbEraseProvider,
		pool.VerbBuild, pool.VerbWithdrawBuild, pool.VerbRestoreBuild, pool.VerbDeleteBuild,
		pool.VerbWithdrawUpload, pool.VerbRestoreUpload, pool.VerbDeleteUpload, pool.VerbRetryUpload:
	}
	return nil, "not a verb of nodes"
}

// deleted is a node that starts to be deleted, or nil if it does already.
func (d *decider) deleted(n *pool.Node, reason string) *pool.Node {
	switch n.State {
	case pool.NodePending:
		return n.Moved(pool.NodeDeleted, pool.Operator, reason, d.now)
	case pool.NodeBuilding, pool.NodeReady:
		return n.Moved(pool.NodeDeleting, pool.Operator, reason, d.now)
	case pool.NodeInUse, pool.NodeHold:
		return n.Moved(pool.NodeUsed, pool.Operator, reason, d.now)
	case pool.NodeUsed, pool.NodeFailed, pool.NodeDeleting, pool.NodeDeleted:
	}
	return nil
}

func (d *decider) holdFor(c *pool.Command, n *pool.Node, reason string) (*pool.Node, string) {
	until, err := d.holdUntil(c.TTL)
	if err != nil {
		return nil, err.Error()
	}
	var after *pool.Node
	switch n.State {
	case pool.NodeHold:
		after = n.Clone() // held longer, or shorter
		until = d.capHold(n, until)
	case pool.NodeReady:
		if n.AllocatedTo != nil {
			return nil, "it is offered to " + name(*n.AllocatedTo)
		}
		after = n.Moved(pool.NodeHold, pool.Operator, reason, d.now)
	case pool.NodeInUse, pool.NodeFailed:
		after = n.Moved(pool.NodeHold, pool.Operator, reason, d.now)
	case pool.NodePending, pool.NodeBuilding, pool.NodeUsed, pool.NodeDeleting, pool.NodeDeleted:
		return nil, "a node that is " + string(n.State) + " cannot be held"
	}
	after.HoldUntil, after.HoldReason = until, c.Reason
	return after, ""
}

// holdUntil is when a hold that begins now ends: after ttl if there is one,
// but never later than allowed; nil if nothing ends it.
func (d *decider) holdUntil(ttl string) (*time.Time, error) {
	most := d.cat.MaxHoldAge
	if ttl != "" {
		asked, err := time.ParseDuration(ttl)
		if err != nil || asked <= 0 {
			return nil, fmt.Errorf("the time to live %q is not a duration such as 24h", ttl)
		}
		if most <= 0 || asked < most {
			most = asked
		}
	}
	if most <= 0 {
		return nil, nil //nolint:nilnil // nothing ends the hold, and that is no error
	}
	until := d.now.Add(most)
	return &until, nil
}

// capHold is the end of a hold that began before now: max-hold-age counts from
// its beginning, whatever the time to live was.
func (d *decider) capHold(n *pool.Node, until *time.Time) *time.Time {
	if d.cat.MaxHoldAge <= 0 {
		return until
	}
	most := n.Since.Add(d.cat.MaxHoldAge)
	if until == nil || most.Before(*until) {
		return &most
	}
	return until
}
