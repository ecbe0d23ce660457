package daemon

import (
	"context"
	"errors"
)

// errOthers ends a duty that belongs to another peer.
var errOthers = errors.New("it belongs to another peer")

// turn waits until this peer should try to take a duty.
func (d *Daemon) turn(key string) func(ctx context.Context) error {
	return func(ctx context.Context) error { return d.spread.Await(ctx, key, d.view.Load().Snapshot()) }
}

// untilOthers returns a context that ends with errOthers when a duty of this
// peer is to be handed over.
func (d *Daemon) untilOthers(ctx context.Context, key string) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		if d.spread.AwaitOther(ctx, key) {
			cancel(errOthers)
		}
	}()
	return ctx, func() { cancel(context.Canceled) }
}
