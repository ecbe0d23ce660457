package web

import (
	"os"
	"regexp"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// What the pages read of a cloud is among the metrics that there are.
func TestFactsAreMetrics(t *testing.T) {
	known, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	value := 1e9
	label := func(name string) *dto.LabelPair { return &dto.LabelPair{Name: &name, Value: &name} }
	var families []*dto.MetricFamily
	for _, m := range regexp.MustCompile("(?m)^\\| `(\\w+)`").FindAllSubmatch(known, -1) {
		name := string(m[1])
		families = append(families, &dto.MetricFamily{Name: &name, Metric: []*dto.Metric{{
			Label: []*dto.LabelPair{label("provider"), label("service")}, Gauge: &dto.Gauge{Value: &value}, Counter: &dto.Counter{Value: &value},
		}}})
	}
	clouds, err := gathered(prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) { return families, nil }))
	if err != nil {
		t.Fatal(err)
	}
	c := clouds["provider"]
	if c.LastList.IsZero() || c.Unanswered.IsZero() || c.PausedUntil.IsZero() || len(c.Services) != 1 {
		t.Fatalf("got %+v", c)
	}
	if s := c.Services[0]; s.Rate == 0 || s.Waiting == 0 || len(s.Calls) != 1 {
		t.Errorf("got %+v", s)
	}
}
