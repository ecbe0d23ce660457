package daemon

import (
	"context"
	"fmt"

	"poold/cloud"
	"poold/pool"
	"poold/store"
)

type ownershipKey struct{}

// withOwnership says as whose owner the calls under the context are made.
func withOwnership(ctx context.Context, o *store.Ownership) context.Context {
	return context.WithValue(ctx, ownershipKey{}, o)
}

// leased refuses the calls of an owner whose time is up. His context ends, too,
// but only when somebody runs to end it: a process that was stopped, or on a
// machine that was suspended, may come to its next call first.
func leased(ctx context.Context, call cloud.Call) error {
	if o, _ := ctx.Value(ownershipKey{}).(*store.Ownership); o != nil && o.Left() <= 0 {
		return fmt.Errorf("%s %s: the lease is over: %w", call.Service, call.Operation, pool.ErrNotOwner)
	}
	return nil
}
