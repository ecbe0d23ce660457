package guard

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap/zaptest"

	"poold/cloud"
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
		if d := call(t, g, cloud.Network, cloud.Outcome{Status: 200}); d != 30*time.Second {
			t.Errorf("the network service went on after %v, want 30s", d)
		}
		got := testutil.ToFloat64(g.metrics.calls.WithLabelValues("compute", "GET /things/{id}", "rate-limited"))
		if got != 1 {
			t.Errorf("%v refusals counted, want 1", got)
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
