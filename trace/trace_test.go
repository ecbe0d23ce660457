package trace

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"

	"poold/pool"
	"poold/test/collector"
	"poold/test/proc"
)

// running is a Teller that runs.
func running(t *testing.T, url, peer string) (teller *Teller, stop func()) {
	t.Helper()
	teller, err := New(Config{
		Endpoint: url, Getenv: func(string) string { return "" }, Version: "v1", Peer: peer,
		Registerer: prometheus.NewPedanticRegistry(), Log: zap.NewNop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = teller.Run(ctx) // it ends with ctx
	}()
	return teller, func() { cancel(); <-ended }
}

// history is a life of a node for a request, as the writes of two peers.
type history struct {
	now  time.Time
	told func(by pool.Actor, w pool.Write)
}

func (h *history) pass(d time.Duration) { h.now = h.now.Add(d) }

func (h *history) node(by pool.Actor, before, after *pool.Node) *pool.Node {
	h.told(by, pool.Write{By: by, Nodes: []pool.Change[pool.Node]{{Before: before, After: after}}})
	return after
}

// live lets a node be launched for a request, used, and be gone.
func (h *history) live() {
	a := &pool.Allocation{Client: "ci", ID: "7", RequestRevision: 3, State: pool.AllocationWaiting, Created: h.now, Since: h.now}
	h.told(pool.Allocator, pool.Write{Allocations: []pool.Change[pool.Allocation]{pool.Create(a)}})
	h.pass(time.Second)
	n := h.node(pool.Allocator, nil, &pool.Node{
		ID: "n1", Provider: "p", Label: "small", State: pool.NodePending, Created: h.now, Since: h.now,
		Timeline: []pool.Stamp{{State: pool.NodePending, At: h.now, By: pool.Allocator}},
	})
	h.pass(time.Second)
	n = h.node(pool.Launcher, n, n.Moved(pool.NodeBuilding, pool.Launcher, "", h.now))
	h.pass(9 * time.Second)
	ready := n.Moved(pool.NodeReady, pool.Launcher, "", h.now)
	active, addressed, reachable := h.now.Add(-4*time.Second), h.now.Add(-3*time.Second), h.now.Add(-time.Second)
	ready.Active, ready.Addressed, ready.Reachable = &active, &addressed, &reachable
	n = h.node(pool.Launcher, n, ready)
	h.pass(time.Second)
	used := n.Moved(pool.NodeInUse, pool.Allocator, "", h.now)
	ref := a.Ref()
	used.AllocatedTo = &ref
	fulfilled := *a
	fulfilled.State, fulfilled.Since = pool.AllocationFulfilled, h.now
	h.told(pool.Allocator, pool.Write{
		Nodes:       []pool.Change[pool.Node]{pool.Update(n, used)},
		Allocations: []pool.Change[pool.Allocation]{pool.Update(a, &fulfilled)},
	})
	h.pass(time.Minute)
	released := used.Moved(pool.NodeUsed, pool.Allocator, "", h.now)
	h.told(pool.Allocator, pool.Write{
		Nodes:       []pool.Change[pool.Node]{pool.Update(used, released)},
		Allocations: []pool.Change[pool.Allocation]{pool.Remove(&fulfilled)},
	})
	n = h.node(pool.Launcher, released, released.Moved(pool.NodeDeleting, pool.Launcher, "", h.now))
	h.pass(5 * time.Second)
	h.node(pool.Launcher, n, n.Moved(pool.NodeDeleted, pool.Launcher, "", h.now))
}

// say writes a trace as a tree, with what took how long and who told of it.
func say(all []collector.Span, trace string) string {
	var b strings.Builder
	var under func(parent, indent string)
	under = func(parent, indent string) {
		var children []collector.Span
		for _, s := range all {
			if s.Trace == trace && s.Parent == parent {
				children = append(children, s)
			}
		}
		slices.SortStableFunc(children, func(a, b collector.Span) int { return a.Begin.Compare(b.Begin) })
		for _, s := range children {
			b.WriteString(indent + s.Name + " " + s.End.Sub(s.Begin).String() + " " + s.Peer + "\n")
			under(s.ID, indent+"  ")
		}
	}
	under("", "")
	return b.String()
}

// Two peers that know nothing of one another tell of the same traces: the node's
// and the request's, each whole, and linked.
func TestTwoPeers(t *testing.T) {
	c := collector.Start(t)
	one, stopOne := running(t, c.URL, "one")
	two, stopTwo := running(t, c.URL, "two")
	h := &history{now: time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)}
	h.told = func(by pool.Actor, w pool.Write) {
		if by == pool.Launcher {
			two.Tell("i", &w)
		} else {
			one.Tell("i", &w)
		}
	}
	h.live()
	stopOne()
	stopTwo()
	all := c.Spans()
	ids := map[string]string{}
	traces := map[string]string{}
	for _, s := range all {
		if other, twice := ids[s.Trace+s.ID]; twice {
			t.Errorf("%s and %s have one id", s.Name, other)
		}
		ids[s.Trace+s.ID] = s.Name
		if s.Parent == "" {
			traces[s.Name] = s.Trace
		}
		if s.Failed != "" {
			t.Errorf("%s failed: %s", s.Name, s.Failed)
		}
	}
	want := map[string]string{
		"node small": `node small 1m16s two
  queued 1s two
  asked 5s two
  active 1s two
  addressed 2s two
  reachable 1s two
  idle 1s one
  handed-out 1m0s one
  released 5s two
`,
		"request": `request 1m12s one
  waiting 12s one
    queued 1s one
    asked 5s one
    active 1s one
    addressed 2s one
    reachable 1s one
    idle 1s one
  handed-out 1m0s one
  released 5s two
`,
	}
	for name, tree := range want {
		if got := say(all, traces[name]); got != tree {
			t.Errorf("got\n%swant\n%s", got, tree)
		}
	}
	for _, s := range all {
		other := traces["request"]
		if s.Trace == other {
			other = traces["node small"]
		}
		if s.Name == "handed-out" && (len(s.Links) != 1 || s.Links[0] != other) {
			t.Errorf("%s of %s is linked to %v, not to %s", s.Name, s.Trace, s.Links, other)
		}
	}
}

// What fails says so, where it failed.
func TestFailures(t *testing.T) {
	now := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	building := (&pool.Node{ID: "n", Provider: "p", Created: now}).Moved(pool.NodeBuilding, pool.Launcher, "", now)
	failed := building.Moved(pool.NodeFailed, pool.Launcher, "", now.Add(time.Second))
	failed.Failure = pool.KindTimeout
	got := spans("i", &pool.Write{Nodes: []pool.Change[pool.Node]{pool.Update(building, failed)}}, now)
	if len(got) != 1 || got[0].name != "asked" || got[0].failed != "timeout" {
		t.Errorf("got %+v", got)
	}
	a := &pool.Allocation{Client: "c", ID: "1", State: pool.AllocationFailed, Created: now, Since: now}
	got = spans("i", &pool.Write{Allocations: []pool.Change[pool.Allocation]{pool.Create(a)}}, now)
	if len(got) != 1 || got[0].name != "waiting" || got[0].failed != "failed" {
		t.Errorf("got %+v", got)
	}
}

// A node that was ready before its request has no boot in the request's trace.
func TestReadyBefore(t *testing.T) {
	now := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	a := &pool.Allocation{Client: "c", ID: "1", State: pool.AllocationFulfilled, Created: now, Since: now.Add(time.Second)}
	ref := a.Ref()
	ready := (&pool.Node{ID: "n", Provider: "p", Created: now.Add(-time.Hour)}).
		Moved(pool.NodeBuilding, pool.Launcher, "", now.Add(-time.Minute)).Moved(pool.NodeReady, pool.Launcher, "", now.Add(-time.Second))
	used := ready.Moved(pool.NodeInUse, pool.Allocator, "", now.Add(time.Second))
	used.AllocatedTo = &ref
	for _, s := range spans("i", &pool.Write{
		Nodes: []pool.Change[pool.Node]{pool.Update(ready, used)}, Allocations: []pool.Change[pool.Allocation]{pool.Create(a)},
	}, now) {
		if s.trace == requestTrace("i", ref) && s.name != "waiting" {
			t.Errorf("%s is in the trace of the request", s.name)
		}
	}
}

// The same request made anew has a trace of its own, and so have two
// installations that tell the same collector.
func TestTracesAreApart(t *testing.T) {
	seen := map[traceID]bool{}
	for _, installation := range []string{"i", "j"} {
		for _, r := range []pool.RequestRef{{Client: "a", ID: "bc", CreateRevision: 1}, {Client: "a", ID: "bc", CreateRevision: 2}, {Client: "ab", ID: "c", CreateRevision: 1}} {
			seen[requestTrace(installation, r)] = true
		}
		seen[nodeTrace(installation, &pool.Node{Provider: "a", ID: "bc"})] = true
	}
	if len(seen) != 8 {
		t.Errorf("%d traces, want 8", len(seen))
	}
}

// A collector that never answers, or is not there, holds up nobody: what finds no
// room is dropped, and counted, and poold ends all the same.
func TestCollectorDoesNotAnswer(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	t.Cleanup(silent.Close)
	t.Cleanup(func() { close(hang) })
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for what, url := range map[string]string{"silent": silent.URL, "gone": gone.URL} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			teller, stop := running(t, url, "one")
			now := time.Now()
			pending := &pool.Node{ID: "n", Provider: "p", Created: now}
			building := pending.Moved(pool.NodeBuilding, pool.Launcher, "", now)
			const all = 3 * queued
			for range all {
				teller.Tell("i", &pool.Write{Nodes: []pool.Change[pool.Node]{pool.Update(pending, building)}})
			}
			stop()
			count := func(outcome string) int { return int(testutil.ToFloat64(teller.spans.WithLabelValues(outcome))) }
			if dropped := count("dropped"); dropped == 0 || dropped+count("refused") != all || count("sent") != 0 {
				t.Errorf("of %d: %d dropped, %d refused, %d sent", all, dropped, count("refused"), count("sent"))
			}
		})
	}
}

// A collector that comes back is told again.
func TestCollectorComesBack(t *testing.T) {
	t.Parallel()
	c := collector.Start(t)
	refuse := make(chan bool, 1)
	refuse <- true
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-refuse:
			http.Error(w, "no", http.StatusForbidden)
		default:
			request, err := http.NewRequestWithContext(r.Context(), r.Method, c.URL+r.URL.Path, r.Body)
			if err != nil {
				return
			}
			if answer, err := http.DefaultClient.Do(request); err == nil {
				_ = answer.Body.Close() // only that it was told counts
			}
		}
	}))
	t.Cleanup(front.Close)
	teller, stop := running(t, front.URL, "one")
	defer stop()
	tell := func() {
		h := &history{now: time.Now(), told: func(_ pool.Actor, w pool.Write) { teller.Tell("i", &w) }}
		h.live()
	}
	tell()
	proc.Await(t, "the first spans are refused", time.Minute, func() (string, bool) {
		return "", testutil.ToFloat64(teller.spans.WithLabelValues("refused")) > 0
	})
	tell()
	proc.Await(t, "the next are sent", time.Minute, func() (string, bool) { return "", len(c.Spans()) > 0 })
}

// Nobody is told unless somebody wants to hear, in the file or the environment.
func TestOffUnlessWanted(t *testing.T) {
	for _, c := range []struct {
		endpoint, variable string
		on                 bool
	}{{"", "", false}, {"http://127.0.0.1:1", "", true}, {"", "OTEL_EXPORTER_OTLP_ENDPOINT", true}, {"", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", true}} {
		getenv := func(name string) string {
			if name == c.variable {
				return "http://127.0.0.1:1"
			}
			return ""
		}
		teller, err := New(Config{Endpoint: c.endpoint, Getenv: getenv, Registerer: prometheus.NewPedanticRegistry(), Log: zap.NewNop()})
		if err != nil || (teller != nil) != c.on {
			t.Errorf("%+v: on %v, %v", c, teller != nil, err)
		}
	}
	var nobody *Teller
	nobody.Tell("i", &pool.Write{})
}
