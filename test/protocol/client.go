package protocol

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// prefix is where everything is.
const prefix = "/poold/v1/"

// The times of a client.
const (
	renewals = 3 // in one life of a lease
	look     = 100 * time.Millisecond
)

// Client is a CI system with a name. It is safe for concurrent use.
type Client struct {
	etcd gateway
	name string
}

// New returns a client of the etcd at a URL.
func New(etcd, name string) *Client { return &Client{gateway{etcd}, name} }

// Want is the value of a request.
type Want struct {
	V        int      `json:"v"`
	Labels   []string `json:"labels"`
	Accept   string   `json:"accept,omitempty"`
	Accepted bool     `json:"accepted,omitempty"`
	Release  []string `json:"release,omitempty"`
	Hold     *Hold    `json:"hold,omitempty"`
	// Provider pins the request to one provider.
	Provider string `json:"provider,omitempty"`
}

// Hold asks to keep nodes for a human.
type Hold struct {
	Nodes  []string `json:"nodes"`
	Reason string   `json:"reason"`
	TTL    string   `json:"ttl,omitempty"`
}

// Answer is the value of an allocation.
type Answer struct {
	State           string            `json:"state"`
	RequestRevision int64             `json:"request_revision"`
	Reasons         []json.RawMessage `json:"reasons"`
	Error           string            `json:"error"`
	Ignored         []string          `json:"ignored"`
	Nodes           []Node            `json:"nodes"`
}

// Node is a node in an answer.
type Node struct {
	ID             string    `json:"id"`
	Label          string    `json:"label"`
	State          string    `json:"state"`
	Provider       string    `json:"provider"`
	Pool           string    `json:"pool"`
	AZ             string    `json:"az"`
	Slot           *int      `json:"slot"`
	InterfaceIP    string    `json:"interface_ip"`
	Addresses      []Address `json:"addresses"`
	ConnectionType string    `json:"connection_type"`
	ConnectionPort int       `json:"connection_port"`
	Username       string    `json:"username"`
	HostKeys       []string  `json:"host_keys"`
}

// Address is an address of a node.
type Address struct {
	IP       string `json:"ip"`
	Version  int    `json:"version"`
	Floating bool   `json:"floating"`
	Network  string `json:"network"`
}

// Request is a request of this client. Its methods may not be called
// concurrently.
type Request struct {
	client *Client
	id     string
	want   Want
	lease  number
	stop   context.CancelFunc
	// stopped is closed when the lease is no longer kept alive; renewed is the
	// last time it was.
	stopped chan struct{}
	renewed time.Time

	// Revision is the create_revision of the key.
	Revision int64
}

// Ask creates a request under a lease that lives for ttl, whole seconds, and
// keeps the lease alive until the request is deleted or abandoned, or ctx ends.
func (c *Client) Ask(ctx context.Context, id string, want Want, ttl time.Duration) (*Request, error) {
	want.V = 1
	r := &Request{client: c, id: id, want: want, stopped: make(chan struct{}), renewed: time.Now()}
	value, err := json.Marshal(want)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", id, err)
	}
	if r.lease, err = c.etcd.grant(ctx, int(ttl/time.Second)); err != nil {
		return nil, fmt.Errorf("ask for %s: %w", id, err)
	}
	if r.Revision, err = c.etcd.create(ctx, r.key("requests"), value, r.lease); err != nil {
		return nil, fmt.Errorf("ask for %s: %w", id, err)
	}
	ctx, r.stop = context.WithCancel(ctx)
	go r.keepAlive(ctx, ttl)
	return r, nil
}

func (r *Request) key(kind string) string { return prefix + kind + "/" + r.client.name + "/" + r.id }

// keepAlive renews the lease until ctx ends. A renewal that fails is made up
// for by the next; a lease that died shows in the answer.
func (r *Request) keepAlive(ctx context.Context, ttl time.Duration) {
	defer close(r.stopped)
	tick := time.NewTicker(ttl / renewals)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if r.client.etcd.renew(ctx, r.lease) == nil {
				r.renewed = time.Now()
			}
		}
	}
}

// Name is the request as poolctl names it.
func (r *Request) Name() string { return r.client.name + "/" + r.id }

// Answer reads the allocation as it is now. It is the zero Answer as long as
// there is none to this request: an answer to another revision is ignored.
func (r *Request) Answer(ctx context.Context) (Answer, error) {
	it, found, err := r.client.etcd.get(ctx, r.key("allocations"))
	if err != nil || !found {
		return Answer{}, err
	}
	var a Answer
	if err := json.Unmarshal(it.Value, &a); err != nil {
		return Answer{}, fmt.Errorf("the allocation of %s: %w: %s", r.id, err, it.Value)
	}
	if a.RequestRevision != r.Revision {
		return Answer{}, nil
	}
	return a, nil
}

// Await looks at the answer until enough is true of it. Its error says what
// was seen last.
func (r *Request) Await(ctx context.Context, enough func(Answer) bool) (Answer, error) {
	tick := time.NewTicker(look)
	defer tick.Stop()
	var a Answer
	for {
		next, err := r.Answer(ctx)
		if err == nil {
			a = next
		}
		if err == nil && enough(a) {
			return a, nil
		}
		select {
		case <-ctx.Done():
			return a, fmt.Errorf("request %s, last seen %+v: %w", r.Name(), a, errors.Join(context.Cause(ctx), err))
		case <-tick.C:
		}
	}
}

// Wait waits until the request is fulfilled; one that failed is an error.
func (r *Request) Wait(ctx context.Context) (Answer, error) {
	a, err := r.Await(ctx, func(a Answer) bool { return a.State == "fulfilled" || a.State == "failed" })
	if err == nil && a.State == "failed" {
		err = fmt.Errorf("request %s failed: %s", r.Name(), a.Error)
	}
	return a, err
}

// Rewrite changes the value of the request.
func (r *Request) Rewrite(ctx context.Context, change func(*Want)) error {
	change(&r.want)
	value, err := json.Marshal(r.want)
	if err != nil {
		return fmt.Errorf("encode %s: %w", r.id, err)
	}
	return r.client.etcd.rewrite(ctx, r.key("requests"), value)
}

// Accept takes an answer that was asked for with accept "explicit", and waits
// until the nodes are in use.
func (r *Request) Accept(ctx context.Context) (Answer, error) {
	if err := r.Rewrite(ctx, func(w *Want) { w.Accepted = true }); err != nil {
		return Answer{}, err
	}
	a, err := r.Await(ctx, func(a Answer) bool {
		return a.State == "failed" || a.State == "fulfilled" && a.Nodes[0].State != "ready"
	})
	if err == nil && a.State == "failed" {
		err = fmt.Errorf("request %s failed: %s", r.Name(), a.Error)
	}
	return a, err
}

// Abandon stops keeping the lease alive, as a client that dies does, and
// returns when the lease was renewed last.
func (r *Request) Abandon() time.Time {
	r.stop()
	<-r.stopped
	return r.renewed
}

// Delete deletes the key: the nodes are given back. The lease goes with it.
func (r *Request) Delete(ctx context.Context) error {
	r.Abandon()
	return errors.Join(r.client.etcd.remove(ctx, r.key("requests")), r.client.etcd.revoke(ctx, r.lease))
}
