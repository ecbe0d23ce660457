package kvtest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"poold/store/kv"
)

func testWatchOrder(t *testing.T, s *suite) {
	s.put(t, "before", "")
	from := s.head(t)
	s.put(t, "a", "1")
	s.commit(t, kv.Txn{Then: []kv.Op{
		kv.Put(s.key("b"), []byte("2")), kv.Delete(s.key("a")), kv.Delete(s.key("none")),
	}})
	watch := s.Watch(s.context(t), s.prefix, from)
	got := s.events(t, watch, 3)
	// Within a revision the order is that of the transaction.
	equal(t, s.describe(got), []string{"put a=1", "put b=2", "delete a"})
	s.put(t, "c", "3")
	equal(t, s.describe(s.events(t, watch, 1)), []string{"put c=3"})
	if it := got[2].Item; it.Value != nil || it.ModRevision != from+2 || it.CreateRevision != 0 {
		t.Errorf("the delete at %d came as %+v", from+2, it)
	}
}

// testWatchNoGap protects every cache: a watch that starts in the middle of
// writes tells each change after its revision, once.
func testWatchNoGap(t *testing.T, s *suite) {
	const writes, watchers = 200, 4
	from := s.head(t)
	var got [watchers][]kv.Event
	race(watchers+1, func(i int) {
		if i == watchers {
			for n := range writes {
				s.put(t, "k", fmt.Sprint(n))
			}
			return
		}
		got[i] = s.events(t, s.Watch(t.Context(), s.prefix, from), writes)
	})
	for i, events := range got {
		for n, e := range events {
			if string(e.Item.Value) != fmt.Sprint(n) {
				t.Fatalf("watch %d: event %d is %+v", i, n, e)
			}
		}
	}
}

func testWatchPrefix(t *testing.T, s *suite) {
	watch := s.Watch(s.context(t), s.key("in/"), s.head(t))
	s.put(t, "in", "no")
	s.put(t, "in0", "no")
	s.put(t, "in/x", "yes")
	s.put(t, "in.y", "no")
	s.put(t, "in/z", "yes")
	equal(t, s.describe(s.events(t, watch, 2)), []string{"put in/x=yes", "put in/z=yes"})
}

func testCompaction(t *testing.T, s *suite) {
	from := s.put(t, "k", "1")
	at := s.put(t, "k", "2")
	s.put(t, "k", "3")
	s.Compact(t, s.KV, at+1)
	select {
	case b := <-s.Watch(s.context(t), s.prefix, from):
		if !errors.Is(b.Err, kv.ErrCompacted) {
			t.Fatalf("got %+v, want compacted", b)
		}
	case <-s.context(t).Done():
		t.Fatal("the watch from a compacted revision says nothing")
	}
	// From the compacted revision itself nothing is missing.
	watch := s.Watch(s.context(t), s.prefix, at+1)
	s.put(t, "k", "4")
	equal(t, s.describe(s.events(t, watch, 1)), []string{"put k=4"})
	if it := s.get(t, "k"); it.CreateRevision != from {
		t.Errorf("compaction changed the key: %+v", it)
	}
}

func testWatchEnd(t *testing.T, s *suite) {
	ctx, cancel := context.WithCancel(s.context(t))
	watch := s.Watch(ctx, s.prefix, s.head(t))
	s.put(t, "k", "1")
	s.events(t, watch, 1)
	cancel()
	for b := range watch {
		if b.Err != nil {
			t.Errorf("the end of the context is no error: %v", b.Err)
		}
	}
}
