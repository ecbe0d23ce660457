package ratelimit

import (
	"slices"
	"time"
)

// waiter is one call in the queue.
type waiter struct {
	// turn is closed when the call may be made, which is at.
	turn chan struct{}
	at   time.Time
}

// lane is the calls of one urgency, in the order in which they came.
type lane struct {
	waiters []*waiter
	// patience is how many turns others may have while somebody waits here,
	// passed how many they had since this lane's last.
	patience, passed int
}

func (l *lane) overdue() int { return l.passed - l.patience }

// queue is the calls that wait for their turn, by lane, the most urgent first.
type queue struct{ lanes []lane }

func newQueue(patience []int) queue {
	q := queue{lanes: make([]lane, len(patience))}
	for i, p := range patience {
		q.lanes[i].patience = p
	}
	return q
}

// add puts a new call at the end of its lane.
func (q *queue) add(lane int) *waiter {
	w := &waiter{turn: make(chan struct{})}
	l := &q.lanes[lane]
	l.waiters = append(l.waiters, w)
	return w
}

// remove takes a call out of its lane; it does nothing if the call has left
// already.
func (q *queue) remove(lane int, w *waiter) {
	l := &q.lanes[lane]
	if i := slices.Index(l.waiters, w); i >= 0 {
		l.waiters = slices.Delete(l.waiters, i, i+1)
	}
	if len(l.waiters) == 0 {
		l.passed = 0
	}
}

// next takes out the call whose turn it is: the first of the lane whose
// patience is exceeded the most, or else of the most urgent one. It returns
// nil if nobody waits.
func (q *queue) next() *waiter {
	var turn *lane
	for i := range q.lanes {
		l := &q.lanes[i]
		if len(l.waiters) == 0 {
			continue
		}
		if turn == nil || l.overdue() >= 0 && l.overdue() > turn.overdue() {
			turn = l
		}
		l.passed++
	}
	if turn == nil {
		return nil
	}
	w := turn.waiters[0]
	turn.waiters[0] = nil
	turn.waiters, turn.passed = turn.waiters[1:], 0
	return w
}

// len is how many calls wait.
func (q *queue) len() int {
	n := 0
	for i := range q.lanes {
		n += len(q.lanes[i].waiters)
	}
	return n
}
