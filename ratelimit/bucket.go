package ratelimit

import (
	"time"

	"golang.org/x/time/rate"
)

const (
	// cautious is how many calls a second are tried before it is known what
	// the cloud takes. Beyond boundless a second there is no limit that matters.
	cautious, boundless rate.Limit = 10, 1000
	// slowest is the least that refusals leave of the rate.
	slowest rate.Limit = 0.1
	// A burst is what burstTime at the rate would let through, but no more than
	// burstMax.
	burstTime = 500 * time.Millisecond
	burstMax  = 5
	// A refusal leaves slowdownMost of a rate that was still growing, as far as
	// it was used, and slowdownFull of the configured one, which somebody had a
	// reason for. Of a rate that was learned it leaves slowdownLeast; if it was refused within
	// seenTime, slowdownSeen of what was seen to pass, if that is in between.
	slowdownMost, slowdownLeast, slowdownFull, slowdownSeen = 0.5, 0.8, 0.95, 0.9

	seenTime = 30 * time.Second
	// holdTime is how long the rate stays as it is after a refusal. Then each
	// call that passes adds recovery of what the rate was when it was refused.
	holdTime = 2 * time.Minute
	recovery = 0.01
	// defaultPause is how long to stop when the cloud refused a call without
	// saying for how long. It doubles while nothing passes, up to patientPause.
	defaultPause, patientPause = time.Second, time.Minute
	// longestGap is the most that a time without calls counts for.
	longestGap = time.Second
	// longestPause bounds what a cloud may ask for: a broken header must not
	// stop a provider for a day.
	longestPause = 10 * time.Minute
)

// bucket is the arithmetic of a limiter: when may the next call be made? It is
// not safe for concurrent use.
//
// It learns what the cloud takes. As long as nothing was refused the rate grows
// by one with each call that passes, from cautious up to the configured one.
// After a refusal it is lower than what was refused, bursts are over, and it
// grows slowly, so that in the long run few calls are refused.
type bucket struct {
	tokens *rate.Limiter
	// full is the configured rate, rate.Inf for none; rate is how far we are. It
	// is beyond full if a configuration asks for less than the cloud taught.
	full, rate rate.Limit
	// burstMax is the most that may go at once.
	burstMax float64
	// refused is the rate that was refused last, 0 if nothing is known to be too
	// fast.
	refused rate.Limit
	// slowedAt is when the rate was lowered last; passed is how many calls
	// passed since, ownPause the last pause that we chose since one did.
	slowedAt    time.Time
	passed      int
	ownPause    time.Duration
	pausedUntil time.Time
	// passedAt is when a call passed last, gap the time between two lately.
	passedAt time.Time
	gap      time.Duration
}

// newBucket makes an empty bucket. An interval of 0 does not limit.
func newBucket(interval time.Duration, now time.Time) *bucket {
	full := fullRate(interval)
	b := &bucket{tokens: rate.NewLimiter(0, 0), full: full, burstMax: burstMax, slowedAt: now, gap: longestGap}
	b.set(now, min(full, cautious))
	return b
}

// fullRate is one call per interval, and no limit for 0.
func fullRate(interval time.Duration) rate.Limit {
	if interval <= 0 {
		return rate.Inf
	}
	return rate.Every(interval)
}

// setFull changes the configured rate. What the cloud taught remains. Else a
// rate that was reached is left behind at once if the new one is lower; a higher
// one is grown into, as from the start.
func (b *bucket) setFull(now time.Time, full rate.Limit) {
	next, reached := b.rate, b.rate >= b.full
	b.full = full
	if b.refused == 0 {
		next = min(next, full)
		if reached {
			next = min(full, max(next, cautious))
		}
	}
	b.set(now, next)
}

// used is the rate at which calls are let through.
func (b *bucket) used() rate.Limit { return min(b.rate, b.full) }

// take takes a token if there is one and returns 0, or returns how long to
// wait before asking again.
func (b *bucket) take(now time.Time) time.Duration {
	if wait := b.pausedUntil.Sub(now); wait > 0 {
		return wait
	}
	r := b.tokens.ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait > 0 {
		r.CancelAt(now)
	}
	return wait
}

// empty takes all tokens, in full and in part.
func (b *bucket) empty(now time.Time) {
	b.tokens = rate.NewLimiter(0, 0)
	b.set(now, b.rate)
}

// pause stops everything until at least d from now.
func (b *bucket) pause(now time.Time, d time.Duration) {
	if until := now.Add(min(d, longestPause)); until.After(b.pausedUntil) {
		b.pausedUntil = until
	}
}

// choosePause returns how long to stop after a refusal, as the cloud asked or,
// if it did not, longer and longer. What pauses that others chose are over does
// not count.
func (b *bucket) choosePause(now time.Time, asked time.Duration) time.Duration {
	if asked > 0 {
		return asked
	}
	if !now.Before(b.pausedUntil) {
		b.ownPause = min(max(defaultPause, 2*b.ownPause), patientPause)
	}
	return b.ownPause
}

// pass learns from a call that the cloud took.
func (b *bucket) pass(now time.Time) {
	b.gap += (min(now.Sub(b.passedAt), longestGap) - b.gap) / 4
	b.passedAt = now
	b.passed++
	b.ownPause = 0
	switch {
	case b.rate >= b.full:
	case b.refused == 0:
		b.grow(now, b.rate+1)
	case now.Sub(b.slowedAt) >= holdTime:
		b.grow(now, b.rate+recovery*b.refused)
	}
}

// refuse learns from a call that was sent at a time and refused as one too
// many. One that was sent before the rate was lowered says nothing about the
// rate since, and neither does one after which nothing had passed: that a cloud
// takes nothing at all is a matter of pauses.
func (b *bucket) refuse(now, sent time.Time) {
	if b.refused != 0 && (sent.Before(b.slowedAt) || b.passed == 0) {
		return
	}
	used := min(b.used(), boundless)
	since := now.Sub(b.slowedAt)
	left := slowdownLeast * used
	switch {
	case b.rate >= b.full:
		left = slowdownFull * used
	case b.refused == 0:
		// What passed when calls came slower than they might proved nothing.
		left = slowdownMost * min(used, max(cautious, b.usage()))
	case since < seenTime:
		seen := rate.Limit(float64(b.passed) / max(1, since.Seconds()))
		left = min(left, max(slowdownSeen*seen, slowdownMost*used))
	}
	b.refused, b.slowedAt, b.passed = used, now, 0
	b.set(now, max(slowest, left))
}

// usage is how many calls a second passed lately.
func (b *bucket) usage() rate.Limit {
	if b.gap <= 0 {
		return boundless
	}
	return rate.Every(b.gap)
}

// relearn takes over a rate that another bucket learned.
func (b *bucket) relearn(now time.Time, learned rate.Limit) {
	b.refused, b.slowedAt, b.passed = learned, now, 0
	b.set(now, max(slowest, learned))
}

// grow raises the rate. The full rate is reached by what passed, so that
// nothing is known to be too fast any more.
func (b *bucket) grow(now time.Time, r rate.Limit) {
	if r >= min(b.full, boundless) {
		r, b.refused = b.full, 0
	}
	b.set(now, r)
}

// set changes the rate. Calls without a limit take no tokens, so that none are
// left when there is one.
func (b *bucket) set(now time.Time, r rate.Limit) {
	b.rate = r
	burst := 1
	if b.refused == 0 || b.rate >= b.full {
		burst = burstOf(b.used(), b.burstMax)
	}
	if b.tokens.Limit() == rate.Inf && b.used() != rate.Inf {
		b.tokens = rate.NewLimiter(0, 0)
	}
	b.tokens.SetLimitAt(now, b.used())
	b.tokens.SetBurstAt(now, burst)
}

// burstOf is how many calls may go at once after idling, no more than most.
func burstOf(r rate.Limit, most float64) int {
	return int(max(1, min(most, float64(r)*burstTime.Seconds())))
}
