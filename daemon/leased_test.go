package daemon

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"poold/cloud"
	"poold/pool"
	"poold/store"
)

// open is a gate that lets every call pass after a while.
type open struct {
	wait   time.Duration
	passed int
}

func (o *open) Enter(context.Context, cloud.Call) (func(cloud.Outcome), error) {
	time.Sleep(o.wait)
	o.passed++
	return func(cloud.Outcome) {}, nil
}

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
		behind := &open{}
		gate, ctx := leasedGate{behind}, withOwnership(t.Context(), own)
		call := cloud.Call{Service: cloud.Compute, Operation: "POST /servers"}
		if _, err := gate.Enter(ctx, call); err != nil {
			t.Errorf("within the lease: %v", err)
		}
		behind.wait = ttl // in the queue, or stopped
		if leave, err := gate.Enter(ctx, call); !errors.Is(err, pool.ErrNotOwner) || leave != nil {
			t.Errorf("after the lease: %v", err)
		}
		if _, err := gate.Enter(t.Context(), call); err != nil {
			t.Errorf("a call that no owner makes: %v", err)
		}
	})
}
