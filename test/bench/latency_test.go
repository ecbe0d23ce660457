//go:build bench

package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"poold/cloud/sim"
	"poold/pool"
)

// plain is a region that makes servers active after a time and deletes them
// after a tenth of a second.
func plain(boot time.Duration) region {
	return region{Config: sim.Config{Build: sim.Always(boot), Delete: sim.Always(100 * time.Millisecond)}}
}

// patience bounds the wait for answers in one part of a row.
func patience(tb testing.TB, d time.Duration) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeoutCause(tb.Context(), d, fmt.Errorf("not within %v", d))
	tb.Cleanup(cancel)
	return ctx
}

// upTo is a random time; up to nothing it is none.
func upTo(most time.Duration) time.Duration { return rand.N(most + 1) }

// Requests for which ready nodes are there: of somebody who thinks in between,
// and of somebody who does not.
func TestWarm(t *testing.T) {
	const ready, pause = 150, 50 * time.Millisecond
	w := newSite(t, setup{regions: []region{plain(2 * time.Second)}, minReady: ready})
	w.awaitNodes(pool.NodeReady, ready)
	a := w.newAsker()
	paused, floor := w.oneByOne(a, "pauses in between", 300, pause, "ratio 1.5 / 20 ms", "570 ms / 1.0 s")
	took := w.released(paused)
	add(t, row{
		measured: "release to delete call, p50 / p99", value: quantiles(took), goal: "50 ms / -", nodepool: "5 s loop",
		floor: "echo over etcd " + quantiles(floor), ratio: ratio(took.at(0.5), floor.at(0.5)),
	})
	w.awaitNodes(pool.NodeReady, ready)
	w.oneByOne(a, "no pauses", ready, 0, "", "")
	w.awaitNodes(pool.NodeReady, ready)
	w.burst(a, 100, "1.68 s / 1.76 s", "- / 60 ms")
}

// oneByOne makes n requests, each after the answer to the last and a pause of up
// to so long.
func (w *site) oneByOne(a *asker, how string, n int, pause time.Duration, goal, peer string) (jobs []*job, floor times) {
	w.t.Helper()
	ctx := patience(w.t, 2*time.Minute)
	for range n {
		jobs = append(jobs, a.inFlight(ctx, 1, 1, one)[0])
		time.Sleep(upTo(pause))
	}
	took := latencies(jobs)
	floor = w.echo(n, 1, pause)
	add(w.t, row{
		measured: "warm request to answer, one at a time, " + how + ", p50 / p99", value: quantiles(took), goal: goal,
		nodepool: peer, floor: "echo over etcd " + quantiles(floor), ratio: ratio(took.at(0.5), floor.at(0.5)),
	})
	return jobs, floor
}

// The same with as many ready nodes as a large site has.
func TestBurst(t *testing.T) {
	const ready = 1000
	w := newSite(t, setup{regions: []region{plain(2 * time.Second)}, minReady: ready})
	w.awaitNodes(pool.NodeReady, ready)
	w.burst(w.newAsker(), ready, "-", "- / 500 ms")
}

func (w *site) burst(a *asker, n int, peer, goal string) {
	w.t.Helper()
	took, floor := latencies(a.burst(patience(w.t, time.Minute), n)), w.echo(n, n, 0)
	add(w.t, row{
		measured: fmt.Sprintf("warm requests in a burst of %d, p50 / p99", n), value: quantiles(took), goal: goal,
		nodepool: peer, floor: "echo over etcd " + quantiles(floor), ratio: ratio(took.at(0.99), floor.at(0.99)),
	})
}

// released is how long after the release of each job its server was asked to
// be deleted.
func (w *site) released(jobs []*job) times {
	w.t.Helper()
	w.awaitDeleted(jobs)
	instances := map[pool.NodeID]string{}
	for _, n := range w.records().Nodes {
		instances[n.ID] = n.InstanceID
	}
	deletes := w.cloud.deletes()
	all := make(times, 0, len(jobs))
	for _, j := range jobs {
		at, asked := deletes[instances[j.nodes[0].ID]]
		if !asked {
			w.t.Fatalf("%s was never deleted", j.nodes[0].ID)
		}
		all = append(all, at.Sub(j.released))
	}
	slices.Sort(all)
	return all
}

// awaitDeleted waits until the nodes of all jobs are gone.
func (w *site) awaitDeleted(jobs []*job) {
	w.t.Helper()
	w.awaitNodes(pool.NodeDeleted, len(jobs))
}

// Requests for which nodes have to be launched.
func TestCold(t *testing.T) {
	const boot = 10 * time.Second
	w := newSite(t, setup{regions: []region{plain(boot)}})
	took := latencies(w.newAsker().inFlight(patience(t, 2*time.Minute), 30, 10, one)).less(boot)
	add(t, row{
		measured: "cold answer beyond the boot of 10 s, 10 in flight, p50 / p99", value: quantiles(took), goal: "250 ms / -",
		nodepool: "5.2 s / 5.3 s",
	})
}

// The same at once, with a poold that knows nothing yet and a cloud that takes
// its time.
func TestColdBurst(t *testing.T) {
	const boot, latency = 10 * time.Second, 100 * time.Millisecond
	slow := plain(boot)
	slow.Latency = sim.Always(latency)
	w := newSite(t, setup{regions: []region{slow}})
	took := latencies(w.newAsker().burst(patience(t, 2*time.Minute), 100)).less(boot)
	add(t, row{
		measured: "cold answer beyond the boot of 10 s, burst of 100, 100 ms per call, p50 / p99", value: quantiles(took), goal: "1 s / -",
		nodepool: "14.6 s / 14.6 s", floor: "wire time of create and list 200 ms", ratio: ratio(took.at(0.5), 2*latency),
	})
}

// Requests for which nodes have to be launched whose host keys are read: first
// of a poold that knows nothing yet, then of one that has launched before.
func TestHostKeys(t *testing.T) {
	const boot = 10 * time.Second
	r := plain(boot)
	r.SSH = true
	w := newSite(t, setup{regions: []region{r}, ssh: true})
	a := w.newAsker()
	for _, c := range []struct{ who, goal, nodepool string }{
		{"just started", "-; 0", ""},
		{"that has launched before", "500 ms / -; 0", "10 s / 98 s; 9"},
	} {
		took := latencies(a.burst(patience(t, 4*time.Minute), 100)).less(boot)
		add(t, row{
			measured: "cold answer beyond the boot of 10 s, host keys read, burst of 100, poold " + c.who + ", p50 / p99; launches that failed",
			value:    fmt.Sprintf("%s; %d", quantiles(took), w.failed()), goal: c.goal, nodepool: c.nodepool,
		})
		w.awaitGone(0, time.Minute)
	}
}

// failed is how many launches failed.
func (w *site) failed() int {
	w.t.Helper()
	n := 0
	for _, node := range w.records().Nodes {
		if node.Failure != "" {
			n++
		}
	}
	return n
}
