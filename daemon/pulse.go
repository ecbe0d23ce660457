package daemon

import (
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"poold/store"
)

// stallTime is how long a loop may be silent before it counts as stuck. Every
// loop looks at the records once a minute if nothing happens; what a pass waits
// for, a write or a kill, is bounded below this. Whose duty is given up for that
// sooner had its time to end, too.
const stallTime = 3 * time.Minute

// pulse tells whether the loops of the duties still turn: each looks at the
// records on every pass.
type pulse struct {
	mu    sync.Mutex // guards loops
	loops map[unseen]string
}

// milli is how many milliseconds a second has.
const milli = 1000

// unseen tells how long ago a loop looked, and for how long it has left a change
// lie.
type unseen interface {
	Unseen() time.Duration
	Lag() time.Duration
}

var _ unseen = (*store.Owned)(nil)

func newPulse() *pulse { return &pulse{loops: map[unseen]string{}} }

// begin feels the pulse of a duty's loop from now on, until the returned
// function is called.
func (p *pulse) begin(key string, loop unseen) (end func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.loops[loop] = key
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.loops, loop)
	}
}

// does tells whether the loop of a duty turns here.
func (p *pulse) does(key string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, turns := range p.loops {
		if turns == key {
			return true
		}
	}
	return false
}

// loopMetrics tells Prometheus of the loops of the duties.
type loopMetrics struct {
	pulse     *pulse
	look, lag *prometheus.Desc
}

func newLoopMetrics(p *pulse) *loopMetrics {
	desc := func(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, []string{"duty"}, nil) }
	return &loopMetrics{
		pulse: p,
		look:  desc("poold_loop_last_look_timestamp_seconds", "When the loop of a duty last looked at the records."),
		lag:   desc("poold_loop_lag_seconds", "For how long there has been a change that the loop of a duty has not looked at; 0 if there is none."),
	}
}

// Describe is part of prometheus.Collector.
func (m *loopMetrics) Describe(to chan<- *prometheus.Desc) {
	to <- m.look
	to <- m.lag
}

// Collect is part of prometheus.Collector.
func (m *loopMetrics) Collect(to chan<- prometheus.Metric) {
	m.collect(to, time.Now())
}

func (m *loopMetrics) collect(to chan<- prometheus.Metric, now time.Time) {
	send := func(desc *prometheus.Desc, v float64, key string) {
		to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, v, key) //nolint:promlinter // names stand above
	}
	m.pulse.mu.Lock()
	defer m.pulse.mu.Unlock()
	for loop, key := range m.pulse.loops {
		send(m.look, float64(now.Add(-loop.Unseen()).UnixMilli())/milli, key)
		send(m.lag, loop.Lag().Seconds(), key)
	}
}

// stuck names the duties whose loops have not looked for the stall time, sorted.
func (p *pulse) stuck() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var keys []string
	for loop, key := range p.loops {
		if loop.Unseen() >= stallTime {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}
