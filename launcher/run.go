package launcher

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"poold/cloud"
	"poold/internal/rest"
	"poold/pool"
)

// The bounds of what goes on at a time. Each kind has its own, so that deletes
// never wait for launches.
const (
	maxCreates  = 10
	maxDeletes  = 20
	maxLooks    = 8
	maxEvidence = 8
)

// minPause is the least time between two decisions that time alone asks for.
const minPause = 5 * time.Millisecond

// maxPause is the most, for what only an event can change.
const maxPause = time.Hour

// effect is what a goroutine wants changed in the state of the loop, which
// runs it. It may be nil.
type effect func(r *run, now time.Time)

// run is the state of one Run. Only its loop touches it.
type run struct {
	*Launcher
	view    *view
	effects chan effect
	tasks   sync.WaitGroup
	running struct{ creates, deletes, looks, evidence int }
	quota   quota
	sweep   sweep
	// suspects are instances that a list lacked which was not believed.
	suspects []*track
	// complaints are what was logged last about each thing that fails.
	complaints map[string]cloud.Kind
	pace       rest.Rest
	// fatal ends the run.
	fatal error
}

// Run launches and deletes until ctx ends, and returns its cause; or until the
// provider is no longer owned, which is [pool.ErrNotOwner]. All goroutines it
// started have ended then. Every call to the cloud is made under ctx, which
// must end before the ownership can be lost.
func (l *Launcher) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	r := &run{
		Launcher: l, view: newView(&l.provider), effects: make(chan effect),
		complaints: map[string]cloud.Kind{},
	}
	defer r.tasks.Wait()
	defer cancel()
	r.sweep.next = r.now().Add(firstSweep)
	for {
		// The channel is taken before the snapshot, so that no change between
		// the two is missed.
		changed := l.store.Changed()
		began := r.now()
		wake := r.pass(ctx, began)
		ended := r.now()
		pace := r.pace.After(ended.Sub(began))
		if err := r.wait(ctx, changed, wake); err != nil {
			return err
		}
		if err := r.rest(ctx, ended.Add(pace)); err != nil {
			return err
		}
		if r.fatal != nil {
			return r.fatal
		}
	}
}

func (r *run) now() time.Time {
	if r.clock == nil {
		return time.Now()
	}
	return r.clock()
}

// wait returns when there is something to decide, at wake at the latest unless
// that is zero.
func (r *run) wait(ctx context.Context, changed <-chan struct{}, wake time.Time) error {
	pause := maxPause
	if !wake.IsZero() {
		pause = max(minPause, wake.Sub(r.now()))
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-changed:
	case <-timer.C:
	case e := <-r.effects:
		e(r, r.now())
	}
	return nil
}

// rest takes in what ends until a time, and at least what has ended already.
func (r *run) rest(ctx context.Context, until time.Time) error {
	timer := time.NewTimer(until.Sub(r.now()))
	defer timer.Stop()
	for {
		select {
		case e := <-r.effects:
			e(r, r.now())
		case <-timer.C:
			r.drain(r.now().Add(rest.Longest))
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// drain takes in what has ended already; more may end all the time.
func (r *run) drain(until time.Time) {
	for {
		select {
		case e := <-r.effects:
			now := r.now()
			e(r, now)
			if now.After(until) {
				return
			}
		default:
			return
		}
	}
}

// pass decides once and starts what was decided. It returns when to decide
// again.
func (r *run) pass(ctx context.Context, now time.Time) time.Time {
	snap := r.store.Snapshot()
	r.view.absorb(snap, now)
	r.view.crowded = r.running.creates+r.running.deletes > 1
	p := r.view.decide(now)
	r.start(ctx, &p, now)
	p.wakeAt(r.passQuota(ctx, snap, now))
	p.wakeAt(r.passHealth(ctx, snap, now))
	return p.wake
}

// start begins the effects of a plan. What there is no room for now is decided
// anew when something ends.
func (r *run) start(ctx context.Context, p *plan, now time.Time) {
	for _, t := range p.stops {
		t.stop()
		t.stop = nil
	}
	r.startMoves(ctx, p.moves, now)
	r.startNotes(ctx, p.notes)
	for _, t := range p.cleans[:room(len(p.cleans), maxLooks, r.running.looks)] {
		r.startClean(ctx, t)
	}
	r.startClears(ctx, p.clears, now)
	for _, t := range p.deletes[:room(len(p.deletes), maxDeletes, r.running.deletes)] {
		r.startDelete(ctx, t, now)
	}
	for _, f := range p.fails[:room(len(p.fails), maxEvidence, r.running.evidence)] {
		r.startFail(ctx, f, now)
	}
	for _, t := range p.looks[:room(len(p.looks), maxLooks, r.running.looks)] {
		r.startLook(ctx, t, now)
	}
	for _, t := range p.proofs {
		r.startProof(ctx, t, now)
	}
	for _, e := range p.reaches {
		r.startReach(ctx, e, now)
	}
	for _, g := range p.launches[:room(len(p.launches), maxCreates, r.running.creates)] {
		r.startLaunch(ctx, g, now)
	}
	if p.poll != nil {
		r.startPoll(ctx, *p.poll, now)
	}
}

// room is how many of n things can begin when at most limit may go on.
func room(n, limit, running int) int { return max(0, min(n, limit-running)) }

// spawn does work in a goroutine and brings its effect back to the loop.
func (r *run) spawn(ctx context.Context, work func(ctx context.Context) effect) {
	r.tasks.Go(func() {
		if e := work(ctx); e != nil {
			r.deliver(ctx, e)
		}
	})
}

// deliver hands an effect to the loop, and returns false if the run is over.
func (r *run) deliver(ctx context.Context, e effect) bool {
	select {
	case r.effects <- e:
		return true
	case <-ctx.Done():
		return false
	}
}

// grumble logs a failure when it begins or changes its kind, not every time.
func (r *run) grumble(about string, kind cloud.Kind, message string, err error) {
	if r.complaints[about] == kind {
		return
	}
	r.complaints[about] = kind
	r.log.Warn(message, zap.String("kind", string(kind)), zap.Error(err))
}

// calm notes that what failed works again.
func (r *run) calm(about string) { delete(r.complaints, about) }

// wrote notes our own write of a node.
func (r *run) wrote(n *pool.Node, revision int64) {
	stored := *n
	stored.Revision = revision
	t := r.view.byID[n.ID]
	t.node, t.wrote, t.behind, t.busy = &stored, revision, true, false
}

// The pauses after a write that could not be made, and after one that lost a
// race.
const (
	writeRetry    = time.Second
	conflictRetry = 100 * time.Millisecond
)

// unwritten frees nodes whose write did not happen.
func (r *run) unwritten(changes []pool.Change[pool.Node], err error, now time.Time) {
	if errors.Is(err, pool.ErrNotOwner) {
		r.fatal = err
	}
	for _, c := range changes {
		t := r.view.byID[c.After.ID]
		t.busy, t.stop = false, nil
		t.retry = now.Add(writeRetry)
		if errors.Is(err, pool.ErrConflict) {
			// Somebody else's change is on its way here; do not decide on the
			// same copy again and again until it comes.
			t.retry = now.Add(conflictRetry)
		}
	}
	if errors.Is(err, pool.ErrConflict) {
		return
	}
	r.grumble("write", cloud.Transient, "writing failed", err)
}

// startMoves writes the changes of state that need nothing else.
func (r *run) startMoves(ctx context.Context, moves []move, now time.Time) {
	for len(moves) > 0 {
		n := min(len(moves), writeSize)
		changes := make([]pool.Change[pool.Node], 0, n)
		for _, m := range moves[:n] {
			m.t.busy = true
			changes = append(changes, pool.Update(m.t.node, m.after(now)))
		}
		moves = moves[n:]
		r.spawn(ctx, func(ctx context.Context) effect {
			return r.settled(r.commitNodes(ctx, changes))
		})
	}
}

// after is the node as the move leaves it.
func (m *move) after(now time.Time) *pool.Node {
	if m.doubt {
		n := m.t.node.Clone()
		n.Doubtful = true
		return n
	}
	n := m.t.node.Moved(m.to, pool.Launcher, m.reason, now)
	if m.t.node.State == pool.NodeBuilding {
		m.t.marks.put(n)
	}
	if m.to == pool.NodeReady {
		m.t.arrived.describe(n, &m.t.inst)
	}
	if m.kind != "" {
		n.Failure = m.kind
	}
	if n.InstanceID == "" {
		n.InstanceID = m.t.inst.ID
	}
	if m.to == pool.NodeDeleted && !m.t.asked.IsZero() {
		asked := m.t.asked.UTC().Truncate(time.Millisecond)
		n.DeleteAsked = &asked
	}
	return n
}

// settled takes over what became of writes.
func (*run) settled(results []written) effect {
	return func(r *run, now time.Time) {
		for _, w := range results {
			if w.err != nil {
				r.unwritten([]pool.Change[pool.Node]{w.change}, w.err, now)
				continue
			}
			r.calm("write")
			r.wrote(w.change.After, w.revision)
			if w.change.Before.State != w.change.After.State {
				r.moved(w.change.Before, w.change.After, now)
			}
		}
	}
}

// moved counts what a node's change of state means.
func (r *run) moved(before, after *pool.Node, now time.Time) {
	began, _ := after.Entered(before.State)
	b := r.view.batches[after.Batch]
	r.judgeCloud(b, before, after)
	if after.State == pool.NodeReady {
		r.metrics.launches.WithLabelValues(r.provider.Name, "ready").Inc()
		r.metrics.launchSeconds.WithLabelValues(r.provider.Name).Observe(after.Since.Sub(began).Seconds())
		if b != nil {
			b.booted++
			r.view.judge(b)
		}
	}
	if after.State == pool.NodeDeleted {
		r.metrics.deleteSeconds.WithLabelValues(r.provider.Name).Observe(after.Since.Sub(began).Seconds())
	}
	if after.State != pool.NodeFailed || before.State != pool.NodeBuilding && before.State != pool.NodePending {
		return
	}
	r.metrics.launches.WithLabelValues(r.provider.Name, string(after.Failure)).Inc()
	switch {
	case after.Failure == pool.KindQuota:
		r.lower(after, now)
	case doubtful(after.Failure):
		r.quota.doubtful = true
		r.factsAgain(now)
	}
	if b != nil && r.view.byID[after.ID].inst.Status == cloud.StatusError {
		b.errored++
		r.view.judge(b)
	}
}

// doubtful tells whether a launch that failed so may have failed because what
// it was made from is not there any more: its flavor, its image or its zone.
func doubtful(k pool.Kind) bool {
	return k == pool.KindInvalid || k == pool.KindNotFound || k == pool.KindCapacity
}
