package builder

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics counts what happened. Each builder needs a registry of its own.
type metrics struct {
	builds   *prometheus.CounterVec
	duration *prometheus.HistogramVec
	passed   *prometheus.GaugeVec
}

func newMetrics(reg prometheus.Registerer) metrics {
	f := promauto.With(reg)
	return metrics{
		builds: f.NewCounterVec(prometheus.CounterOpts{
			Name: "poold_builder_builds_total",
			Help: "Builds that ended, by image and outcome (ready or failed).",
		}, []string{"image", "outcome"}),
		duration: f.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "poold_builder_build_duration_seconds",
			Help:    "How long builds took from their record to their outcome, by image.",
			Buckets: []float64{60, 300, 600, 1200, 1800, 3600, 7200, 10800, 21600},
		}, []string{"image"}),
		passed: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "poold_builder_last_pass_timestamp_seconds",
			Help: "When the builder of an image last decided, in Unix time.",
		}, []string{"image"}),
	}
}
