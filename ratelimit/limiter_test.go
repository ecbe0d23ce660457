package ratelimit

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// TestNeverMoreThanBurstPlusRateTimesWindow holds I6 at the bucket, with
// refusals and pauses at random moments.
func TestNeverMoreThanBurstPlusRateTimesWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		interval := time.Duration(rapid.IntRange(1, 2000).Draw(t, "interval ms")) * time.Millisecond
		burst := rapid.IntRange(1, 20).Draw(t, "burst")
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		b := newBucket(interval, burst, now)
		var calls []time.Time
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				b.slow(now)
			case 1:
				b.pause(now, time.Duration(rapid.IntRange(0, 5000).Draw(t, "pause ms"))*time.Millisecond)
			case 2, 3:
				now = now.Add(time.Duration(rapid.IntRange(0, 10_000).Draw(t, "idle ms")) * time.Millisecond)
			default:
				if wait := b.take(now); wait > 0 {
					now = now.Add(wait)
				} else {
					calls = append(calls, now)
				}
			}
		}
		for i := range calls {
			for j := i; j < len(calls); j++ {
				window := calls[j].Sub(calls[i])
				most := float64(burst) + float64(window)/float64(interval) + 1e-6
				if n := float64(j - i + 1); n > most {
					t.Fatalf("%v calls within %v, at most %v are allowed", n, window, most)
				}
			}
		}
	})
}

func TestABucketStartsEmpty(t *testing.T) {
	now := time.Now()
	if wait := newBucket(time.Second, 5, now).take(now); wait != time.Second {
		t.Errorf("the first call waits %v, want 1s", wait)
	}
}

func TestUrgentCallsGoFirstAndNoneStarves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(time.Second, 1)
		var mu sync.Mutex
		var order []string
		call := func(name string, lane int) {
			go func() {
				if err := l.Wait(t.Context(), lane); err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				order = append(order, name)
			}()
			synctest.Wait()
		}
		call("sweep", 2)
		call("delete", 0)
		// From now on one delete a second comes and goes: as many as there are
		// tokens. The sweep waits its two head starts and no longer.
		for range 10 {
			time.Sleep(time.Second)
			call("delete", 0)
		}
		time.Sleep(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if at := slices.Index(order, "sweep"); at < 5 || at > 7 {
			t.Errorf("the sweep went as number %d of %v", at, order)
		}
	})
}

func TestARefusalStopsEverythingAndSlowsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(100*time.Millisecond, 1)
		start := time.Now()
		l.Refused(7 * time.Second)
		l.Refused(2 * time.Second) // a shorter one does not shorten the first
		if err := l.Wait(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d < 7*time.Second {
			t.Errorf("went on after %v, the cloud asked for 7s", d)
		}
		start = time.Now()
		for range 10 {
			if err := l.Wait(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(start); d < 1200*time.Millisecond || d > 1500*time.Millisecond {
			t.Errorf("ten calls took %v, want about 1.3s at 70 to 80 %% of the rate", d)
		}
		time.Sleep(time.Minute)
		l.bucket.take(time.Now())
		if l.bucket.share != 1 {
			t.Errorf("after a quiet minute the rate is %v of the full one", l.bucket.share)
		}
	})
}

func TestWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(time.Hour, 1)
		gone := errors.New("no longer the owner")
		ctx, cancel := context.WithCancelCause(t.Context())
		done := make(chan error)
		go func() { done <- l.Wait(ctx, 0) }()
		synctest.Wait()
		cancel(gone)
		if err := <-done; !errors.Is(err, gone) {
			t.Errorf("got %v, want the context's cause", err)
		}
		if l.queue.Len() != 0 {
			t.Error("the call that gave up still stands in the queue")
		}
		l.timer.Stop()
	})
}
