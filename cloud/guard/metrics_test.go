package guard

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"poold/cloud"
)

// Whatever a cloud answers, the sets of verbs and statuses are closed.
func TestAnswersAreOfAClosedSet(t *testing.T) {
	m := newMetrics(prometheus.NewPedanticRegistry(), "p")
	for status := -1; status < 700; status++ {
		for _, operation := range []string{"GET /servers", "DELETE /servers/{id}", "BREW /coffee", ""} {
			m.observe(cloud.Call{Service: cloud.Compute, Operation: operation}, cloud.Outcome{Status: status}, 0)
		}
	}
	// GET, DELETE and others; eleven by themselves, five classes, none and others.
	if got := testutil.CollectAndCount(m.answers); got != 3*18 {
		t.Errorf("%d series, want 54", got)
	}
	for _, c := range []struct {
		status string
		want   float64
	}{{"429", 1}, {"2xx", 100}, {"none", 1}, {"4xx", 93}} {
		if got := testutil.ToFloat64(m.answers.WithLabelValues("compute", "GET", c.status)); got != c.want {
			t.Errorf("%s was counted %v times, want %v", c.status, got, c.want)
		}
	}
}
