package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"poold/pool"
	"poold/store/kv"
)

// The pauses between the attempts of a write whose outcome is unknown.
const (
	firstRetry   = 100 * time.Millisecond
	longestRetry = 2 * time.Second
)

// Apply does a write as the owner of fence, all of it or nothing, and returns
// the revision it made. A nil fence compares no owner; it is for poolctl and
// tests.
//
// The errors that are decided upon: [pool.ErrConflict] if a record changed,
// [pool.ErrNotOwner] if the ownership is over, [pool.ErrUnavailable] if etcd
// was not reached; with each nothing was written. *[pool.TransitionError] is a
// move that the tables do not have. A write whose reply was lost is repeated
// until it is known; if ctx or the ownership ends before, [pool.ErrUnknown]. A
// write that already happened exactly like this is done, not in conflict.
func (s *Store) Apply(ctx context.Context, fence *Ownership, w pool.Write) (int64, error) {
	revision, err := s.apply(ctx, fence, w, assume)
	if len(w.Gone) > 0 && errors.Is(err, pool.ErrConflict) {
		// There may be another request at the key of one that is gone.
		revision, err = s.apply(ctx, fence, w, verify)
	}
	if err != nil {
		return 0, fmt.Errorf("write as %s: %w", w.By, err)
	}
	s.tell(w)
	return revision, nil
}

// Operate is [Store.Apply] of an operator, who owns nothing.
func (s *Store) Operate(ctx context.Context, w pool.Write) (int64, error) {
	w.By = pool.Operator
	return s.Apply(ctx, nil, w)
}

// absence is how it is made sure that a request is gone.
type absence int

const (
	// assume that there is nothing at its key, which is nearly always so.
	assume absence = iota
	// verify what is at its key.
	verify
)

func (s *Store) apply(ctx context.Context, fence *Ownership, w pool.Write, gone absence) (int64, error) {
	p := plan{store: s, by: w.By, gone: gone, own: map[string]ownWrite{}}
	if err := p.add(ctx, fence, w); err != nil {
		return 0, err
	}
	s.own.expect(p.own)
	revision, err := s.settle(ctx, fence, p.txn)
	if err != nil {
		s.own.forget(p.own)
	}
	return revision, err
}

// settle commits a transaction until its outcome is known.
func (s *Store) settle(ctx context.Context, fence *Ownership, txn kv.Txn) (int64, error) {
	base, err := s.base(ctx)
	if err != nil {
		return 0, err
	}
	if fence.over() {
		return 0, pool.ErrNotOwner
	}
	// An owner that repeats a write, ids and all, means the same one; anybody
	// else who makes what exists already was not first.
	past := history{base: base, repeated: fence != nil}
	for pause := firstRetry; ; pause = min(2*pause, longestRetry) {
		revision, err := s.attempt(ctx, fence, txn, past)
		if err == nil {
			s.saw(revision)
			return revision, nil
		}
		if errors.Is(err, kv.ErrUnknown) {
			past.search = true
		}
		if !past.search || definite(err) {
			return 0, translate(err)
		}
		// Unknown, and nothing that came since has settled it: the same again.
		sleep(ctx, pause)
		if ctx.Err() != nil || fence.over() {
			return 0, fmt.Errorf("%w: %w", pool.ErrUnknown, errors.Join(err, context.Cause(ctx)))
		}
	}
}

// attempt commits once. If the conditions do not hold it finds out why.
func (s *Store) attempt(ctx context.Context, fence *Ownership, txn kv.Txn, past history) (int64, error) {
	revision, done, err := s.kv.Commit(ctx, txn)
	if err != nil || done {
		return revision, err
	}
	s.saw(revision)
	return s.refused(ctx, fence, txn, past)
}

// definite tells whether an error settles what became of a write whose outcome
// was unknown before.
func definite(err error) bool {
	return errors.Is(err, pool.ErrConflict) || errors.Is(err, pool.ErrNotOwner) || errors.Is(err, pool.ErrUnknown)
}

// base returns a revision before that of any write made from now on, which is
// where the search for a lost write begins.
func (s *Store) base(ctx context.Context) (int64, error) {
	if seen := s.seen.Load(); seen > 0 {
		return seen, nil
	}
	_, revision, err := s.kv.List(ctx, s.keys.installation())
	if err != nil {
		return 0, translate(err)
	}
	s.saw(revision)
	return revision, nil
}

// plan is a transaction in the making.
type plan struct {
	store *Store
	by    pool.Actor
	gone  absence
	txn   kv.Txn
	own   map[string]ownWrite
}

// add checks a write and turns all of it into conditions and changes.
func (p *plan) add(ctx context.Context, fence *Ownership, w pool.Write) error {
	if fence != nil {
		p.txn.If = append(p.txn.If, kv.Created(fence.key, fence.created))
	}
	if err := p.addStateful(w); err != nil {
		return err
	}
	if err := p.addStateless(w); err != nil {
		return err
	}
	if err := p.addRequests(ctx, w); err != nil {
		return err
	}
	if err := p.txn.Validate(); err != nil {
		return err
	}
	if len(p.txn.Then) == 0 {
		return errors.New("it changes nothing")
	}
	return nil
}

// addStateful adds the records whose moves the tables rule.
func (p *plan) addStateful(w pool.Write) error {
	c := &p.store.codec
	for _, ch := range w.Nodes {
		if err := checkGiven(ch); err != nil {
			return err
		}
	}
	for _, ch := range w.Allocations {
		if err := checkAllocation(ch, p.by); err != nil {
			return err
		}
		if err := addChange(p, c.allocations, ch); err != nil {
			return err
		}
	}
	return errors.Join(
		addMoves(p, c.nodes, pool.NodeMachine(), nodeState, w.Nodes),
		addMoves(p, c.builds, pool.BuildMachine(), buildState, w.Builds),
		addMoves(p, c.uploads, pool.UploadMachine(), uploadState, w.Uploads),
	)
}

// addMoves adds the changes of one kind whose states a table rules.
func addMoves[T any, S ~string](p *plan, c kind[T], m pool.Machine[S], state func(*T) *S, changes []pool.Change[T]) error {
	for _, ch := range changes {
		if err := checkMove(m, state, ch, p.by); err != nil {
			return err
		}
		if err := addChange(p, c, ch); err != nil {
			return err
		}
	}
	return nil
}

func nodeState(n *pool.Node) *pool.NodeState { return &n.State }

func buildState(b *pool.Build) *pool.BuildState { return &b.State }

func uploadState(u *pool.Upload) *pool.UploadState { return &u.State }

// addStateless adds quotas, healths, penalties, pauses, drains, offers, the freeze and commands.
func (p *plan) addStateless(w pool.Write) error {
	if err := errors.Join(
		addChanges(p, p.store.codec.quotas, w.Quotas),
		addChanges(p, p.store.codec.healths, w.Healths),
		addChanges(p, p.store.codec.penalties, w.Penalties),
		addChanges(p, p.store.codec.freezes, w.Freezes),
		addChanges(p, p.store.codec.pauses, w.Pauses),
		addChanges(p, p.store.codec.drains, w.Drains),
		addChanges(p, p.store.codec.offers, w.Offers),
	); err != nil {
		return err
	}
	for _, ch := range w.Commands {
		if ch.Before == nil {
			return errors.New("a command is made with PutCommand")
		}
		if err := addChange(p, p.store.codec.commands, ch); err != nil {
			return err
		}
		if last := &p.txn.Then[len(p.txn.Then)-1]; !last.Delete {
			last.KeepLease = true // its result must not outlive the question
		}
	}
	return nil
}

// addChanges adds the changes of one kind that no table rules.
func addChanges[T any](p *plan, c kind[T], changes []pool.Change[T]) error {
	for _, ch := range changes {
		if err := addChange(p, c, ch); err != nil {
			return err
		}
	}
	return nil
}

// addRequests adds what a write says of requests.
func (p *plan) addRequests(ctx context.Context, w pool.Write) error {
	for _, ch := range w.Requests {
		if ch.After != nil || ch.Before == nil {
			return errors.New("requests belong to their clients and may only be removed")
		}
		if err := addChange(p, p.store.codec.requests, ch); err != nil {
			return err
		}
	}
	for _, r := range w.Unchanged {
		p.txn.If = append(p.txn.If, kv.Unchanged(p.store.keys.request(r.Client, r.ID), r.Revision))
	}
	for _, ref := range w.Gone {
		if p.gone == assume {
			p.txn.If = append(p.txn.If, kv.Absent(p.store.keys.request(ref.Client, ref.ID)))
			continue
		}
		cond, err := p.store.gone(ctx, ref)
		if err != nil {
			return err
		}
		p.txn.If = append(p.txn.If, cond)
	}
	return nil
}

// gone reads the key of a request that must be gone, and returns the condition
// that what was seen is still so: no key, or another request at it.
func (s *Store) gone(ctx context.Context, ref pool.RequestRef) (kv.Cond, error) {
	key := s.keys.request(ref.Client, ref.ID)
	it, err := s.kv.Get(ctx, key)
	switch {
	case errors.Is(err, kv.ErrNotFound):
		return kv.Absent(key), nil
	case err != nil:
		return kv.Cond{}, translate(err)
	case it.CreateRevision == ref.CreateRevision:
		return kv.Cond{}, fmt.Errorf("request %s/%s is still there: %w", ref.Client, ref.ID, pool.ErrConflict)
	}
	return kv.Created(key, it.CreateRevision), nil
}

// addChange adds the condition and the operation of one change.
func addChange[T any](p *plan, c kind[T], ch pool.Change[T]) error {
	if ch.Before == nil && ch.After == nil {
		return fmt.Errorf("a change of a %s that is neither before nor after", c.name)
	}
	key, err := keyOf(p.store.keys, c, ch)
	if err != nil {
		return err
	}
	if ch.Before == nil {
		p.txn.If = append(p.txn.If, kv.Absent(key))
	} else {
		record, _ := c.meta(ch.Before)
		if record.Revision == 0 {
			return fmt.Errorf("%s was never read, so it cannot be changed", key)
		}
		p.txn.If = append(p.txn.If, kv.Unchanged(key, record.Revision))
	}
	if ch.After == nil {
		p.txn.Then = append(p.txn.Then, kv.Delete(key))
		return nil
	}
	as := p.store.writes()
	value, err := c.encode(ch.After, as)
	if err != nil {
		return err
	}
	p.txn.Then = append(p.txn.Then, kv.Put(key, value))
	if c.immutable {
		p.own[key] = ownWrite{value: value, record: ch.After, version: as}
	}
	return nil
}

// keyOf returns the key of a change, the same before and after, from which
// every name can be read again.
func keyOf[T any](k keys, c kind[T], ch pool.Change[T]) (string, error) {
	r := ch.After
	if r == nil {
		r = ch.Before
	}
	key := c.key(k, r)
	if ch.Before != nil && c.key(k, ch.Before) != key {
		return "", fmt.Errorf("%s became %s: a record never changes its key", c.key(k, ch.Before), key)
	}
	if k.parse(key).family == familyNone {
		return "", fmt.Errorf("%s is no key of a %s: a name is empty", key, c.name)
	}
	return key, nil
}

// checkMove asks the table of a record's states. Only a record at the end of
// its life may be removed.
func checkMove[T any, S ~string](m pool.Machine[S], state func(*T) *S, ch pool.Change[T], by pool.Actor) error {
	switch {
	case ch.After == nil && ch.Before == nil:
		return nil // refused elsewhere
	case ch.After == nil:
		if from := *state(ch.Before); from != m.Terminal {
			return &pool.TransitionError{Kind: m.Kind, From: string(from), To: "", By: by}
		}
		return nil
	case ch.Before == nil:
		return m.CheckWrite(nil, *state(ch.After), by)
	}
	return m.CheckWrite(state(ch.Before), *state(ch.After), by)
}

// checkAllocation is checkMove for allocations: one that is answered at once
// is created in the state that it would have moved to, and it has no end.
func checkAllocation(ch pool.Change[pool.Allocation], by pool.Actor) error {
	m := pool.AllocationMachine()
	before := m.Initial
	switch {
	case ch.After == nil:
		return nil
	case ch.Before != nil:
		before = ch.Before.State
	}
	return m.CheckWrite(&before, ch.After.State, by)
}

// checkGiven refuses to give a node to a second request.
func checkGiven(ch pool.Change[pool.Node]) error {
	if ch.Before == nil || ch.After == nil || ch.Before.AllocatedTo == nil || ch.After.AllocatedTo == nil {
		return nil
	}
	if *ch.Before.AllocatedTo != *ch.After.AllocatedTo {
		return fmt.Errorf("node %s belongs to request %s/%s and cannot be given to another",
			ch.After.ID, ch.Before.AllocatedTo.Client, ch.Before.AllocatedTo.ID)
	}
	return nil
}

// tell logs every move of a write that was done.
func (s *Store) tell(w pool.Write) {
	for _, ch := range w.Nodes {
		tellMove(s.log, "node moved", nodeState, ch, func(n *pool.Node) (time.Time, []zap.Field) {
			return n.Since, []zap.Field{
				zap.String("node", string(n.ID)), zap.String("provider", n.Provider),
				zap.String("label", n.Label), zap.String("reason", n.Reason),
			}
		})
	}
	for _, ch := range w.Builds {
		tellMove(s.log, "build moved", buildState, ch, func(b *pool.Build) (time.Time, []zap.Field) {
			return b.Since, []zap.Field{
				zap.String("image", b.Image), zap.String("build", b.ID), zap.String("reason", b.Error),
			}
		})
	}
	for _, ch := range w.Uploads {
		tellMove(s.log, "upload moved", uploadState, ch, func(u *pool.Upload) (time.Time, []zap.Field) {
			return u.Since, []zap.Field{
				zap.String("image", u.Image), zap.String("build", u.Build),
				zap.String("provider", u.Provider), zap.String("reason", u.Error),
			}
		})
	}
}

// tellMove logs one change if it is a move. Elapsed is the time spent in the
// state that was left.
func tellMove[T any, S ~string](
	log *zap.Logger, message string, state func(*T) *S, ch pool.Change[T],
	describe func(*T) (since time.Time, fields []zap.Field),
) {
	if ch.After == nil || ch.Before != nil && *state(ch.Before) == *state(ch.After) {
		return
	}
	since, fields := describe(ch.After)
	from, elapsed := S(""), time.Duration(0)
	if ch.Before != nil {
		before, _ := describe(ch.Before)
		from, elapsed = *state(ch.Before), since.Sub(before)
	}
	log.Info(message, append(fields, zap.String("from", string(from)),
		zap.String("to", string(*state(ch.After))), zap.Duration("elapsed", elapsed))...)
}
