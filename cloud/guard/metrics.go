package guard

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"poold/cloud"
)

// metrics counts and times the calls of one provider.
type metrics struct {
	calls   *prometheus.CounterVec
	seconds prometheus.ObserverVec
	waits   prometheus.ObserverVec
	waiting *prometheus.GaugeVec
	rate    *prometheus.GaugeVec
	// pausedUntil is of the whole provider.
	pausedUntil prometheus.Gauge
}

// milli is how many milliseconds a second has.
const milli = 1000

func newMetrics(reg prometheus.Registerer, provider string) *metrics {
	f, curry := promauto.With(reg), prometheus.Labels{"provider": provider}
	return &metrics{
		calls: f.NewCounterVec(prometheus.CounterOpts{
			Name: "poold_cloud_calls_total",
			Help: "Calls to the cloud by service, operation and outcome (ok, or the kind of failure).",
		}, []string{"provider", "service", "operation", "outcome"}).MustCurryWith(curry),
		seconds: f.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "poold_cloud_call_seconds",
			Help:    "Time from sending a call to the end of its answer.",
			Buckets: []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"provider", "service", "operation"}).MustCurryWith(curry),
		waits: f.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "poold_cloud_wait_seconds",
			Help:    "Time that calls waited for their turn under the rate limit, by lane (0 is the most urgent).",
			Buckets: []float64{.001, .01, .1, .5, 1, 5, 10, 30, 60, 300},
		}, []string{"provider", "service", "lane"}).MustCurryWith(curry),
		waiting: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "poold_cloud_waiting_calls",
			Help: "Calls that wait for their turn under the rate limit now, by lane (0 is the most urgent).",
		}, []string{"provider", "service", "lane"}).MustCurryWith(curry),
		rate: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "poold_cloud_rate_calls_per_second",
			Help: "How many calls a second are let through now: the configured rate, or what the cloud's refusals taught; +Inf is no limit.",
		}, []string{"provider", "service"}).MustCurryWith(curry),
		pausedUntil: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "poold_cloud_paused_until_timestamp_seconds",
			Help: "Until when no call is made because the cloud refused one as one too many; 0 if it never did.",
		}, []string{"provider"}).With(curry),
	}
}

func (m *metrics) observe(call cloud.Call, o cloud.Outcome, elapsed time.Duration) {
	outcome := string(o.Kind)
	if outcome == "" {
		outcome = "ok"
	}
	m.calls.WithLabelValues(string(call.Service), call.Operation, outcome).Inc()
	m.seconds.WithLabelValues(string(call.Service), call.Operation).Observe(elapsed.Seconds())
}
