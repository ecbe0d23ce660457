package memkv

import (
	"context"
	"time"
)

// Run advances the store's clock with the wall clock, ten times a second,
// until ctx ends, and returns its cause.
func (k *KV) Run(ctx context.Context) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		k.Advance(time.Now())
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
