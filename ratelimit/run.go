package ratelimit

import (
	"context"
	"sync"
	"time"
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
// times up to burst at once; an interval of 0 does not limit. Its bucket
// starts empty.
func New(interval time.Duration, burst int) *Limiter {
	return &Limiter{bucket: newBucket(interval, max(1, burst), time.Now())}
}

// Wait blocks until a call of the lane may be made, or until ctx ends, whose
// cause it then returns. Lanes count from 0, the most urgent.
func (l *Limiter) Wait(ctx context.Context, lane int) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	l.mu.Lock()
	w := l.queue.add(time.Now(), lane)
	l.dispatch()
	l.mu.Unlock()
	select {
	case <-w.turn:
		return nil
	case <-ctx.Done():
		l.mu.Lock()
		l.queue.remove(w)
		l.mu.Unlock()
		return context.Cause(ctx)
	}
}

// Refused says that the cloud refused a call as one too many: everything stops
// for as long as it asked (0: it did not say) and goes on slower.
func (l *Limiter) Refused(retryAfter time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.bucket.slow(now)
	l.bucket.pause(now, retryAfter)
}

// Pause stops everything for a time without slowing down afterwards: another
// service of the same provider was refused a call.
func (l *Limiter) Pause(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bucket.pause(time.Now(), d)
}

// dispatch lets through whoever may go now and sets the timer for the next.
// It is called with mu held.
func (l *Limiter) dispatch() {
	for l.queue.Len() > 0 {
		if wait := l.bucket.take(time.Now()); wait > 0 {
			l.wake(wait)
			return
		}
		close(l.queue.next().turn)
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
