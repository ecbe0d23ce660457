package guard

import (
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"poold/cloud"
)

// metrics counts and times the calls of one provider.
type metrics struct {
	calls   *prometheus.CounterVec
	answers *prometheus.CounterVec
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
		answers: f.NewCounterVec(prometheus.CounterOpts{
			Name: "poold_cloud_answers_total",
			Help: "Calls to the cloud by service, HTTP method and status; statuses that say no more than their class stand under that.",
		}, []string{"provider", "service", "verb", "status"}).MustCurryWith(curry),
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
	m.answers.WithLabelValues(string(call.Service), verb(call.Operation), status(o.Status)).Inc()
	m.seconds.WithLabelValues(string(call.Service), call.Operation).Observe(elapsed.Seconds())
}

// verb is the HTTP method of an operation, out of a closed set.
func verb(operation string) string {
	method, _, _ := strings.Cut(operation, " ")
	switch method {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE":
		return method
	}
	return "other"
}

// status is what a status is counted as: itself if it tells an operator more than
// its class does, out of a closed set, and "none" where no answer came.
func status(code int) string {
	switch code {
	case 0:
		return "none"
	case 400, 401, 403, 404, 409, 413, 429, 500, 502, 503, 504:
		return strconv.Itoa(code)
	}
	if class := code / 100; class >= 1 && class <= 5 {
		return strconv.Itoa(class) + "xx"
	}
	return "other"
}
