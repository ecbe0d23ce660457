package daemon

import (
	"maps"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.uber.org/zap"

	"poold/pool"
	"poold/statsd"
)

// Leaks are those of the providers that this peer launches in now.
func TestLeaksForStatsd(t *testing.T) {
	d := &Daemon{registry: newRegistry(), log: zap.NewNop()}
	leak := func(duty, provider string, n int) {
		c := promauto.With(d.registry.duty(duty)).NewCounterVec(
			prometheus.CounterOpts{Name: "poold_launcher_leaks_total", Help: "Leaks."}, []string{"provider", "kind"})
		c.WithLabelValues(provider, "port").Add(float64(n))
	}
	leak("provider/north", "north", 3)
	leak("provider/south", "south", 0)
	leak("upload/north", "uploads", 5)
	north, south := statsd.Leak{Provider: "north", Kind: "port"}, statsd.Leak{Provider: "south", Kind: "port"}
	if got := d.leaks(); !maps.Equal(got, map[statsd.Leak]int64{north: 3, south: 0}) {
		t.Errorf("got %v", got)
	}
	d.registry.drop("provider/north")
	if got := d.leaks(); !maps.Equal(got, map[statsd.Leak]int64{south: 0}) {
		t.Errorf("the duty is over: %v", got)
	}
}

// Nobody is told anything unless that is wanted.
func TestNobodyIsTold(t *testing.T) {
	t.Setenv("STATSD_HOST", "")
	d := newPeer("one", nil)
	stats, err := d.newStats()
	if stats != nil || err != nil {
		t.Errorf("got %v, %v", stats, err)
	}
	d.tell(&pool.Write{})
}

// A loop turns from when its duty begins until it ends.
func TestDoes(t *testing.T) {
	p := newPulse()
	end := p.begin("allocator", new(silent))
	if !p.does("allocator") || p.does("upload/north") {
		t.Error("it does another duty than its own")
	}
	end()
	if p.does("allocator") {
		t.Error("it does its duty after its end")
	}
}
