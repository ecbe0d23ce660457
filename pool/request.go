package pool

import "time"

// The bounds of a request.
const (
	// MaxRequestBytes is the size of the largest request value that is read.
	MaxRequestBytes = 16 << 10
	// MaxRequestLabels is how many nodes one request may ask for.
	MaxRequestLabels = 100
	// DefaultPriority is the priority of a request that names none; lower
	// numbers are served first.
	DefaultPriority = 200
)

// Accept says when the nodes of an answer are in use.
type Accept string

// The ways to accept an answer.
const (
	// AcceptAuto puts the nodes in use as soon as they are given.
	AcceptAuto Accept = "auto"
	// AcceptExplicit hides the addresses until the client accepts.
	AcceptExplicit Accept = "explicit"
)

// Hold asks to keep nodes of a request for a human.
type Hold struct {
	Nodes  []NodeID `json:"nodes"`
	Reason string   `json:"reason"`
	// TTL is a duration such as "24h"; empty means as long as allowed.
	TTL string `json:"ttl,omitempty"`
}

// Request is a client's wish for a set of labels, written by the client only.
// The client and the id are in the key.
type Request struct {
	V      int      `json:"v"`
	Labels []string `json:"labels"`
	// Priority orders requests, lower first. A request that leaves it out has
	// DefaultPriority.
	Priority *int `json:"priority,omitempty"`
	// RelativePriority orders requests of equal priority, lower first.
	RelativePriority int    `json:"relative_priority,omitempty"`
	Accept           Accept `json:"accept,omitempty"`
	Tenant           string `json:"tenant,omitempty"`
	// Provider pins the request to one provider.
	Provider string `json:"provider,omitempty"`
	// Prefer names a provider that is taken if that costs no time.
	Prefer string `json:"prefer,omitempty"`
	// Deadline is when an unanswered request fails.
	Deadline *time.Time `json:"deadline,omitempty"`
	// MaxLifetime is a duration such as "4h" after which the request is
	// deleted, answered or not. It is required without a lease.
	MaxLifetime string            `json:"max_lifetime,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Accepted    bool              `json:"accepted,omitempty"`
	// Release lists nodes that are given back early.
	Release []NodeID `json:"release,omitempty"`
	Hold    *Hold    `json:"hold,omitempty"`

	Client string `json:"-"`
	ID     string `json:"-"`
	// Leased tells whether the key has a lease.
	Leased bool `json:"-"`
	// CreateRevision is the etcd create_revision of the key.
	CreateRevision int64 `json:"-"`
	// Defect is why the value cannot be read or breaks a bound; such a
	// request fails with it. Empty for a good one.
	Defect string `json:"-"`

	Record
}

// Ref returns the name of the request.
func (r *Request) Ref() RequestRef {
	return RequestRef{Client: r.Client, ID: r.ID, CreateRevision: r.CreateRevision}
}

// EffectivePriority is Priority or its default.
func (r *Request) EffectivePriority() int {
	if r.Priority == nil {
		return DefaultPriority
	}
	return *r.Priority
}

// AllocationState is what became of a request.
type AllocationState string

// The states of an allocation.
const (
	AllocationWaiting   AllocationState = "waiting"
	AllocationFulfilled AllocationState = "fulfilled"
	AllocationFailed    AllocationState = "failed"
)

// AllocationMachine returns the table of an allocation's life. An allocation
// that is answered at once starts as waiting in the table's eyes only: the
// store lets the allocator create it in any state.
func AllocationMachine() Machine[AllocationState] {
	return Machine[AllocationState]{
		Kind: "allocation", Initial: AllocationWaiting,
		Edges: []Edge[AllocationState]{
			{AllocationWaiting, AllocationFulfilled, []Actor{Allocator}, "every node given"},
			{AllocationWaiting, AllocationFailed, []Actor{Allocator}, "can never be served, or its deadline passed"},
			{AllocationFulfilled, AllocationFailed, []Actor{Allocator}, "not accepted in time; its untouched nodes went back"},
		},
	}
}

// Reason says why a request waits for one provider.
type Reason struct {
	Provider string `json:"provider"`
	// Class is a word from a small fixed set, such as "quota", "no-image",
	// "building", "pool-full" or "breaker"; docs/protocol.md has them all.
	Class string `json:"class"`
	Text  string `json:"text"`
	// Next is when the provider is tried again; nil if that is not a matter
	// of time.
	Next *time.Time `json:"next,omitempty"`
}

// AllocatedNode is what a client learns about a node it was given.
type AllocatedNode struct {
	ID       NodeID `json:"id"`
	Label    string `json:"label"`
	Provider string `json:"provider"`
	// State is "ready" until accepted, then "in-use", "hold" while kept,
	// "released" after an early release, "failed" if the node died.
	State       string            `json:"state"`
	Pool        string            `json:"pool,omitempty"`
	Cloud       string            `json:"cloud,omitempty"`
	Region      string            `json:"region,omitempty"`
	AZ          string            `json:"az,omitempty"`
	Slot        *int              `json:"slot,omitempty"`
	HostID      string            `json:"host_id,omitempty"`
	Addresses   []Address         `json:"addresses,omitempty"`
	InterfaceIP string            `json:"interface_ip,omitempty"`
	HostKeys    []string          `json:"host_keys,omitempty"`
	Image       string            `json:"image,omitempty"`
	Attributes  map[string]string `json:"attributes,omitempty"`
	Connection
}

// Allocation is poold's answer to a request, at the same client and id.
type Allocation struct {
	V     int             `json:"v"`
	State AllocationState `json:"state"`
	// Since is when the allocation entered State; Created is when poold first
	// saw the request.
	Since   time.Time `json:"since"`
	Created time.Time `json:"created"`
	// RequestRevision is the create revision of the request that is answered.
	RequestRevision int64 `json:"request_revision"`
	// Reasons says why the request waits, one entry per provider.
	Reasons []Reason `json:"reasons,omitempty"`
	// ReasonsAt is when Reasons was last written; nil if never.
	ReasonsAt *time.Time `json:"reasons_at,omitempty"`
	// Error is why the request failed.
	Error string `json:"error,omitempty"`
	// Ignored names changes of the request that had no effect.
	Ignored []string        `json:"ignored,omitempty"`
	Nodes   []AllocatedNode `json:"nodes,omitempty"`

	Client string `json:"-"`
	ID     string `json:"-"`

	Record
}

// Ref returns the request that the allocation answers.
func (a *Allocation) Ref() RequestRef {
	return RequestRef{Client: a.Client, ID: a.ID, CreateRevision: a.RequestRevision}
}
