package rate

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"poold/cloud"
	"poold/cloud/guard"
	"poold/store"
	"poold/store/kv/memkv"
)

// A new owner of a provider serves the pause that the cloud imposed on the last
// one, and goes on as fast as that had learned to; of a pause that is over it
// knows nothing.
func TestTakeover(t *testing.T) {
	for _, c := range []struct {
		name string
		// dies is how long after the refusal the first owner does; the call of
		// the second may be made wait after that.
		dies, least, most time.Duration
	}{
		{"within the pause", 10 * time.Second, 30 * time.Second, 31 * time.Second},
		{"after the pause", 40 * time.Second, 0, time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, log := t.Context(), zap.NewNop()
				mem := memkv.New(time.Now())
				go func() { _ = mem.Run(ctx) }()
				records := store.New(mem, "", log)
				view := records.View()
				go func() { _ = view.Run(ctx) }()
				// own begins to own the provider; letGo lets it go.
				own := func(l *guard.Limits) (letGo func()) {
					session, err := store.OpenSession(ctx, mem, 10*time.Second, log)
					if err != nil {
						t.Fatal(err)
					}
					go func() { _ = session.Run(ctx) }()
					o, err := records.Acquire(ctx, session, "provider/p", "peer")
					if err != nil {
						t.Fatal(err)
					}
					if err := view.WaitFor(ctx, o.CreateRevision()); err != nil {
						t.Fatal(err)
					}
					owned := records.Owned(view, o)
					l.TakeOver(owned)
					working, stop := o.Context(ctx)
					ended := make(chan error, 1)
					go func() { ended <- l.Keep(working, owned) }()
					return func() {
						stop()
						if err := <-ended; !errors.Is(err, context.Canceled) {
							t.Error(err)
						}
						owned.Close()
						if err := session.Close(ctx); err != nil {
							t.Error(err)
						}
					}
				}
				limitsFirst := guard.NewLimits("p", 0, log)
				first := guard.New(guard.Config{Provider: "p", Limits: limitsFirst, Log: log})
				letGo := own(limitsFirst)
				enter(t, first, cloud.Outcome{Status: 429, Kind: cloud.RateLimited, RetryAfter: 30 * time.Second})
				time.Sleep(c.dies)
				letGo()

				limitsSecond := guard.NewLimits("p", 0, log)
				second := guard.New(guard.Config{Provider: "p", Limits: limitsSecond, Log: log})
				letGo = own(limitsSecond)
				took := time.Now()
				enter(t, second, cloud.Outcome{Status: 200})
				if d := time.Since(took); d < c.least || d > c.most {
					t.Errorf("the first call of the new owner is made after %v, want %v to %v", d, c.least, c.most)
				}
				took = time.Now()
				for range 10 {
					enter(t, second, cloud.Outcome{Status: 200})
				}
				if d := time.Since(took); d < 1900*time.Millisecond || d > 2100*time.Millisecond {
					t.Errorf("ten calls take the new owner %v, want 2s at the rate of 5 that was learned", d)
				}
				letGo()
			})
		})
	}
}

// enter makes a call that ends as told.
func enter(t *testing.T, g *guard.Guard, o cloud.Outcome) {
	t.Helper()
	leave, err := g.Enter(t.Context(), cloud.Call{Service: cloud.Compute, Operation: "GET /servers"})
	if err != nil {
		t.Fatal(err)
	}
	leave(o)
}
