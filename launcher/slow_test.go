package launcher

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"poold/cloud"
	"poold/pool"
)

// inFlight is how many nodes are building.
func (w *world) inFlight() int { return w.store.count(pool.NodeBuilding) }

// After some batches that failed as a whole launches begin with one, and the
// more become ready the more are in flight, until nothing holds them up.
func TestSlowStartAfterAStorm(t *testing.T) {
	bubble(t, func(w *world) {
		down := true
		w.cloud.broken = func(cloud.Instance) (string, cloud.Kind) {
			if down {
				return "the message bus is away", cloud.Transient
			}
			return "", ""
		}
		w.start()
		for k := range 2 { // a batch of 5, and then smaller ones
			for _, id := range ids(5) {
				w.store.add(pool.NodeID(strings.Repeat("x", k+1)) + id)
			}
			pass(20 * time.Second)
		}
		w.cloud.mu.Lock()
		down = false
		w.cloud.mu.Unlock()
		asked := len(w.cloud.specs())
		w.store.add(ids(100)...)
		pass(3 * time.Second)
		if got := w.inFlight(); got != 1 {
			t.Errorf("%d nodes are in flight after a storm, want 1", got)
		}
		most := 0
		for range 120 {
			pass(time.Second)
			if n, ready := w.inFlight(), w.store.count(pool.NodeReady); n > ready+1 {
				t.Fatalf("%d nodes are in flight when %d became ready", n, ready)
			} else {
				most = max(most, n)
			}
		}
		w.want(pool.NodePending, 0)
		if most < 20 {
			t.Errorf("at most %d nodes were in flight", most)
		}
		t.Logf("100 nodes after a storm: %d creates, at most %d in flight", len(w.cloud.specs())-asked, most)
		w.store.add("one", "two", "three")
		pass(3 * time.Second)
		if got := w.inFlight(); got != 3 {
			t.Errorf("%d nodes are in flight when all is well again, want 3", got)
		}
		pass(time.Minute)
		w.end()
	})
}

// What cannot be asked for at all says nothing about the cloud, and neither do
// single failures among successes.
func TestNoSlowStartWithoutAStorm(t *testing.T) {
	t.Parallel()
	var s slow
	for range 10 {
		s.failed()
		s.failed()
		s.succeeded()
	}
	if s.room(1000) == 0 {
		t.Errorf("slow though every third batch is good: %+v", s)
	}
	for kind, want := range map[pool.Kind]bool{
		pool.KindCapacity: true, pool.KindTimeout: true, pool.KindUnreachable: true, pool.KindTransient: true,
		pool.KindInvalid: false, pool.KindQuota: false, pool.KindRateLimited: false, pool.KindNeverSeen: false,
	} {
		if got := cloudsFault(kind); got != want {
			t.Errorf("%s: %v, want %v", kind, got, want)
		}
	}
}

// After an outage of the cloud, too, launches begin with one.
func TestSlowStartAfterAnOutage(t *testing.T) {
	bubble(t, func(w *world) {
		down := true
		w.cloud.fault = func(string) (error, bool) {
			if down {
				return fail(cloud.Transient), false
			}
			return nil, false
		}
		w.start()
		pass(time.Minute)
		w.cloud.mu.Lock()
		down = false
		w.cloud.mu.Unlock()
		pass(2 * time.Minute)
		w.store.add(ids(10)...)
		pass(3 * time.Second)
		if got := w.inFlight(); got != 1 {
			t.Errorf("%d nodes are in flight after an outage, want 1", got)
		}
		pass(2 * time.Minute)
		w.want(pool.NodeReady, 10)
		w.end()
	})
}

// A launch that the cloud has lost does not keep the others waiting for ever.
func TestSlowStartGoesPastALostLaunch(t *testing.T) {
	bubble(t, func(w *world) {
		w.cloud.boot = time.Hour
		down := true
		w.cloud.fault = func(string) (error, bool) {
			if down {
				return fail(cloud.Transient), false
			}
			return nil, false
		}
		w.start()
		pass(time.Minute)
		w.cloud.mu.Lock()
		down = false
		w.cloud.mu.Unlock()
		pass(2 * time.Minute)
		w.store.add(ids(2)...)
		pass(3 * time.Second)
		if got := w.inFlight(); got != 1 {
			t.Errorf("%d nodes are in flight, want 1", got)
		}
		pass(slowPatience)
		if got := w.inFlight(); got != 2 {
			t.Errorf("%d nodes are in flight after %v, want 2", got, slowPatience)
		}
		w.end()
	})
}

// A list that took very long once does not keep the next ones waiting for many
// times as long, or for ever, as the lists of sweeps begin the wait anew.
func TestOneSlowListIsNotThePace(t *testing.T) {
	bubble(t, func(w *world) {
		var slow atomic.Bool
		w.cloud.step = func(what string) error {
			if what == "after list" && slow.CompareAndSwap(true, false) {
				time.Sleep(8 * time.Minute)
			}
			return nil
		}
		w.start()
		w.store.add("first")
		pass(time.Minute)
		w.want(pool.NodeReady, 1)
		slow.Store(true)
		pass(20 * time.Minute)
		w.store.add("second")
		pass(time.Minute)
		w.want(pool.NodeReady, 2)
		w.end()
	})
}
