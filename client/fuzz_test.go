package client

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"poold/pool"
	"poold/store/kv"
	"poold/store/kv/memkv"
)

// Whatever others wrote at the keys of a request and its answer, a client that takes
// the request up again is told of nothing but answers to it, waits for one that can
// be read unless it says why it does not, and loses nothing of what it asked for.
func FuzzAnswers(f *testing.F) {
	const asked = `{"v":1,"labels":["l"],"priority":100,"accept":"explicit","max_lifetime":"4h","hold":{"nodes":["n"],"ttl":"1h"}}`
	for _, answer := range []string{
		`{"v":1,"state":"fulfilled","request_revision":1,"nodes":[{"id":"n","label":"l","provider":"p","state":"ready","interface_ip":"192.0.2.1","host_keys":["a b"]}]}`,
		`{"v":1,"state":"waiting","request_revision":1,"reasons":[{"provider":"p","class":"quota","text":"full","next":"2026-11-25T22:00:00Z"}]}`,
		`{"v":1,"state":"failed","request_revision":1,"error":"no such label"}`,
		`{"v":1,"state":"fulfilled","request_revision":7,"nodes":[{"id":"of another"}]}`,
		`{"v":9,"request_revision":1,"nodes":null,"later":{"x":[]}}`, `{"request_revision":1e99}`, `{"since":"never"}`, `null`, `[`, ``,
	} {
		f.Add([]byte(asked), []byte(answer))
	}
	f.Add([]byte(`{"labels":`), []byte(`{}`))
	f.Add([]byte(`null`), []byte(`{"state":"fulfilled","request_revision":1}`))
	f.Fuzz(func(t *testing.T, asked, answered []byte) {
		ctx := t.Context()
		db := memkv.New(time.Now())
		c, err := New(db, "", "ci")
		if err != nil {
			t.Fatal(err)
		}
		put := func(key string, value []byte) {
			if _, _, err := db.Commit(ctx, kv.Txn{Then: []kv.Op{kv.Put(key, value)}}); err != nil {
				t.Fatal(err)
			}
		}
		put(c.key("requests", "job"), asked)
		put(c.key("allocations", "job"), answered)
		put(c.key("allocations", "job-2"), []byte(`{"state":"fulfilled","request_revision":1,"nodes":[{"id":"of job-2"}]}`))
		r, err := c.Resume(ctx, "job")
		if unread := json.Unmarshal(asked, &pool.Request{}); err != nil || unread != nil {
			if err == nil || unread == nil {
				t.Fatalf("resumed: %v; the request: %v", err, unread)
			}
			return
		}
		answers(t, r, answered)
		rewritten(t, r, asked)
		if err := r.Close(ctx); err != nil {
			t.Error(err)
		}
		if _, err := db.Get(ctx, c.key("requests", "job")); !errors.Is(err, kv.ErrNotFound) {
			t.Errorf("closed, its key is there: %v", err)
		}
	})
}

// answers waits for an answer to a request: the one that is there if it can be read
// and is one, and else the one that comes later.
func answers(t *testing.T, r *Request, there []byte) {
	t.Helper()
	unread := json.Unmarshal(there, &pool.Allocation{})
	is, err := r.answer(kv.Item{Key: r.client.key("allocations", r.id), Value: there})
	switch {
	case (err != nil) != (unread != nil):
		t.Errorf("told %v of what is read as %v", err, unread)
	case is != nil && is.Ref() != r.Ref():
		t.Errorf("told of the answer to %+v", is.Ref())
	}
	if is == nil && err == nil {
		good, err := json.Marshal(pool.Allocation{State: pool.AllocationFailed, RequestRevision: r.Ref().CreateRevision})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := r.client.kv.Commit(t.Context(), kv.Txn{Then: []kv.Op{kv.Put(r.client.key("allocations", r.id), good)}}); err != nil {
			t.Fatal(err)
		}
	}
	a, watched := r.Watch(t.Context(), func(*pool.Allocation) bool { return true })
	if (watched != nil) != (err != nil) || watched == nil && a.Ref() != r.Ref() {
		t.Errorf("got %+v, %v; what is there: %v", a, watched, err)
	}
}

// rewritten changes the request, and checks that nothing else of it changes.
func rewritten(t *testing.T, r *Request, asked []byte) {
	t.Helper()
	if err := r.SetPriority(t.Context(), 7, 8); err != nil {
		t.Error(err)
		return
	}
	item, err := r.client.kv.Get(t.Context(), r.client.key("requests", r.id))
	if err != nil {
		t.Error(err)
		return
	}
	var before, after pool.Request
	if err := errors.Join(json.Unmarshal(asked, &before), json.Unmarshal(item.Value, &after)); err != nil {
		t.Error(err)
		return
	}
	before.Priority, before.RelativePriority = new(7), 8
	want, err := json.Marshal(before)
	if got, again := json.Marshal(after); err != nil || again != nil || string(got) != string(want) {
		t.Errorf("it became %s, want %s: %v %v", got, want, err, again)
	}
}
