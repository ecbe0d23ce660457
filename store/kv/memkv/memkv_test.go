package memkv_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"poold/store/kv"
	"poold/store/kv/kvtest"
	"poold/store/kv/memkv"
)

// start is when the clocks of the tests begin.
var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func TestConformance(t *testing.T) {
	now := start
	kvtest.Run(t, kvtest.Harness{
		Open: func(*testing.T) kv.KV {
			now = start
			return memkv.New(start)
		},
		Pass: func(_ *testing.T, store kv.KV, d time.Duration) {
			now = now.Add(d)
			store.(*memkv.KV).Advance(now)
		},
		Compact: func(t *testing.T, store kv.KV, revision int64) {
			t.Helper()
			if err := store.(*memkv.KV).Compact(revision); err != nil {
				t.Fatal(err)
			}
		},
	})
}

// Every fault must do what it says, or tests that use them prove nothing.
func TestFaults(t *testing.T) {
	for _, c := range []struct {
		fault   memkv.Fault
		want    error
		written bool
	}{
		{memkv.NoFault, nil, true},
		{memkv.CommitUnavailable, kv.ErrUnavailable, false},
		{memkv.CommitReplyLost, kv.ErrUnknown, true},
		{memkv.CommitDropped, kv.ErrUnknown, false},
	} {
		k := memkv.New(start)
		k.FailCommits(c.fault)
		_, _, err := k.Commit(t.Context(), kv.Txn{Then: []kv.Op{kv.Put("k", nil)}})
		if !errors.Is(err, c.want) {
			t.Errorf("fault %d: %v, want %v", c.fault, err, c.want)
		}
		if _, err := k.Get(t.Context(), "k"); (err == nil) != c.written {
			t.Errorf("fault %d: written %v", c.fault, err == nil)
		}
	}
}

// A store without a quorum ends no lease, and gives each its whole time again.
func TestNoLeaseDiesWhileDown(t *testing.T) {
	k := memkv.New(start)
	lease, _, err := k.Grant(t.Context(), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	k.Down()
	if _, err := k.Renew(t.Context(), lease); !errors.Is(err, kv.ErrUnavailable) {
		t.Fatalf("renew while down: %v", err)
	}
	k.Advance(start.Add(time.Hour))
	k.Up()
	k.Advance(start.Add(time.Hour + 9*time.Second))
	if _, err := k.Renew(t.Context(), lease); err != nil {
		t.Fatalf("renew after 9 s: %v", err)
	}
	k.Advance(start.Add(time.Hour + 19*time.Second))
	if _, err := k.Renew(t.Context(), lease); !errors.Is(err, kv.ErrNotFound) {
		t.Fatalf("renew of a dead lease: %v", err)
	}
}

func TestRunFollowsTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := memkv.New(time.Now())
		go func() { _ = k.Run(t.Context()) }()
		lease, _, err := k.Grant(t.Context(), 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(9 * time.Second)
		if _, err := k.Renew(t.Context(), lease); err != nil {
			t.Fatal(err)
		}
		time.Sleep(11 * time.Second)
		if _, err := k.Renew(t.Context(), lease); !errors.Is(err, kv.ErrNotFound) {
			t.Fatalf("after 11 s: %v", err)
		}
	})
}

func TestRestoreGoesBack(t *testing.T) {
	k := memkv.New(start)
	put := func(key string) {
		t.Helper()
		if _, _, err := k.Commit(t.Context(), kv.Txn{Then: []kv.Op{kv.Put(key, nil)}}); err != nil {
			t.Fatal(err)
		}
	}
	put("a")
	b := k.Backup()
	put("b")
	k.Restore(b)
	items, revision, err := k.List(t.Context(), "")
	if err != nil || revision != 2 || len(items) != 1 || items[0].Key != "a" {
		t.Fatalf("restored to %d: %v, %v", revision, items, err)
	}
}
