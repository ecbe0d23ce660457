package web

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"
)

const (
	// mostStreams is how many readers may follow at once.
	mostStreams = 2000
	// liveEvery is the least time between two messages to a reader, beatEvery
	// the longest: it finds out who is gone, and keeps proxies from hanging up.
	liveEvery, beatEvery = time.Second, 20 * time.Second
	// liveTime bounds the sending of one message: who takes none is dropped.
	liveTime = 10 * time.Second
)

// live tells readers that something changed. A reader has room for one such
// word, which stands for any number of changes: nothing piles up for one that
// is slow.
type live struct {
	// mu guards readers.
	mu      sync.Mutex
	readers map[chan struct{}]struct{}
}

// join adds a reader, unless there are too many.
func (l *live) join() (chan struct{}, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.readers) >= mostStreams {
		return nil, false
	}
	if l.readers == nil {
		l.readers = map[chan struct{}]struct{}{}
	}
	wake := make(chan struct{}, 1)
	l.readers[wake] = struct{}{}
	return wake, true
}

func (l *live) leave(wake chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.readers, wake)
}

// tell wakes all readers.
func (l *live) tell() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for wake := range l.readers {
		rouse(wake)
	}
}

// rouse wakes a reader, unless that was done already.
func rouse(wake chan<- struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// follow sends a reader a word after each change, until it goes or is too slow
// to take it.
func (s *Server) follow(w http.ResponseWriter, r *http.Request) {
	s.stream(w, r, func() (string, bool) { return "data: changed\n\n", false })
}

// stream sends a reader what there is to say after each change, until it goes or
// is too slow to take it. Where say tells that there is more, no change is waited
// for.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, say func() (text string, more bool)) {
	wake, ok := s.live.join()
	if !ok {
		w.Header().Set("Retry-After", "60")
		http.Error(w, "too many readers", http.StatusServiceUnavailable)
		return
	}
	defer s.live.leave(wake)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	control := http.NewResponseController(w)
	send := func(message string) bool {
		// A writer without deadlines is one of a test.
		_ = control.SetWriteDeadline(time.Now().Add(liveTime))
		_, err := fmt.Fprint(w, message)
		return err == nil && control.Flush() == nil
	}
	if !send("retry: 5000\n\n") {
		return
	}
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	for {
		message, more := ": still here\n\n", false
		select {
		case <-r.Context().Done():
			return
		case <-beat.C:
		case <-wake:
			message, more = say()
		}
		if !send(message) || sleep(r.Context(), liveEvery) {
			return
		}
		if more {
			rouse(wake)
		}
	}
}

// sleep waits, and tells whether ctx ended before.
func sleep(ctx context.Context, d time.Duration) (ended bool) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return true
	case <-timer.C:
		return false
	}
}
