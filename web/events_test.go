package web

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"poold/event"
)

// busy is a server that remembers so many events, of ten each second.
func busy(t *testing.T, events int) *Server {
	t.Helper()
	s := crowded(t, 1)
	begin := time.Now().Add(-time.Duration(events) * time.Second / 10)
	for i := range events {
		at := begin.Add(time.Duration(i) * time.Second / 10)
		s.events.Add(at, []event.Event{{
			At: at, Kind: event.Node, Name: fmt.Sprintf("n%011x", i/10), Provider: fmt.Sprintf("provider-%02d", i/10%20), From: "pending", To: "building",
		}})
	}
	return s
}

// watched is a stream of events after the last one that somebody has, which has
// begun.
func watched(t *testing.T, server *httptest.Server, last string) *bufio.Scanner {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/api/v1/watch", nil)
	if err != nil {
		t.Fatal(err)
	}
	if last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	answer, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = answer.Body.Close() }) // it is not read to its end
	lines := bufio.NewScanner(answer.Body)
	if !lines.Scan() {
		t.Fatal(lines.Err())
	}
	return lines
}

// Who begins to watch has missed nothing, though all that was is forgotten.
func TestWatchAfterAllWasForgotten(t *testing.T) {
	s := busy(t, 10)
	s.events.Forget(time.Now().Add(2 * defaultEventAge))
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	lines := watched(t, server, "")
	s.events.Add(time.Now(), []event.Event{{At: time.Now(), Kind: event.Peer, Name: "two", To: "joined"}})
	s.live.tell()
	for lines.Scan() {
		if what, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			if what != event.Peer {
				t.Errorf("told of %s", what)
			}
			return
		}
	}
	t.Errorf("it ended: %v", lines.Err())
}

// Who is behind by more than is told at once is told the rest though nothing
// happens meanwhile.
func TestWatchGoesOn(t *testing.T) {
	s := busy(t, 2*eventBatch+1)
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	lines := watched(t, server, "1")
	s.live.tell()
	next := 2
	for next <= 2*eventBatch+1 && lines.Scan() {
		if id, ok := strings.CutPrefix(lines.Text(), "id: "); ok {
			if id != fmt.Sprint(next) {
				t.Fatalf("told of event %s after %d", id, next-1)
			}
			next++
		}
	}
	if lines.Err() != nil {
		t.Errorf("it ended after %d events: %v", next-2, lines.Err())
	}
}
