package web

import (
	"sync"
	"time"

	"poold/web/model"
)

const (
	// sampleEvery is the time between two samples, and samples how many are
	// kept: six hours.
	sampleEvery = 90 * time.Second
	samples     = 240
)

// sample is how much there was at a time.
type sample struct {
	at                    time.Time
	ready, inUse, waiting int
}

// history is the samples of the last hours, oldest first.
type history struct {
	// mu guards ring.
	mu   sync.Mutex
	ring []sample
}

// note adds a sample of a site, if it is time for one.
func (h *history) note(s *model.Site) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := sample{at: s.At, ready: s.Counts.Ready, inUse: s.Counts.InUse, waiting: s.Waiting}
	if n := len(h.ring); n > 0 && s.At.Sub(h.ring[n-1].at) < sampleEvery {
		return
	}
	if len(h.ring) == samples {
		copy(h.ring, h.ring[1:])
		h.ring = h.ring[:samples-1]
	}
	h.ring = append(h.ring, now)
}

// all returns the samples, and the site of now as the last.
func (h *history) all(s *model.Site) []sample {
	h.mu.Lock()
	defer h.mu.Unlock()
	line := make([]sample, 0, len(h.ring)+1)
	line = append(line, h.ring...)
	return append(line, sample{at: s.At, ready: s.Counts.Ready, inUse: s.Counts.InUse, waiting: s.Waiting})
}
