package allocator

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	decisions *prometheus.CounterVec
	decide    prometheus.Histogram
	latency   prometheus.Histogram
	waiting   prometheus.Gauge
	oldest    prometheus.Gauge
	frozen    prometheus.Gauge
	lastPass  prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	return &metrics{
		decisions: f.NewCounterVec(prometheus.CounterOpts{
			Name: "poold_allocator_decisions_total",
			Help: "Decisions by what they do and what came of writing them.",
		}, []string{"operation", "outcome"}),
		decide: f.NewHistogram(prometheus.HistogramOpts{
			Name: "poold_allocator_decide_seconds", Help: "How long one pass of deciding takes, without writing.",
			Buckets: []float64{.0001, .0003, .001, .003, .01, .03, .1, .3, 1},
		}),
		latency: f.NewHistogram(prometheus.HistogramOpts{
			Name: "poold_allocator_allocation_latency_seconds",
			Help: "How long requests that were fulfilled had waited since poold first saw them.",
			// From idle nodes at once to a queue of hours.
			Buckets: []float64{.01, .1, .5, 1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400},
		}),
		waiting: f.NewGauge(prometheus.GaugeOpts{
			Name: "poold_allocator_requests_waiting", Help: "Requests that are not answered.",
		}),
		oldest: f.NewGauge(prometheus.GaugeOpts{
			Name: "poold_allocator_oldest_request_age_seconds", Help: "How long the oldest waiting request has waited.",
		}),
		frozen: f.NewGauge(prometheus.GaugeOpts{
			Name: "poold_allocator_frozen",
			Help: "1 if nothing is launched anywhere, because an operator says so or launches in all providers fail alike.",
		}),
		lastPass: f.NewGauge(prometheus.GaugeOpts{
			Name: "poold_allocator_last_pass_timestamp_seconds", Help: "When the last pass ended; 0 when not the owner.",
		}),
	}
}

func (m *metrics) observe(p *Plan) {
	m.waiting.Set(float64(p.Waiting))
	m.oldest.Set(p.Oldest.Seconds())
	m.frozen.Set(0)
	if p.Frozen != "" {
		m.frozen.Set(1)
	}
}

// reset is for when another peer decides.
func (m *metrics) reset() {
	m.waiting.Set(0)
	m.oldest.Set(0)
	m.frozen.Set(0)
	m.lastPass.Set(0)
}
