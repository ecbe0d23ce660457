package kvtest

import (
	"errors"
	"testing"
	"time"

	"poold/store/kv"
)

func testKeepLease(t *testing.T, s *suite) {
	one, two := s.grant(t, time.Minute), s.grant(t, time.Minute)
	want := func(step string, lease kv.LeaseID) {
		t.Helper()
		if it := s.get(t, "k"); it.Lease != lease {
			t.Fatalf("%s: lease %d, want %d", step, it.Lease, lease)
		}
	}
	write := func(op kv.Op) {
		t.Helper()
		s.commit(t, kv.Txn{Then: []kv.Op{op}})
	}
	write(kv.PutLeased(s.key("k"), nil, one))
	want("put under a lease", one)
	write(kv.Op{Key: s.key("k"), Value: []byte("v"), KeepLease: true})
	want("kept", one)
	if it := s.get(t, "k"); string(it.Value) != "v" {
		t.Fatalf("the value was not written: %+v", it)
	}
	write(kv.PutLeased(s.key("k"), nil, two))
	want("another", two)
	if err := s.Revoke(s.context(t), one); err != nil {
		t.Fatal(err)
	}
	want("the old one revoked", two)
	write(kv.Put(s.key("k"), nil))
	want("none", 0)
	write(kv.Op{Key: s.key("k"), KeepLease: true})
	want("kept none", 0)
}

func testDeadLeaseUse(t *testing.T, s *suite) {
	lease := s.grant(t, time.Minute)
	if err := s.Revoke(s.context(t), lease); err != nil {
		t.Fatal(err)
	}
	if err := s.Revoke(s.context(t), lease); err != nil {
		t.Errorf("a dead lease cannot be revoked: %v", err)
	}
	if _, err := s.Renew(s.context(t), lease); !errors.Is(err, kv.ErrNotFound) {
		t.Errorf("renew: %v, want not found", err)
	}
	for name, op := range map[string]kv.Op{
		"put under a dead lease":       kv.PutLeased(s.key("k"), nil, lease),
		"keep the lease of an old key": {Key: s.key("k"), KeepLease: true},
	} {
		_, done, err := s.Commit(s.context(t), kv.Txn{Then: []kv.Op{kv.Put(s.key("other"), nil), op}})
		if done || !errors.Is(err, kv.ErrNotFound) {
			t.Errorf("%s: done %v, %v, want not found", name, done, err)
		}
	}
	s.absent(t, "other")
	// Conditions come first: a write that lost its race says so, and not that
	// its lease is gone.
	_, done, err := s.Commit(s.context(t), kv.Txn{
		If:   []kv.Cond{kv.Unchanged(s.key("k"), 1)},
		Then: []kv.Op{{Key: s.key("k"), KeepLease: true}},
	})
	if done || err != nil {
		t.Errorf("a failed condition: done %v, %v", done, err)
	}
}

func testRevoke(t *testing.T, s *suite) {
	lease := s.grant(t, time.Minute)
	s.put(t, "stays", "")
	at := s.commit(t, kv.Txn{Then: []kv.Op{
		kv.PutLeased(s.key("b"), nil, lease), kv.PutLeased(s.key("a"), nil, lease),
	}})
	watch := s.Watch(s.context(t), s.prefix, at)
	if err := s.Revoke(s.context(t), lease); err != nil {
		t.Fatal(err)
	}
	s.absent(t, "a")
	s.absent(t, "b")
	s.get(t, "stays")
	events := s.events(t, watch, 2)
	equal(t, s.describe(events), []string{"delete a", "delete b"})
	if events[0].Item.ModRevision != at+1 || events[1].Item.ModRevision != at+1 {
		t.Errorf("not one revision: %+v", events)
	}
}

// testLeaseDeath protects every takeover: the death of a peer is an event.
func testLeaseDeath(t *testing.T, s *suite) {
	lease := s.grant(t, 2*time.Second)
	at := s.commit(t, kv.Txn{Then: []kv.Op{kv.PutLeased(s.key("k"), nil, lease)}})
	watch := s.Watch(s.context(t), s.prefix, at)
	if s.Pass != nil {
		s.Pass(t, s.KV, 3*time.Second)
	}
	equal(t, s.describe(s.events(t, watch, 1)), []string{"delete k"})
	s.absent(t, "k")
	if _, err := s.Renew(s.context(t), lease); !errors.Is(err, kv.ErrNotFound) {
		t.Errorf("renew: %v, want not found", err)
	}
}

func testRenew(t *testing.T, s *suite) {
	lease := s.grant(t, 5*time.Second)
	s.commit(t, kv.Txn{Then: []kv.Op{kv.PutLeased(s.key("k"), nil, lease)}})
	for range 3 {
		if s.Pass != nil {
			s.Pass(t, s.KV, 3*time.Second)
		}
		ttl, err := s.Renew(s.context(t), lease)
		if err != nil || ttl < 5*time.Second {
			t.Fatalf("renewed for %v, %v", ttl, err)
		}
	}
	s.get(t, "k")
}
