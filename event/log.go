package event

import (
	"slices"
	"sync"
	"time"
)

// Log is the newest events of a process: none that is older than an age, and no
// more than fit into so many bytes. Make one with [NewLog]. It is safe for
// concurrent use.
type Log struct {
	most int
	age  time.Duration

	// mu guards everything below.
	mu     sync.RWMutex
	chunks []*chunk
	size   int
	// first and last are the numbers of the oldest and the newest event; the first
	// chunk may begin with older ones, that are forgotten.
	first, last int64
	// since is from when on everything is remembered that is not too old, and
	// dropped whether that is so because there was no room for more.
	since   time.Time
	dropped bool
}

// NewLog returns an empty log that takes so many bytes at most, and a chunk more. An
// event takes about 75.
func NewLog(most int, age time.Duration) *Log { return &Log{most: most, age: age, first: 1} }

// Add takes in events, in order, and forgets what is too old or too much. From the
// first time on everything is remembered.
func (l *Log) Add(now time.Time, events []Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.since.IsZero() {
		l.since = now.UTC().Truncate(time.Millisecond)
	}
	for i := range events {
		l.add(&events[i], now)
	}
	l.forget(now)
}

func (l *Log) add(e *Event, now time.Time) {
	if len(l.chunks) == 0 || l.chunks[len(l.chunks)-1].numbers == nil {
		l.chunks = append(l.chunks, newChunk(l.last+1))
	}
	c := l.chunks[len(l.chunks)-1]
	before := c.size
	room := c.add(e)
	l.last++
	l.size += c.size - before
	if room {
		return
	}
	c.seal()
	for l.size > l.most && len(l.chunks) > 1 {
		l.drop(now)
	}
}

// drop makes room: it forgets the oldest chunk, whatever its age.
func (l *Log) drop(now time.Time) {
	c := l.chunks[0]
	for i := range c.entries {
		// The clock of who noted it may be ahead.
		if at := time.UnixMilli(c.entries[i].at).UTC(); at.After(l.since) && !at.After(now) {
			l.since = at
		}
	}
	l.dropped, l.first = true, c.next()
	l.remove()
}

// remove removes the oldest chunk.
func (l *Log) remove() {
	l.size -= l.chunks[0].size
	l.chunks = slices.Delete(l.chunks, 0, 1)
}

// Forget forgets what is too old.
func (l *Log) Forget(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget(now)
}

func (l *Log) forget(now time.Time) {
	oldest := now.Add(-l.age).UnixMilli()
	for len(l.chunks) > 0 {
		c := l.chunks[0]
		for l.first < c.next() && c.entries[l.first-c.first].at < oldest {
			l.first++
		}
		if l.first < c.next() {
			return
		}
		l.remove()
	}
}

// Since tells from when on everything that happened is remembered, zero if nobody
// looked yet; and whether what was before was dropped though it is not too old.
func (l *Log) Since(now time.Time) (since time.Time, dropped bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if oldest := now.Add(-l.age); !l.since.IsZero() && l.since.Before(oldest) {
		return oldest.UTC().Truncate(time.Millisecond), false
	}
	return l.since, l.dropped
}

// Last returns the number of the newest event, 0 before there was one.
func (l *Log) Last() int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.last
}

// After returns the events that are wanted after a number, oldest first, most at
// once; and the number to go on from. Missed says that there were some that are
// forgotten.
func (l *Log) After(seq int64, f Filter, most int) (found []Event, next int64, missed bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if seq < 0 || seq > l.last {
		seq = 0 // of a process before this one
	}
	missed = l.first > seq+1
	next = max(seq, l.first-1)
	if next == l.last {
		return nil, next, missed
	}
	for _, c := range l.chunks[l.chunk(next+1):] {
		w, some := c.wish(&f)
		for ; next+1 < c.next() && len(found) < most; next++ {
			if some && w.wants(c.entry(next+1)) {
				found = append(found, c.event(next+1))
			}
		}
	}
	return found, next, missed
}

// chunk returns the place of the chunk that an event is in, or would be.
func (l *Log) chunk(seq int64) int {
	at, is := slices.BinarySearchFunc(l.chunks, seq, func(c *chunk, seq int64) int { return int(c.first - seq) })
	if !is {
		at--
	}
	return max(at, 0)
}

// Newest returns the newest events that are wanted, newest first, after skipping
// some; and how many there are in all.
func (l *Log) Newest(f Filter, skip, most int) (found []Event, all int) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if f == (Filter{}) { // none needs to be looked at but those that are wanted
		for seq := l.last - int64(skip); seq >= l.first && len(found) < most; seq-- {
			found = append(found, l.chunks[l.chunk(seq)].event(seq))
		}
		return found, int(l.last + 1 - l.first)
	}
	for _, c := range slices.Backward(l.chunks) {
		w, some := c.wish(&f)
		if !some {
			continue
		}
		for seq := c.next() - 1; seq >= max(c.first, l.first); seq-- {
			if !w.wants(c.entry(seq)) {
				continue
			}
			if all >= skip && len(found) < most {
				found = append(found, c.event(seq))
			}
			all++
		}
	}
	return found, all
}
