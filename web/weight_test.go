package web

import (
	"maps"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"poold/pool"
	"poold/test/scale"
)

// large is a server of a large installation that has run for hours.
func large(tb testing.TB) *Server {
	tb.Helper()
	now := time.Now()
	records, catalog := scale.New(now)
	s := New(Config{
		Snapshot: func() *pool.Snapshot { return records },
		Catalog:  func() *pool.Catalog { return catalog },
		Breakers: func(_ []*pool.Node, now time.Time) []pool.Breaker { return scale.Breakers(now) },
		Ready:    func() []Check { return nil },
		Gatherer: prometheus.NewRegistry(), Log: zap.NewNop(),
	})
	s.note(now)
	for i := range samples {
		at := now.Add(time.Duration(i-samples) * sampleEvery)
		s.history.ring = append(s.history.ring, sample{at: at, ready: 2000 + i%7, inUse: 6000 + i%11, waiting: 700 + i%13})
	}
	return s
}

// Every page of a large installation, with what comes with it, keeps under 150 kB,
// and is not the shorter for lack of what it is about.
func TestPageWeight(t *testing.T) {
	const most = 150_000
	s := large(t)
	n := s.Snapshot().Nodes[0]
	examples := map[string]string{
		"/{$}": "/", "/nodes": "/nodes", "/nodes/{id}": "/nodes/" + string(n.ID), "/requests": "/requests",
		"/requests/{client}/{id}": "/requests/" + scale.Client + "/400-0000000007", "/images": "/images", "/images/{name}": "/images/" + scale.Image(1),
		"/providers": "/providers", "/providers/{name}": "/providers/" + scale.Provider(1), "/labels": "/labels", "/labels/{name}": "/labels/" + scale.Label(1),
		"/peers": "/peers", "/peers/{name}": "/peers/launcher-1", "/events": "/events",
	}
	static := 0
	for _, path := range []string{"/static/style.css", "/static/live.js", "/static/icon.svg"} {
		static += get(t, s, path).Body.Len()
	}
	for _, p := range pageTable() {
		path := examples[p.pattern]
		delete(examples, p.pattern)
		rec := get(t, s, path)
		if weight := rec.Body.Len() + static; rec.Code != http.StatusOK || weight > most {
			t.Errorf("%s, %q: status %d, %d bytes", p.pattern, path, rec.Code, weight)
		} else {
			t.Logf("%s weighs %d bytes, %d of them its own", path, weight, weight-static)
		}
	}
	if len(examples) > 0 {
		t.Errorf("there are no pages %v", slices.Collect(maps.Keys(examples)))
	}
	if first := get(t, s, "/").Body.Len(); first < 50_000 {
		t.Errorf("the first page has only %d bytes: the installation is not large", first)
	}
}

// The first page of a large installation when everything changed.
func BenchmarkOverview(b *testing.B) {
	s := large(b)
	for b.Loop() {
		s.renew()
		if rec := get(b, s, "/"); rec.Code != http.StatusOK {
			b.Fatal(rec.Code)
		}
	}
}
