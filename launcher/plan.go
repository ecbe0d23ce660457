package launcher

import (
	"time"

	"poold/cloud"
	"poold/pool"
)

// The bounds of what is decided by time alone.
const (
	// ambiguityBound is how long an instance that may have been asked for can
	// take to be seen.
	ambiguityBound = 2 * time.Minute
	// doubtAfter is how long nodes whose instances may not have been asked for
	// are waited for by whoever wants them.
	doubtAfter = 10 * time.Second
	// reaskMin and reaskMax are the time until a delete that had no effect is
	// asked for again; it doubles.
	reaskMin = 30 * time.Second
	reaskMax = 10 * time.Minute
)

// plan is what to do now. No node is in it twice.
type plan struct {
	launches []launch
	// moves are writes alone.
	moves []move
	// fails want evidence before they are written.
	fails []failing
	// reaches are active instances to be reached.
	reaches []reaching
	// proofs are idle nodes to be looked at before they are given away.
	proofs []*track
	// stops are goroutines whose purpose is gone.
	stops []*track
	// looks are instances to look at by id.
	looks []*track
	// deletes are instances to delete.
	deletes []*track
	// notes are nodes whose instance's volumes are to be on record.
	notes []*track
	// cleans are nodes whose instance is gone, and perhaps not all of it.
	cleans []*track
	// clears are nodes whose floating IPs are to be removed.
	clears []*track
	// poll is from when to list changes, zero for everything; nil for no list.
	poll *cloud.ListMark
	// wake is when to decide again though nothing changed; zero for never.
	wake time.Time

	awaits []await
}

// move is one change of a node's state.
type move struct {
	t      *track
	to     pool.NodeState
	kind   pool.Kind // of a failure, else empty
	reason string
	// doubt marks the node as doubtful and leaves it where it is.
	doubt bool
}

// failing is a node whose instance says why it fails.
type failing struct {
	t      *track
	kind   pool.Kind // empty: the instance's fault says
	reason string
	// output is what the node itself says about it, "" if it says nothing.
	output string
	// marks are how far its boot got.
	marks marks
}

// reaching is a node to be reached before its launch takes too long; a zero
// deadline is none.
type reaching struct {
	t        *track
	deadline time.Time
}

// await is something that only a list can tell, expected at a time.
type await struct {
	at   time.Time
	full bool
}

func (p *plan) move(t *track, to pool.NodeState, reason string) {
	p.moves = append(p.moves, move{t: t, to: to, reason: reason})
}

func (p *plan) fail(t *track, kind pool.Kind, reason string) {
	p.moves = append(p.moves, move{t: t, to: pool.NodeFailed, kind: kind, reason: reason})
}

func (p *plan) await(at time.Time) { p.awaits = append(p.awaits, await{at: at}) }

func (p *plan) awaitFull(at time.Time) { p.awaits = append(p.awaits, await{at: at, full: true}) }

// wakeAt makes sure that the next decision is not later than at; zero is never.
func (p *plan) wakeAt(at time.Time) {
	if at.IsZero() {
		return
	}
	if p.wake.IsZero() || at.Before(p.wake) {
		p.wake = at
	}
}

// decide says what to do. It changes nothing and asks nobody.
func (v *view) decide(now time.Time) plan {
	var p plan
	for _, t := range v.nodes {
		switch {
		case t.busy:
			if t.stop != nil && (t.node.State != pool.NodeBuilding || t.gone || t.inst.Status == cloud.StatusError) {
				p.stops = append(p.stops, t)
			}
		case t.behind:
		case now.Before(t.retry):
			p.wakeAt(t.retry)
		case t.gone && !v.believed(t, now):
		default:
			v.node(t, now, &p)
		}
	}
	v.launches(now, &p)
	v.polling(now, &p)
	return p
}

func (v *view) node(t *track, now time.Time, p *plan) {
	switch t.node.State {
	case pool.NodePending, pool.NodeDeleted:
	case pool.NodeBuilding:
		v.building(t, p)
	case pool.NodeReady, pool.NodeInUse, pool.NodeHold:
		v.standing(t, p)
	case pool.NodeUsed, pool.NodeFailed:
		p.move(t, pool.NodeDeleting, t.node.Reason)
	case pool.NodeDeleting:
		v.deleting(t, now, p)
	}
}

// building waits for the instance to be seen and active.
func (v *view) building(t *track, p *plan) {
	b := v.batch(t)
	deadline := v.deadline(t)
	switch {
	case b.verdict == asking:
		return
	case b.verdict == refused:
		p.fail(t, b.kind, b.reason)
		return
	case t.gone:
		p.fail(t, pool.KindVanished, "the instance was gone before it was ready")
		return
	case t.inst.Status == cloud.StatusError:
		p.fails = append(p.fails, failing{t: t})
		return
	case t.arrived != nil:
		p.move(t, pool.NodeReady, t.arrived.story)
		return
	case v.overdue(deadline):
		p.fails = append(p.fails, failing{t: t, kind: pool.KindTimeout, reason: "not ready within the launch timeout"})
		return
	case t.inst.ID == "":
		v.unseen(t, b, p)
	case t.inst.Status == cloud.StatusActive && len(t.inst.Addresses) > 0:
		p.reaches = append(p.reaches, reaching{t, deadline})
		return
	case t.missing:
		p.looks = append(p.looks, t)
	}
	p.await(v.expected(t))
	if !deadline.IsZero() {
		p.await(v.due(deadline.Add(time.Nanosecond)))
	}
}

// overdue tells whether a list from after a deadline was seen: while the cloud
// does not answer, no launch fails for it.
func (v *view) overdue(deadline time.Time) bool {
	return !deadline.IsZero() && v.lists.last.After(deadline)
}

// batch is what is known about the batch of a node. One that this process did
// not ask for itself may have been asked for.
func (v *view) batch(t *track) *batch {
	if b := v.batches[t.node.Batch]; b != nil {
		return b
	}
	return &batch{verdict: unknown}
}

// deadline is when a launch has taken too long; zero for never.
func (v *view) deadline(t *track) time.Time {
	if v.provider.LaunchTimeout <= 0 {
		return time.Time{}
	}
	return v.askedAt(t).Add(v.provider.LaunchTimeout)
}

// unseen decides about a building node whose instance was never seen.
func (v *view) unseen(t *track, b *batch, p *plan) {
	asked, bound := v.askedAt(t), v.doubtfulSince(t).Add(ambiguityBound)
	some := b.verdict == accepted && b.found > 0 // others of the batch were seen
	switch {
	case some && v.lists.twiceSince(asked):
		p.fail(t, pool.KindQuota, "the cloud had room for a part of the batch only")
	case v.lists.onceSince(bound):
		p.fail(t, pool.KindNeverSeen, "no instance was seen after the cloud was asked")
	case some && v.lists.last.After(asked):
		// Only full lists can tell that this one will not be seen.
		p.awaitFull(v.due(asked))
	case b.verdict == unknown && !t.node.Doubtful:
		v.doubt(t, p)
	default:
		p.awaitFull(v.due(bound.Add(time.Nanosecond)))
	}
}

// doubt marks a node as doubtful once a list does not show its instance, so
// that nobody waits for it until it has failed.
func (v *view) doubt(t *track, p *plan) {
	due := v.doubtfulSince(t).Add(doubtAfter)
	if v.lists.onceSince(due) {
		p.moves = append(p.moves, move{t: t, to: pool.NodeBuilding, doubt: true})
		return
	}
	p.awaitFull(v.due(due.Add(time.Nanosecond)))
}

// standing decides about a node that was ready once.
func (v *view) standing(t *track, p *plan) {
	held := t.node.State == pool.NodeHold
	switch {
	case t.gone && held:
		p.move(t, pool.NodeDeleting, "vanished in the cloud")
	case t.gone:
		p.fail(t, pool.KindVanished, "vanished in the cloud")
	case t.inst.Status == cloud.StatusError && !held:
		p.fails = append(p.fails, failing{t: t, kind: pool.KindVanished, reason: "broke in the cloud"})
	case v.hostDown(t) != "":
		p.fail(t, pool.KindUnreachable, "its host is down: "+v.hostDown(t))
	case t.missing:
		p.looks = append(p.looks, t)
	case t.node.State == pool.NodeReady && t.node.ProofAsked != nil:
		p.proofs = append(p.proofs, t)
	}
}

// hostDown says why the host of an idle node is of no use, or "". Whoever has a
// node that is in use may well have the host down on purpose.
func (v *view) hostDown(t *track) string {
	well := t.node.Since
	if t.node.Proven != nil && t.node.Proven.After(well) {
		well = *t.node.Proven
	}
	if t.node.State != pool.NodeReady || !well.Before(v.downAt) {
		return ""
	}
	return v.down[t.node.AZ]
}

// deleting works towards the proof that nothing is left of a node.
func (v *view) deleting(t *track, now time.Time, p *plan) {
	b := v.batch(t)
	switch {
	case b.verdict == asking, v.unsure():
	case t.node.Batch == "" && t.inst.ID == "", b.verdict == refused:
		p.move(t, pool.NodeDeleted, t.node.Reason)
	case t.inst.ID == "":
		v.unseenDeleting(t, p)
	case t.exposed():
		p.clears = append(p.clears, t)
	case t.gone && t.littered():
		p.cleans = append(p.cleans, t)
	case t.gone:
		p.move(t, pool.NodeDeleted, t.node.Reason)
	case t.unnoted():
		p.notes = append(p.notes, t)
	default:
		v.seenDeleting(t, now, p)
	}
}

// exposed tells whether the node's floating IP is to be removed: before its
// instance, and once more after it if that did not work.
func (t *track) exposed() bool {
	return t.node.ExposeAsked != nil && !t.cleared && (!t.clearTried || t.gone)
}

// littered tells whether something may be left of an instance that is gone.
func (t *track) littered() bool {
	return !t.cleaned && (t.strayed() || len(t.node.Volumes) > 0)
}

// unnoted tells whether the instance has volumes that are not on record, where
// they have to be before they can outlive the instance that shows whose they
// are. Of a node that nobody was ever told of, all that its instance has is what
// it was made with.
func (t *track) unnoted() bool {
	_, ready := t.node.Entered(pool.NodeReady)
	return !ready && len(t.inst.Volumes) > 0 && len(t.node.Volumes) == 0
}

// strayed tells whether ports may be left of an instance that is gone. Nova
// deletes them before it says that a server is gone, but not those that it lost
// sight of in a launch or a delete that went wrong. That it says so proves
// nothing about volumes: it does not wait for them, nor mind if one stays.
func (t *track) strayed() bool {
	_, failed := t.node.Entered(pool.NodeFailed)
	return failed || t.asks > 1
}

// seenDeleting asks for the delete of an instance and waits for it to be gone.
func (v *view) seenDeleting(t *track, now time.Time, p *plan) {
	again := t.asked.Add(reask(t.asks))
	if t.asks == 0 || !now.Before(again) {
		p.deletes = append(p.deletes, t)
		return
	}
	if t.missing {
		p.looks = append(p.looks, t)
	}
	p.wakeAt(again)
	p.await(v.dueFrom(t.asked.Add(v.deletion*7/10), goneMin, lateShare))
}

// unseenDeleting waits until it is certain that there never was an instance.
func (v *view) unseenDeleting(t *track, p *plan) {
	bound := v.doubtfulSince(t).Add(ambiguityBound)
	switch {
	case v.lists.twiceSince(bound):
		p.move(t, pool.NodeDeleted, t.node.Reason)
	case v.lists.last.After(bound):
		p.awaitFull(v.due(bound))
	default:
		p.await(v.expected(t))
		p.awaitFull(v.due(bound.Add(time.Nanosecond)))
	}
}

// reask is how long after the n-th delete the next one is asked for.
func reask(n int) time.Duration {
	d := reaskMin
	for ; n > 1 && d < reaskMax; n-- {
		d *= 2
	}
	return min(d, reaskMax)
}
