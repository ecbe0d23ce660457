// Package guard stands between a driver and its cloud: one [Guard] per
// provider is the [cloud.Gate] through which every single call goes. It holds
// the provider's rate limits, one per service, obeys the cloud's refusals, and
// measures every call.
//
// A refusal of one service stops the whole provider at once for as long as the
// cloud asked; only the service that was refused goes on slower afterwards.
// How fast the cloud lets us be is learned from its refusals, see package
// ratelimit; the configured rate is what is never exceeded.
//
// Nothing is retried here: a guard delays a call or fails it, never repeats it.
package guard

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
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

// Config says what to guard.
type Config struct {
	// Provider names the provider in logs.
	Provider string
	// Interval is the least time between two calls of one service, as
	// nodepool's rate means it; 0 does not limit.
	Interval time.Duration
	Log      *zap.Logger
	// Registerer takes the metrics, once; nil takes none.
	Registerer prometheus.Registerer
}

// Guard is a cloud.Gate. It is safe for concurrent use.
type Guard struct {
	provider string
	interval time.Duration
	log      *zap.Logger
	metrics  *metrics
	// learned receives, without a backlog, when the cloud refused a call.
	learned chan struct{}

	// mu guards everything below.
	mu       sync.Mutex
	limiters map[cloud.Service]*ratelimit.Limiter
	// pausedUntil is when the cloud takes calls again, pauseLasts how long that
	// pause is in all.
	pausedUntil time.Time
	pauseLasts  time.Duration
}

var _ cloud.Gate = (*Guard)(nil)

// New returns a guard whose limits start empty.
func New(cfg Config) *Guard {
	return &Guard{
		provider: cfg.Provider,
		interval: cfg.Interval,
		learned:  make(chan struct{}, 1),
		log:      cfg.Log.Named("guard").With(zap.String("provider", cfg.Provider)),
		metrics:  newMetrics(cfg.Registerer, cfg.Provider),
		limiters: map[cloud.Service]*ratelimit.Limiter{},
	}
}

// Enter waits for the call's turn; see [cloud.Gate].
func (g *Guard) Enter(ctx context.Context, call cloud.Call) (func(cloud.Outcome), error) {
	asked := time.Now()
	lane := int(cloud.LaneOf(ctx))
	limiter := g.limiter(call.Service)
	labels := []string{string(call.Service), strconv.Itoa(lane)}
	waiting := g.metrics.waiting.WithLabelValues(labels...)
	waiting.Inc()
	err := limiter.Wait(ctx, lane)
	waiting.Dec()
	if err != nil {
		return nil, err
	}
	sent := time.Now()
	g.metrics.waits.WithLabelValues(labels...).Observe(sent.Sub(asked).Seconds())
	return func(o cloud.Outcome) {
		elapsed := time.Since(sent)
		g.learn(limiter, call, o, sent)
		g.metrics.observe(call, o, elapsed)
		g.log.Debug("call", zap.String("service", string(call.Service)), zap.String("operation", call.Operation),
			zap.Int("status", o.Status), zap.String("kind", string(o.Kind)), zap.Duration("elapsed", elapsed))
	}, nil
}

// learn obeys a refusal, and notes what was none.
func (g *Guard) learn(limiter *ratelimit.Limiter, call cloud.Call, o cloud.Outcome, sent time.Time) {
	switch {
	case refused(o):
		d := limiter.Refused(sent, o.RetryAfter)
		g.pause(d)
		select {
		case g.learned <- struct{}{}:
		default:
		}
		g.log.Warn("the cloud refused a call as one too many", zap.String("service", string(call.Service)),
			zap.String("operation", call.Operation), zap.Int("status", o.Status), zap.Duration("pause", d))
	case o.Status >= statusOK && o.Status < statusServerError:
		limiter.Passed()
	}
	perSecond, _ := limiter.Rate()
	g.metrics.rate.WithLabelValues(string(call.Service)).Set(perSecond)
}

// The HTTP statuses that are used here, where net/http is not.
const (
	statusOK          = 200
	statusServerError = 500
	statusUnavailable = 503
)

// refused tells whether the cloud wants fewer calls. A limiting proxy says so
// with 503 unless it is told otherwise, as nginx does; and a service that is
// overloaded says the same.
func refused(o cloud.Outcome) bool {
	return o.Kind == cloud.RateLimited || o.Status == statusUnavailable
}

// pause stops every service for a time.
func (g *Guard) pause(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if until := time.Now().Add(d); until.After(g.pausedUntil) {
		g.pausedUntil, g.pauseLasts = until, d
		g.metrics.pausedUntil.Set(float64(until.UnixMilli()) / milli)
	}
	for _, l := range g.limiters {
		l.Pause(d)
	}
}

func (g *Guard) limiter(s cloud.Service) *ratelimit.Limiter {
	g.mu.Lock()
	defer g.mu.Unlock()
	l, ok := g.limiters[s]
	if !ok {
		l = ratelimit.New(g.interval, patience())
		l.Pause(time.Until(g.pausedUntil))
		g.limiters[s] = l
	}
	return l
}

// Reset starts with empty buckets: the provider has a new owner, and the old
// one may just have spent its burst. What the cloud taught us remains.
func (g *Guard) Reset() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, l := range g.limiters {
		l.Empty()
	}
}
