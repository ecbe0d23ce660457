package launcher

import (
	"math"
	"time"

	"go.uber.org/zap"

	"poold/pool"
)

const (
	// stormBatches is how many batches have to fail as a whole, one after the
	// other and without a success, to call it a storm.
	stormBatches = 3
	// outageLists is how many lists have to fail in a row to call it an outage.
	outageLists = 3
	// slowEnd is the window at which a slow start is over.
	slowEnd = batchMax
	// slowPatience is how long a launch may keep the window occupied: one that
	// the cloud has lost must not keep the others waiting.
	slowPatience = 2 * time.Minute
)

// slow is the slow start of a provider after a storm of failures or an outage:
// one node is launched, and for each that becomes ready one more may be in
// flight.
type slow struct {
	failures int
	// window is how many nodes may be in flight; 0 is any number.
	window int
}

// begin starts over with one.
func (s *slow) begin() { s.window, s.failures = 1, 0 }

// failed notes a batch of which nothing is left.
func (s *slow) failed() {
	if s.failures++; s.failures >= stormBatches {
		s.begin()
	}
}

// succeeded notes a node that became ready.
func (s *slow) succeeded() {
	s.failures = 0
	if s.window == 0 {
		return
	}
	if s.window++; s.window > slowEnd {
		s.window = 0
	}
}

// room is how many more nodes may be launched when so many are in flight.
func (s *slow) room(inFlight int) int {
	if s.window == 0 {
		return math.MaxInt
	}
	return max(0, s.window-inFlight)
}

// occupies is 1 if a node in flight counts for the window, and 0 once it has
// taken too long.
func (v *view) occupies(t *track, now time.Time, p *plan) int {
	until := v.askedAt(t).Add(slowPatience)
	if !now.Before(until) {
		return 0
	}
	if v.slow.window > 0 {
		p.wakeAt(until)
	}
	return 1
}

// cloudsFault tells whether a failure of a launch may be one of the whole
// cloud, and not of what was asked for.
func cloudsFault(k pool.Kind) bool {
	return k.CountsAsLaunchFailure() && k != pool.KindInvalid && k != pool.KindNotFound && k != pool.KindUnauthorized
}

// judgeCloud learns from a node that became ready, or whose launch failed, how
// the cloud is.
func (r *run) judgeCloud(b *batch, before, after *pool.Node) {
	if r.provider.Static() {
		return // each of its hosts breaks for itself
	}
	s := &r.view.slow
	window := s.window
	switch {
	case after.State == pool.NodeReady:
		s.succeeded()
	case after.State == pool.NodeFailed && before.State == pool.NodeBuilding && b != nil && cloudsFault(after.Failure):
		if b.failed++; b.failed == b.size {
			s.failed()
		}
	}
	r.tellSlow(window)
}

// tellSlow logs the begin and the end of a slow start.
func (r *run) tellSlow(before int) {
	now := r.view.slow.window
	r.metrics.window.WithLabelValues(r.provider.Name).Set(float64(now))
	switch {
	case before == 0 && now > 0:
		r.log.Warn("launching slowly after failures", zap.Int("window", now))
	case before > 0 && now == 0:
		r.log.Info("launching at full speed again")
	}
}
