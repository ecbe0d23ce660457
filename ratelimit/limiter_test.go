package ratelimit

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"
	"pgregory.net/rapid"
)

// TestNeverMoreThanBurstPlusRateTimesWindow holds I6 at the bucket, with
// refusals, pauses, answers, takeovers, and other intervals and learned rates at random
// moments. A takeover is a bucket that starts empty when the other has just stopped.
func TestNeverMoreThanBurstPlusRateTimesWindow(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		interval := time.Duration(rapid.IntRange(1, 2000).Draw(t, "interval ms")) * time.Millisecond
		burst := burstOf(rate.Every(interval), burstMax)
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		b := newBucket(interval, now)
		var calls []time.Time
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			switch rapid.IntRange(0, 13).Draw(t, "what") {
			case 0:
				b.refuse(now, now.Add(-time.Duration(rapid.IntRange(0, 2000).Draw(t, "sent ms ago"))*time.Millisecond))
			case 1:
				b.pause(now, time.Duration(rapid.IntRange(0, 5000).Draw(t, "pause ms"))*time.Millisecond)
			case 2, 3:
				now = now.Add(time.Duration(rapid.IntRange(0, 200_000).Draw(t, "idle ms")) * time.Millisecond)
			case 4:
				b.empty(now)
			case 5:
				b = newBucket(interval, now)
			case 6:
				b.setFull(now, fullRate(time.Duration(rapid.IntRange(1, 3).Draw(t, "slower"))*interval))
			case 7:
				b.relearn(now, rate.Limit(rapid.Float64Range(0, 2000).Draw(t, "learned")))
			default:
				if wait := b.take(now); wait > 0 {
					now = now.Add(wait)
				} else {
					calls = append(calls, now)
					b.pass(now)
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
	t.Parallel()
	now := time.Now()
	b := newBucket(time.Second, now)
	if wait := b.take(now); wait != time.Second {
		t.Errorf("the first call waits %v, want 1s", wait)
	}
	now = now.Add(time.Minute)
	b.empty(now)
	if wait := b.take(now); wait != time.Second {
		t.Errorf("the first call after emptying waits %v, want 1s", wait)
	}
}

// As nodepool's rate means it: seconds between calls. Only where that is less
// than what a human would notice, some calls go at once after idle times.
func TestBurst(t *testing.T) {
	t.Parallel()
	for interval, want := range map[time.Duration]int{
		10 * time.Second: 1, time.Second: 1, 500 * time.Millisecond: 1, 250 * time.Millisecond: 2,
		100 * time.Millisecond: 5, time.Millisecond: 5,
	} {
		if got := burstOf(rate.Every(interval), burstMax); got != want {
			t.Errorf("at a call every %v %d go at once, want %d", interval, got, want)
		}
		half := burstOf(rate.Every(2*interval), burstMax/2.0)
		if half > max(1, want/2) {
			t.Errorf("at a call every %v half of %d are %d", interval, want, half)
		}
	}
}

// The calls that were under way together are refused together, for one reason.
func TestRefusalsOfOneMomentCountOnce(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for interval, want := range map[time.Duration]rate.Limit{0: 5, 100 * time.Millisecond: 9.5} {
		b := newBucket(interval, now)
		b.pass(now)
		for range 20 {
			b.refuse(now.Add(time.Second), now)
		}
		if b.rate != want {
			t.Errorf("configured %v: 20 refusals of one moment leave a rate of %v, want %v", interval, b.rate, want)
		}
	}
}

// What a cloud asks for is obeyed in full, as long as it is credible.
func TestPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := New(time.Millisecond, []int{1})
		for _, c := range []struct{ asked, want time.Duration }{
			{7 * time.Second, 7 * time.Second},
			{0, time.Second},
			{0, 2 * time.Second}, // again, and nothing has passed
			{-time.Hour, 4 * time.Second},
			{24 * 365 * time.Hour, longestPause},
		} {
			start := time.Now()
			told := l.Refused(start, c.asked)
			l.Pause(time.Millisecond) // a shorter one does not shorten the first
			turn, err := l.Wait(t.Context(), 0)
			if err != nil {
				t.Fatal(err)
			}
			if d := time.Since(start); d != c.want || told != c.want || !turn.Equal(start.Add(d)) {
				t.Errorf("asked for %v, went on after %v, at %v, and said %v, want %v", c.asked, d, turn, told, c.want)
			}
		}
	})
}

// What was learned before is not learned again, and never beyond what is
// configured.
func TestRelearn(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, c := range []struct{ learned, want rate.Limit }{{3, 3}, {50, 10}, {0, slowest}} {
		b := newBucket(100*time.Millisecond, now)
		b.relearn(now, c.learned)
		if b.used() != c.want {
			t.Errorf("learned %v, goes on at %v, want %v", c.learned, b.used(), c.want)
		}
	}
}

// Calls that come slower than they might pass at any rate. So when a burst is
// refused after them, the rate goes back to what was used, and not to half of
// what it grew to meanwhile.
func TestSlowCallsProveNothing(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for pause, want := range map[time.Duration]rate.Limit{200 * time.Millisecond: cautious / 2, 5 * time.Millisecond: 55} {
		b, at := newBucket(0, now), now
		for range 100 {
			at = at.Add(pause)
			b.pass(at)
		}
		b.refuse(at, at)
		if b.rate != want {
			t.Errorf("refused after 100 calls with pauses of %v: the rate is %v, want %v", pause, b.rate, want)
		}
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := New(time.Hour, []int{1})
		gone := errors.New("no longer the owner")
		ctx, cancel := context.WithCancelCause(t.Context())
		done := make(chan error)
		go func() {
			_, err := l.Wait(ctx, 0)
			done <- err
		}()
		synctest.Wait()
		cancel(gone)
		if err := <-done; !errors.Is(err, gone) {
			t.Errorf("got %v, want the context's cause", err)
		}
		if l.queue.len() != 0 {
			t.Error("the call that gave up still stands in the queue")
		}
		l.timer.Stop()
	})
}

// Another interval is another bound at once, and no reason to forget what the
// cloud taught.
func TestSetInterval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := New(0, []int{1})
		l.SetInterval(time.Second)
		for range 100 {
			l.Passed()
		}
		if _, learned := l.Learned(); l.Rate() != 1 || learned {
			t.Errorf("of an unlimited rate there are left %v, learned %v", l.Rate(), learned)
		}
		l.SetInterval(100 * time.Millisecond)
		l.Relearn(2)
		l.Pause(time.Minute)
		began := time.Now()
		l.SetInterval(50 * time.Millisecond)
		if perSecond, learned := l.Learned(); l.Rate() != 2 || perSecond != 2 || !learned {
			t.Errorf("of what was learned there are left %v, learned %v", l.Rate(), learned)
		}
		if _, err := l.Wait(t.Context(), 0); err != nil || time.Since(began) < time.Minute {
			t.Errorf("the pause ended after %s, %v", time.Since(began), err)
		}
	})
}

// What the cloud taught is there again, as it was, when a configuration that
// asked for less is gone: that was no word of the cloud's.
func TestALowerRateTeachesNothing(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, lower := range []rate.Limit{1, 4, 5} {
		b := newBucket(100*time.Millisecond, now)
		b.pass(now)
		b.relearn(now, 5)
		b.setFull(now, lower)
		for i := range 200 {
			b.pass(now.Add(holdTime + time.Duration(i)*time.Second))
		}
		if b.used() != lower {
			t.Errorf("configured to %v the rate is %v", lower, b.used())
		}
		b.setFull(now, 10)
		if b.used() != 5 || b.refused == 0 {
			t.Errorf("learned 5, then configured to %v and to 10 again: the rate is %v", lower, b.used())
		}
	}
}

// Calls without a limit take no tokens. When one is set there are none: the
// calls of this moment have just left.
func TestALimitBeginsEmpty(t *testing.T) {
	t.Parallel()
	now := time.Now()
	b := newBucket(0, now)
	for b.used() != rate.Inf {
		b.pass(now)
	}
	now = now.Add(time.Minute)
	if wait := b.take(now); wait != 0 {
		t.Fatalf("without a limit a call waits %v", wait)
	}
	b.setFull(now, 10)
	if wait := b.take(now); wait != 100*time.Millisecond {
		t.Errorf("the first call after it waits %v, want 100ms", wait)
	}
}
