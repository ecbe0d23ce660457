package web

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"poold/event"
	"poold/pool"
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

// allocated is how much is allocated to do something: the least of some times,
// because what all pages have is made anew every few seconds.
func allocated(do func()) uint64 {
	least := uint64(math.MaxUint64)
	for range 5 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		do()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	return least
}

// A page of events costs as much of many as of few.
func TestAPageOfManyEvents(t *testing.T) {
	const few, many = 2000, 200_000
	cost := func(s *Server, path, says string) uint64 {
		t.Helper()
		return allocated(func() {
			if body := get(t, s, path).Body.String(); !strings.Contains(body, says) {
				t.Errorf("%s does not say %q", path, says)
			}
		})
	}
	short, long := busy(t, few), busy(t, many)
	for _, c := range []struct{ path, ofFew, ofMany string }{
		{"/events", "1 to 100 of 2000", "1 to 100 of 200000"},
		{"/events?provider=provider-07", "1 to 100 of 100", "1 to 100 of 10000"},
		{"/events?from=1900", "1901 to 2000 of 2000", "1901 to 2000 of 200000"},
		{"/events?from=999999999", "1 to 100 of 2000", "1 to 100 of 200000"},
		{"/api/v1/events?kind=node&limit=100", `"total": 2000`, `"total": 200000`},
	} {
		if a, b := cost(short, c.path, c.ofFew), cost(long, c.path, c.ofMany); b > a*3/2 {
			t.Errorf("%s: %d bytes are allocated for it among %d events, %d among %d", c.path, a, few, b, many)
		}
	}
}

// An answer without a limit has one, and says what it lacks.
func TestAllEventsAtOnce(t *testing.T) {
	s := busy(t, mostEvents+5)
	if items, total, next := listed(t, s, "events"); len(items) != mostEvents || total != mostEvents+5 || next != mostEvents {
		t.Errorf("%d events of %d, next %d", len(items), total, next)
	}
	if items, total, next := listed(t, s, fmt.Sprintf("events?limit=1000&from=%d", mostEvents)); len(items) != 5 || total != mostEvents+5 || next != 0 {
		t.Errorf("%d more of %d, next %d", len(items), total, next)
	}
	if items, total, next := listed(t, s, "events?name=n00000000007"); len(items) != 10 || total != 10 || next != 0 {
		t.Errorf("%d events of a node of %d, next %d", len(items), total, next)
	}
}

// keptSince is from when on the API, the page and the metrics say that all events
// are remembered, and what the page says.
func keptSince(t *testing.T, s *Server) (api time.Time, page string, metric float64) {
	t.Helper()
	var a struct {
		KeptSince time.Time `json:"kept_since"`
	}
	if err := json.Unmarshal(get(t, s, "/api/v1/events?limit=1").Body.Bytes(), &a); err != nil {
		t.Fatal(err)
	}
	_, page, _ = strings.Cut(get(t, s, "/events?name=nothing").Body.String(), "There are none")
	page, _, _ = strings.Cut(page, "<")
	s.renew()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(s.Collector())
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "poold_events_kept_since_timestamp_seconds" {
			metric = f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	return a.KeptSince, page, metric
}

// Whoever looks for what happened is told from when on that is known.
func TestSinceWhenEventsAreKept(t *testing.T) {
	s := crowded(t, 1)
	if api, page, _ := keptSince(t, s); !api.IsZero() || page != ", as this peer remembers them." {
		t.Errorf("before it looked: %v, %q", api, page)
	}
	began := time.Now().Add(-time.Hour).UTC().Truncate(time.Millisecond)
	s.events.Add(began, nil)
	check := func(what string, want time.Time, note string) {
		t.Helper()
		api, page, metric := keptSince(t, s)
		if !api.Equal(want) || metric != float64(want.UnixMilli())/1000 ||
			page != ", as this peer remembers them: all since "+want.Format("2006-01-02 15:04:05")+note+"." {
			t.Errorf("%s: %v, %q, %f, want %v", what, api, page, metric, want)
		}
	}
	check("since it started", began, "")
	full := began.Add(10 * time.Minute)
	for i := range 2 * eventBytes / 10_000 {
		s.events.Add(full, []event.Event{{At: full, Kind: event.Node, Name: fmt.Sprint(i), Reason: fmt.Sprint(i, strings.Repeat("x", 10_000))}})
	}
	check("it has no more room", full, "; there was no room for older ones")
}

// Of what is gone the events are still to be found.
func TestEventsOfWhatIsGone(t *testing.T) {
	s := crowded(t, 4)
	s.note(time.Now())
	gone := *s.Snapshot()
	gone.Nodes, gone.Requests = nil, nil
	s.Snapshot = func() *pool.Snapshot { return &gone }
	s.renew()
	s.note(time.Now())
	for path, link := range map[string]string{
		"/nodes/n00003": "/events?name=n00003", "/requests/" + hostilePath + "/1": "/events?request=" + hostilePath + "%2F1",
	} {
		rec := get(t, s, path)
		if rec.Code != http.StatusNotFound || !strings.Contains(rec.Body.String(), `<a href="`+link+`">`) {
			t.Errorf("%s: status %d: %s", path, rec.Code, rec.Body)
		}
		if body := get(t, s, link).Body.String(); !strings.Contains(body, "1 to 2 of 2") {
			t.Errorf("%s does not have its events", link)
		}
	}
	for _, path := range []string{"/nodes/n00009", "/nodes/", "/images/x", "/"} {
		if body := get(t, s, path).Body.String(); strings.Contains(body, "remembers events") {
			t.Errorf("%s has events of nothing", path)
		}
	}
}

// watched is a stream of the events that a query wants after the last one that
// somebody has, which has begun.
func watched(t *testing.T, server *httptest.Server, last, query string) *bufio.Scanner {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/api/v1/watch"+query, nil)
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
	lines := watched(t, server, "", "")
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
	lines := watched(t, server, "1", "")
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
