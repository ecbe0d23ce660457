package daemon

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"poold/peers"
	"poold/pool"
	"poold/store"
)

// errClock ends the session, so that all duties begin anew with another time.
var errClock = errors.New("the clock of this machine differs from that of the other peers")

// setClock tells the others what time it is, as the owner of the allocator's
// duty and again when one has joined, until ctx ends.
func (d *Daemon) setClock(ctx context.Context, records *store.Owned, joined <-chan struct{}) error {
	tick := time.NewTicker(peers.BeatEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-joined:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := d.tellTime(ctx, records); err != nil {
			return err
		}
	}
}

// tellTime tells it once. The error is that others do so now.
func (d *Daemon) tellTime(ctx context.Context, records *store.Owned) error {
	err := records.SetClock(ctx, d.name, d.clock.Tell())
	if errors.Is(err, pool.ErrNotOwner) {
		return err
	}
	if err != nil && ctx.Err() == nil {
		d.log.Warn("the other peers do not learn what time it is", zap.Error(err))
	}
	return nil
}

// followClock sets this peer's clock by those that tell the time after a revision,
// until ctx ends or what its duties have measured has no meaning any more.
func (d *Daemon) followClock(ctx context.Context, from int64) error {
	return d.store.FollowClock(ctx, from, func(peer string, at time.Time) error {
		if peer == d.name {
			return nil
		}
		changed := d.clock.Hear(at)
		if changed == 0 {
			return nil
		}
		d.log.Warn("clock set by that of another peer; keep the machines' clocks right",
			zap.String("peer", peer), zap.Duration("by", changed))
		if changed.Abs() >= peers.ClockJump {
			return errClock
		}
		return nil
	})
}
