package uploader

import (
	"context"
	"errors"

	"poold/internal/sleep"
	"poold/pool"
)

// errOvertaken ends a transfer whose record was moved by somebody else.
var errOvertaken = errors.New("the record was moved by somebody else")

// save writes the next version of a transfer's record, and keeps at it while
// the store is away. A conflict can be a write of ours whose reply was lost:
// then the record is in the state it was or is to be in, and save goes on from
// it. Anything else is errOvertaken.
func (t *transfer) save(ctx context.Context, after *pool.Upload) error {
	for {
		w := pool.Write{By: pool.Uploader, Uploads: []pool.Change[pool.Upload]{pool.Update(t.record, after)}}
		revision, err := t.store.Apply(ctx, w)
		switch {
		case err == nil:
			t.record = after
			t.record.Revision = revision
			return nil
		case errors.Is(err, pool.ErrConflict):
			done, err := t.adopt(after)
			if err != nil || done {
				return err
			}
		case errors.Is(err, pool.ErrUnavailable), errors.Is(err, pool.ErrUnknown):
		default:
			return err
		}
		if err := sleep.For(ctx, again); err != nil {
			return err
		}
	}
}

// adopt takes the record as it is now, if that is what this transfer made of
// it, and tells whether after is already on record.
func (t *transfer) adopt(after *pool.Upload) (bool, error) {
	s := t.store.Snapshot()
	var current *pool.Upload
	for _, r := range s.Uploads {
		if keyOf(r) == keyOf(t.record) && r.Provider == t.record.Provider {
			current = r
		}
	}
	switch {
	case s.Revision <= t.record.Revision, current != nil && current.Revision <= t.record.Revision:
		// The snapshot is older than what caused the conflict.
		return false, nil
	case current == nil,
		current.ExternalID != t.record.ExternalID && current.ExternalID != after.ExternalID,
		current.State != t.record.State && current.State != after.State:
		return false, errOvertaken
	case current.State == after.State && current.State != t.record.State:
		t.record = current
		return true, nil
	}
	t.record = current
	after.Record = current.Record
	return false, nil
}
