package daemon

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"poold/pool"
	"poold/store"
)

const (
	// beatEvery is how often the peer that allocates tells what time it is; who
	// comes in between is told at once.
	beatEvery = 30 * time.Second
	// beatsKept is by how many of them a peer sets its clock. They come late,
	// after a freeze by minutes, and never early: the one that says the most
	// counts.
	beatsKept = 4
	// clockSlack is a difference that nobody minds; with one of clockJump, what
	// was measured before has no meaning any more.
	clockSlack, clockJump = time.Second, 10 * time.Second
	// mending is by which part of the time that passes the peer that tells the
	// time goes back to its own clock: if it was told a wrong one, that heals.
	mending = 100
)

// errClock ends the session, so that all duties begin anew with another time.
var errClock = errors.New("the clock of this machine differs from that of the other peers")

// clock is the time that the peers agree on, whatever their machines' clocks
// say. The times in the records are of it, and so everything that is due some
// time after one of them. It is safe for concurrent use.
type clock struct {
	// own is the machine's clock.
	own func() time.Time

	mu sync.Mutex // guards what follows
	// ahead is what is added to it.
	ahead time.Duration
	// beats are how far the last ones that were heard were ahead.
	beats []time.Duration
	// told is when the time was last told to the others.
	told time.Time
}

// now is the time.
func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.own().Add(c.ahead)
}

// hear sets the clock by what another peer says, and returns by how much it was
// changed.
func (c *clock) hear(at time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told = time.Time{}
	c.beats = append(c.beats, at.Sub(c.own()))
	c.beats = c.beats[max(0, len(c.beats)-beatsKept):]
	most := c.beats[0]
	for _, b := range c.beats {
		most = max(most, b)
	}
	changed := most - c.ahead
	if changed.Abs() <= clockSlack {
		return 0
	}
	c.ahead = most
	return changed
}

// tell returns the time for the others.
func (c *clock) tell() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.beats = nil
	own := c.own()
	if !c.told.IsZero() {
		mend := own.Sub(c.told) / mending
		c.ahead -= max(-mend, min(mend, c.ahead))
	}
	c.told = own
	return own.Add(c.ahead)
}

// setClock tells the others what time it is, as the owner of the allocator's
// duty, until ctx ends.
func (d *Daemon) setClock(ctx context.Context, records *store.Owned) error {
	joined, cancel := d.view.Load().SubscribePeers()
	defer cancel()
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		err := records.SetClock(ctx, d.name, d.clock.tell())
		if errors.Is(err, pool.ErrNotOwner) {
			return err
		}
		if err != nil && ctx.Err() == nil {
			d.log.Warn("the other peers do not learn what time it is", zap.Error(err))
		}
		select {
		case <-tick.C:
		case <-joined:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// followClock sets this peer's clock by those that tell the time after a revision,
// until ctx ends or what its duties have measured has no meaning any more.
func (d *Daemon) followClock(ctx context.Context, from int64) error {
	return d.store.FollowClock(ctx, from, func(peer string, at time.Time) error {
		if peer == d.name {
			return nil
		}
		changed := d.clock.hear(at)
		if changed == 0 {
			return nil
		}
		d.log.Warn("clock set by that of another peer; keep the machines' clocks right",
			zap.String("peer", peer), zap.Duration("by", changed))
		if changed.Abs() >= clockJump {
			return errClock
		}
		return nil
	})
}
