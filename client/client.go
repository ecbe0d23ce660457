package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"poold/pool"
	"poold/store/kv"
)

// DefaultPrefix is the prefix of all keys unless configured otherwise.
const DefaultPrefix = "/poold/v1"

// ErrLost says that the request's lease died or its key was deleted by someone
// else: its nodes are gone or going.
var ErrLost = errors.New("the request is gone and its nodes with it")

// Client asks in the name of one CI system. It is safe for concurrent use.
type Client struct {
	kv     kv.KV
	prefix string
	name   string
}

// New returns a client called name that talks to poold through the store. An
// empty prefix is DefaultPrefix. The name must not hold a slash.
func New(store kv.KV, prefix, name string) (*Client, error) {
	if prefix == "" {
		prefix = DefaultPrefix
	}
	if name == "" || strings.Contains(name, "/") {
		return nil, fmt.Errorf("client name %q: it must not be empty or hold a slash", name)
	}
	return &Client{kv: store, prefix: strings.TrimSuffix(prefix, "/"), name: name}, nil
}

// Request is one wish that is known to poold.
type Request struct {
	client *Client
	id     string
	ref    pool.RequestRef
	lease  kv.LeaseID
	// lost is closed when the lease is no longer kept alive.
	lost chan struct{}
	// stop ends the keeping alive.
	stop context.CancelFunc

	// mu guards value, what the key holds.
	mu    sync.Mutex
	value pool.Request
}

// Create asks for nodes. The request is kept alive with a lease of ttl, whole
// seconds, until it is closed. With a ttl of 0 there is no lease: the request
// outlives the process, up to its MaxLifetime, which it must have. ctx bounds
// the call only. An id that is in use is an error that is [pool.ErrConflict].
func (c *Client) Create(ctx context.Context, id string, want pool.Request, ttl time.Duration) (*Request, error) {
	if id == "" || strings.Contains(id, "/") {
		return nil, fmt.Errorf("request id %q: it must not be empty or hold a slash", id)
	}
	if ttl == 0 && want.MaxLifetime == "" {
		return nil, fmt.Errorf("request %s has neither a lease nor a max_lifetime: it would live for ever", id)
	}
	want.V = pool.RecordVersion
	value, err := json.Marshal(want)
	if err != nil {
		return nil, fmt.Errorf("encode request %s: %w", id, err)
	}
	lease, granted, err := c.grant(ctx, ttl)
	if err != nil {
		return nil, fmt.Errorf("grant a lease for request %s: %w", id, err)
	}
	key := c.key("requests", id)
	revision, ok, err := c.kv.Commit(ctx, kv.Txn{
		If:   []kv.Cond{kv.Absent(key)},
		Then: []kv.Op{kv.PutLeased(key, value, lease)},
	})
	if err != nil || !ok {
		// Whatever became of it dies with the lease, at the latest.
		return nil, errors.Join(createError(id, err), c.revoke(ctx, lease))
	}
	return c.kept(ctx, &Request{id: id, lease: lease, value: want, ref: pool.RequestRef{Client: c.name, ID: id, CreateRevision: revision}}, granted), nil
}

// Resume takes up a request of an earlier process, by its id: its lease is kept
// alive from now on, with the life that it was made with, and Wait returns the
// answer that there is. It must be done while that lease lives; after that, and of
// an id that was never used, the error is [pool.ErrNotFound]. Who resumes what
// another process still has shares it: whoever closes it first ends it for both.
func (c *Client) Resume(ctx context.Context, id string) (*Request, error) {
	item, err := c.kv.Get(ctx, c.key("requests", id))
	var left time.Duration
	if err == nil && item.Lease != 0 {
		left, err = c.kv.Renew(ctx, item.Lease)
	}
	if errors.Is(err, kv.ErrNotFound) {
		return nil, fmt.Errorf("request %s of %s: %w", id, c.name, pool.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("resume request %s: %w", id, err)
	}
	r := &Request{id: id, lease: item.Lease, ref: pool.RequestRef{Client: c.name, ID: id, CreateRevision: item.CreateRevision}}
	if err := json.Unmarshal(item.Value, &r.value); err != nil {
		return nil, fmt.Errorf("resume request %s: %w", id, err)
	}
	return c.kept(ctx, r, left), nil
}

// kept is a request whose lease, which lives for so long, is kept alive until it
// is closed. The lease outlives the call that asks for it: ctx bounds the call
// only.
func (c *Client) kept(ctx context.Context, r *Request, life time.Duration) *Request {
	alive, stop := context.WithCancel(context.WithoutCancel(ctx))
	r.client, r.lost, r.stop = c, make(chan struct{}), stop
	go r.keepAlive(alive, life)
	return r
}

// grant makes a lease, or none for a ttl of 0.
func (c *Client) grant(ctx context.Context, ttl time.Duration) (kv.LeaseID, time.Duration, error) {
	if ttl == 0 {
		return 0, 0, nil
	}
	return c.kv.Grant(ctx, ttl)
}

func createError(id string, err error) error {
	if err == nil {
		err = pool.ErrConflict
	}
	return fmt.Errorf("create request %s: %w", id, err)
}

// Ref names the request for ever.
func (r *Request) Ref() pool.RequestRef { return r.ref }

// Lost is closed when the request's lease has died or was given up by Close.
func (r *Request) Lost() <-chan struct{} { return r.lost }

// Wait waits until the request is fulfilled or failed and returns the answer;
// a failed one is not an error. It returns ErrLost if the request is gone, and
// the context's cause if ctx ends first: the request then still stands.
func (r *Request) Wait(ctx context.Context) (*pool.Allocation, error) {
	return r.Watch(ctx, func(a *pool.Allocation) bool { return a.State != pool.AllocationWaiting })
}

// Accept takes an answer that was asked for with [pool.AcceptExplicit] and
// returns it with the addresses.
func (r *Request) Accept(ctx context.Context) (*pool.Allocation, error) {
	if err := r.rewrite(ctx, func(v *pool.Request) { v.Accepted = true }); err != nil {
		return nil, err
	}
	return r.Watch(ctx, func(a *pool.Allocation) bool {
		if a.State == pool.AllocationFailed {
			return true
		}
		for _, n := range a.Nodes {
			if n.State != string(pool.NodeReady) {
				return true
			}
		}
		return false
	})
}

// Release gives nodes back before the others.
func (r *Request) Release(ctx context.Context, nodes ...pool.NodeID) error {
	return r.rewrite(ctx, func(v *pool.Request) {
		v.Release = append(append([]pool.NodeID{}, v.Release...), nodes...)
	})
}

// Hold asks to keep nodes for a human. They are kept once the answer shows
// their state as hold; close the request after that.
func (r *Request) Hold(ctx context.Context, hold pool.Hold) error {
	return r.rewrite(ctx, func(v *pool.Request) { v.Hold = &hold })
}

// SetPriority changes where the request stands in the line.
func (r *Request) SetPriority(ctx context.Context, priority, relative int) error {
	return r.rewrite(ctx, func(v *pool.Request) { v.Priority, v.RelativePriority = &priority, relative })
}

// Close ends the request: its nodes are destroyed. It may be called more than
// once. If etcd cannot be reached the lease dies by itself.
func (r *Request) Close(ctx context.Context) error {
	r.stop()
	<-r.lost
	if r.lease == 0 {
		return r.client.delete(ctx, r.id, r.ref.CreateRevision)
	}
	return r.client.revoke(ctx, r.lease)
}

// Delete ends whatever request has the id, and returns [pool.ErrNotFound] if
// none has.
func (c *Client) Delete(ctx context.Context, id string) error {
	item, err := c.kv.Get(ctx, c.key("requests", id))
	if errors.Is(err, kv.ErrNotFound) {
		return fmt.Errorf("request %s of %s: %w", id, c.name, pool.ErrNotFound)
	}
	if err != nil {
		return fmt.Errorf("read request %s: %w", id, err)
	}
	return c.delete(ctx, id, item.CreateRevision)
}

// delete deletes the key if it is still the one created at revision.
func (c *Client) delete(ctx context.Context, id string, revision int64) error {
	key := c.key("requests", id)
	_, _, err := c.kv.Commit(ctx, kv.Txn{If: []kv.Cond{kv.Created(key, revision)}, Then: []kv.Op{kv.Delete(key)}})
	if err != nil {
		return fmt.Errorf("delete request %s: %w", id, err)
	}
	return nil
}

// rewrite changes the value of the key, which must still be this request's.
func (r *Request) rewrite(ctx context.Context, change func(*pool.Request)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := r.value
	change(&next)
	value, err := json.Marshal(next)
	if err != nil {
		return fmt.Errorf("encode request %s: %w", r.id, err)
	}
	key := r.client.key("requests", r.id)
	_, ok, err := r.client.kv.Commit(ctx, kv.Txn{
		If:   []kv.Cond{kv.Created(key, r.ref.CreateRevision)},
		Then: []kv.Op{{Key: key, Value: value, KeepLease: true}},
	})
	switch {
	case err != nil:
		return fmt.Errorf("rewrite request %s: %w", r.id, err)
	case !ok:
		return fmt.Errorf("rewrite request %s: %w", r.id, ErrLost)
	}
	r.value = next
	return nil
}

func (c *Client) key(kind, id string) string {
	return c.prefix + "/" + kind + "/" + c.name + "/" + id
}

func (c *Client) revoke(ctx context.Context, lease kv.LeaseID) error {
	if lease == 0 {
		return nil
	}
	if err := c.kv.Revoke(ctx, lease); err != nil && !errors.Is(err, kv.ErrNotFound) {
		return fmt.Errorf("revoke the lease: %w", err)
	}
	return nil
}
