package kvtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"poold/store/kv"
)

// side is one of two stores that are driven with the same calls. Revisions and
// leases differ between them and are told as numbers relative to the start.
type side struct {
	store  kv.KV
	prefix string
	base   int64
	leases []kv.LeaseID
}

// call is one drawn call, in terms that suit both sides.
type call struct {
	verb  string
	conds []condition
	ops   []operation
	lease int
}

type condition struct {
	key   string
	field kv.Field
	// value is an absolute 0 if it is negative, else relative to the base.
	value int64
}

type operation struct {
	key, value, verb string
	lease            int
}

// Compare drives both stores with the same random calls, on keys under the
// prefix that nobody else may use, and fails if a reply or the history differs.
// Nobody else may write to either store meanwhile.
func Compare(t *rapid.T, a, b kv.KV, prefix string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	defer cancel()
	sides := [2]*side{{store: a, prefix: prefix}, {store: b, prefix: prefix}}
	for _, s := range sides {
		_, revision, err := s.store.List(ctx, prefix)
		if err != nil {
			t.Fatal(err)
		}
		s.base = revision
	}
	for _, c := range rapid.SliceOfN(rapid.Custom(drawCall), 1, 25).Draw(t, "calls") {
		got, want := sides[0].do(ctx, c), sides[1].do(ctx, c)
		if got != want {
			t.Fatalf("%+v:\none   %s\nother %s", c, got, want)
		}
	}
	if got, want := sides[0].state(ctx), sides[1].state(ctx); got != want {
		t.Fatalf("the states differ:\none   %s\nother %s", got, want)
	}
	from := rapid.Int64Range(0, 10).Draw(t, "from")
	if got, want := sides[0].history(ctx, from), sides[1].history(ctx, from); got != want {
		t.Fatalf("the histories differ:\none   %s\nother %s", got, want)
	}
}

func drawCall(t *rapid.T) call {
	key := rapid.SampledFrom([]string{"a", "b", "c", "d"})
	return call{
		verb: rapid.SampledFrom([]string{"commit", "commit", "commit", "commit", "get", "list", "grant", "renew", "revoke"}).Draw(t, "verb"),
		conds: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) condition {
			return condition{
				key:   key.Draw(t, "key"),
				field: rapid.SampledFrom([]kv.Field{kv.CreateRevision, kv.ModRevision}).Draw(t, "field"),
				value: rapid.Int64Range(-1, 6).Draw(t, "value"),
			}
		}), 0, 2).Draw(t, "conds"),
		ops: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) operation {
			return operation{
				key:   key.Draw(t, "key"),
				value: rapid.StringMatching("[a-z]{0,3}").Draw(t, "value"),
				verb:  rapid.SampledFrom([]string{"put", "put", "leased", "keep", "delete"}).Draw(t, "op"),
				lease: rapid.IntRange(0, 3).Draw(t, "lease"),
			}
		}), 0, 3).Draw(t, "ops"),
		lease: rapid.IntRange(0, 3).Draw(t, "lease"),
	}
}

// do makes one call and describes the reply.
func (s *side) do(ctx context.Context, c call) string {
	switch c.verb {
	case "commit":
		revision, done, err := s.store.Commit(ctx, s.txn(c))
		if err != nil {
			return outcome(err)
		}
		return fmt.Sprintf("%d %v", revision-s.base, done)
	case "get":
		it, err := s.store.Get(ctx, s.prefix+"a")
		return s.item(it) + outcome(err)
	case "list":
		return s.state(ctx)
	case "grant":
		id, ttl, err := s.store.Grant(ctx, time.Hour)
		s.leases = append(s.leases, id)
		return ttl.String() + outcome(err)
	case "renew":
		ttl, err := s.store.Renew(ctx, s.lease(c.lease))
		return ttl.String() + outcome(err)
	case "revoke":
		return outcome(s.store.Revoke(ctx, s.lease(c.lease)))
	}
	return "no such verb"
}

// lease returns the i-th lease, or one that does not exist.
func (s *side) lease(i int) kv.LeaseID {
	if i >= len(s.leases) {
		return 1<<40 + 7
	}
	return s.leases[i]
}

func (s *side) txn(c call) kv.Txn {
	var txn kv.Txn
	for _, d := range c.conds {
		cond := kv.Cond{Key: s.prefix + d.key, Field: d.field}
		if d.value >= 0 {
			cond.Value = s.base + d.value
		}
		txn.If = append(txn.If, cond)
	}
	for _, o := range c.ops {
		op := kv.Put(s.prefix+o.key, []byte(o.value))
		switch o.verb {
		case "leased":
			op.Lease = s.lease(o.lease)
		case "keep":
			op.KeepLease = true
		case "delete":
			op = kv.Delete(op.Key)
		}
		txn.Then = append(txn.Then, op)
	}
	return txn
}

func (s *side) item(it kv.Item) string {
	if it.Key == "" {
		return ""
	}
	return fmt.Sprintf("%s=%q created %d changed %d lease %d",
		it.Key, it.Value, it.CreateRevision-s.base, it.ModRevision-s.base, slices.Index(s.leases, it.Lease))
}

func (s *side) state(ctx context.Context) string {
	items, revision, err := s.store.List(ctx, s.prefix)
	lines := []string{fmt.Sprintf("at %d %s", revision-s.base, outcome(err))}
	for _, it := range items {
		lines = append(lines, s.item(it))
	}
	return strings.Join(lines, "; ")
}

// history describes every change after a revision, and proves with a last
// write that the watch has told everything.
func (s *side) history(ctx context.Context, from int64) string {
	last, _, err := s.store.Commit(ctx, kv.Txn{Then: []kv.Op{kv.Put(s.prefix+"end", nil)}})
	if err != nil {
		return outcome(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	from = min(s.base+from, last-1)
	lines := []string{fmt.Sprintf("from %d", from-s.base)}
	for b := range s.store.Watch(ctx, s.prefix, from) {
		if b.Err != nil {
			return outcome(b.Err)
		}
		for _, e := range b.Events {
			lines = append(lines, fmt.Sprintf("%d at %d: %s", e.Type, e.Item.ModRevision-s.base, s.eventItem(e)))
		}
		if b.Revision >= last {
			return strings.Join(lines, "; ")
		}
	}
	return "the watch ended"
}

func (s *side) eventItem(e kv.Event) string {
	if e.Type == kv.EventDelete {
		return e.Item.Key
	}
	return s.item(e.Item)
}

// outcome names the kind of an error.
func outcome(err error) string {
	for name, kind := range map[string]error{
		"not found": kv.ErrNotFound, "compacted": kv.ErrCompacted, "unknown": kv.ErrUnknown, "unavailable": kv.ErrUnavailable,
	} {
		if errors.Is(err, kind) {
			return name
		}
	}
	if err != nil {
		return "refused"
	}
	return "ok"
}
