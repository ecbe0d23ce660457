// Package rest says how long a loop that decides about everything at once
// pauses between two passes: the first change after a while is decided upon at
// once; of a burst, what comes while the loop rests is one pass more.
package rest

import "time"

const (
	// share is how many times as long as a pass takes what comes meanwhile
	// gathers before the next one.
	share = 4
	// Longest is the most that a loop rests.
	Longest = 50 * time.Millisecond
)

// Rest is what the passes of one loop cost lately. The zero value knows nothing.
type Rest struct{ cost time.Duration }

// After returns how long to rest after a pass that took so long. One that took
// long only because the machine was busy counts little.
func (r *Rest) After(took time.Duration) time.Duration {
	if r.cost == 0 || took < r.cost {
		r.cost = took
	} else {
		r.cost += (took - r.cost) / 8
	}
	return min(share*r.cost, Longest)
}
