//go:build bench

package bench

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"poold/pool"
	"poold/test/demo"
)

// usage is the CPU time of all that takes part.
type usage struct{ poold, etcd, cloud, self time.Duration }

func (w *site) used() usage {
	w.t.Helper()
	return usage{cpu(w.t, w.poold), cpu(w.t, w.etcd.Process), cpu(w.t, w.cloud.Process), cpuOf(w.t, "self")}
}

// per prints what each of n took.
func (u usage) per(n int, since usage) string {
	each := func(now, then time.Duration) string { return duration((now - then) / time.Duration(n)) }
	return each(u.poold, since.poold) + "; " + each(u.etcd, since.etcd) + "; " + each(u.cloud, since.cloud) + "; " +
		each(u.self, since.self)
}

// Whole lives of nodes, as many as the machine can do.
func TestThroughput(t *testing.T) {
	const boot = 2 * time.Second
	w := newSite(t, setup{regions: []region{plain(boot)}})
	a := w.newAsker()
	for _, c := range []struct {
		n, width                int
		rate, rPeer, cpu, cPeer string
	}{{3000, 500, "ratio 0.7", "24", "3 ms", "30 ms"}, {5000, 1000, "300, ratio 0.7", "", "", ""}} {
		floor := w.cloud.lifecycles(c.n, c.width, boot)
		w.awaitGone(0, time.Minute)
		before, began := w.used(), time.Now()
		jobs := a.inFlight(patience(t, 5*time.Minute), c.n, c.width, one)
		w.awaitGone(0, time.Minute)
		took, spent := time.Since(began), w.used()
		if f := failures(jobs); f > 0 {
			t.Errorf("%d requests failed", f)
		}
		perSecond := float64(c.n) / took.Seconds()
		add(t, row{
			measured: fmt.Sprintf("full lifecycles per second, %d in flight, boot 2 s", c.width),
			value:    fmt.Sprintf("%.0f", perSecond), goal: c.rate, nodepool: c.rPeer,
			floor: fmt.Sprintf("simulator without poold %.0f, at most %d", floor, c.width/2), ratio: ratio(perSecond, floor),
		})
		add(t, row{
			measured: fmt.Sprintf("CPU per lifecycle, %d in flight: poold; etcd; simulator; asking side", c.width),
			value:    spent.per(c.n, before), goal: c.cpu, nodepool: c.cPeer,
		})
	}
}

// Nodes that nobody asks for.
func TestIdle(t *testing.T) {
	const ready = 1000
	w := newSite(t, setup{regions: []region{plain(500 * time.Millisecond)}, minReady: ready})
	w.awaitNodes(pool.NodeReady, ready)
	time.Sleep(20 * time.Second)
	w.cloud.forgetCalls()
	before, began := cpu(t, w.poold), time.Now()
	time.Sleep(60 * time.Second)
	share := (cpu(t, w.poold) - before).Seconds() / time.Since(began).Seconds() * 100
	calls := 0
	for _, n := range w.cloud.calls() {
		calls += n
	}
	add(t, row{
		measured: "1000 ready nodes, idle: CPU; memory; calls per minute",
		value:    fmt.Sprintf("%.2f %%; %d MB; %d", share, resident(t, w.poold)>>20, calls),
		goal:     "0.5 %; 60 MB; -", nodepool: "1.0 %; 152 MB; 1.5",
	})
}

// As much as the design has to bear.
func TestScale(t *testing.T) {
	const regions, labels, each = 50, 100, 100
	many := make([]region, regions)
	for i := range many {
		many[i] = plain(500 * time.Millisecond)
	}
	began := time.Now()
	w := newSite(t, setup{regions: many, labels: labels, minReady: each})
	w.awaitNodes(pool.NodeReady, labels*each)
	filled := time.Since(began)
	w.poold.Stop()
	began = time.Now()
	w.run()
	started := time.Since(began)
	time.Sleep(10 * time.Second)
	jobs := w.newAsker().inFlight(patience(t, 2*time.Minute), 200, 1, func(i int) string { return label(i % labels) })
	sum, count := w.metric("poold_allocator_decide_seconds_sum"), w.metric("poold_allocator_decide_seconds_count")
	add(t, row{
		measured: "10,000 nodes, 100 labels, 50 providers: memory; mean decision; start-up; warm p50 / p99; 0 to all ready",
		value: fmt.Sprintf("%d MB; %s; %s; %s; %s", resident(t, w.poold)>>20,
			duration(time.Duration(sum/count*float64(time.Second))), duration(started), quantiles(latencies(jobs)), duration(filled)),
		goal: "report", nodepool: "-",
	})
}

// metric is the sum of the values of a metric of poold.
func (w *site) metric(name string) float64 {
	w.t.Helper()
	status, body, err := demo.Ask(w.t.Context(), http.MethodGet, w.web+"/metrics")
	if err != nil || status != http.StatusOK {
		w.t.Fatalf("metrics: %d, %v", status, err)
	}
	sum := 0.0
	for line := range strings.Lines(string(body)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if key, _, _ = strings.Cut(key, "{"); key != name {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			w.t.Fatal(err)
		}
		sum += v
	}
	return sum
}
