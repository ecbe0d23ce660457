package store_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"poold/pool"
	"poold/store"
	"poold/store/kv"
	"poold/store/kv/etcdkv"
	"poold/test/etcd"
)

func open(t *testing.T, endpoint string) kv.KV {
	t.Helper()
	k, err := etcdkv.Open(t.Context(), etcdkv.Config{Endpoints: []string{endpoint}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.Close() })
	return k
}

// tunnel is a way to etcd that can swallow its replies.
type tunnel struct {
	// mute swallows every reply; lose swallows those of the next 200 ms and
	// then drops the connection.
	mute, lose atomic.Bool
	// lost counts the connections that were dropped.
	lost atomic.Int64
}

func (u *tunnel) open(t *testing.T, endpoint string) (front string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", endpoint)
			if err != nil {
				_ = in.Close()
				continue
			}
			go u.pump(out, in, func() bool { return false })
			go u.pump(in, out, u.swallows(in))
		}
	}()
	return l.Addr().String()
}

// swallows decides about the replies of one connection.
func (u *tunnel) swallows(in net.Conn) func() bool {
	losing := false
	return func() bool {
		if !losing && u.lose.CompareAndSwap(true, false) {
			losing = true
			time.AfterFunc(200*time.Millisecond, func() {
				u.lost.Add(1)
				_ = in.Close()
			})
		}
		return losing || u.mute.Load()
	}
}

func (*tunnel) pump(dst, src net.Conn, swallow func() bool) {
	defer func() { _ = dst.Close() }()
	buf := make([]byte, 32<<10)
	for {
		n, err := src.Read(buf)
		if err != nil {
			return
		}
		if swallow() {
			continue
		}
		if _, err := dst.Write(buf[:n]); err != nil {
			return
		}
	}
}

func session(t *testing.T, k kv.KV, ttl time.Duration) *store.Session {
	t.Helper()
	s, err := store.OpenSession(t.Context(), k, ttl, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Run(t.Context()) }()
	return s
}

func node(id string) *pool.Node {
	return &pool.Node{ID: pool.NodeID(id), Provider: "p", State: pool.NodePending}
}

func write(nodes ...*pool.Node) pool.Write {
	w := pool.Write{By: pool.Allocator}
	for _, n := range nodes {
		w.Nodes = append(w.Nodes, pool.Create(n))
	}
	return w
}

// The model's word is not enough for what keeps two peers from launching the
// same servers: here it is etcd's.
func TestFencingOnEtcd(t *testing.T) {
	k := open(t, etcd.Start(t))
	s := store.New(k, "", zap.NewNop())
	one, two := session(t, k, 10*time.Second), session(t, k, 10*time.Second)
	first, err := s.Acquire(t.Context(), one, "provider/p", "one")
	if err != nil {
		t.Fatal(err)
	}
	revision, err := s.Apply(t.Context(), first, write(node("a")))
	if err != nil {
		t.Fatal(err)
	}
	v := s.View()
	go func() { _ = v.Run(t.Context()) }()
	if err := v.WaitFor(t.Context(), revision); err != nil {
		t.Fatal(err)
	}
	work, cancel := first.Context(t.Context())
	defer cancel()
	got := make(chan *store.Ownership)
	go func() {
		own, err := s.Acquire(t.Context(), two, "provider/p", "two")
		if err != nil {
			t.Error(err)
		}
		got <- own
	}()
	// The lease is taken away behind the owner's back.
	if _, _, err := k.Commit(t.Context(), kv.Txn{Then: []kv.Op{kv.Delete(first.Key())}}); err != nil {
		t.Fatal(err)
	}
	second := <-got
	a := v.Snapshot().Nodes[0]
	stale := pool.Write{By: pool.Allocator, Nodes: []pool.Change[pool.Node]{pool.Update(a, a.Moved(pool.NodeDeleted, pool.Allocator, "", time.Now()))}}
	if _, err := s.Apply(t.Context(), first, stale); !errors.Is(err, pool.ErrNotOwner) {
		t.Errorf("the old owner: %v, want not owner", err)
	}
	<-work.Done()
	if revision, err = s.Apply(t.Context(), second, stale); err != nil {
		t.Fatal(err)
	}
	if err := v.WaitFor(t.Context(), revision); err != nil || v.Snapshot().Nodes[0].State != pool.NodeDeleted {
		t.Errorf("the new owner's write: %+v, %v", v.Snapshot().Nodes[0], err)
	}
}

func TestLostReplyOnEtcd(t *testing.T) {
	endpoint := etcd.Start(t)
	u := &tunnel{}
	k := open(t, u.open(t, endpoint))
	s := store.New(k, "", zap.NewNop())
	sess, err := store.OpenSession(t.Context(), k, time.Minute, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	own, err := s.TryAcquire(t.Context(), sess, "provider/p", "one")
	if err != nil {
		t.Fatal(err)
	}
	direct := store.New(open(t, endpoint), "", zap.NewNop())
	for i := range 3 {
		u.lose.Store(true)
		revision, err := s.Apply(t.Context(), own, write(node(fmt.Sprint("a", i)), node(fmt.Sprint("b", i))))
		if err != nil {
			t.Fatal(err)
		}
		snap, err := direct.Read(t.Context())
		if err != nil || snap.Revision != revision || len(snap.Nodes) != 2*(i+1) || snap.Nodes[i].Revision != revision {
			t.Errorf("done at %d, found %d nodes at %d, %v", revision, len(snap.Nodes), snap.Revision, err)
		}
	}
	if u.lost.Load() != 3 {
		t.Errorf("%d replies were lost, want 3", u.lost.Load())
	}
}

// The work of an owner that is cut off ends before the next owner begins.
func TestLostLeaseOnEtcd(t *testing.T) {
	endpoint := etcd.Start(t)
	u := &tunnel{}
	far, near := open(t, u.open(t, endpoint)), open(t, endpoint)
	one := session(t, far, 3*time.Second)
	first, err := store.New(far, "", zap.NewNop()).Acquire(t.Context(), one, "provider/p", "one")
	if err != nil {
		t.Fatal(err)
	}
	work, cancel := first.Context(t.Context())
	defer cancel()
	u.mute.Store(true)
	ended := make(chan time.Time, 1)
	go func() {
		<-work.Done()
		ended <- time.Now()
	}()
	two := session(t, near, 3*time.Second)
	if _, err := store.New(near, "", zap.NewNop()).Acquire(t.Context(), two, "provider/p", "two"); err != nil {
		t.Fatal(err)
	}
	taken := time.Now()
	select {
	case at := <-ended:
		if !at.Before(taken) || !errors.Is(context.Cause(work), pool.ErrNotOwner) {
			t.Errorf("ended at %v, taken at %v, cause %v", at, taken, context.Cause(work))
		}
	default:
		t.Error("taken over while the old owner works")
	}
}
