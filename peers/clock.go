package peers

import (
	"sync"
	"time"
)

const (
	// BeatEvery is how often the peer that allocates tells what time it is; who
	// comes in between is told at once.
	BeatEvery = 30 * time.Second
	// beatsKept is by how many of them a peer sets its clock. They come late,
	// after a freeze by minutes, and never early: the one that says the most
	// counts.
	beatsKept = 4
	// ClockSlack is a difference that nobody minds.
	ClockSlack = time.Second
	// ClockJump is one with which what was measured before has no meaning any
	// more.
	ClockJump = 10 * time.Second
	// believed is the most that the time is set forward by what was told before one
	// listened: a machine that was years ahead once is not to be followed for ever.
	believed = time.Hour
	// mending is by which part of the time that passes the peer that tells the
	// time goes back to its own clock: if it was told a wrong one, that heals.
	mending = 100
)

// Clock is the time that the peers agree on, whatever their machines' clocks
// say. The times in the records are of it, and so everything that is due some
// time after one of them. It is safe for concurrent use.
type Clock struct {
	// Own is the machine's clock, such as [time.Now].
	Own func() time.Time

	mu sync.Mutex // guards what follows
	// ahead is what is added to it.
	ahead time.Duration
	// beats are how far the last ones that were heard were ahead.
	beats []time.Duration
	// told is when the time was last told to the others.
	told time.Time
}

// Now is the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Own().Add(c.ahead)
}

// Hear sets the clock by what another peer says, and returns by how much it was
// changed.
func (c *Clock) Hear(at time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told = time.Time{}
	c.beats = append(c.beats, at.Sub(c.Own()))
	c.beats = c.beats[max(0, len(c.beats)-beatsKept):]
	most := c.beats[0]
	for _, b := range c.beats {
		most = max(most, b)
	}
	changed := most - c.ahead
	if changed.Abs() <= ClockSlack {
		return 0
	}
	c.ahead = most
	return changed
}

// NotBefore sets the clock forward to a time that another told before one listened,
// and returns by how much it was changed. Nobody knows when that was, so it is that
// late at least.
func (c *Clock) NotBefore(told time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	behind := told.Sub(c.Own().Add(c.ahead))
	if behind <= ClockSlack || behind > believed {
		return 0
	}
	c.ahead += behind
	return behind
}

// Tell returns the time for the others.
func (c *Clock) Tell() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.beats = nil
	own := c.Own()
	if !c.told.IsZero() {
		mend := own.Sub(c.told) / mending
		c.ahead -= max(-mend, min(mend, c.ahead))
	}
	c.told = own
	return own.Add(c.ahead)
}
