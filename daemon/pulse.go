package daemon

import (
	"slices"
	"sync"
	"time"

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

// unseen tells how long ago a loop looked.
type unseen interface {
	Unseen() time.Duration
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
