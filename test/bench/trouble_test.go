//go:build bench

package bench

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"poold/cloud/sim"
	"poold/pool"
	"poold/test/proc"
)

// otherCalls is everything that is not of servers.
const otherCalls = "all others"

// The calls to the cloud for whole lives of nodes.
func TestCalls(t *testing.T) {
	w := newSite(t, setup{regions: []region{plain(2 * time.Second)}})
	a := w.newAsker()
	counts := map[string][2]float64{}
	var total [2]float64
	for k, c := range []struct {
		n, width   int
		goal, peer string
	}{{500, 100, "1.3", "6.06"}, {100, 10, "2.5", "6.6"}} {
		a.inFlight(patience(t, time.Minute), c.width, c.width, one) // it is not the first of its kind
		w.awaitGone(0, time.Minute)
		w.cloud.forgetCalls()
		a.inFlight(patience(t, 3*time.Minute), c.n, c.width, one)
		w.awaitGone(0, time.Minute)
		for call, n := range w.cloud.calls() {
			if !strings.Contains(call, "/servers") {
				call = otherCalls
			}
			both := counts[call]
			both[k] += float64(n) / float64(c.n)
			counts[call] = both
			total[k] += float64(n) / float64(c.n)
		}
		add(t, row{
			measured: fmt.Sprintf("API calls per lifecycle, no floating IP, %d in flight", c.width),
			value:    fmt.Sprintf("%.2f", total[k]), goal: c.goal, nodepool: c.peer,
			floor: "one delete", ratio: fmt.Sprintf("%.2f", total[k]),
		})
	}
	peers := map[string][2]string{
		"compute POST /servers": {"1.00", "1.00"}, "compute GET /servers/{id}": {"2.00", "2.00"},
		"compute DELETE /servers/{id}": {"1.00", "1.00"}, "compute GET /servers/detail": {"0.06", "0.53"},
		"network GET /ports": {"2.00", "2.00"}, otherCalls: {"0.01", "0.11"},
	}
	var rows []callRow
	for call, both := range peers {
		have := counts[call]
		delete(counts, call)
		rows = append(rows, callRow{call, fmt.Sprintf("%.3f", have[0]), fmt.Sprintf("%.3f", have[1]), both[0], both[1]})
	}
	for call, have := range counts {
		rows = append(rows, callRow{call, fmt.Sprintf("%.3f", have[0]), fmt.Sprintf("%.3f", have[1]), "-", "-"})
	}
	slices.SortFunc(rows, func(a, b callRow) int { return strings.Compare(a.call, b.call) })
	addCalls(rows...)
	addCalls(callRow{"total", fmt.Sprintf("%.3f", total[0]), fmt.Sprintf("%.3f", total[1]), "6.06", "6.64"})
}

// A cloud that takes ten calls a second, which poold knows.
func TestRate(t *testing.T) {
	const n, width, rate = 300, 100, 10
	r := plain(2 * time.Second)
	r.Rate, r.Burst = rate, rate
	w := newSite(t, setup{regions: []region{r}, rate: 1.0 / rate})
	a := w.newAsker()
	a.inFlight(patience(t, time.Minute), 1, 1, one) // start-up is over
	w.awaitGone(0, time.Minute)
	w.cloud.forgetCalls()
	began := time.Now()
	jobs := a.inFlight(patience(t, 5*time.Minute), n, width, one)
	w.awaitGone(0, 2*time.Minute)
	took, calls := time.Since(began), w.cloud.calls()
	useful := calls["compute POST /servers"] + calls["compute DELETE /servers/{id}"]
	add(t, row{
		measured: "10 calls a second enforced, 100 in flight: lifecycles per minute; share of the limit for create and delete; requests that failed",
		value:    fmt.Sprintf("%.0f; %.0f %%; %d", n/took.Minutes(), float64(useful)/(rate*took.Seconds())*100, failures(jobs)),
		goal:     "450; 85 %; 0", nodepool: "152; -; 0",
		floor: "one delete each, 600", ratio: ratio(n/took.Minutes(), 600),
	})
}

// A cloud that takes fewer calls than poold was told.
func TestRefusals(t *testing.T) {
	const n = 100
	r := plain(2 * time.Second)
	r.Rate, r.Burst = 5, 5
	w := newSite(t, setup{regions: []region{r}, rate: 0.1})
	jobs := w.newAsker().burst(patience(t, 5*time.Minute), n)
	leaked := w.awaitGone(0, 3*time.Minute)
	all, refused := 0, 0
	for status, k := range w.cloud.answers() {
		all += k
		if status == http.StatusTooManyRequests {
			refused += k
		}
	}
	add(t, row{
		measured: "429 above 5 calls a second, poold told 10, burst of 100: requests that failed; servers leaked; share of 429",
		value:    fmt.Sprintf("%d; %d; %.1f %% of %d", failures(jobs), leaked, float64(refused)/float64(all)*100, all),
		goal:     "0; 0; 5 %", nodepool: "98; 21; -",
	})
}

// A cloud that breaks one of five servers.
func TestErrors(t *testing.T) {
	const boot = 10 * time.Second
	w := newSite(t, setup{regions: []region{plain(boot)}})
	w.cloud.fault(sim.Fault{Kind: sim.FaultServerError, Percent: 20, Body: "it broke"})
	jobs := w.newAsker().burst(patience(t, 4*time.Minute), 100)
	var lost times
	for _, took := range latencies(jobs) {
		// Each retry takes a boot again, and what is lost besides.
		if retries := took/boot - 1; retries > 0 {
			lost = append(lost, took%boot/retries)
		}
	}
	slices.Sort(lost)
	add(t, row{
		measured: "20 % of servers go to ERROR after 10 s, burst of 100: requests that failed; launches that failed; time lost per failure beyond the boot, p50",
		value:    fmt.Sprintf("%d; %d; %s", failures(jobs), w.failed(), duration(lost.at(0.5))), goal: "0; -; 1 s", nodepool: "2; 30; 6 s",
	})
}

// A poold that is killed while nodes are building.
func TestRecovery(t *testing.T) {
	const n, boot, down = 50, 30 * time.Second, 2 * time.Second
	w := newSite(t, setup{regions: []region{plain(boot)}})
	a := w.newAsker()
	ctx := patience(t, 5*time.Minute)
	began := time.Now()
	done := make(chan []*job, 1)
	go func() { done <- a.burst(ctx, n) }()
	proc.Await(quiet{t}, "the servers are building", time.Minute, func() (string, bool) {
		have := w.cloud.count()
		return fmt.Sprint(have), have == n && w.count(pool.NodeBuilding) == n
	}, w.poold)
	w.poold.Kill()
	time.Sleep(down)
	again := time.Now()
	w.run()
	jobs := <-done
	last := again
	for _, j := range jobs {
		if j.heard.After(last) {
			last = j.heard
		}
	}
	rest := boot - again.Sub(began)
	thrown := 0
	for _, node := range w.records().Nodes {
		if node.Failure != "" {
			thrown++
		}
	}
	w.awaitGone(0, time.Minute)
	thrown = max(thrown, len(w.cloud.deletes())-n)
	add(t, row{
		measured: "kill -9 with 50 building, boot 30 s, restart 2 s later: all answered after the restart, beyond the rest of the boot; servers thrown away",
		value:    fmt.Sprintf("%s, %s; %d", duration(last.Sub(again)), duration(last.Sub(again)-rest), thrown),
		goal:     "boot rest + 10 s; 0", nodepool: "155.9 s; 50",
		floor: "rest of the boot " + duration(rest), ratio: ratio(last.Sub(again), rest),
	})
}
