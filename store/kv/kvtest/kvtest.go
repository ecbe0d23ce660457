// Package kvtest is the conformance suite of kv.KV. Both implementations pass
// it, so that what holds on the model in memory holds on etcd.
package kvtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"poold/store/kv"
)

// patience is how long the suite waits for what must happen.
const patience = 30 * time.Second

// Harness is how the suite drives one implementation.
type Harness struct {
	// Open returns a store; it may be the same every time, because each case
	// uses keys of its own.
	Open func(t *testing.T) kv.KV
	// Pass lets time pass for the leases of the store; nil for a store that
	// lives by the wall clock.
	Pass func(t *testing.T, store kv.KV, d time.Duration)
	// Compact compacts the store up to and including a revision.
	Compact func(t *testing.T, store kv.KV, revision int64)
}

// suite is one case at work on its own part of a store.
type suite struct {
	*Harness

	kv.KV

	prefix string
}

// Run runs every case of the suite as a subtest, one after the other.
func Run(t *testing.T, h Harness) {
	t.Helper()
	for _, c := range []struct {
		name string
		run  func(t *testing.T, s *suite)
	}{
		{"get says not found", testNotFound},
		{"put, change and delete move the revisions", testRevisions},
		{"a transaction is done whole or not at all", testAtomicity},
		{"each condition is compared", testConditions},
		{"a transaction that changes nothing makes no revision", testNoChange},
		{"a transaction has bounds", testBounds},
		{"a list is sorted and of one revision", testList},
		{"a long list is complete", testLongList},
		{"a list is consistent under writes", testListConsistency},
		{"a key keeps its lease, loses it or gets another", testKeepLease},
		{"a lease must be alive to be used", testDeadLeaseUse},
		{"a revoked lease takes its keys along", testRevoke},
		{"a lease dies and takes its keys along", testLeaseDeath},
		{"a renewed lease lives", testRenew},
		{"a watch tells every change in order", testWatchOrder},
		{"a watch has no gap under writes", testWatchNoGap},
		{"a watch minds its prefix", testWatchPrefix},
		{"a watch from a compacted revision says so", testCompaction},
		{"a watch ends with its context", testWatchEnd},
		{"of concurrent writers one wins", testRace},
		{"an ended context changes nothing", testEndedContext},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.run(t, &suite{Harness: &h, KV: h.Open(t), prefix: "/" + t.Name() + "/"})
		})
	}
}

// context returns a context that bounds a case.
func (*suite) context(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func (s *suite) key(name string) string { return s.prefix + name }

// commit does a transaction that must go through and returns its revision.
func (s *suite) commit(t *testing.T, txn kv.Txn) int64 {
	t.Helper()
	revision, done, err := s.Commit(s.context(t), txn)
	if err != nil || !done {
		t.Fatalf("commit %+v: done %v, %v", txn, done, err)
	}
	return revision
}

func (s *suite) put(t *testing.T, name, value string) int64 {
	t.Helper()
	return s.commit(t, kv.Txn{Then: []kv.Op{kv.Put(s.key(name), []byte(value))}})
}

func (s *suite) get(t *testing.T, name string) kv.Item {
	t.Helper()
	it, err := s.Get(s.context(t), s.key(name))
	if err != nil {
		t.Fatal(err)
	}
	return it
}

// absent fails the test if the key is there.
func (s *suite) absent(t *testing.T, name string) {
	t.Helper()
	if it, err := s.Get(s.context(t), s.key(name)); !errors.Is(err, kv.ErrNotFound) {
		t.Fatalf("%s: got %+v, %v, want not found", name, it, err)
	}
}

func (s *suite) grant(t *testing.T, ttl time.Duration) kv.LeaseID {
	t.Helper()
	id, given, err := s.Grant(s.context(t), ttl)
	if err != nil || id == 0 || given < ttl {
		t.Fatalf("grant %v: lease %d of %v, %v", ttl, id, given, err)
	}
	return id
}

// head returns the store's revision.
func (s *suite) head(t *testing.T) int64 {
	t.Helper()
	_, revision, err := s.List(s.context(t), s.prefix)
	if err != nil {
		t.Fatal(err)
	}
	return revision
}

// events reads a watch until it has n events and returns them.
func (s *suite) events(t *testing.T, watch <-chan kv.Batch, n int) []kv.Event {
	t.Helper()
	ctx := s.context(t)
	var got []kv.Event
	last := int64(0)
	for len(got) < n {
		select {
		case b, ok := <-watch:
			if !ok || b.Err != nil {
				t.Fatalf("after %d of %d events the watch ended: %v", len(got), n, b.Err)
			}
			if b.Revision <= last {
				t.Fatalf("a batch of revision %d after one of %d", b.Revision, last)
			}
			for _, e := range b.Events {
				if e.Item.ModRevision <= last || e.Item.ModRevision > b.Revision {
					t.Fatalf("a batch from %d to %d has an event of %d", last, b.Revision, e.Item.ModRevision)
				}
			}
			last = b.Revision
			got = append(got, b.Events...)
		case <-ctx.Done():
			t.Fatalf("only %d of %d events came: %v", len(got), n, got)
		}
	}
	return got
}

// describe makes events comparable: "put name=value" and "delete name".
func (s *suite) describe(events []kv.Event) []string {
	lines := make([]string, 0, len(events))
	for _, e := range events {
		name := e.Item.Key[len(s.prefix):]
		if e.Type == kv.EventDelete {
			lines = append(lines, "delete "+name)
		} else {
			lines = append(lines, fmt.Sprintf("put %s=%s", name, e.Item.Value))
		}
	}
	return lines
}

func equal(t *testing.T, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("got  %q\nwant %q", got, want)
	}
}

// race runs f n times at once and waits for all.
func race(n int, f func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}
