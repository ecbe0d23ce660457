package ratelimit

import (
	"time"

	"golang.org/x/time/rate"
)

const (
	// slowdown is what remains of the rate after the cloud refused a call.
	slowdown = 0.7
	// slowest is the least that repeated refusals leave of the rate.
	slowest = 1.0 / 16
	// recovery is how much of the full rate comes back per second without a
	// refusal.
	recovery = 0.01
	// defaultPause is how long to stop when the cloud refused a call without
	// saying for how long.
	defaultPause = time.Second
	// longestPause bounds what a cloud may ask for: a broken header must not
	// stop a provider for a day.
	longestPause = 10 * time.Minute
	// slowAgain is how soon after one slowdown another may follow: the calls
	// that were under way together are refused together, for one reason.
	slowAgain = time.Second
)

// bucket is the arithmetic of a limiter: when may the next call be made? It is
// not safe for concurrent use.
type bucket struct {
	tokens *rate.Limiter
	// full is the configured rate; rate.Inf for none.
	full rate.Limit
	// share is what is used of it, between slowest and 1.
	share       float64
	shareAt     time.Time
	slowedAt    time.Time
	pausedUntil time.Time
}

// newBucket makes an empty bucket. An interval of 0 does not limit.
func newBucket(interval time.Duration, burst int, now time.Time) *bucket {
	full := rate.Inf
	if interval > 0 {
		full = rate.Every(interval)
	}
	b := &bucket{tokens: rate.NewLimiter(full, burst), full: full, share: 1, shareAt: now}
	b.tokens.AllowN(now, burst)
	return b
}

// take takes a token if there is one and returns 0, or returns how long to
// wait before asking again.
func (b *bucket) take(now time.Time) time.Duration {
	if wait := b.pausedUntil.Sub(now); wait > 0 {
		return wait
	}
	b.recover(now)
	r := b.tokens.ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait > 0 {
		r.CancelAt(now)
	}
	return wait
}

// pause stops everything until at least d from now.
func (b *bucket) pause(now time.Time, d time.Duration) {
	if d <= 0 {
		d = defaultPause
	}
	until := now.Add(min(d, longestPause))
	if until.After(b.pausedUntil) {
		b.pausedUntil = until
	}
}

// slow lowers the rate because the cloud refused a call.
func (b *bucket) slow(now time.Time) {
	b.recover(now)
	if b.full == rate.Inf || now.Sub(b.slowedAt) < slowAgain {
		return
	}
	b.slowedAt = now
	b.set(now, max(slowest, b.share*slowdown))
}

// recover raises the rate by what the time since the last look is worth.
func (b *bucket) recover(now time.Time) {
	elapsed := now.Sub(b.shareAt)
	if b.share >= 1 || elapsed < time.Second {
		return
	}
	b.set(now, min(1, b.share+recovery*elapsed.Seconds()))
}

func (b *bucket) set(now time.Time, share float64) {
	b.share, b.shareAt = share, now
	b.tokens.SetLimitAt(now, rate.Limit(float64(b.full)*share))
}
