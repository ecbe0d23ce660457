package daemon

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"poold/peers"
	"poold/store"
)

// looker is a component that looks at its records whenever it is told to, until
// it stalls. Then it ends when it has to, or else when it is let go.
func looker(key string, stall, letGo <-chan struct{}, lives *[]time.Time) duty {
	return duty{key: key, steady: true, run: func(ctx context.Context, records *store.Owned) error {
		*lives = append(*lives, time.Now())
		for {
			records.Snapshot()
			select {
			case <-records.Changed():
			case <-stall:
				if letGo == nil {
					letGo = ctx.Done()
				}
				<-letGo
				return context.Cause(ctx)
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}}
}

// An owner that has nothing to do keeps its duty; one whose component stalls
// gives it up, and another takes it.
func TestAStalledDutyIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem, stall, key := newModel(t), make(chan struct{}), "provider/p"
		for peers.Rank("one", key) < peers.Rank("two", key) {
			key += "p"
		}
		var mine, others []time.Time
		stopOne := start(t, newPeer("one", mem, looker(key, stall, nil, &mine)))
		pass(time.Second)
		stopTwo := start(t, newPeer("two", mem, looker(key, nil, nil, &others)))
		pass(time.Hour)
		if len(mine) != 1 || len(others) != 0 {
			t.Fatalf("the idle duty began at %v and %v", mine, others)
		}
		close(stall)
		stalled := time.Now()
		pass(stallLimit + 2*stallLook + dutyPause)
		if len(mine) != 1 || len(others) != 1 || others[0].Sub(stalled) < stallLimit-nudgeAfter-stallLook {
			t.Errorf("the duty that stalled at %v began at %v and then at %v", stalled, mine, others)
		}
		stopTwo()
		stopOne()
	})
}

// A component that does not even end ends its peer; its duties, and those of the
// others in it, are free at once.
func TestAStuckDutyEndsThePeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem, stall, letGo := newModel(t), make(chan struct{}), make(chan struct{})
		var lives []time.Time
		other := newWork()
		d := newPeer("one", mem, looker("provider/p", stall, letGo, &lives), other.duty("provider/q"))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _ = d.view.Load().Run(ctx) }()
		ended := make(chan error, 1)
		go func() { ended <- d.sessions(ctx) }()
		pass(time.Minute)
		close(stall)
		if err := <-ended; !errors.Is(err, ErrStuck) {
			t.Errorf("the peer ended with %v", err)
		}
		other.want(t, 1, 1)
		if left := keys(t, mem); !slices.Equal(left, nil) {
			t.Errorf("it leaves %v", left)
		}
		close(letGo)
	})
}
