package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"poold/pool"
	"poold/store/kv"
)

// history is what is known of earlier attempts at a write.
type history struct {
	// base is a revision before that of any attempt of this call.
	base int64
	// search says that the outcome of an attempt of this call is unknown.
	search bool
	// repeated says that an earlier call may have made the same attempt, and
	// its success is this call's.
	repeated bool
}

// refused finds out what it means that the conditions of a transaction do not
// hold: that it was done before, by an attempt whose reply was lost, and at
// which revision; that the fence fell; or that a record changed.
func (s *Store) refused(ctx context.Context, fence *Ownership, txn kv.Txn, past history) (int64, error) {
	revision, err := s.landed(ctx, txn, past)
	if revision != 0 || err != nil {
		return revision, err
	}
	if fence == nil {
		return 0, pool.ErrConflict
	}
	// A create_revision never comes back, so an ownership that holds now held
	// at the commit, and something else was in the way.
	it, err := s.kv.Get(ctx, fence.key)
	if errors.Is(err, kv.ErrNotFound) || err == nil && it.CreateRevision != fence.created {
		fence.lose()
		return 0, pool.ErrNotOwner
	}
	return 0, pool.ErrConflict
}

// landed returns the revision at which exactly this transaction happened, or 0
// if it did not.
func (s *Store) landed(ctx context.Context, txn kv.Txn, past history) (int64, error) {
	witness, same, err := s.compare(ctx, txn)
	if err != nil {
		return 0, err
	}
	switch {
	case !past.search && !past.repeated:
		return 0, nil
	case same && witness.Key != "":
		return witness.ModRevision, nil
	case same && past.search:
		// Everything was to be deleted and is gone, and we tried.
		return s.seen.Load(), nil
	case !past.search || witness.ModRevision <= past.base:
		// Either none of the records that were to stay is there, or none was
		// touched since: a transaction is done whole or not at all.
		return 0, nil
	}
	return s.search(ctx, txn, past.base, witness.ModRevision)
}

// compare reads what a transaction would have changed. The witness is what was
// put last of it, by whomever; same says that all is exactly as the transaction
// would have left it.
func (s *Store) compare(ctx context.Context, txn kv.Txn) (witness kv.Item, same bool, err error) {
	same = true
	for _, op := range txn.Then {
		it, err := s.kv.Get(ctx, op.Key)
		absent := errors.Is(err, kv.ErrNotFound)
		if err != nil && !absent {
			return kv.Item{}, false, translate(err)
		}
		if absent || op.Delete {
			same = same && absent == op.Delete
			continue
		}
		same = same && wrote(op, it) && (witness.Key == "" || it.ModRevision == witness.ModRevision)
		if it.ModRevision > witness.ModRevision {
			witness = it
		}
	}
	return witness, same, nil
}

// wrote tells whether an item is as a put leaves it.
func wrote(op kv.Op, it kv.Item) bool {
	return bytes.Equal(op.Value, it.Value) && (op.KeepLease || op.Lease == it.Lease)
}

// search goes through the changes of the revisions after base, up to one at
// which some record is known to have changed, for the transaction.
func (s *Store) search(ctx context.Context, txn kv.Txn, base, last int64) (int64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// The events of a revision are one transaction's, and a batch has whole
	// revisions.
	for b := range s.kv.Watch(ctx, s.keys.prefix, base) {
		if errors.Is(b.Err, kv.ErrCompacted) {
			return 0, fmt.Errorf("%w: %w", pool.ErrUnknown, b.Err)
		}
		if b.Err != nil {
			return 0, translate(b.Err)
		}
		found := map[int64]int{}
		for _, e := range b.Events {
			if made(txn, e) {
				found[e.Item.ModRevision]++
			}
		}
		for revision, n := range found {
			if n == len(txn.Then) {
				return revision, nil
			}
		}
		if b.Revision >= last {
			return 0, nil
		}
	}
	return 0, fmt.Errorf("%w: %w", pool.ErrUnknown, context.Cause(ctx))
}

// made tells whether an event is what one of the operations would have made.
func made(txn kv.Txn, e kv.Event) bool {
	for _, op := range txn.Then {
		if op.Key == e.Item.Key {
			if op.Delete || e.Type == kv.EventDelete {
				return op.Delete && e.Type == kv.EventDelete
			}
			return wrote(op, e.Item)
		}
	}
	return false
}
