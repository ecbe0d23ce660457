package launcher

import (
	"context"
	"errors"
	"slices"
	"time"

	"poold/internal/sleep"
	"poold/pool"
)

// writeSize is how many nodes one write changes at most, well within the 128
// operations and compares that etcd takes in one transaction.
const writeSize = 50

// The pauses between repetitions of a write whose outcome is unknown.
const (
	unknownPauseMin = 100 * time.Millisecond
	unknownPauseMax = 5 * time.Second
)

// commit writes and repeats the write while its outcome is unknown, so that a
// nil error says that it happened, and any other but the end of ctx that it
// did not.
func (l *Launcher) commit(ctx context.Context, w pool.Write) (int64, error) {
	w.By = pool.Launcher
	pause, unknown := unknownPauseMin, false
	for {
		revision, err := l.store.Apply(ctx, w)
		if unknown && errors.Is(err, pool.ErrConflict) {
			// The conflict may be with our own write, made the first time.
			revision, err = l.settle(ctx, w)
		}
		if !errors.Is(err, pool.ErrUnknown) {
			return revision, err
		}
		unknown = true
		if err := sleep.For(ctx, pause); err != nil {
			return 0, err
		}
		pause = min(2*pause, unknownPauseMax)
	}
}

// settle finds out whether a write happened. It returns ErrUnknown if it
// cannot tell now.
func (l *Launcher) settle(ctx context.Context, w pool.Write) (int64, error) {
	snap, err := l.store.Read(ctx)
	if err != nil {
		return 0, errors.Join(pool.ErrUnknown, err)
	}
	var revision int64
	for _, c := range w.Nodes {
		i := slices.IndexFunc(snap.Nodes, func(n *pool.Node) bool { return n.ID == c.After.ID })
		if i < 0 || !happened(snap.Nodes[i], c.After) {
			return 0, pool.ErrConflict
		}
		revision = max(revision, snap.Nodes[i].Revision)
	}
	if revision == 0 {
		return 0, pool.ErrConflict // not about nodes: decide again
	}
	return revision, nil
}

// happened tells whether a stored node is, or descends from, the one that we
// wrote. Timelines only grow, and nobody else writes our stamps.
func happened(stored, wrote *pool.Node) bool {
	if len(wrote.Timeline) > 0 && !slices.Contains(stored.Timeline, wrote.Timeline[len(wrote.Timeline)-1]) {
		return false
	}
	if stored.Batch != wrote.Batch || stored.BatchIndex != wrote.BatchIndex {
		return false
	}
	if len(wrote.Volumes) > 0 && !slices.Equal(stored.Volumes, wrote.Volumes) {
		return false
	}
	return wrote.ExposeAsked == nil || stored.ExposeAsked != nil && stored.ExposeAsked.Equal(*wrote.ExposeAsked)
}

// written is what became of one change.
type written struct {
	change   pool.Change[pool.Node]
	revision int64
	err      error
}

// commitNodes writes changes that are independent of one another: all at once
// if possible, else one by one, so that one that lost a race does not hold up
// the others.
func (l *Launcher) commitNodes(ctx context.Context, changes []pool.Change[pool.Node]) []written {
	revision, err := l.commit(ctx, pool.Write{Nodes: changes})
	results := make([]written, 0, len(changes))
	for _, c := range changes {
		one := written{c, revision, err}
		if len(changes) > 1 && errors.Is(err, pool.ErrConflict) {
			one.revision, one.err = l.commit(ctx, pool.Write{Nodes: []pool.Change[pool.Node]{c}})
		}
		results = append(results, one)
	}
	return results
}
