package sim

import (
	"container/heap"
	"time"
)

// eventKind is what happens to a server by itself.
type eventKind int

const (
	eventBuilt eventKind = iota
	eventBooted
	eventGone
	eventForgotten
)

type event struct {
	at   time.Time
	seq  uint64
	kind eventKind
	of   *server
}

// agenda is a heap of events by time, then by the order they were put in.
type agenda []event

func (a *agenda) Len() int      { return len(*a) }
func (a *agenda) Swap(i, j int) { (*a)[i], (*a)[j] = (*a)[j], (*a)[i] }

// Push is for container/heap.
func (a *agenda) Push(x any) { *a = append(*a, x.(event)) }

func (a *agenda) Less(i, j int) bool {
	x, y := (*a)[i], (*a)[j]
	if !x.at.Equal(y.at) {
		return x.at.Before(y.at)
	}
	return x.seq < y.seq
}

// Pop is for container/heap.
func (a *agenda) Pop() any {
	last := len(*a) - 1
	e := (*a)[last]
	(*a)[last] = event{}
	*a = (*a)[:last]
	return e
}

func (c *Cloud) schedule(at time.Time, kind eventKind, of *server) {
	c.seq++
	heap.Push(&c.agenda, event{at: at, seq: c.seq, kind: kind, of: of})
	if c.agenda[0].seq == c.seq {
		c.rouse() // it comes before whatever was waited for
	}
}

// advance does everything that is due by now.
func (c *Cloud) advance(now time.Time) {
	now = now.UTC()
	for c.agenda.Len() > 0 && !c.agenda[0].at.After(now) {
		e := heap.Pop(&c.agenda).(event)
		if e.at.After(c.now) {
			c.now = e.at
		}
		c.happen(e)
	}
	if now.After(c.now) {
		c.now = now
	}
}

func (c *Cloud) happen(e event) {
	s := e.of
	switch e.kind {
	case eventBuilt:
		c.built(s)
	case eventBooted:
		if s.gone.IsZero() {
			s.booted, s.settled = e.at, e.at.Add(c.cfg.Settle.sample(c.rng))
			c.reachable(s)
		}
	case eventGone:
		c.vanish(s)
	case eventForgotten:
		delete(c.servers, s.id)
		c.gone[0] = nil
		c.gone = c.gone[1:]
	}
}
