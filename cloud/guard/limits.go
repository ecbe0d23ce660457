package guard

import (
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"poold/cloud"
	"poold/ratelimit"
)

// patience is how many calls of others may pass while one of a lane waits. An
// urgent lane goes first all the same; this is what keeps it from starving the
// others. Lists get a tenth of the rate at least, and no more when there is
// enough to create and to delete.
func patience() []int {
	return []int{
		cloud.LaneDelete:  1,
		cloud.LaneFinish:  8,
		cloud.LaneRequest: 12,
		cloud.LaneReady:   16,
		cloud.LanePoll:    9,
		cloud.LaneImage:   20,
		cloud.LaneSweep:   20,
	}
}

// Limits are the rate limits of the providers of a rate group, one per service.
// They are safe for concurrent use.
type Limits struct {
	group  string
	halved []cloud.Service
	log    *zap.Logger
	// learned receives, without a backlog, when the cloud refused a call.
	learned chan struct{}

	// mu guards everything below.
	mu       sync.Mutex
	interval time.Duration
	limiters map[cloud.Service]*ratelimit.Limiter
	// pausedUntil is when the cloud takes calls again, pauseLasts how long that
	// pause is in all.
	pausedUntil time.Time
	pauseLasts  time.Duration
}

// NewLimits returns limits that start empty. The interval is the least time
// between two calls of one service, as nodepool's rate means it; 0 does not
// limit. The halved services leave every other call to somebody else, and half
// of a burst where it can be halved: below four calls a second both may make one
// at once.
func NewLimits(group string, interval time.Duration, log *zap.Logger, halved ...cloud.Service) *Limits {
	return &Limits{
		group: group, interval: interval, halved: halved,
		log:      log.Named("guard").With(zap.String("group", group)),
		learned:  make(chan struct{}, 1),
		limiters: map[cloud.Service]*ratelimit.Limiter{},
	}
}

// pause stops every service for a time.
func (l *Limits) pause(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if until := time.Now().Add(d); until.After(l.pausedUntil) {
		l.pausedUntil, l.pauseLasts = until, d
	}
	for _, limiter := range l.limiters {
		limiter.Pause(d)
	}
	select {
	case l.learned <- struct{}{}:
	default:
	}
}

// paused is until when no call is made, zero if there never was a refusal.
func (l *Limits) paused() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pausedUntil
}

func (l *Limits) limiter(s cloud.Service) *ratelimit.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	limiter, ok := l.limiters[s]
	if !ok {
		limiter = ratelimit.New(l.intervalOf(s), patience())
		if slices.Contains(l.halved, s) {
			limiter.HalveBurst()
		}
		limiter.Pause(time.Until(l.pausedUntil))
		l.limiters[s] = limiter
	}
	return limiter
}

// intervalOf is the least time between two calls of a service. It is called
// with mu held.
func (l *Limits) intervalOf(s cloud.Service) time.Duration {
	if slices.Contains(l.halved, s) {
		return 2 * l.interval
	}
	return l.interval
}

// SetInterval changes the interval: the configuration says another. What the
// cloud taught us remains, and so do its pauses.
func (l *Limits) SetInterval(interval time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.interval == interval {
		return
	}
	l.interval = interval
	for service, limiter := range l.limiters {
		limiter.SetInterval(l.intervalOf(service))
	}
}

// Reset starts with empty buckets: the group has a new owner, and the old one
// may just have spent its burst. What the cloud taught us remains.
func (l *Limits) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, limiter := range l.limiters {
		limiter.Empty()
	}
}
