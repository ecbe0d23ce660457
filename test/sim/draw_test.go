package sim

import (
	"context"
	"math/rand/v2"
	"runtime"
	"strconv"
	"sync"
	"time"
)

// seed is what everything random in one world follows from.
type seed uint64

// dice is the randomness of one event.
type dice struct{ state uint64 }

// dice returns the randomness of the event of that name: the same for the same
// seed and name, whatever else happened.
func (s seed) dice(name ...string) *dice {
	h := uint64(14695981039346656037) ^ uint64(s)*0x9e3779b97f4a7c15
	for _, part := range name {
		for i := range len(part) {
			h = (h ^ uint64(part[i])) * 1099511628211
		}
		h = (h ^ 0xff) * 1099511628211
	}
	return &dice{h}
}

func (d *dice) next() uint64 {
	d.state += 0x9e3779b97f4a7c15
	z := d.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// below returns a number from 0 up to but not n.
func (d *dice) below(n int) int { return int(d.next() % uint64(n)) }

// chance is true once in n times; never for n of 0.
func (d *dice) chance(n int) bool { return n > 0 && d.below(n) == 0 }

// between returns a duration, to the nanosecond, so that no two are the same.
func (d *dice) between(least, most time.Duration) time.Duration {
	return least + time.Duration(d.next()%uint64(most-least))
}

// reader is a source of ids.
func (s seed) reader(name ...string) *rand.ChaCha8 {
	var key [32]byte
	d := s.dice(name...)
	for i := range key {
		key[i] = byte(d.next())
	}
	return rand.NewChaCha8(key)
}

// counter numbers events of the same name.
type counter struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *counter) next(name string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]int{}
	}
	c.n[name]++
	return strconv.Itoa(c.n[name])
}

// wait sleeps, and returns false if ctx ended first.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	defer shake()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// settled lets whatever else happens at this instant come to its end, and returns
// whether ctx goes on after it. When a context ends, whoever works under it hears
// of that in any order, and some make one more call and some do not: no draw may
// depend on it.
func settled(ctx context.Context) bool {
	shake()
	time.Sleep(time.Nanosecond)
	return ctx.Err() == nil
}

// align waits for the next millisecond and a part of it that is the event's own.
// What ended by and by, nanoseconds more or less, has ended at one time then.
func align(d *dice) {
	now := time.Now()
	next := now.Truncate(time.Millisecond).Add(time.Millisecond)
	time.Sleep(next.Sub(now) + d.between(0, time.Millisecond))
}

// shake lets others go first, now and then, as a busy machine does: the order in
// which goroutines go on at one instant must not matter.
func shake() {
	if rand.IntN(4) == 0 {
		for range rand.IntN(40) {
			runtime.Gosched()
		}
	}
}
