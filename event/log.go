package event

import (
	"slices"
	"sync"
	"time"
)

// Log is the newest events of a process, so many and so old at most. The zero
// value keeps none; make one with [NewLog]. It is safe for concurrent use.
type Log struct {
	most int
	age  time.Duration

	// mu guards everything below.
	mu     sync.Mutex
	events []Event
	last   int64
}

// NewLog returns an empty log.
func NewLog(most int, age time.Duration) *Log { return &Log{most: most, age: age} }

// Add takes in events, in order, and forgets what is too old or too much.
func (l *Log) Add(now time.Time, events []Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range events {
		l.last++
		e.Seq = l.last
		l.events = append(l.events, e)
	}
	drop := max(0, len(l.events)-l.most)
	for drop < len(l.events) && now.Sub(l.events[drop].At) > l.age {
		drop++
	}
	clear(l.events[:drop]) // what is dropped is not kept alive
	l.events = l.events[drop:]
}

// After returns the events that are wanted after a number, oldest first, most at
// once; and the number to go on from. Missed says that there were some that are
// forgotten.
func (l *Log) After(seq int64, f Filter, most int) (found []Event, next int64, missed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if seq > l.last {
		seq = 0 // of a process before this one
	}
	if len(l.events) > 0 {
		missed = l.events[0].Seq > seq+1
	}
	from, _ := slices.BinarySearchFunc(l.events, seq+1, func(e Event, seq int64) int { return int(e.Seq - seq) })
	for i := from; i < len(l.events) && len(found) < most; i++ {
		if seq = l.events[i].Seq; f.Wants(&l.events[i]) {
			found = append(found, l.events[i])
		}
	}
	return found, max(seq, 0), missed
}

// Newest returns the newest events that are wanted, newest first, after skipping
// some; and how many there are in all.
func (l *Log) Newest(f Filter, skip, most int) (found []Event, all int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := len(l.events) - 1; i >= 0; i-- {
		if !f.Wants(&l.events[i]) {
			continue
		}
		if all >= skip && len(found) < most {
			found = append(found, l.events[i])
		}
		all++
	}
	return found, all
}
