package daemon

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// calmEvery is how often it is looked whether a burst is over, which is when
	// less than calmBytes was allocated since the last look: as much as an idle
	// peer with 10,000 nodes and 50 providers allocates.
	calmEvery = 10 * time.Second
	calmBytes = 16 << 20
	// calmGarbage is how much garbage may lie about between bursts, in percent of
	// what lives: then collections are rare anyway.
	calmGarbage = 40
)

// calm notices the end of bursts, by what was allocated since the process
// began.
type calm struct {
	allocated uint64
	busy      bool
}

// over tells, at each look, whether a burst has just ended.
func (c *calm) over(allocated uint64) bool {
	quiet := allocated-c.allocated < calmBytes
	ended := quiet && c.busy
	c.allocated, c.busy = allocated, !quiet
	return ended
}

// giveBack gives memory back to the operating system after each burst, until
// ctx ends, and has it stay small until the next. Go does that by itself, but only
// minutes later, and keeps much of it. It costs one collection for each burst,
// and nothing while it lasts or while nothing happens.
func giveBack(ctx context.Context) {
	tick := time.NewTicker(calmEvery)
	defer tick.Stop()
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	var c calm
	restore := func() {}
	defer func() { restore() }()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		metrics.Read(sample)
		switch ended := c.over(sample[0].Value.Uint64()); {
		case ended:
			usual := debug.SetGCPercent(calmGarbage)
			restore = func() { debug.SetGCPercent(usual) }
			debug.FreeOSMemory()
		case c.busy:
			restore()
			restore = func() {}
		}
	}
}
