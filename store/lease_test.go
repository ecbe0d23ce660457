package store

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"poold/pool"
	"poold/store/kv"
	"poold/store/kv/memkv"
)

const ttl = 15 * time.Second

// leased returns a store whose leases die by the clock of the bubble that it is
// called in.
func leased(t *testing.T) (*Store, *memkv.KV) {
	t.Helper()
	mem := memkv.New(time.Now())
	go func() { _ = mem.Run(t.Context()) }()
	return New(mem, "", zap.NewNop()), mem
}

// session opens one and runs it until the test or stop ends it.
func session(t *testing.T, leases kv.KV) (s *Session, stop func()) {
	t.Helper()
	s, err := OpenSession(t.Context(), leases, ttl, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { _ = s.Run(ctx) }()
	return s, cancel
}

func acquire(t *testing.T, s *Store, sess *Session) *Ownership {
	t.Helper()
	own, err := s.Acquire(t.Context(), sess, "provider/p", "peer")
	if err != nil {
		t.Fatal(err)
	}
	return own
}

func TestSessionLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, mem := leased(t)
		sess, _ := session(t, mem)
		own := acquire(t, s, sess)
		ctx, cancel := own.Context(t.Context())
		defer cancel()
		mem.Down() // shorter than a lease: no harm
		time.Sleep(5 * time.Second)
		mem.Up()
		time.Sleep(time.Hour)
		if ctx.Err() != nil || own.Left() < ttl/3 {
			t.Errorf("after an hour: %v, %v left", context.Cause(ctx), own.Left())
		}
		if peer, err := s.Owner(t.Context(), "provider/p"); err != nil || peer != "peer" {
			t.Errorf("owner %s, %v", peer, err)
		}
	})
}

// deaf fails renewals when it is told to: the peer is cut off, the rest is not.
type deaf struct {
	kv.KV

	off chan struct{}
}

func (d *deaf) Renew(ctx context.Context, id kv.LeaseID) (time.Duration, error) {
	select {
	case <-d.off:
		<-ctx.Done() // no answer
		return 0, kv.ErrUnavailable
	default:
		return d.KV.Renew(ctx, id)
	}
}

// What is done as owner ends before anybody else can be the owner.
func TestContextEndsBeforeTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, mem := leased(t)
		cut := &deaf{mem, make(chan struct{})}
		sess, _ := session(t, cut)
		own := acquire(t, s, sess)
		ctx, cancel := own.Context(t.Context())
		defer cancel()
		time.Sleep(time.Minute)
		close(cut.off)
		other, _ := session(t, mem)
		got := make(chan time.Time)
		go func() {
			if _, err := s.Acquire(t.Context(), other, "provider/p", "other"); err != nil {
				t.Error(err)
			}
			got <- time.Now()
		}()
		<-ctx.Done()
		ended := time.Now()
		if !errors.Is(context.Cause(ctx), pool.ErrNotOwner) {
			t.Errorf("the cause is %v", context.Cause(ctx))
		}
		taken := <-got
		if margin := taken.Sub(ended); margin < ttl/5-longestLook || margin > ttl {
			t.Errorf("taken over %v after the end", margin)
		}
		if _, err := s.Apply(t.Context(), own, create(pending("a"))); !errors.Is(err, pool.ErrNotOwner) {
			t.Errorf("a late write: %v", err)
		}
	})
}

func TestRunEndsWithTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, mem := leased(t)
		sess, err := OpenSession(t.Context(), mem, ttl, zap.NewNop())
		if err != nil {
			t.Fatal(err)
		}
		ran := make(chan error)
		go func() { ran <- sess.Run(t.Context()) }()
		time.Sleep(time.Second)
		if err := mem.Revoke(t.Context(), sess.lease); err != nil {
			t.Fatal(err)
		}
		if err := <-ran; !errors.Is(err, pool.ErrNotOwner) {
			t.Errorf("run ended with %v", err)
		}
		<-sess.Done()
		if sess.Left() != 0 {
			t.Errorf("%v left of a dead session", sess.Left())
		}
	})
}

// A handover takes no time.
func TestCloseHandsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, mem := leased(t)
		sess, _ := session(t, mem)
		first := acquire(t, s, sess)
		ctx, cancel := first.Context(t.Context())
		defer cancel()
		other, _ := session(t, mem)
		if _, err := s.TryAcquire(t.Context(), other, "provider/p", "other"); !errors.Is(err, pool.ErrConflict) {
			t.Fatalf("two owners: %v", err)
		}
		got := make(chan *Ownership)
		go func() { got <- acquire(t, s, other) }()
		synctest.Wait()
		begin := time.Now()
		if err := sess.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		second := <-got
		if time.Since(begin) > time.Second || second.CreateRevision() <= first.CreateRevision() {
			t.Errorf("after %v: %d then %d", time.Since(begin), first.CreateRevision(), second.CreateRevision())
		}
		<-ctx.Done()
	})
}

func TestReleaseAndAcquireAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, mem := leased(t)
		sess, _ := session(t, mem)
		own := acquire(t, s, sess)
		if _, err := s.TryAcquire(t.Context(), sess, "provider/p", "peer"); !errors.Is(err, pool.ErrConflict) {
			t.Fatalf("twice by one session: %v", err)
		}
		mem.FailCommits(memkv.CommitReplyLost)
		if err := own.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Owner(t.Context(), "provider/p"); !errors.Is(err, pool.ErrNotFound) {
			t.Fatalf("released: %v", err)
		}
		// A reply lost while acquiring leaves an owner, not an orphan.
		mem.FailCommits(memkv.CommitReplyLost)
		again := acquire(t, s, sess)
		if _, err := s.Apply(t.Context(), again, create(pending("a"))); err != nil {
			t.Error(err)
		}
		if err := own.Release(t.Context()); err != nil { // an old one harms no new one
			t.Error(err)
		}
		if _, err := s.Owner(t.Context(), "provider/p"); err != nil {
			t.Error(err)
		}
	})
}

// A key that changes hands ends the work, though the lease lives.
func TestStolenKeyEndsTheWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, mem := leased(t)
		sess, _ := session(t, mem)
		own := acquire(t, s, sess)
		ctx, cancel := own.Context(t.Context())
		defer cancel()
		synctest.Wait()
		if _, _, err := mem.Commit(t.Context(), kv.Txn{Then: []kv.Op{kv.Delete(own.Key())}}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if !errors.Is(context.Cause(ctx), pool.ErrNotOwner) || own.Left() != 0 {
			t.Errorf("the work goes on: %v", context.Cause(ctx))
		}
	})
}

// Whoever waits for a key, or guards one, watches it also when etcd has
// forgotten how the key came about, and does not ask again and again.
func TestWaitingSurvivesCompaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, mem := leased(t)
		owner, _ := session(t, mem)
		own := acquire(t, s, owner)
		ctx, cancel := own.Context(t.Context())
		defer cancel()
		put := kv.Txn{Then: []kv.Op{kv.Put(DefaultPrefix+"/else", nil)}}
		if _, _, err := mem.Commit(t.Context(), put); err != nil {
			t.Fatal(err)
		}
		mem.BreakWatches()
		if err := mem.Compact(mem.Revision()); err != nil {
			t.Fatal(err)
		}
		counted := &counting{KV: mem}
		waiter, _ := session(t, mem)
		taken := make(chan error, 1)
		go func() {
			_, err := New(counted, "", zap.NewNop()).Acquire(t.Context(), waiter, "provider/p", "other")
			taken <- err
		}()
		time.Sleep(time.Hour)
		if n := counted.calls.Load(); n > 10 {
			t.Errorf("%d calls in an hour of waiting", n)
		}
		if err := own.Release(t.Context()); err != nil {
			t.Error(err)
		}
		<-ctx.Done()
		if err := <-taken; err != nil {
			t.Error(err)
		}
	})
}

// counting counts the calls of somebody who waits for a key.
type counting struct {
	kv.KV

	calls atomic.Int64
}

func (c *counting) Commit(ctx context.Context, txn kv.Txn) (int64, bool, error) {
	c.calls.Add(1)
	return c.KV.Commit(ctx, txn)
}

func (c *counting) Get(ctx context.Context, key string) (kv.Item, error) {
	c.calls.Add(1)
	return c.KV.Get(ctx, key)
}

func (c *counting) List(ctx context.Context, prefix string) ([]kv.Item, int64, error) {
	c.calls.Add(1)
	return c.KV.List(ctx, prefix)
}

func TestAcquireGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, mem := leased(t)
		sess, _ := session(t, mem)
		acquire(t, s, sess)
		other, _ := session(t, mem)
		failed := make(chan error)
		go func() {
			_, err := s.Acquire(t.Context(), other, "provider/p", "other")
			failed <- err
		}()
		synctest.Wait()
		if err := other.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-failed; !errors.Is(err, pool.ErrNotOwner) {
			t.Errorf("a closed session acquires: %v", err)
		}
	})
}

func TestMembersDieWithTheirSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, mem := leased(t)
		sess, stop := session(t, mem)
		for _, version := range []string{"1", "2"} {
			if err := s.PutMember(t.Context(), sess, &pool.Member{Name: "one", Version: version}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		snap, err := s.Read(t.Context())
		if err != nil || len(snap.Members) != 1 || snap.Members[0].Version != "2" {
			t.Fatalf("%+v, %v", snap, err)
		}
		stop()
		time.Sleep(ttl + time.Second)
		if snap, err = s.Read(t.Context()); err != nil || len(snap.Members) != 0 {
			t.Errorf("a dead peer is a member: %+v, %v", snap, err)
		}
	})
}

// The time that leases are counted by goes on while the machine is suspended.
func TestElapsed(t *testing.T) {
	i := now()
	suspended := instant{wall: i.wall, suspended: i.suspended - time.Hour}
	if e := suspended.elapsed(); e < time.Hour {
		t.Errorf("suspension does not count: %v", e)
	}
	awake := instant{wall: i.wall.Add(-time.Hour), suspended: i.suspended}
	if e := awake.elapsed(); e < time.Hour {
		t.Errorf("Go's clock does not count: %v", e)
	}
}

// Real time does not count in a bubble, however long things take there.
func TestElapsedInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := now()
		for began := clock(unix.CLOCK_MONOTONIC); clock(unix.CLOCK_MONOTONIC)-began < 20*time.Millisecond; {
			runtime.Gosched()
		}
		if e := i.elapsed(); e != 0 {
			t.Errorf("%v passed in no time", e)
		}
		time.Sleep(time.Second)
		if e := i.elapsed(); e != time.Second {
			t.Errorf("%v passed in a second", e)
		}
	})
}
