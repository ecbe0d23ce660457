// Package guard stands between a driver and its cloud: one [Guard] per
// provider is the [cloud.Gate] through which every single call goes. It obeys
// the cloud's refusals, and measures every call. The providers of a rate group
// share [Limits], one per service.
//
// A refusal of one service stops the whole group at once for as long as the
// cloud asked; only the service that was refused goes on slower afterwards.
// How fast the cloud lets us be is learned from its refusals, see package
// ratelimit; the configured rate is what is never exceeded.
//
// Nothing is retried here: a guard delays a call or fails it, never repeats it.
package guard

import (
	"context"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"poold/cloud"
)

// Config says what to guard.
type Config struct {
	// Provider names the provider in logs and metrics.
	Provider string
	// Limits are those of all calls but the ones that move images, which have
	// ImageLimits. Nil shares: ImageLimits with Limits, and Limits with nobody,
	// at one call per Interval.
	Limits, ImageLimits *Limits
	Interval            time.Duration
	// Leased refuses a call that its owner may no longer make when its turn has
	// come; nil refuses none.
	Leased func(ctx context.Context, call cloud.Call) error
	Log    *zap.Logger
	// Registerer takes the metrics, once; nil takes none.
	Registerer prometheus.Registerer
}

// Guard is a cloud.Gate. It is safe for concurrent use.
type Guard struct {
	log     *zap.Logger
	metrics *metrics
	limits  *Limits
	images  *Limits
	leased  func(ctx context.Context, call cloud.Call) error
}

var _ cloud.Gate = (*Guard)(nil)

// New returns a guard whose limits start empty.
func New(cfg Config) *Guard {
	g := &Guard{
		log:     cfg.Log.Named("guard").With(zap.String("provider", cfg.Provider)),
		metrics: newMetrics(cfg.Registerer, cfg.Provider),
		limits:  cfg.Limits, images: cfg.ImageLimits, leased: cfg.Leased,
	}
	if g.limits == nil {
		g.limits = NewLimits(cfg.Provider, cfg.Interval, cfg.Log)
	}
	if g.images == nil {
		g.images = g.limits
	}
	return g
}

// of returns the limits of the calls of a lane.
func (g *Guard) of(lane cloud.Lane) *Limits {
	if lane == cloud.LaneImage {
		return g.images
	}
	return g.limits
}

// Enter waits for the call's turn; see [cloud.Gate].
func (g *Guard) Enter(ctx context.Context, call cloud.Call) (func(cloud.Outcome), error) {
	asked := time.Now()
	lane := int(cloud.LaneOf(ctx))
	limits := g.of(cloud.LaneOf(ctx))
	limiter := limits.limiter(call.Service)
	labels := []string{string(call.Service), strconv.Itoa(lane)}
	waiting := g.metrics.waiting.WithLabelValues(labels...)
	waiting.Inc()
	turn, err := limiter.Wait(ctx, lane)
	waiting.Dec()
	if err == nil && g.leased != nil {
		err = g.leased(ctx, call)
	}
	if err != nil {
		return nil, err
	}
	what := []zap.Field{
		zap.String("limits", limits.group), zap.String("service", string(call.Service)), zap.String("operation", call.Operation),
	}
	g.log.Debug("call leaves", append(what, zap.Time("turn", turn))...)
	sent := time.Now()
	g.metrics.waits.WithLabelValues(labels...).Observe(sent.Sub(asked).Seconds())
	return func(o cloud.Outcome) {
		elapsed := time.Since(sent)
		g.learn(limits, call, o, sent)
		g.metrics.observe(call, o, elapsed)
		g.log.Debug("call", append(what,
			zap.Int("status", o.Status), zap.String("kind", string(o.Kind)), zap.Duration("elapsed", elapsed))...)
	}, nil
}

// learn obeys a refusal, and notes what was none.
func (g *Guard) learn(limits *Limits, call cloud.Call, o cloud.Outcome, sent time.Time) {
	limiter := limits.limiter(call.Service)
	switch {
	case refused(o):
		d := limiter.Refused(sent, o.RetryAfter)
		g.limits.pause(d)
		g.images.pause(d)
		g.log.Warn("the cloud refused a call as one too many", zap.String("service", string(call.Service)),
			zap.String("operation", call.Operation), zap.Int("status", o.Status), zap.Duration("pause", d))
	case o.Status >= statusOK && o.Status < statusServerError:
		limiter.Passed()
	}
	g.metrics.rate.WithLabelValues(string(call.Service)).Set(limiter.Rate())
	if until := limits.paused(); !until.IsZero() {
		g.metrics.pausedUntil.Set(float64(until.UnixMilli()) / milli)
	}
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
