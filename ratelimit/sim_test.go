package ratelimit

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// limits are how a cloud enforces a rate: a token bucket, or a fixed window as
// quota systems have it.
type limits struct {
	rate, burst float64
	// window and most: so many calls per window; zero is none.
	window time.Duration
	most   int
	// says tells whether a refusal says for how long.
	says    bool
	latency time.Duration
}

// server is a cloud that enforces them.
type server struct {
	limits

	mu     sync.Mutex
	tokens float64
	at     time.Time
	began  time.Time
	n      int
}

// call is how the server answers a call.
func (s *server) call() (retryAfter time.Duration, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.most > 0 {
		if now.Sub(s.began) >= s.window {
			s.began, s.n = now, 0
		}
		s.n++
		return s.told(s.began.Add(s.window).Sub(now)), s.n <= s.most
	}
	if s.at.IsZero() {
		s.at, s.tokens = now, s.burst
	}
	s.tokens = min(s.burst, s.tokens+now.Sub(s.at).Seconds()*s.rate)
	s.at = now
	if s.tokens < 1 {
		return s.told(time.Duration(math.Ceil((1-s.tokens)/s.rate)) * time.Second), false
	}
	s.tokens--
	return 0, true
}

func (s *server) told(d time.Duration) time.Duration {
	if !s.says {
		return 0
	}
	return d
}

// outcome is what became of calls.
type outcome struct{ passed, refused atomic.Int64 }

// drive has n callers that make a call each time theirs was answered, for a
// time, through a limiter.
func drive(t *testing.T, l *Limiter, s *server, n int, d time.Duration) *outcome {
	t.Helper()
	var o outcome
	var wg sync.WaitGroup
	end := time.Now().Add(d)
	for range n {
		wg.Go(func() {
			for time.Now().Before(end) {
				if _, err := l.Wait(t.Context(), 0); err != nil {
					t.Error(err)
					return
				}
				sent := time.Now()
				time.Sleep(s.latency / 2)
				after, ok := s.call()
				time.Sleep(s.latency / 2)
				if ok {
					l.Passed()
					o.passed.Add(1)
				} else {
					l.Refused(sent, after)
					o.refused.Add(1)
				}
			}
		})
	}
	wg.Wait()
	return &o
}

// A cloud's own limit is found out, whatever we are told of it, and few calls
// are spent on that: in the long run under 2 % are refused, and four fifths of
// the limit are used.
func TestTheClouds429sAreLearnedFrom(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for _, c := range []struct {
		name   string
		limits limits
		// start is the most in percent that may be refused in the first 20 s.
		start float64
	}{
		{"no burst", limits{rate: 5, burst: 1}, 4},
		{"burst", limits{rate: 5, burst: 5}, 4},
		{"large burst", limits{rate: 5, burst: 50}, 4},
		{"Retry-After", limits{rate: 5, burst: 5, says: true}, 4},
		{"slow answers", limits{rate: 5, burst: 5, latency: 500 * ms}, 8},
		{"very little", limits{rate: 0.5, burst: 1}, 35},
		{"as configured", limits{rate: 10, burst: 5}, 2},
		{"much", limits{rate: 300, burst: 1, latency: 50 * ms}, 2},
		{"fixed window", limits{window: time.Minute, most: 300}, 4},
		{"fixed window, Retry-After", limits{window: time.Minute, most: 300, says: true}, 2},
	} {
		for _, interval := range []time.Duration{0, 50 * ms, 100 * ms} {
			t.Run(fmt.Sprintf("%s, configured %v", c.name, interval), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					l, s := New(interval, []int{1}), &server{limits: c.limits}
					start := drive(t, l, s, 20, 20*time.Second)
					long := drive(t, l, s, 20, 20*time.Minute)
					used := 100 * float64(long.passed.Load()) / (1200 * s.limit(interval))
					t.Logf("refused: %.1f %% of %d calls at first, %.2f %% of %d later; %.0f %% of the limit used",
						start.share(), start.calls(), long.share(), long.calls(), used)
					if start.share() > c.start || long.share() > 2 || used < 75 {
						t.Errorf("want at most %v %%, 2 %%, and 75 %% used", c.start)
					}
				})
			})
		}
	}
}

// limit is how many calls a second are possible.
func (s *limits) limit(interval time.Duration) float64 {
	limit := s.rate
	if s.most > 0 {
		limit = float64(s.most) / s.window.Seconds()
	}
	if interval > 0 {
		limit = min(limit, 1/interval.Seconds())
	}
	return limit
}

// A cloud that takes nothing for a while is asked less and less often, and
// remembered for what it took before.
func TestAnOutageIsWaitedOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, good := New(100*time.Millisecond, []int{1}), &server{limits: limits{rate: 1000, burst: 1000}}
		drive(t, l, good, 20, time.Minute)
		outage := drive(t, l, &server{limits: limits{most: 1, window: time.Hour}}, 20, 10*time.Minute)
		if n := outage.refused.Load(); n > 50 {
			t.Errorf("%d calls were made in an outage of 10 minutes", n)
		}
		drive(t, l, good, 20, 5*time.Minute)
		if _, learned := l.Learned(); l.Rate() != 10 || learned {
			t.Errorf("5 minutes after the outage the rate is %v", l.Rate())
		}
	})
}

func (o *outcome) calls() int64 { return o.passed.Load() + o.refused.Load() }

// share is how many of a hundred calls were refused.
func (o *outcome) share() float64 { return 100 * float64(o.refused.Load()) / float64(o.calls()) }
