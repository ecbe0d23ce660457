package guard

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"poold/cloud"
	"poold/pool"
)

func call(t *testing.T, g *Guard, s cloud.Service, o cloud.Outcome) time.Duration {
	t.Helper()
	start := time.Now()
	leave, err := g.Enter(t.Context(), cloud.Call{Service: s, Operation: "GET /things/{id}"})
	if err != nil {
		t.Fatal(err)
	}
	leave(o)
	return time.Since(start)
}

// Each service has its own limit, so that images do not slow launches.
func TestServicesAreLimitedApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Config{Provider: "p", Interval: 10 * time.Second, Log: zaptest.NewLogger(t)})
		call(t, g, cloud.Compute, cloud.Outcome{Status: 200})
		if d := call(t, g, cloud.ImageService, cloud.Outcome{Status: 200}); d != 10*time.Second {
			t.Errorf("the first call of a service waits %v, want its own interval of 10s", d)
		}
		if d := call(t, g, cloud.Compute, cloud.Outcome{Status: 200}); d != 0 {
			t.Errorf("a call whose interval had passed already waits %v", d)
		}
	})
}

// A refusal of one service stops the whole provider at once.
func TestARefusalStopsEveryService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		g := New(Config{Provider: "p", Log: zaptest.NewLogger(t), Registerer: reg})
		call(t, g, cloud.Network, cloud.Outcome{Status: 200})
		call(t, g, cloud.Compute, cloud.Outcome{Status: 429, Kind: cloud.RateLimited, RetryAfter: 30 * time.Second})
		paused := time.Now()
		var wg sync.WaitGroup
		for _, s := range []cloud.Service{cloud.Network, cloud.Compute, cloud.Object} { // the last is new
			wg.Go(func() {
				call(t, g, s, cloud.Outcome{Status: 200})
				if d := time.Since(paused).Truncate(time.Second); d != 30*time.Second {
					t.Errorf("%s went on after %v, want 30s", s, d)
				}
			})
		}
		wg.Wait()
		if d := call(t, g, cloud.Volume, cloud.Outcome{Status: 200}); d > 100*time.Millisecond {
			t.Errorf("a service waits %v for its first call after the pause", d)
		}
		got := testutil.ToFloat64(g.metrics.calls.WithLabelValues("compute", "GET /things/{id}", "rate-limited"))
		if got != 1 {
			t.Errorf("%v refusals counted, want 1", got)
		}
	})
}

// What a limiting proxy or an overloaded service says is obeyed like a 429; other
// failures are no reason to go slower.
func TestWhatIsARefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			o    cloud.Outcome
			want time.Duration
		}{
			{cloud.Outcome{Status: 429, Kind: cloud.RateLimited}, time.Second},
			{cloud.Outcome{Status: 413, Kind: cloud.RateLimited, RetryAfter: 3 * time.Second}, 3 * time.Second},
			{cloud.Outcome{Status: 503, Kind: cloud.Ambiguous, RetryAfter: 3 * time.Second}, 3 * time.Second},
			{cloud.Outcome{Status: 503, Kind: cloud.Transient}, time.Second},
			{cloud.Outcome{Status: 413, Kind: cloud.Quota}, 0},
			{cloud.Outcome{Status: 500, Kind: cloud.Transient}, 0},
			{cloud.Outcome{Kind: cloud.Ambiguous}, 0},
			{cloud.Outcome{Status: 404, Kind: cloud.NotFound}, 0},
		} {
			g := New(Config{Provider: "p", Log: zaptest.NewLogger(t)})
			call(t, g, cloud.Compute, cloud.Outcome{Status: 200})
			call(t, g, cloud.Compute, c.o)
			if d := call(t, g, cloud.Compute, cloud.Outcome{Status: 200}).Truncate(time.Second); d != c.want {
				t.Errorf("after %+v the next call waits %v, want %v", c.o, d, c.want)
			}
		}
	})
}

// A new owner starts with empty buckets and with what the cloud taught.
func TestResetEmptiesAndRemembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Config{Provider: "p", Interval: 100 * time.Millisecond, Log: zaptest.NewLogger(t)})
		call(t, g, cloud.Compute, cloud.Outcome{Status: 429, Kind: cloud.RateLimited, RetryAfter: 30 * time.Second})
		g.limits.Reset()
		if d := call(t, g, cloud.Compute, cloud.Outcome{Status: 200}); d < 30*time.Second {
			t.Errorf("a reset shortened the pause to %v", d)
		}
		time.Sleep(time.Minute)
		g.limits.Reset()
		if d := call(t, g, cloud.Compute, cloud.Outcome{Status: 200}); d.Round(time.Millisecond) != 105*time.Millisecond {
			t.Errorf("the first call after a reset waits %v, want 105ms at a little less than the rate", d)
		}
	})
}

// An ended context means that nothing was sent, with the reason.
func TestEnterFailsWithTheContextsCause(t *testing.T) {
	g := New(Config{Provider: "p", Interval: time.Hour, Log: zaptest.NewLogger(t)})
	gone := errors.New("no longer the owner")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(gone)
	if _, err := g.Enter(ctx, cloud.Call{Service: cloud.Compute}); !errors.Is(err, gone) {
		t.Errorf("got %v, want the cause", err)
	}
}

// Another interval is for services that were called and for those that were
// not, and half of it is still somebody else's.
func TestSetInterval(t *testing.T) {
	l := NewLimits("g", time.Second, zap.NewNop(), cloud.Identity)
	l.limiter(cloud.Compute)
	l.limiter(cloud.Identity)
	l.SetInterval(250 * time.Millisecond)
	for service, want := range map[cloud.Service]float64{cloud.Compute: 4, cloud.Network: 4, cloud.Identity: 2} {
		if got := l.limiter(service).Rate(); got != want {
			t.Errorf("%s: %v calls a second, want %v", service, got, want)
		}
	}
}

// Of what several groups learned the least counts in the group that their
// providers go to, and of one group what its owner knows before what is on record.
func TestInherit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := func(group string, learned float64) *Limits {
			l := NewLimits(group, 100*time.Millisecond, zap.NewNop())
			if learned > 0 {
				l.limiter(cloud.Compute).Relearn(learned)
			}
			return l
		}
		ours, known, others := limits("ours", 6), limits("known", 5), limits("others", 0)
		ours.pause(time.Minute)
		known.pause(time.Second)
		records := &pool.Snapshot{Penalties: []*pool.Penalty{
			{Group: "known", PauseMS: time.Hour.Milliseconds(), Rates: map[string]float64{"compute": 1, "network": 2}},
			{Group: "others", Rates: map[string]float64{"compute": 5.5, "network": 3}},
		}}
		ours.Inherit(known, records)
		ours.Inherit(others, records)
		for service, want := range map[cloud.Service]float64{cloud.Compute: 5, cloud.Network: 2, cloud.Volume: 0} {
			if got, taught := ours.limiter(service).Learned(); taught != (want > 0) || taught && got != want {
				t.Errorf("%s: learned %v a second, %v, want %v", service, got, taught, want)
			}
		}
		if left := time.Until(ours.paused()); left != time.Minute {
			t.Errorf("the pause lasts %v, want that of the group, which is the longer one", left)
		}
	})
}
