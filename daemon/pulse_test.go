package daemon

import (
	"context"
	"slices"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// silent is a loop that looked so long ago.
type silent time.Duration

func (s *silent) Unseen() time.Duration { return time.Duration(*s) }

func (*silent) Lag() time.Duration { return time.Second }

// A loop is stuck once it has not looked for the stall time, and no more when
// it looks again or has ended.
func TestPulse(t *testing.T) {
	p := newPulse()
	turns, sticks := silent(0), silent(stallTime-1)
	endTurns, endSticks := p.begin("turns", &turns), p.begin("sticks", &sticks)
	defer endTurns()
	if got := p.stuck(); got != nil {
		t.Errorf("%v are stuck too soon", got)
	}
	sticks = silent(stallTime)
	if got := p.stuck(); !slices.Equal(got, []string{"sticks"}) {
		t.Errorf("%v are stuck", got)
	}
	sticks = 0
	if got := p.stuck(); got != nil {
		t.Errorf("%v are stuck though they look again", got)
	}
	sticks = silent(stallTime)
	endSticks()
	if got := p.stuck(); got != nil {
		t.Errorf("%v are stuck though they have ended", got)
	}
}

// A peer with a stuck loop lives no more for systemd, and says once which loop.
func TestStuckIsNotAlive(t *testing.T) {
	core, logged := observer.New(zap.ErrorLevel)
	d := &Daemon{pulse: newPulse(), log: zap.New(core)}
	var loop silent
	defer d.pulse.begin("provider/north", &loop)()
	alive := d.alive(t.Context())
	if !alive() {
		t.Error("dead from the beginning")
	}
	loop = silent(stallTime)
	if first, second := alive(), alive(); first || second {
		t.Error("alive with a stuck loop")
	}
	if n := logged.FilterMessage("loops are stuck").Len(); n != 1 {
		t.Errorf("said %d times, want 1", n)
	}
	loop = 0
	if !alive() {
		t.Error("dead though the loop turns again")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if d.alive(ended)() {
		t.Error("alive though it has ended")
	}
}
