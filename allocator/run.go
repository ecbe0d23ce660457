package allocator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"poold/internal/rest"
	"poold/pool"
)

const (
	// inParallel is how many writes are under way at once.
	inParallel = 64
	// retryConflict is when to look again after a lost race, if the change
	// that won it is not heard of sooner; retryError after any other failure.
	retryConflict = 100 * time.Millisecond
	retryError    = time.Second
	// longestWait bounds the time between two passes, for a catalog that
	// changed without a record changing.
	longestWait = 10 * time.Second
)

// Store is what the allocator needs of the store.
type Store interface {
	// Snapshot returns the records as last heard of, or nil before the first.
	Snapshot() *pool.Snapshot
	// Changed receives, without a backlog, when Snapshot has changed.
	Changed() <-chan struct{}
	// Apply makes one atomic write as the owner of the allocator's role and
	// returns its revision. It resolves an unknown outcome by itself; an
	// ErrUnknown that it returns nevertheless ends Run.
	Apply(ctx context.Context, w pool.Write) (int64, error)
}

// Config is what an Allocator is made of; all of it but Now and Registerer is
// required.
type Config struct {
	Store Store
	// Catalog returns the catalog to decide by; nil means to wait.
	Catalog func() *pool.Catalog
	// Now is the time that the peers agree on; nil is this machine's.
	Now func() time.Time
	// Random is what ids are minted from.
	Random     io.Reader
	Log        *zap.Logger
	Registerer prometheus.Registerer
}

// Allocator is the loop around [Decide].
type Allocator struct {
	Config
	metrics *metrics
	// frozen tells whether launching was frozen at the last pass of Run.
	frozen bool
}

// New makes an Allocator. Its metrics can be registered once.
func New(c Config) *Allocator {
	c.Log = c.Log.Named("allocator")
	return &Allocator{Config: c, metrics: newMetrics(c.Registerer)}
}

// Run decides and writes until the context ends or the role is lost, and
// returns which: the context's cause, pool.ErrNotOwner, or pool.ErrUnknown
// when a write may or may not have happened. It is to be run by the owner of
// the role, one at a time.
func (a *Allocator) Run(ctx context.Context) error {
	defer a.metrics.reset()
	var written int64 // nothing is decided on a snapshot before it
	var pace rest.Rest
	for {
		began := a.now()
		wait, until := longestWait, began
		if s, c := a.Store.Snapshot(), a.Catalog(); s != nil && c != nil && s.Revision >= written {
			done, err := a.pass(ctx, s, c)
			if err != nil {
				return err
			}
			written = max(written, done.revision)
			wait = min(wait, done.again)
			until = done.decided.Add(pace.After(done.decided.Sub(began)))
		}
		if err := a.wait(ctx, wait, until); err != nil {
			return err
		}
	}
}

func (a *Allocator) now() time.Time {
	if a.Now == nil {
		return time.Now()
	}
	return a.Now()
}

// wait returns at the next change or after a time, but not before the rest is
// over.
func (a *Allocator) wait(ctx context.Context, most time.Duration, until time.Time) error {
	timer := time.NewTimer(max(0, most))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	case _, ok := <-a.Store.Changed():
		if !ok {
			return errors.New("the store tells of no more changes")
		}
	}
	left := until.Sub(a.now())
	if left <= 0 {
		return nil
	}
	gather := time.NewTimer(left)
	defer gather.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-gather.C:
	}
	select {
	case <-a.Store.Changed():
	default:
	}
	return nil
}

// passed is what came of a pass.
type passed struct {
	// revision is that of the last write, again how long to wait at most.
	revision int64
	again    time.Duration
	// decided is when the plan was made.
	decided time.Time
}

// pass decides once and writes the plan.
func (a *Allocator) pass(ctx context.Context, s *pool.Snapshot, c *pool.Catalog) (passed, error) {
	now := a.now()
	plan := Decide(s, c, now)
	decided := a.now()
	a.metrics.decide.Observe(decided.Sub(now).Seconds())
	a.metrics.observe(&plan)
	a.tellFrozen(&plan)
	if len(plan.Decisions) > 0 {
		a.Log.Debug("plan made", zap.Int64("revision", s.Revision), zap.String("plan", plan.Summary()))
	}
	deeds := make([]deed, len(plan.Decisions))
	for i := range plan.Decisions {
		w, err := a.mint(&plan.Decisions[i])
		if err != nil {
			return passed{}, err
		}
		deeds[i] = deed{&plan.Decisions[i], w}
	}
	t := &tally{again: longestWait}
	if !plan.Next.IsZero() {
		// Stored times are whole milliseconds, this one is not.
		t.again = min(t.again, plan.Next.Sub(now)+time.Millisecond)
	}
	// A write of etcd waits for the one that goes to the disk: what nobody
	// waits for, like the next ready node, comes after the answers.
	answers := afterAnswers(deeds)
	for _, part := range [][]deed{deeds[:answers], deeds[answers:]} {
		if err := a.write(ctx, part, t); err != nil {
			return passed{}, err
		}
	}
	a.metrics.lastPass.SetToCurrentTime()
	return passed{t.revision, t.again, decided}, nil
}

// tellFrozen logs when launching stops everywhere, and when it goes on.
func (a *Allocator) tellFrozen(p *Plan) {
	if frozen := p.Frozen != ""; frozen != a.frozen {
		a.frozen = frozen
		if !frozen {
			a.Log.Info("launching goes on")
			return
		}
		a.Log.Error("launching stopped everywhere", zap.String("reason", p.Frozen))
	}
}

// mint gives the new nodes of a decision their ids. The ids belong to this
// write: whoever repeats it repeats them.
func (a *Allocator) mint(d *Decision) (pool.Write, error) {
	w := d.Write
	for _, l := range d.Launches {
		for range l.Count {
			id, err := pool.NewNodeID(a.Random)
			if err != nil {
				return w, err
			}
			n := l.Node.Clone()
			n.ID = id
			w.Nodes = append(w.Nodes, pool.Create(n))
		}
	}
	return w, nil
}

// afterAnswers is the index of the first deed after all that give nodes.
func afterAnswers(deeds []deed) int {
	for i := len(deeds); i > 0; i-- {
		if deeds[i-1].decision.Operation == OpServe {
			return i
		}
	}
	return 0
}

// write writes deeds, many at once.
func (a *Allocator) write(ctx context.Context, deeds []deed, t *tally) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(inParallel)
	for _, group := range grouped(deeds) {
		g.Go(func() error { return a.apply(ctx, group, t) })
	}
	return g.Wait()
}

// tally is what came of the writes of one plan.
type tally struct {
	mu       sync.Mutex // guards what follows
	revision int64
	again    time.Duration
}

func (t *tally) wrote(revision int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.revision = max(t.revision, revision)
}

func (t *tally) retry(after time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.again = min(t.again, after)
}

// apply writes a group as one, or one by one if that is not possible: who lost
// a race must not hold up the others. An error means that nothing more may be
// written.
func (a *Allocator) apply(ctx context.Context, group []deed, t *tally) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	revision, err := a.Store.Apply(ctx, together(group))
	first := group[0].decision
	switch {
	case err == nil:
		t.wrote(revision)
		for _, d := range group {
			a.written(d.decision)
		}
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, pool.ErrNotOwner), errors.Is(err, pool.ErrUnknown):
		// A write of unknown outcome may have launched nodes that the
		// snapshot does not show; whoever is next begins with a full read.
		return fmt.Errorf("%s %s: %w", first.Operation, first.Subject, err)
	case len(group) == 1:
		a.refused(first, err, t)
		return nil
	}
	for i := range group {
		if err := a.apply(ctx, group[i:i+1], t); err != nil {
			return err
		}
	}
	return nil
}

func (a *Allocator) written(d *Decision) {
	a.count(d, "written")
	if d.Operation == OpServe {
		a.metrics.latency.Observe(d.Latency.Seconds())
	}
}

// refused takes note of a decision that was not written.
func (a *Allocator) refused(d *Decision, err error, t *tally) {
	switch {
	case errors.Is(err, pool.ErrConflict):
		a.count(d, "conflict")
		t.retry(retryConflict)
	case errors.Is(err, pool.ErrUnavailable):
		a.count(d, "unavailable")
		t.retry(retryError)
	default:
		a.count(d, "refused")
		a.Log.Error("decision refused", zap.String("operation", string(d.Operation)),
			zap.String("subject", d.Subject), zap.String("reason", d.Reason), zap.Error(err))
		t.retry(retryError)
	}
}

func (a *Allocator) count(d *Decision, outcome string) {
	a.metrics.decisions.WithLabelValues(string(d.Operation), outcome).Inc()
}
