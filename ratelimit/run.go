package ratelimit

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limiter lets calls through one after the other, at the rate of its bucket
// and in the order of its lanes. It is safe for concurrent use and needs no
// goroutine of its own.
type Limiter struct {
	// mu guards everything below.
	mu     sync.Mutex
	bucket *bucket
	queue  queue
	timer  *time.Timer
}

// New returns a limiter that lets one call through per interval, after idle
// times a few at once; an interval of 0 does not limit. Its bucket starts
// empty. There is a lane for each of the patiences, the most urgent first:
// while somebody waits in a lane, about so many calls of others may pass.
func New(interval time.Duration, patience []int) *Limiter {
	return &Limiter{bucket: newBucket(interval, time.Now()), queue: newQueue(patience)}
}

// Wait blocks until a call of the lane may be made, and returns since when, or
// until ctx ends, whose cause it then returns. Lanes count from 0, the most urgent.
func (l *Limiter) Wait(ctx context.Context, lane int) (time.Time, error) {
	if ctx.Err() != nil {
		return time.Time{}, context.Cause(ctx)
	}
	l.mu.Lock()
	w := l.queue.add(lane)
	l.dispatch()
	l.mu.Unlock()
	select {
	case <-w.turn:
		return w.at, nil
	case <-ctx.Done():
		l.mu.Lock()
		l.queue.remove(lane, w)
		l.mu.Unlock()
		return time.Time{}, context.Cause(ctx)
	}
}

// Passed says that the cloud took a call. It makes the limiter bolder.
func (l *Limiter) Passed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bucket.pass(time.Now())
}

// Refused says that the cloud refused a call, sent at a time, as one too many:
// everything stops for as long as it asked (0: it did not say) and goes on
// slower. It returns for how long.
func (l *Limiter) Refused(sent time.Time, retryAfter time.Duration) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.bucket.refuse(now, sent)
	d := l.bucket.choosePause(now, min(retryAfter, longestPause))
	l.bucket.pause(now, d)
	return d
}

// Pause stops everything for a time without slowing down afterwards: another
// service of the same provider was refused a call.
func (l *Limiter) Pause(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bucket.pause(time.Now(), d)
}

// Empty takes all tokens: somebody else may just have spent as many. What was
// learned and the pause remain.
func (l *Limiter) Empty() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bucket.empty(time.Now())
}

// Relearn takes over a rate in calls a second that the cloud taught another,
// unless it has taught us that it takes less.
func (l *Limiter) Relearn(perSecond float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.bucket.refused == 0 || rate.Limit(perSecond) < l.bucket.rate {
		l.bucket.relearn(time.Now(), rate.Limit(perSecond))
	}
}

// SetInterval changes the interval that New was given. The bucket is as full as
// it was; what was learned and the pause remain.
func (l *Limiter) SetInterval(interval time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bucket.setFull(time.Now(), fullRate(interval))
	l.dispatch()
}

// HalveBurst leaves half of what may go at once to another limiter, to which
// half of the rate is left.
func (l *Limiter) HalveBurst() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bucket.burstMax = burstMax / 2.0
	l.bucket.set(time.Now(), l.bucket.rate)
}

// Rate returns how many calls a second are let through now, infinitely many if
// there is no limit.
func (l *Limiter) Rate() float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return float64(l.bucket.used())
}

// Learned returns how many calls a second the cloud takes, if it taught us. It
// may be more than is configured now.
func (l *Limiter) Learned() (perSecond float64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return float64(l.bucket.rate), l.bucket.refused != 0
}

// dispatch lets through whoever may go now and sets the timer for the next.
// It is called with mu held.
func (l *Limiter) dispatch() {
	for l.queue.len() > 0 {
		now := time.Now()
		if wait := l.bucket.take(now); wait > 0 {
			l.wake(wait)
			return
		}
		w := l.queue.next()
		w.at = now
		close(w.turn)
	}
}

// wake calls dispatch again after d. It is called with mu held.
func (l *Limiter) wake(d time.Duration) {
	if l.timer != nil {
		l.timer.Stop()
	}
	l.timer = time.AfterFunc(d, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.dispatch()
	})
}
