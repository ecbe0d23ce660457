package web

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// streams opens readers of the live stream until the test ends.
func streams(t *testing.T, url string, n int) []*bufio.Scanner {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	var all []*bufio.Scanner
	for range n {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/live", nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := (&http.Client{Transport: transport}).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = answer.Body.Close() })
		if answer.StatusCode != http.StatusOK {
			t.Fatalf("status %d", answer.StatusCode)
		}
		all = append(all, bufio.NewScanner(answer.Body))
	}
	return all
}

// 1,000 readers at once are each told of a change; those beyond the bound are
// refused.
func TestManyReaders(t *testing.T) {
	s := crowded(t, 1)
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	readers := streams(t, server.URL, 1000)
	s.live.tell()
	for i, reader := range readers {
		for reader.Scan() && reader.Text() != "data: changed" {
		}
		if reader.Text() != "data: changed" {
			t.Fatalf("reader %d was not told: %v", i, reader.Err())
		}
	}
	for range mostStreams - 1000 {
		if _, ok := s.live.join(); !ok {
			t.Fatal("refused too early")
		}
	}
	if rec := get(t, s, "/live"); rec.Code != http.StatusServiceUnavailable {
		t.Errorf("one more: status %d", rec.Code)
	}
}

// stuck is a connection that takes nothing.
type stuck struct {
	http.ResponseWriter

	deadline time.Time
}

func (s *stuck) SetWriteDeadline(t time.Time) error { s.deadline = t; return nil }

func (s *stuck) Write([]byte) (int, error) { return 0, context.DeadlineExceeded }

// A reader that takes nothing is dropped, after a bounded time.
func TestSlowReader(t *testing.T) {
	s := crowded(t, 1)
	w := &stuck{ResponseWriter: httptest.NewRecorder()}
	s.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/live", nil))
	if left := time.Until(w.deadline); left <= 0 || left > liveTime {
		t.Errorf("it may take %v", left)
	}
	if len(s.live.readers) != 0 {
		t.Error("it is still among the readers")
	}
}

// However many changes a reader missed, one word waits for it.
func TestNothingPilesUp(t *testing.T) {
	var l live
	wake, _ := l.join()
	for range 100 {
		l.tell()
	}
	if len(wake) != 1 || cap(wake) != 1 {
		t.Errorf("%d of %d", len(wake), cap(wake))
	}
	l.leave(wake)
	l.tell()
	if len(l.readers) != 0 {
		t.Error("it is still there")
	}
}

// The script is served, and asks for nothing elsewhere.
func TestScript(t *testing.T) {
	rec := get(t, crowded(t, 1), "/static/live.js")
	if rec.Code != http.StatusOK || !strings.Contains(rec.Header().Get("Content-Type"), "javascript") {
		t.Errorf("status %d, %s", rec.Code, rec.Header().Get("Content-Type"))
	}
}
