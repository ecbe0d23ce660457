package uploader

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics counts what happened. Each uploader needs a registry of its own.
type metrics struct {
	uploads *prometheus.CounterVec
	bytes   *prometheus.CounterVec
	rate    *prometheus.GaugeVec
	unsent  *prometheus.GaugeVec
	leaks   *prometheus.GaugeVec
	passed  *prometheus.GaugeVec
}

func newMetrics(reg prometheus.Registerer) metrics {
	f := promauto.With(reg)
	return metrics{
		uploads: f.NewCounterVec(prometheus.CounterOpts{
			Name: "poold_uploader_uploads_total",
			Help: "Uploads that ended, by provider and outcome (ready or failed).",
		}, []string{"provider", "outcome"}),
		bytes: f.NewCounterVec(prometheus.CounterOpts{
			Name: "poold_uploader_sent_bytes_total",
			Help: "Image data sent, by provider, failed uploads included.",
		}, []string{"provider"}),
		rate: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "poold_uploader_bytes_per_second",
			Help: "How fast image data is being sent now, by provider.",
		}, []string{"provider"}),
		unsent: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "poold_uploader_unsent_bytes",
			Help: "How much of the images that are being sent is still to be sent, by provider.",
		}, []string{"provider"}),
		leaks: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "poold_uploader_leaked_images",
			Help: "Images with our mark that no record names, by provider, as of the last sweep.",
		}, []string{"provider"}),
		passed: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "poold_uploader_last_pass_timestamp_seconds",
			Help: "When the uploader of a provider last decided, in Unix time.",
		}, []string{"provider"}),
	}
}

// sending are the metrics of data on its way to one provider.
type sending struct {
	bytes        prometheus.Counter
	rate, unsent prometheus.Gauge
}

func (m *metrics) of(provider string) sending {
	return sending{m.bytes.WithLabelValues(provider), m.rate.WithLabelValues(provider), m.unsent.WithLabelValues(provider)}
}
