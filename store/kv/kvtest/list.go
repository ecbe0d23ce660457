package kvtest

import (
	"fmt"
	"testing"

	"poold/store/kv"
)

func testList(t *testing.T, s *suite) {
	s.put(t, "b", "2")
	s.put(t, "a", "1")
	s.put(t, "a/x", "3")
	last := s.put(t, "c", "4")
	s.commit(t, kv.Txn{Then: []kv.Op{kv.Delete(s.key("c"))}})
	items, revision, err := s.List(s.context(t), s.prefix)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, it := range items {
		got = append(got, it.Key[len(s.prefix):]+"="+string(it.Value))
	}
	equal(t, got, []string{"a=1", "a/x=3", "b=2"})
	if revision != last+1 {
		t.Errorf("listed at %d, want %d", revision, last+1)
	}
	if items, _, err := s.List(s.context(t), s.key("none")); err != nil || len(items) != 0 {
		t.Errorf("a list of nothing: %v, %v", items, err)
	}
}

// longList is more than fits on the pages of any implementation.
const longList = 2100

func testLongList(t *testing.T, s *suite) {
	var txn kv.Txn
	for i := range longList {
		txn.Then = append(txn.Then, kv.Put(s.key(fmt.Sprintf("%06d", i)), []byte("v")))
		if len(txn.Then) == kv.MaxOps || i == longList-1 {
			s.commit(t, txn)
			txn.Then = nil
		}
	}
	items, _, err := s.List(s.context(t), s.prefix)
	if err != nil || len(items) != longList {
		t.Fatalf("got %d of %d keys, %v", len(items), longList, err)
	}
	for i, it := range items {
		if it.Key != s.key(fmt.Sprintf("%06d", i)) {
			t.Fatalf("at %d: %s", i, it.Key)
		}
	}
}

// testListConsistency protects every decision made from a list: two keys that
// only ever change together, far apart, never differ in one.
func testListConsistency(t *testing.T, s *suite) {
	testLongList(t, s)
	done := make(chan struct{})
	both := func(i int) kv.Txn {
		v := []byte(fmt.Sprint(i))
		return kv.Txn{Then: []kv.Op{kv.Put(s.key("!first"), v), kv.Put(s.key("~last"), v)}}
	}
	s.commit(t, both(0))
	race(2, func(i int) {
		if i == 0 {
			defer close(done)
			for range 8 {
				items, revision, err := s.List(t.Context(), s.prefix)
				if err != nil {
					t.Error(err)
					return
				}
				first, last := items[0], items[len(items)-1]
				if string(first.Value) != string(last.Value) || first.ModRevision != last.ModRevision || last.ModRevision > revision {
					t.Errorf("at %d: %+v and %+v", revision, first, last)
				}
			}
			return
		}
		for n := 1; ; n++ {
			select {
			case <-done:
				return
			default:
			}
			if _, _, err := s.Commit(t.Context(), both(n)); err != nil {
				t.Error(err)
				return
			}
		}
	})
}
