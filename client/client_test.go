package client

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"poold/pool"
	"poold/store/kv"
	"poold/store/kv/memkv"
)

// bench is a client and the store it talks to, in a bubble of fake time.
type bench struct {
	*testing.T
	db     *memkv.KV
	client *Client
}

func inBubble(t *testing.T, test func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		db := memkv.New(time.Now())
		ctx, stop := context.WithCancel(t.Context())
		defer func() { stop(); synctest.Wait() }()
		go func() { _ = db.Run(ctx) }()
		c, err := New(db, "", "ci")
		if err != nil {
			t.Fatal(err)
		}
		test(&bench{T: t, db: db, client: c})
	})
}

func (b *bench) create(id string, ttl time.Duration) *Request {
	b.Helper()
	r, err := b.client.Create(b.Context(), id, pool.Request{Labels: []string{"noble"}, MaxLifetime: "1h"}, ttl)
	if err != nil {
		b.Fatal(err)
	}
	return r
}

// answer is what an allocator would write for a request.
func (b *bench) answer(a pool.Allocation) {
	b.Helper()
	value, err := json.Marshal(a)
	if err != nil {
		b.Fatal(err)
	}
	if _, _, err := b.db.Commit(b.Context(), kv.Txn{Then: []kv.Op{kv.Put(DefaultPrefix+"/allocations/ci/job", value)}}); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) exists(key string) bool {
	b.Helper()
	_, err := b.db.Get(b.Context(), key)
	if err != nil && !errors.Is(err, kv.ErrNotFound) {
		b.Fatal(err)
	}
	return err == nil
}

const jobKey = DefaultPrefix + "/requests/ci/job"

// An answer to an earlier request of the same id names nodes that are being
// destroyed: it must not be believed.
func TestWaitIgnoresAnswersToAnEarlierRequest(t *testing.T) {
	inBubble(t, func(b *bench) {
		r := b.create("job", time.Minute)
		b.answer(pool.Allocation{State: pool.AllocationFulfilled, RequestRevision: r.Ref().CreateRevision - 1})
		go func() {
			time.Sleep(time.Second)
			b.answer(pool.Allocation{State: pool.AllocationWaiting, RequestRevision: r.Ref().CreateRevision})
			time.Sleep(time.Second)
			b.answer(pool.Allocation{
				State: pool.AllocationFulfilled, RequestRevision: r.Ref().CreateRevision,
				Nodes: []pool.AllocatedNode{{ID: "n1"}},
			})
		}()
		a, err := r.Wait(b.Context())
		if err != nil || len(a.Nodes) != 1 || a.Nodes[0].ID != "n1" {
			b.Errorf("got %+v, %v", a, err)
		}
		if err := r.Close(b.Context()); err != nil || b.exists(jobKey) {
			b.Errorf("after Close the key exists: %v, %v", b.exists(jobKey), err)
		}
	})
}

// The key lives as long as the client keeps it alive, and not a lease longer.
func TestTheRequestLivesAsLongAsItsClient(t *testing.T) {
	inBubble(t, func(b *bench) {
		r := b.create("job", 10*time.Second)
		time.Sleep(time.Hour)
		if !b.exists(jobKey) {
			b.Fatal("the lease was not kept alive")
		}
		r.stop() // the process dies
		time.Sleep(12 * time.Second)
		if b.exists(jobKey) {
			b.Error("the key outlived its client")
		}
	})
}

func TestWaitEndsWhenTheRequestIsGone(t *testing.T) {
	inBubble(t, func(b *bench) {
		r := b.create("job", time.Minute)
		go func() {
			time.Sleep(time.Second)
			if err := b.client.Delete(b.Context(), "job"); err != nil {
				b.Error(err)
			}
		}()
		if _, err := r.Wait(b.Context()); !errors.Is(err, ErrLost) {
			b.Errorf("got %v, want ErrLost", err)
		}
		if err := r.Close(b.Context()); err != nil {
			b.Error(err)
		}
	})
}

// An outage of etcd that is shorter than the lease is only a pause.
func TestWaitOutlivesAnOutage(t *testing.T) {
	inBubble(t, func(b *bench) {
		r := b.create("job", time.Minute)
		go func() {
			time.Sleep(time.Second)
			b.db.Down()
			time.Sleep(20 * time.Second)
			b.db.Up()
			b.answer(pool.Allocation{State: pool.AllocationFulfilled, RequestRevision: r.Ref().CreateRevision})
		}()
		if a, err := r.Wait(b.Context()); err != nil || a.State != pool.AllocationFulfilled {
			b.Errorf("got %+v, %v", a, err)
		}
		if err := r.Close(b.Context()); err != nil {
			b.Error(err)
		}
	})
}

func TestRewritesKeepTheLeaseAndTheRest(t *testing.T) {
	inBubble(t, func(b *bench) {
		r := b.create("job", 10*time.Second)
		if err := r.Release(b.Context(), "n1"); err != nil {
			b.Fatal(err)
		}
		if err := r.Release(b.Context(), "n2"); err != nil {
			b.Fatal(err)
		}
		item, err := b.db.Get(b.Context(), jobKey)
		if err != nil || item.Lease == 0 {
			b.Fatalf("the key lost its lease: %+v, %v", item, err)
		}
		var v pool.Request
		if err := json.Unmarshal(item.Value, &v); err != nil || len(v.Release) != 2 || len(v.Labels) != 1 {
			b.Errorf("the value is %s, %v", item.Value, err)
		}
		if err := r.Close(b.Context()); err != nil {
			b.Fatal(err)
		}
		if err := r.Release(b.Context(), "n3"); !errors.Is(err, ErrLost) {
			b.Errorf("a rewrite of a request that is gone: got %v, want ErrLost", err)
		}
	})
}

func TestCreateRefuses(t *testing.T) {
	inBubble(t, func(b *bench) {
		first := b.create("job", 0)
		if _, err := b.client.Create(b.Context(), "job", pool.Request{Labels: []string{"l"}}, time.Minute); !errors.Is(err, pool.ErrConflict) {
			b.Errorf("an id in use: got %v, want ErrConflict", err)
		}
		if _, err := b.client.Create(b.Context(), "a/b", pool.Request{}, time.Minute); err == nil {
			b.Error("an id with a slash is taken")
		}
		if _, err := b.client.Create(b.Context(), "x", pool.Request{Labels: []string{"l"}}, 0); err == nil {
			b.Error("a request that would live for ever is taken")
		}
		if err := first.Close(b.Context()); err != nil || b.exists(jobKey) {
			b.Errorf("closing a request without a lease leaves its key: %v", err)
		}
		if err := b.client.Delete(b.Context(), "job"); !errors.Is(err, pool.ErrNotFound) {
			b.Errorf("deleting what is not there: got %v, want ErrNotFound", err)
		}
	})
}

// An explicit accept ends when the nodes are in use, or when it came too late.
func TestAccept(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer pool.Allocation
	}{
		{"accepted", pool.Allocation{State: pool.AllocationFulfilled, Nodes: []pool.AllocatedNode{{ID: "n1", State: "in-use", InterfaceIP: "192.0.2.1"}}}},
		{"too late", pool.Allocation{State: pool.AllocationFailed, Error: "not accepted in time"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				r := b.create("job", time.Minute)
				offered := pool.Allocation{State: pool.AllocationFulfilled, RequestRevision: r.Ref().CreateRevision, Nodes: []pool.AllocatedNode{{ID: "n1", State: "ready"}}}
				b.answer(offered)
				go func() {
					time.Sleep(time.Second)
					if v := b.value(); !v.Accepted {
						b.Errorf("the key holds %+v", v)
					}
					c.answer.RequestRevision = r.Ref().CreateRevision
					b.answer(c.answer)
				}()
				a, err := r.Accept(b.Context())
				if err != nil || a.State != c.answer.State || a.Error != c.answer.Error ||
					len(a.Nodes) > 0 && a.Nodes[0].InterfaceIP != "192.0.2.1" {
					b.Errorf("got %+v, %v", a, err)
				}
				if err := r.Close(b.Context()); err != nil {
					b.Error(err)
				}
			})
		})
	}
}

// value is what the key of the request holds.
func (b *bench) value() pool.Request {
	b.Helper()
	item, err := b.db.Get(b.Context(), jobKey)
	if err != nil {
		b.Fatal(err)
	}
	var v pool.Request
	if err := json.Unmarshal(item.Value, &v); err != nil {
		b.Fatal(err)
	}
	return v
}

func TestHoldAndPriorityAreRewrites(t *testing.T) {
	inBubble(t, func(b *bench) {
		r := b.create("job", time.Minute)
		if err := r.SetPriority(b.Context(), 100, 7); err != nil {
			b.Fatal(err)
		}
		if err := r.Hold(b.Context(), pool.Hold{Nodes: []pool.NodeID{"n1"}, Reason: "look"}); err != nil {
			b.Fatal(err)
		}
		v := b.value()
		if v.EffectivePriority() != 100 || v.RelativePriority != 7 || v.Hold == nil || v.Hold.Nodes[0] != "n1" || len(v.Labels) != 1 {
			b.Errorf("the key holds %+v", v)
		}
		if err := r.Close(b.Context()); err != nil {
			b.Fatal(err)
		}
		select {
		case <-r.Lost():
		default:
			b.Error("a closed request does not count as lost")
		}
	})
}
