package daemon

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"poold/store/kv"
)

// refusalLasts is how long a refused change tells that etcd takes none. What is
// refused is tried again more often than that.
const refusalLasts = time.Minute

// noted is a store that remembers whether it took the last change: one without
// space answers everything else as ever.
type noted struct {
	kv.KV

	last atomic.Pointer[refusal]
}

// refusal is a change that was not taken.
type refusal struct {
	at  time.Time
	err error
}

// Commit is part of kv.KV.
func (n *noted) Commit(ctx context.Context, txn kv.Txn) (int64, bool, error) {
	revision, done, err := n.KV.Commit(ctx, txn)
	switch {
	case errors.Is(err, kv.ErrUnavailable), errors.Is(err, kv.ErrUnknown):
		n.last.Store(&refusal{time.Now(), err})
	case done:
		n.last.Store(nil)
	}
	return revision, done, err
}

// refused is why a change was not taken lately, or nil.
func (n *noted) refused(now time.Time) error {
	last := n.last.Load()
	if last == nil || now.Sub(last.at) > refusalLasts {
		return nil
	}
	return last.err
}
