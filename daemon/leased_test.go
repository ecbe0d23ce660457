package daemon

import (
	"errors"
	"testing"
	"testing/synctest"

	"go.uber.org/zap"

	"poold/cloud"
	"poold/cloud/guard"
	"poold/pool"
	"poold/store"
)

// No call is made when the lease is over, though nobody has ended the context: the
// process was stopped before it could.
func TestNoCallAfterTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := newModel(t)
		records := store.New(mem, "", zap.NewNop())
		session, err := store.OpenSession(t.Context(), mem, ttl, zap.NewNop()) // which nobody renews
		if err != nil {
			t.Fatal(err)
		}
		own, err := records.Acquire(t.Context(), session, "provider/p", "one")
		if err != nil {
			t.Fatal(err)
		}
		limits := guard.NewLimits("g", 0, zap.NewNop())
		gate := guard.New(guard.Config{Provider: "p", Limits: limits, Leased: leased, Log: zap.NewNop()})
		ctx := withOwnership(t.Context(), own)
		call := cloud.Call{Service: cloud.Compute, Operation: "POST /servers"}
		if _, err := gate.Enter(ctx, call); err != nil {
			t.Errorf("within the lease: %v", err)
		}
		limits.SetInterval(ttl) // it waits in the queue, or was stopped
		if leave, err := gate.Enter(ctx, call); !errors.Is(err, pool.ErrNotOwner) || leave != nil {
			t.Errorf("after the lease: %v", err)
		}
		if _, err := gate.Enter(t.Context(), call); err != nil {
			t.Errorf("a call that no owner makes: %v", err)
		}
	})
}
