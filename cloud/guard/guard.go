// Package guard stands between a driver and its cloud: one [Guard] per
// provider is the [cloud.Gate] through which every single call goes. It holds
// the provider's rate limits, one per service, obeys the cloud's refusals, and
// measures every call.
//
// A refusal of one service stops the whole provider at once for as long as the
// cloud asked; only the service that was refused goes on slower afterwards.
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

// burstTime is how much idle time is turned into calls that may go at once.
const burstTime = time.Second

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
	interval time.Duration
	log      *zap.Logger
	metrics  *metrics

	// mu guards limiters.
	mu       sync.Mutex
	limiters map[cloud.Service]*ratelimit.Limiter
}

var _ cloud.Gate = (*Guard)(nil)

// New returns a guard whose limits start empty.
func New(cfg Config) *Guard {
	return &Guard{
		interval: cfg.Interval,
		log:      cfg.Log.Named("guard").With(zap.String("provider", cfg.Provider)),
		metrics:  newMetrics(cfg.Registerer, cfg.Provider),
		limiters: map[cloud.Service]*ratelimit.Limiter{},
	}
}

// Enter waits for the call's turn; see [cloud.Gate].
func (g *Guard) Enter(ctx context.Context, call cloud.Call) (func(cloud.Outcome), error) {
	asked := time.Now()
	lane := cloud.LaneOf(ctx)
	limiter := g.limiter(call.Service)
	if err := limiter.Wait(ctx, int(lane)); err != nil {
		return nil, err
	}
	sent := time.Now()
	g.metrics.waits.WithLabelValues(string(call.Service), strconv.Itoa(int(lane))).
		Observe(sent.Sub(asked).Seconds())
	return func(o cloud.Outcome) {
		elapsed := time.Since(sent)
		g.learn(limiter, call, o)
		g.metrics.observe(call, o, elapsed)
		g.log.Debug("call", zap.String("service", string(call.Service)), zap.String("operation", call.Operation),
			zap.Int("status", o.Status), zap.String("kind", string(o.Kind)), zap.Duration("elapsed", elapsed))
	}, nil
}

// learn obeys a refusal.
func (g *Guard) learn(limiter *ratelimit.Limiter, call cloud.Call, o cloud.Outcome) {
	if o.Kind != cloud.RateLimited {
		return
	}
	limiter.Refused(o.RetryAfter)
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, other := range g.limiters {
		if other != limiter {
			other.Pause(o.RetryAfter)
		}
	}
	g.log.Warn("the cloud refused a call as one too many", zap.String("service", string(call.Service)),
		zap.String("operation", call.Operation), zap.Duration("retry_after", o.RetryAfter))
}

func (g *Guard) limiter(s cloud.Service) *ratelimit.Limiter {
	g.mu.Lock()
	defer g.mu.Unlock()
	l, ok := g.limiters[s]
	if !ok {
		l = ratelimit.New(g.interval, g.burst())
		g.limiters[s] = l
	}
	return l
}

// Reset forgets what calls were made and starts with empty buckets: the
// provider has a new owner, and the old one may just have spent its burst.
func (g *Guard) Reset() {
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.limiters)
}

// burst is how many calls may go at once after idling.
func (g *Guard) burst() int {
	if g.interval <= 0 {
		return 1
	}
	return max(1, int(burstTime/g.interval))
}
