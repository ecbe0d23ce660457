package store

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"poold/pool"
	"poold/store/kv"
	"poold/store/kv/memkv"
)

// rig is a store on a model, with an owner.
type rig struct {
	*Store

	mem *memkv.KV
	own *Ownership
}

func newRig(t *testing.T) *rig {
	t.Helper()
	mem := memkv.New(time.Now())
	s := New(mem, "", zap.NewNop())
	session, err := OpenSession(t.Context(), mem, 15*time.Second, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	own, err := s.TryAcquire(t.Context(), session, "allocator", "one")
	if err != nil {
		t.Fatal(err)
	}
	return &rig{s, mem, own}
}

func (r *rig) apply(t *testing.T, w pool.Write) int64 {
	t.Helper()
	revision, err := r.Apply(t.Context(), r.own, w)
	if err != nil {
		t.Fatal(err)
	}
	return revision
}

func (r *rig) node(t *testing.T, id pool.NodeID) *pool.Node {
	t.Helper()
	for _, n := range r.read(t).Nodes {
		if n.ID == id {
			return n
		}
	}
	t.Fatalf("there is no node %s", id)
	return nil
}

func (r *rig) read(t *testing.T) *pool.Snapshot {
	t.Helper()
	s, err := r.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// request returns the only request.
func (r *rig) request(t *testing.T) *pool.Request {
	t.Helper()
	if s := r.read(t); len(s.Requests) == 1 {
		return s.Requests[0]
	}
	t.Fatal("there is not one request")
	return nil
}

// ask writes a request as its client does.
func (r *rig) ask(t *testing.T, value string) {
	t.Helper()
	r.raw(t, kv.Put(r.keys.request("c", "1"), []byte(value)))
}

// raw commits past the store.
func (r *rig) raw(t *testing.T, ops ...kv.Op) {
	t.Helper()
	if _, _, err := r.mem.Commit(t.Context(), kv.Txn{Then: ops}); err != nil {
		t.Fatal(err)
	}
}

func pending(id pool.NodeID) *pool.Node {
	return &pool.Node{ID: id, Provider: "p", Label: "l", State: pool.NodePending, Since: at, Created: at}
}

func create(nodes ...*pool.Node) pool.Write {
	w := pool.Write{By: pool.Allocator}
	for _, n := range nodes {
		w.Nodes = append(w.Nodes, pool.Create(n))
	}
	return w
}

func move(n *pool.Node, to pool.NodeState, by pool.Actor) pool.Write {
	return pool.Write{By: by, Nodes: []pool.Change[pool.Node]{pool.Update(n, n.Moved(to, by, "because", at.Add(time.Second)))}}
}

func TestApply(t *testing.T) {
	r := newRig(t)
	core, logs := observer.New(zap.InfoLevel)
	r.log = zap.New(core)
	made := r.apply(t, create(pending("a"), pending("b")))
	a := r.node(t, "a")
	if a.Revision != made || r.node(t, "b").Revision != made {
		t.Fatalf("made at %d: %+v", made, a)
	}
	moved := r.apply(t, move(a, pool.NodeBuilding, pool.Launcher))
	if n := r.node(t, "a"); n.State != pool.NodeBuilding || n.Revision != moved {
		t.Fatalf("moved at %d: %+v", moved, n)
	}
	last := logs.All()[logs.Len()-1]
	want := map[string]any{
		"node": "a", "provider": "p", "label": "l", "from": "pending", "to": "building", "reason": "because", "elapsed": time.Second,
	}
	if got := last.ContextMap(); logs.Len() != 3 || last.Message != "node moved" || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%d lines, the last %s %v", logs.Len(), last.Message, got)
	}
	if _, err := r.Apply(t.Context(), r.own, move(a, pool.NodeFailed, pool.Launcher)); !errors.Is(err, pool.ErrConflict) {
		t.Errorf("an old revision: %v, want a conflict", err)
	}
	if _, err := r.Apply(t.Context(), r.own, create(pending("c"), pending("a"))); !errors.Is(err, pool.ErrConflict) {
		t.Errorf("a record that exists: %v, want a conflict", err)
	}
	if nodes := r.read(t).Nodes; len(nodes) != 2 {
		t.Errorf("half of a refused write was done: %d nodes, want 2", len(nodes))
	}
}

// The tables are asked for every write.
func TestApplyRefuses(t *testing.T) {
	r := newRig(t)
	r.apply(t, create(pending("a")))
	a := r.node(t, "a")
	given := a.Clone()
	given.AllocatedTo = &pool.RequestRef{Client: "c", ID: "1", CreateRevision: 1}
	r.apply(t, pool.Write{By: pool.Allocator, Nodes: []pool.Change[pool.Node]{pool.Update(a, given)}})
	a = r.node(t, "a")
	stolen, renamed := a.Clone(), a.Clone()
	stolen.AllocatedTo = &pool.RequestRef{Client: "c", ID: "1", CreateRevision: 2}
	renamed.ID = "b"
	var large pool.Write
	for i := range kv.MaxOps + 1 {
		large.Nodes = append(large.Nodes, pool.Create(pending(pool.NodeID(fmt.Sprint("n", i)))))
	}
	head := r.mem.Revision()
	for name, w := range map[string]pool.Write{
		"an edge that does not exist":   move(a, pool.NodeReady, pool.Launcher),
		"an edge of another actor":      move(a, pool.NodeBuilding, pool.Allocator),
		"a new node in the middle":      create(pending("x").Moved(pool.NodeReady, pool.Allocator, "", at)),
		"the removal of a live node":    {By: pool.Launcher, Nodes: []pool.Change[pool.Node]{pool.Remove(a)}},
		"a node given twice":            {By: pool.Allocator, Nodes: []pool.Change[pool.Node]{pool.Update(a, stolen)}},
		"another key":                   {By: pool.Allocator, Nodes: []pool.Change[pool.Node]{pool.Update(a, renamed)}},
		"no name":                       create(pending("")),
		"a change of nothing":           {By: pool.Allocator, Nodes: []pool.Change[pool.Node]{{}}},
		"nothing":                       {By: pool.Allocator},
		"a record that was never read":  move(pending("y"), pool.NodeBuilding, pool.Launcher),
		"a request written":             {By: pool.Allocator, Requests: []pool.Change[pool.Request]{pool.Create(&pool.Request{Client: "c", ID: "1"})}},
		"a command made":                {By: pool.Operator, Commands: []pool.Change[pool.Command]{pool.Create(&pool.Command{ID: "c"})}},
		"an allocation by the launcher": {By: pool.Launcher, Allocations: []pool.Change[pool.Allocation]{pool.Create(&pool.Allocation{Client: "c", ID: "1", State: pool.AllocationFulfilled})}},
		"more than fits":                large,
	} {
		_, err := r.Apply(t.Context(), r.own, w)
		if err == nil || errors.Is(err, pool.ErrConflict) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := r.mem.Revision(); got != head {
		t.Errorf("refused writes moved the store from %d to %d", head, got)
	}
}

// A request is answered at once, and only while it is as it was read.
func TestApplyAnswersRequests(t *testing.T) {
	r := newRig(t)
	const wish, accepted = `{"v":1,"labels":["l"],"max_lifetime":"1h"}`, `{"v":1,"labels":["l"],"max_lifetime":"1h","accepted":true}`
	r.ask(t, wish)
	req := r.request(t)
	if req.CreateRevision != r.mem.Revision() || req.Defect != "" {
		t.Fatalf("read %+v", req)
	}
	answer := pool.Write{
		By: pool.Allocator, Unchanged: []*pool.Request{req},
		Allocations: []pool.Change[pool.Allocation]{pool.Create(&pool.Allocation{
			Client: "c", ID: "1", State: pool.AllocationFulfilled, RequestRevision: req.CreateRevision,
		})},
	}
	r.ask(t, accepted)
	if _, err := r.Apply(t.Context(), r.own, answer); !errors.Is(err, pool.ErrConflict) {
		t.Fatalf("the request changed: %v, want a conflict", err)
	}
	req = r.request(t)
	answer.Unchanged = []*pool.Request{req}
	r.apply(t, answer)
	a := r.read(t).Allocations[0]
	if a.Ref() != req.Ref() {
		t.Fatalf("answered %+v", a)
	}
	forget := pool.Write{
		By: pool.Allocator, Gone: []pool.RequestRef{req.Ref()},
		Allocations: []pool.Change[pool.Allocation]{pool.Remove(a)},
	}
	if _, err := r.Apply(t.Context(), r.own, forget); !errors.Is(err, pool.ErrConflict) {
		t.Fatalf("the request is not gone: %v, want a conflict", err)
	}
	// The same id made anew is another request: the old one is gone.
	r.raw(t, kv.Delete(r.keys.request("c", "1")))
	r.ask(t, wish)
	r.apply(t, forget)
	r.apply(t, pool.Write{By: pool.Allocator, Requests: []pool.Change[pool.Request]{pool.Remove(r.request(t))}})
	if left := r.read(t).Requests; len(left) != 0 {
		t.Errorf("removed: %+v", left[0])
	}
}

// The answer to a command dies with the command.
func TestCommandsKeepTheirLease(t *testing.T) {
	r := newRig(t)
	if _, err := r.PutCommand(t.Context(), &pool.Command{ID: "1", Verb: pool.VerbDelete, Node: "n"}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.PutCommand(t.Context(), &pool.Command{ID: "1", Verb: pool.VerbDelete, Node: "n"}); !errors.Is(err, pool.ErrConflict) {
		t.Errorf("a second command at the key: %v, want a conflict", err)
	}
	c, err := r.Command(t.Context(), "1")
	if err != nil {
		t.Fatal(err)
	}
	done := *c
	done.Done = true
	r.apply(t, pool.Write{By: pool.Operator, Commands: []pool.Change[pool.Command]{pool.Update(c, &done)}})
	if c, err = r.Command(t.Context(), "1"); err != nil || !c.Done {
		t.Fatalf("%+v, %v", c, err)
	}
	r.mem.Advance(time.Now().Add(commandTTL + time.Minute))
	if _, err := r.Command(t.Context(), "1"); !errors.Is(err, pool.ErrNotFound) {
		t.Errorf("after the lease: %v", err)
	}
}

// Fencing: after a takeover the old owner's writes have no effect.
func TestOldOwnerIsRefused(t *testing.T) {
	r := newRig(t)
	r.apply(t, create(pending("a")))
	a := r.node(t, "a")
	r.raw(t, kv.Delete(r.own.Key())) // as when the lease dies unseen
	other, err := OpenSession(t.Context(), r.mem, 15*time.Second, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	next, err := r.TryAcquire(t.Context(), other, "allocator", "two")
	if err != nil || next.CreateRevision() <= r.own.CreateRevision() {
		t.Fatalf("%+v, %v", next, err)
	}
	if _, err := r.Apply(t.Context(), r.own, move(a, pool.NodeDeleted, pool.Allocator)); !errors.Is(err, pool.ErrNotOwner) {
		t.Fatalf("the old owner: %v, want not owner", err)
	}
	if n := r.node(t, "a"); n.State != pool.NodePending {
		t.Fatalf("the old owner wrote: %+v", n)
	}
	if _, err := r.Apply(t.Context(), next, move(a, pool.NodeDeleted, pool.Allocator)); err != nil {
		t.Fatalf("the new owner: %v", err)
	}
}

// A lost reply is neither success nor failure until Apply knows which.
func TestLostReplies(t *testing.T) {
	for _, c := range []struct {
		name   string
		faults []memkv.Fault
		want   error
	}{
		{"done, reply lost", []memkv.Fault{memkv.CommitReplyLost}, nil},
		{"dropped", []memkv.Fault{memkv.CommitDropped}, nil},
		{"dropped, then done and reply lost", []memkv.Fault{memkv.CommitDropped, memkv.CommitReplyLost, memkv.CommitDropped}, nil},
		{"reply lost, then away", []memkv.Fault{memkv.CommitReplyLost, memkv.CommitUnavailable}, nil},
		{"away", []memkv.Fault{memkv.CommitUnavailable}, pool.ErrUnavailable},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.apply(t, create(pending("a"), pending("b")))
			w := move(r.node(t, "a"), pool.NodeBuilding, pool.Launcher)
			w.Nodes = append(w.Nodes, move(r.node(t, "b"), pool.NodeFailed, pool.Launcher).Nodes...)
			head := r.mem.Revision()
			r.mem.FailCommits(c.faults...)
			revision, err := r.Apply(t.Context(), r.own, w)
			if !errors.Is(err, c.want) {
				t.Fatalf("%s: %v, want %v", c.name, err, c.want)
			}
			if c.want == nil && (revision != head+1 || r.node(t, "a").Revision != head+1 || r.mem.Revision() != head+1) {
				t.Errorf("%s: done at %d, not once at %d", c.name, revision, head+1)
			}
			if again, err := r.Apply(t.Context(), r.own, w); err != nil || again != head+1 {
				t.Errorf("%s: repeated: done at %d, %v", c.name, again, err)
			}
		})
	}
}

// lossy lets something happen between a lost reply and the next attempt.
type lossy struct {
	kv.KV

	then func()
}

func (l *lossy) Commit(ctx context.Context, txn kv.Txn) (int64, bool, error) {
	revision, done, err := l.KV.Commit(ctx, txn)
	if errors.Is(err, kv.ErrUnknown) && l.then != nil {
		then := l.then
		l.then = nil
		then()
	}
	return revision, done, err
}

// What others did after a write whose reply was lost must not hide it, and what
// they did instead of it must not pass for it.
func TestLostRepliesUnderOthersWrites(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault memkv.Fault
		// same says that the other writes to a what we want to write.
		same bool
		want error
	}{
		{"done, then changed by another", memkv.CommitReplyLost, false, nil},
		{"dropped, and changed by another", memkv.CommitDropped, false, pool.ErrConflict},
		{"dropped, and half of it done by another", memkv.CommitDropped, true, pool.ErrConflict},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.apply(t, create(pending("a"), pending("b")))
			w := move(r.node(t, "a"), pool.NodeBuilding, pool.Launcher)
			w.Nodes = append(w.Nodes, move(r.node(t, "b"), pool.NodeBuilding, pool.Launcher).Nodes...)
			other := []byte(`{"v":1,"id":"a","provider":"p","state":"ready"}`)
			if c.same {
				var err error
				if other, err = r.codec.nodes.encode(w.Nodes[0].After, pool.RecordVersion); err != nil {
					t.Fatal(err)
				}
			}
			head := r.mem.Revision()
			r.kv = &lossy{r.mem, func() { r.raw(t, kv.Put(r.keys.node("p", "a"), other)) }}
			r.mem.FailCommits(c.fault)
			revision, err := r.Apply(t.Context(), r.own, w)
			if !errors.Is(err, c.want) || c.want == nil && revision != head+1 {
				t.Errorf("%s: at %d (head %d), %v", c.name, revision, head, err)
			}
			if b := r.node(t, "b"); (b.State == pool.NodeBuilding) != (c.want == nil) {
				t.Errorf("%s: b is %s", c.name, b.State)
			}
		})
	}
}

// A write that was out of date from the start ends in conflict, also if the
// first refusal was lost and nothing happens that could be waited for.
func TestLostRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.apply(t, create(pending("a")))
		old := r.node(t, "a")
		r.apply(t, move(old, pool.NodeBuilding, pool.Launcher))
		r.mem.FailCommits(memkv.CommitReplyLost)
		if _, err := r.Apply(t.Context(), r.own, move(old, pool.NodeFailed, pool.Launcher)); !errors.Is(err, pool.ErrConflict) {
			t.Errorf("%v, want a conflict", err)
		}
	})
}

// A write that stays unknown says so, and nothing else.
func TestUnknownUntilTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.apply(t, create(pending("a")))
		r.mem.FailCommits(memkv.CommitReplyLost)
		r.kv = &lossy{r.mem, r.mem.Down}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := r.Apply(ctx, r.own, move(r.node(t, "a"), pool.NodeBuilding, pool.Launcher)); !errors.Is(err, pool.ErrUnknown) {
			t.Errorf("%v, want unknown", err)
		}
	})
}
