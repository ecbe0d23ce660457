package rate

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"poold/cloud"
	"poold/cloud/sim"
	"poold/pool"
)

func seconds(n float64) sim.Dist { return sim.Always(time.Duration(n * float64(time.Second))) }

// aCloud takes so many calls a second, per service.
func aCloud(perSecond float64, burst int) sim.Config {
	return sim.Config{Rate: perSecond, Burst: burst, Build: seconds(2), Delete: seconds(1), Latency: seconds(0.02)}
}

// A cloud refuses more than 5 calls a second, and nobody told us: no request
// fails, nothing leaks, and hardly a call is refused.
func TestACloudThatTakesLessThanConfigured(t *testing.T) {
	for _, interval := range []time.Duration{0, time.Millisecond, 100 * time.Millisecond} {
		t.Run(fmt.Sprint(interval), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, aCloud(5, 5), interval)
				time.Sleep(time.Minute)
				start := time.Now()
				var wg sync.WaitGroup
				for i := range 100 {
					wg.Go(func() { w.lifecycle(fmt.Sprint(i)) })
				}
				wg.Wait()
				answered := time.Since(start)
				w.clean()
				calls, no := w.gate.count(start, anything), w.gate.count(start, refused)
				t.Logf("100 answered after %v, gone after %v: %d calls, %d refused (%.1f %%), failed launches %s",
					answered, time.Since(start), calls, no, 100*float64(no)/float64(calls), w.failures())
				if no*20 > calls {
					t.Errorf("%d of %d calls were refused, want under 5 %%", no, calls)
				}
			})
		})
	}
}

// At a limit of 10 calls a second nearly all of them make or delete nodes.
func TestTheRateIsSpentOnCreatingAndDeleting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const inFlight, warmUp, measured = 100, 30 * time.Second, 2 * time.Minute
		cfg := aCloud(10, 5)
		cfg.Quota = pool.NoLimits()
		cfg.Quota.Instances = inFlight
		w := newWorld(t, cfg, 100*time.Millisecond)
		start := time.Now().Add(warmUp)
		end := start.Add(measured)
		var mu sync.Mutex
		lived := 0
		var wg sync.WaitGroup
		for i := range inFlight {
			wg.Go(func() {
				for k := 0; time.Now().Before(end); k++ {
					w.lifecycle(fmt.Sprintf("%d-%d", i, k))
					if now := time.Now(); now.After(start) && now.Before(end) {
						mu.Lock()
						lived++
						mu.Unlock()
					}
				}
			})
		}
		time.Sleep(time.Until(end))
		all, useful := w.gate.count(start, compute), w.gate.count(start, operation(create, remove))
		wg.Wait()
		limit := 10 * measured.Seconds()
		share := 100 * float64(useful) / limit
		t.Logf("%.0f lifecycles a minute; %.1f %% of the limit used, %.1f %% to create and delete; %d calls refused",
			float64(lived)/measured.Minutes(), 100*float64(all)/limit, share, w.gate.count(start, refused))
		if share < 85 {
			t.Errorf("%.1f %% of the limit created or deleted, want 85 %%", share)
		}
	})
}

// Under a tight rate, with hundreds of nodes to launch ahead of demand, whoever
// waits has his node launched first, and a used node is deleted before more is
// launched.
func TestUrgentFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const turn = 2 * time.Second
		w := newWorld(t, aCloud(1, 1), turn)
		time.Sleep(time.Minute)
		w.lifecycle("first")
		w.clean()

		w.spare(1000)
		time.Sleep(2 * turn)
		asked := time.Now()
		r := w.ask("late")
		var before int
		waitFor(t, 5*turn, func() bool {
			before = w.gate.count(asked, operation(create))
			return w.gate.count(asked, func(p passed) bool { return p.lane == cloud.LaneRequest && operation(create)(p) }) > 0
		})
		if before > 3 {
			t.Errorf("%d nodes were asked for before the one that a request waits for", before)
		}
		if _, err := r.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.spare(2000)
		time.Sleep(2 * turn)
		released := time.Now()
		if err := r.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		waitFor(t, 3*turn, func() bool { return w.gate.count(released, operation(remove)) > 0 })
		if n := w.gate.count(asked, refused); n > 0 {
			t.Errorf("%d calls were refused", n)
		}
	})
}

// waitFor fails if something is not so within a time.
func waitFor(t *testing.T, limit time.Duration, is func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !is(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v", limit)
		}
	}
}
