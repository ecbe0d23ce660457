package ratelimit

import (
	"container/heap"
	"time"
)

// headStart is what one lane is worth in time.
const headStart = 3 * time.Second

// waiter is one call in the queue.
type waiter struct {
	// due orders the queue: when the call came, plus its lane's handicap.
	due time.Time
	// seq orders calls of the same moment by arrival.
	seq   uint64
	index int
	// turn is closed when the call may be made.
	turn chan struct{}
}

// queue is a heap of waiters, the first to go on top.
type queue struct {
	waiters []*waiter
	seq     uint64
}

// add puts a new call into its place.
func (q *queue) add(now time.Time, lane int) *waiter {
	q.seq++
	w := &waiter{due: now.Add(time.Duration(lane) * headStart), seq: q.seq, turn: make(chan struct{})}
	heap.Push(q, w)
	return w
}

// remove takes a call out of the queue, wherever it stands; it does nothing if
// the call has left already.
func (q *queue) remove(w *waiter) {
	if w.index >= 0 {
		heap.Remove(q, w.index)
	}
}

// next takes the first call out of the queue, which must not be empty.
func (q *queue) next() *waiter {
	w, _ := heap.Pop(q).(*waiter)
	return w
}

// Len is part of heap.Interface.
func (q *queue) Len() int { return len(q.waiters) }

// Less is part of heap.Interface.
func (q *queue) Less(i, j int) bool {
	a, b := q.waiters[i], q.waiters[j]
	if !a.due.Equal(b.due) {
		return a.due.Before(b.due)
	}
	return a.seq < b.seq
}

// Swap is part of heap.Interface.
func (q *queue) Swap(i, j int) {
	q.waiters[i], q.waiters[j] = q.waiters[j], q.waiters[i]
	q.waiters[i].index, q.waiters[j].index = i, j
}

// Push is part of heap.Interface.
func (q *queue) Push(x any) {
	w, _ := x.(*waiter)
	w.index = len(q.waiters)
	q.waiters = append(q.waiters, w)
}

// Pop is part of heap.Interface.
func (q *queue) Pop() any {
	last := len(q.waiters) - 1
	w := q.waiters[last]
	q.waiters[last] = nil
	q.waiters = q.waiters[:last]
	w.index = -1
	return w
}
