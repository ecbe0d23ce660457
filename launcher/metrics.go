package launcher

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics counts what happened. Each launcher needs a registry of its own.
type metrics struct {
	launches      *prometheus.CounterVec
	launchSeconds *prometheus.HistogramVec
	deleteSeconds *prometheus.HistogramVec
	polls         *prometheus.CounterVec
	lastList      *prometheus.GaugeVec
	unanswered    *prometheus.GaugeVec
	leaks         *prometheus.CounterVec
	frozen        *prometheus.GaugeVec
	vanished      *prometheus.GaugeVec
	window        *prometheus.GaugeVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	seconds := []float64{1, 2.5, 5, 10, 20, 30, 45, 60, 90, 120, 180, 300, 600, 1200, 3600}
	return &metrics{
		launches: f.NewCounterVec(prometheus.CounterOpts{
			Name: "poold_launcher_launches_total",
			Help: "Launches that ended, by outcome: ready, or the kind of failure.",
		}, []string{"provider", "outcome"}),
		launchSeconds: f.NewHistogramVec(prometheus.HistogramOpts{
			Name: "poold_launcher_launch_seconds", Buckets: seconds,
			Help: "Time from recorded as part of a batch until ready.",
		}, []string{"provider"}),
		deleteSeconds: f.NewHistogramVec(prometheus.HistogramOpts{
			Name: "poold_launcher_delete_seconds", Buckets: seconds,
			Help: "Time from deleting until gone.",
		}, []string{"provider"}),
		polls: f.NewCounterVec(prometheus.CounterOpts{
			Name: "poold_launcher_polls_total",
			Help: "Lists of instances, by outcome: full, changes, distrusted, or the kind of failure.",
		}, []string{"provider", "outcome"}),
		lastList: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "poold_launcher_last_list_timestamp_seconds",
			Help: "When the newest list of instances that was answered began.",
		}, []string{"provider"}),
		unanswered: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "poold_launcher_unanswered_since_timestamp_seconds",
			Help: "Since when the cloud answers no list of instances that it is asked for; 0 if it answered the last one.",
		}, []string{"provider"}),
		leaks: f.NewCounterVec(prometheus.CounterOpts{
			Name: "poold_launcher_leaks_total",
			Help: "Leaked resources whose removal was asked for, by kind.",
		}, []string{"provider", "kind"}),
		window: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "poold_launcher_launch_window",
			Help: "How many nodes may be in flight while launching starts slowly after failures; 0 is any number.",
		}, []string{"provider"}),
		vanished: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "poold_launcher_vanished_nodes",
			Help: "Nodes that seem to have vanished, too many at once to be believed: nothing is launched or deleted while it is above 0.",
		}, []string{"provider"}),
		frozen: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "poold_launcher_sweep_frozen",
			Help: "1 if the last sweep removed nothing because what it saw was not credible.",
		}, []string{"provider"}),
	}
}
