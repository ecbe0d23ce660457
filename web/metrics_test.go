package web

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// However many nodes there are, the series are those of the configuration.
func TestSeriesAreBounded(t *testing.T) {
	count := func(nodes int) (series int) {
		r := prometheus.NewPedanticRegistry()
		r.MustRegister(crowded(t, nodes).Collector())
		families, err := r.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			series += len(f.GetMetric())
		}
		return series
	}
	few, many := count(100), count(10_000)
	const most = 2000 // of 100 labels, 20 providers and an image
	if many > most || many > few+few/10 {
		t.Errorf("%d series with 100 nodes, %d with 10,000", few, many)
	}
	t.Logf("%d series", many)
}
