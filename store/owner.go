package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"poold/pool"
	"poold/store/kv"
)

// owner is the value of an owner's key.
type owner struct {
	V    int    `json:"v"`
	Peer string `json:"peer"`
}

// Ownership is the right to write as the owner of something. The right lies in
// etcd, where every write compares it; what is known here may be out of date.
// It is safe for concurrent use.
type Ownership struct {
	store   *Store
	session *Session
	key     string
	created int64

	once sync.Once
	// lost is closed when the ownership is known to be over.
	lost chan struct{}
}

// Acquire waits until name, such as "allocator" or "provider/NAME", is owned
// by this session, and returns the ownership. peer is who others see as the
// owner. It watches and does not poll. It gives up when ctx ends or the session
// is over ([pool.ErrNotOwner]).
func (s *Store) Acquire(ctx context.Context, session *Session, name, peer string) (*Ownership, error) {
	return s.AcquireInTurn(ctx, session, name, peer, func(context.Context) error { return nil })
}

// AcquireInTurn is Acquire that waits for its turn before it tries to take what
// may be free.
func (s *Store) AcquireInTurn(
	ctx context.Context, session *Session, name, peer string, turn func(context.Context) error,
) (*Ownership, error) {
	ctx, cancel := session.context(ctx)
	defer cancel()
	for {
		if err := turn(ctx); err != nil {
			return nil, fmt.Errorf("acquire %s: %w", name, err)
		}
		own, err := s.TryAcquire(ctx, session, name, peer)
		if err == nil || ctx.Err() == nil && !errors.Is(err, pool.ErrConflict) && !errors.Is(err, pool.ErrUnavailable) {
			return own, err
		}
		if errors.Is(err, pool.ErrUnavailable) {
			sleep(ctx, longestRetry)
		} else {
			s.awaitRelease(ctx, s.keys.owner(name))
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("acquire %s: %w", name, context.Cause(ctx))
		}
	}
}

// TryAcquire is Acquire without the wait: [pool.ErrConflict] says that another
// owns it.
func (s *Store) TryAcquire(ctx context.Context, session *Session, name, peer string) (*Ownership, error) {
	key := s.keys.owner(name)
	if !session.claim(key) {
		return nil, fmt.Errorf("acquire %s: owned by this very session: %w", name, pool.ErrConflict)
	}
	created, err := s.take(ctx, session, key, peer)
	if err != nil {
		session.disclaim(key)
		return nil, fmt.Errorf("acquire %s: %w", name, err)
	}
	s.saw(created)
	return &Ownership{store: s, session: session, key: key, created: created, lost: make(chan struct{})}, nil
}

// take creates an owner's key and returns its create_revision.
func (s *Store) take(ctx context.Context, session *Session, key, peer string) (int64, error) {
	value, err := json.Marshal(owner{V: pool.RecordVersion, Peer: peer})
	if err != nil {
		return 0, fmt.Errorf("encode an owner: %w", err)
	}
	txn := kv.Txn{If: []kv.Cond{kv.Absent(key)}, Then: []kv.Op{kv.PutLeased(key, value, session.lease)}}
	for session.Left() > 0 {
		revision, done, err := s.kv.Commit(ctx, txn)
		switch {
		case err == nil && done:
			return revision, nil
		case errors.Is(err, kv.ErrNotFound):
			session.end()
			return 0, fmt.Errorf("the lease is dead: %w", pool.ErrNotOwner)
		case errors.Is(err, kv.ErrUnknown) && ctx.Err() == nil:
			sleep(ctx, firstRetry)
			continue
		case err != nil:
			return 0, translate(err)
		}
		it, err := s.kv.Get(ctx, key)
		switch {
		case errors.Is(err, kv.ErrNotFound):
			continue // let go meanwhile
		case err != nil:
			return 0, translate(err)
		case it.Lease == session.lease:
			// Taken by an attempt whose reply was lost, for no Ownership of
			// this session holds the key.
			return it.CreateRevision, nil
		}
		return 0, fmt.Errorf("%w: %s", pool.ErrConflict, it.Value)
	}
	return 0, fmt.Errorf("the session is over: %w", pool.ErrNotOwner)
}

// look reads a key and the revision that it was read at: the one to watch it
// from, for its own may have been compacted long ago.
func (s *Store) look(ctx context.Context, key string) (kv.Item, int64, error) {
	items, revision, err := s.kv.List(ctx, key)
	if err != nil {
		return kv.Item{}, 0, err
	}
	// The list is of every key that starts like this one.
	if i := slices.IndexFunc(items, func(it kv.Item) bool { return it.Key == key }); i >= 0 {
		return items[i], revision, nil
	}
	return kv.Item{}, revision, kv.ErrNotFound
}

// awaitRelease returns when a key may be free.
func (s *Store) awaitRelease(ctx context.Context, key string) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	_, from, err := s.look(ctx, key)
	if errors.Is(err, kv.ErrNotFound) {
		return
	}
	if err != nil {
		sleep(ctx, longestRetry)
		return
	}
	for b := range s.kv.Watch(ctx, key, from) {
		if b.Err != nil {
			sleep(ctx, firstRetry)
			return
		}
		for _, e := range b.Events {
			if e.Item.Key == key && e.Type == kv.EventDelete {
				return
			}
		}
	}
}

// Owner returns the peer that owns name, or [pool.ErrNotFound].
func (s *Store) Owner(ctx context.Context, name string) (string, error) {
	it, err := s.kv.Get(ctx, s.keys.owner(name))
	if err != nil {
		return "", fmt.Errorf("owner of %s: %w", name, translate(err))
	}
	var o owner
	if err := json.Unmarshal(it.Value, &o); err != nil {
		return "", fmt.Errorf("owner of %s: %w", name, err)
	}
	return o.Peer, nil
}

// Key is the key in etcd that holds the ownership.
func (o *Ownership) Key() string { return o.key }

// CreateRevision is the fencing token: every later owner has a higher one.
func (o *Ownership) CreateRevision() int64 { return o.created }

// Left returns how long the ownership is safe yet; see [Session.Left].
func (o *Ownership) Left() time.Duration {
	if o.over() {
		return 0
	}
	return o.session.Left()
}

// Context returns a context for work as owner. It ends with the cause
// [pool.ErrNotOwner] a margin before the lease can have died, and as soon as
// the key is seen to change hands. The session's Run must be running. Call
// cancel when the work is over.
func (o *Ownership) Context(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go o.guard(ctx)
	go func() {
		select {
		case <-o.lost:
			cancel(pool.ErrNotOwner)
		case <-o.session.done:
			cancel(pool.ErrNotOwner)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(context.Canceled) }
}

// guard watches the key until ctx ends.
func (o *Ownership) guard(ctx context.Context) {
	from := o.created
	for ctx.Err() == nil {
		for b := range o.store.kv.Watch(ctx, o.key, from) {
			if b.Err != nil {
				break
			}
			for _, e := range b.Events {
				if e.Item.Key == o.key && e.Item.CreateRevision != o.created {
					o.lose() // deleted, or another's
				}
			}
			from = b.Revision
		}
		sleep(ctx, longestRetry)
		if ctx.Err() != nil {
			return
		}
		// The watch broke, maybe for compaction: what is there now?
		it, revision, err := o.store.look(ctx, o.key)
		switch {
		case errors.Is(err, kv.ErrNotFound), err == nil && it.CreateRevision != o.created:
			o.lose()
		case err == nil:
			from = revision
		}
	}
}

// Release gives the ownership up, and is a success if it was lost before. Stop
// the work first: the contexts end.
func (o *Ownership) Release(ctx context.Context) error {
	o.lose()
	o.session.disclaim(o.key)
	txn := kv.Txn{If: []kv.Cond{kv.Created(o.key, o.created)}, Then: []kv.Op{kv.Delete(o.key)}}
	for {
		_, _, err := o.store.kv.Commit(ctx, txn)
		if errors.Is(err, kv.ErrUnknown) && ctx.Err() == nil {
			sleep(ctx, firstRetry)
			continue
		}
		if err != nil {
			return fmt.Errorf("release %s: %w", o.key, translate(err))
		}
		return nil
	}
}

func (o *Ownership) lose() { o.once.Do(func() { close(o.lost) }) }

// over tells whether the ownership is known to be over; nil never is.
func (o *Ownership) over() bool {
	if o == nil {
		return false
	}
	select {
	case <-o.lost:
		return true
	case <-o.session.done:
		return true
	default:
		return false
	}
}

// context returns a context that ends with the session, too.
func (s *Session) context(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-s.done:
			cancel(fmt.Errorf("the session is over: %w", pool.ErrNotOwner))
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(context.Canceled) }
}
