package kvtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"poold/store/kv"
)

func testNotFound(t *testing.T, s *suite) { s.absent(t, "nothing") }

func testRevisions(t *testing.T, s *suite) {
	first := s.put(t, "k", "1")
	if it := s.get(t, "k"); it.CreateRevision != first || it.ModRevision != first || string(it.Value) != "1" {
		t.Fatalf("after the create at %d: %+v", first, it)
	}
	second := s.put(t, "k", "2")
	if it := s.get(t, "k"); second != first+1 || it.CreateRevision != first || it.ModRevision != second || string(it.Value) != "2" {
		t.Fatalf("after the change at %d: %+v", second, it)
	}
	third := s.commit(t, kv.Txn{Then: []kv.Op{kv.Delete(s.key("k"))}})
	s.absent(t, "k")
	fourth := s.put(t, "k", "3")
	if it := s.get(t, "k"); third != second+1 || it.CreateRevision != fourth {
		t.Fatalf("after the delete at %d and the create at %d: %+v", third, fourth, it)
	}
}

func testAtomicity(t *testing.T, s *suite) {
	s.put(t, "a", "old")
	txn := kv.Txn{
		If: []kv.Cond{kv.Absent(s.key("b")), kv.Absent(s.key("a"))},
		Then: []kv.Op{
			kv.Put(s.key("a"), []byte("new")), kv.Put(s.key("b"), []byte("new")), kv.Delete(s.key("c")),
		},
	}
	revision, done, err := s.Commit(s.context(t), txn)
	if err != nil || done || revision != s.head(t) {
		t.Fatalf("one condition fails: revision %d, done %v, %v", revision, done, err)
	}
	s.absent(t, "b")
	if it := s.get(t, "a"); string(it.Value) != "old" {
		t.Fatalf("a condition failed and yet: %+v", it)
	}
	s.put(t, "c", "old")
	txn.If = txn.If[:1]
	revision = s.commit(t, txn)
	a, b := s.get(t, "a"), s.get(t, "b")
	s.absent(t, "c")
	if a.ModRevision != revision || b.ModRevision != revision {
		t.Fatalf("a transaction at %d changed %+v and %+v", revision, a, b)
	}
}

func testConditions(t *testing.T, s *suite) {
	created := s.put(t, "k", "1")
	changed := s.put(t, "k", "2")
	for _, c := range []struct {
		name string
		cond kv.Cond
		want bool
	}{
		{"created then", kv.Created(s.key("k"), created), true},
		{"created at another time", kv.Created(s.key("k"), changed), false},
		{"unchanged since", kv.Unchanged(s.key("k"), changed), true},
		{"changed since", kv.Unchanged(s.key("k"), created), false},
		{"absent and is", kv.Absent(s.key("none")), true},
		{"absent and is not", kv.Absent(s.key("k")), false},
		{"unchanged and is absent", kv.Unchanged(s.key("none"), changed), false},
		{"never written and is absent", kv.Unchanged(s.key("none"), 0), true},
	} {
		_, done, err := s.Commit(s.context(t), kv.Txn{If: []kv.Cond{c.cond}})
		if err != nil || done != c.want {
			t.Errorf("%s: done %v, %v", c.name, done, err)
		}
	}
}

func testNoChange(t *testing.T, s *suite) {
	head := s.head(t)
	if revision := s.commit(t, kv.Txn{Then: []kv.Op{kv.Delete(s.key("none"))}}); revision != head {
		t.Errorf("the delete of nothing moved the revision from %d to %d", head, revision)
	}
	if revision := s.commit(t, kv.Txn{}); revision != head {
		t.Errorf("an empty transaction moved the revision from %d to %d", head, revision)
	}
}

func testBounds(t *testing.T, s *suite) {
	var full kv.Txn
	for i := range kv.MaxOps {
		full.Then = append(full.Then, kv.Put(s.key(fmt.Sprint(i)), nil))
		full.If = append(full.If, kv.Absent(s.key(fmt.Sprint(i))))
	}
	s.commit(t, full)
	head := s.head(t)
	for name, txn := range map[string]kv.Txn{
		"too many changes":    {Then: append(slices.Clone(full.Then), kv.Delete(s.key("x")))},
		"too many conditions": {If: append(slices.Clone(full.If), kv.Absent(s.key("x")))},
		"a key twice":         {Then: []kv.Op{kv.Put(s.key("x"), nil), kv.Delete(s.key("x"))}},
		"no key":              {Then: []kv.Op{kv.Put("", nil)}},
	} {
		_, done, err := s.Commit(s.context(t), txn)
		if err == nil || done || errors.Is(err, kv.ErrUnknown) {
			t.Errorf("%s: done %v, %v", name, done, err)
		}
	}
	if got := s.head(t); got != head {
		t.Errorf("refused transactions moved the revision from %d to %d", head, got)
	}
}

// testRace protects what every claim and every lock rests on.
func testRace(t *testing.T, s *suite) {
	at := s.put(t, "counter", "0")
	for round := range 5 {
		var wins atomic.Int64
		var next atomic.Int64
		race(8, func(i int) {
			revision, done, err := s.Commit(t.Context(), kv.Txn{
				If:   []kv.Cond{kv.Unchanged(s.key("counter"), at)},
				Then: []kv.Op{kv.Put(s.key("counter"), []byte(fmt.Sprintf("%d by %d", round, i)))},
			})
			if err != nil {
				t.Error(err)
			}
			if done {
				wins.Add(1)
				next.Store(revision)
			}
		})
		if wins.Load() != 1 {
			t.Fatalf("round %d: %d writers won", round, wins.Load())
		}
		at = next.Load()
	}
}

func testEndedContext(t *testing.T, s *suite) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := s.Commit(ctx, kv.Txn{Then: []kv.Op{kv.Put(s.key("k"), nil)}}); !errors.Is(err, kv.ErrUnavailable) {
		t.Errorf("commit: %v, want unavailable", err)
	}
	if _, err := s.Get(ctx, s.key("k")); !errors.Is(err, kv.ErrUnavailable) {
		t.Errorf("get: %v, want unavailable", err)
	}
	if _, _, err := s.List(ctx, s.prefix); !errors.Is(err, kv.ErrUnavailable) {
		t.Errorf("list: %v, want unavailable", err)
	}
	s.absent(t, "k")
}
