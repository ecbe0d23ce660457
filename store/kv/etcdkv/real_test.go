package etcdkv_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"poold/store/kv"
	"poold/store/kv/etcdkv"
	"poold/test/etcd"
	"poold/test/proc"
)

// patience is how long etcd may take to recover, on a machine that has other
// things to do.
const patience = 2 * time.Minute

// dial opens a connection until the test ends.
func dial(t *testing.T, cfg etcdkv.Config) *etcdkv.KV {
	t.Helper()
	k, err := etcdkv.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.Close() }) // etcd goes, too
	return k
}

// put sets a key.
func put(t *testing.T, k *etcdkv.KV, key string) error {
	t.Helper()
	_, _, err := k.Commit(t.Context(), kv.Txn{Then: []kv.Op{kv.Put(key, []byte("v"))}})
	return err
}

// insist puts a key until it is put.
func insist(t *testing.T, k *etcdkv.KV, key string) {
	t.Helper()
	proc.Await(t, key+" is put", patience, func() (string, bool) {
		err := put(t, k, key)
		if err != nil && !errors.Is(err, kv.ErrUnknown) && !errors.Is(err, kv.ErrUnavailable) {
			t.Fatal(err)
		}
		return fmt.Sprint(err), err == nil
	})
}

// following collects the keys that a watch tells, as the records' view does:
// from where it was when the watch broke.
type following struct {
	mu   sync.Mutex
	keys []string
}

func follow(t *testing.T, k *etcdkv.KV, prefix string, from int64) *following {
	t.Helper()
	f := &following{}
	go func() {
		for t.Context().Err() == nil {
			for b := range k.Watch(t.Context(), prefix, from) {
				f.mu.Lock()
				for _, e := range b.Events {
					f.keys = append(f.keys, e.Item.Key)
				}
				if b.Err == nil {
					from = b.Revision
				}
				f.mu.Unlock()
			}
		}
	}()
	return f
}

// await waits until exactly the keys were told, each once and in order.
func (f *following) await(t *testing.T, want ...string) {
	t.Helper()
	proc.Await(t, fmt.Sprintf("the watch tells %v", want), patience, func() (string, bool) {
		f.mu.Lock()
		defer f.mu.Unlock()
		return fmt.Sprint(f.keys), fmt.Sprint(f.keys) == fmt.Sprint(want)
	})
}

// now is the revision of etcd.
func now(t *testing.T, k *etcdkv.KV) int64 {
	t.Helper()
	_, revision, err := k.List(t.Context(), "none")
	if err != nil {
		t.Fatal(err)
	}
	return revision
}

// Whoever logged in and was silent until his token was over is logged in again,
// whatever he does next, and what he watches goes on.
func TestTokenExpires(t *testing.T) {
	t.Parallel()
	c := etcd.StartCluster(t, etcd.Options{Args: []string{"--auth-token-ttl", "1", "--bcrypt-cost", "4"}})
	c.Run("user", "add", "root:r")
	c.Run("user", "grant-role", "root", "root")
	c.Run("auth", "enable")
	c.User = "root:r"
	core, logs := observer.New(zap.WarnLevel)
	k := dial(t, etcdkv.Config{Endpoints: c.Endpoints(), Username: "root", Password: "r", Log: zap.New(core)})
	from := now(t, k)
	f := follow(t, k, "k/", from)
	lease, _, err := k.Grant(t.Context(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for what, do := range map[string]func() error{
		"get": func() error {
			if _, err := k.Get(t.Context(), "k/none"); !errors.Is(err, kv.ErrNotFound) {
				return err
			}
			return nil
		},
		"commit": func() error {
			n++
			return put(t, k, "k/1")
		},
		"list": func() error {
			_, _, err := k.List(t.Context(), "k/")
			return err
		},
		"grant": func() error {
			_, _, err := k.Grant(t.Context(), time.Minute)
			return err
		},
	} {
		proc.Await(t, "the token is over at a "+what, patience, func() (string, bool) {
			time.Sleep(1500 * time.Millisecond) // a token lives from its last use
			if err := do(); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			over := false
			for _, entry := range logs.TakeAll() {
				over = over || strings.Contains(fmt.Sprint(entry.ContextMap()), "invalid auth token")
			}
			return "it is not", over
		})
	}
	if _, err := k.Renew(t.Context(), lease); err != nil {
		t.Errorf("renew: %v", err)
	}
	want := make([]string, n)
	for i := range want {
		want[i] = "k/1"
	}
	f.await(t, want...)
	follow(t, k, "k/", from).await(t, want...)
}

// A wrong password, and what a user may not do, are no outage: they are said as
// they are, and waiting does not help.
func TestRefusedLogin(t *testing.T) {
	t.Parallel()
	c := etcd.StartCluster(t, etcd.Options{Args: []string{"--bcrypt-cost", "4"}})
	for _, line := range []string{
		"user add root:r", "user grant-role root root", "user add ci:c", "role add ci",
		"role grant-permission ci readwrite mine/ --prefix", "user grant-role ci ci", "auth enable",
	} {
		c.Run(strings.Fields(line)...)
	}
	c.User = "root:r"
	_, err := etcdkv.Open(t.Context(), etcdkv.Config{Endpoints: c.Endpoints(), Username: "ci", Password: "wrong"})
	if err == nil || !strings.Contains(err.Error(), "invalid user ID or password") {
		t.Errorf("a wrong password: %v", err)
	}
	k := dial(t, etcdkv.Config{Endpoints: c.Endpoints(), Username: "ci", Password: "c"})
	if err := put(t, k, "mine/k"); err != nil {
		t.Error(err)
	}
	for what, err := range map[string]error{"put": put(t, k, "theirs/k"), "get": func() error {
		_, err := k.Get(t.Context(), "theirs/k")
		return err
	}()} {
		if err == nil || !strings.Contains(err.Error(), "permission denied") ||
			errors.Is(err, kv.ErrUnavailable) || errors.Is(err, kv.ErrUnknown) {
			t.Errorf("%s: %v, want a plain refusal", what, err)
		}
	}
	if b := <-k.Watch(t.Context(), "theirs/", 0); b.Err == nil {
		t.Errorf("a watch of what is theirs: %+v", b)
	}
}

// An etcd without space takes no change, says so, and answers all else; leases
// live on. It takes changes again when there is space.
func TestNoSpace(t *testing.T) {
	t.Parallel()
	c := etcd.StartCluster(t, etcd.Options{Args: []string{"--quota-backend-bytes", "3000000"}})
	k := dial(t, etcdkv.Config{Endpoints: c.Endpoints()})
	lease, _, err := k.Grant(t.Context(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	f := follow(t, k, "kept", now(t, k))
	if err := put(t, k, "kept"); err != nil {
		t.Fatal(err)
	}
	big := make([]byte, 1<<20)
	for err == nil {
		_, _, err = k.Commit(t.Context(), kv.Txn{Then: []kv.Op{kv.Put("big", big)}})
	}
	if !errors.Is(err, kv.ErrUnavailable) || !strings.Contains(err.Error(), "database space exceeded") {
		t.Fatalf("a change: %v, want that it was not done, and why", err)
	}
	if err := put(t, k, "small"); !errors.Is(err, kv.ErrUnavailable) {
		t.Errorf("a small change: %v", err)
	}
	if _, err := k.Get(t.Context(), "kept"); err != nil {
		t.Errorf("get: %v", err)
	}
	if _, err := k.Renew(t.Context(), lease); err != nil {
		t.Errorf("renew: %v", err)
	}
	if _, done, err := k.Commit(t.Context(), kv.Txn{Then: []kv.Op{kv.Delete("kept")}}); err != nil || !done {
		t.Errorf("a delete: %v, %v, want it done", done, err)
	}
	c.Run("compact", fmt.Sprint(now(t, k)))
	c.Run("defrag")
	c.Run("alarm", "disarm")
	insist(t, k, "kept")
	f.await(t, "kept", "kept", "kept")
}

// The leader, and then two of three members, die and come back. What is said to
// be done is done, nothing is lost, watches tell everything once and in order,
// and leases live through it.
func TestMembersDie(t *testing.T) {
	t.Parallel()
	c := etcd.StartCluster(t, etcd.Options{Members: 3})
	k := dial(t, etcdkv.Config{Endpoints: c.Endpoints()})
	lease, _, err := k.Grant(t.Context(), 10*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	f := follow(t, k, "k/", now(t, k))
	first := func(key string) {
		t.Helper()
		proc.Await(t, key+" is put once", patience, func() (string, bool) {
			revision, done, err := k.Commit(t.Context(), kv.Txn{
				If: []kv.Cond{kv.Absent(key)}, Then: []kv.Op{kv.PutLeased(key, nil, lease)},
			})
			return fmt.Sprint(revision, done, err), err == nil // done, or done before by what was unknown
		})
	}
	first("k/all")
	leader, err := c.Leader()
	if err != nil {
		t.Fatal(err)
	}
	c.Members[leader].Kill()
	first("k/two")
	other := (leader + 1) % 3
	c.Members[other].Kill()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	_, done, err := k.Commit(ctx, kv.Txn{Then: []kv.Op{kv.Put("nobody", nil)}})
	cancel()
	if done || !errors.Is(err, kv.ErrUnknown) && !errors.Is(err, kv.ErrUnavailable) {
		t.Errorf("one of three members: %v, %v", done, err)
	}
	c.Start(leader)
	c.Start(other)
	first("k/back")
	proc.Await(t, "the lease is renewed", patience, func() (string, bool) {
		_, err := k.Renew(t.Context(), lease)
		if errors.Is(err, kv.ErrNotFound) {
			t.Fatal("the lease died")
		}
		return fmt.Sprint(err), err == nil
	})
	f.await(t, "k/all", "k/two", "k/back")
	if items, _, err := k.List(t.Context(), "k/"); err != nil || len(items) != 3 {
		t.Errorf("%d keys, %v, want 3", len(items), err)
	}
}
