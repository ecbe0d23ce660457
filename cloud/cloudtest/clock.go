package cloudtest

import (
	"sync"
	"time"
)

// Clock is the time of a simulated cloud: it stands until it is told to move.
// It may be used concurrently.
type Clock struct {
	mu  sync.Mutex // guards now
	now time.Time
}

// NewClock makes a clock that stands at start.
func NewClock(start time.Time) *Clock { return &Clock{now: start} }

// Now returns the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Pass moves the clock on by d.
func (c *Clock) Pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Tick moves the clock on by a second: what [Env.Settle] is on such a cloud.
func (c *Clock) Tick() { c.Pass(time.Second) }
