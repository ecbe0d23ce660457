package pool

import (
	"slices"
	"time"
)

// NodeState is where a node is in its life.
type NodeState string

// The states of a node, in the order of a normal life.
const (
	NodePending  NodeState = "pending"
	NodeBuilding NodeState = "building"
	NodeReady    NodeState = "ready"
	NodeInUse    NodeState = "in-use"
	NodeHold     NodeState = "hold"
	NodeUsed     NodeState = "used"
	NodeFailed   NodeState = "failed"
	NodeDeleting NodeState = "deleting"
	NodeDeleted  NodeState = "deleted"
)

// erased is the meaning of the edges that end what nobody can look after any
// more.
const erased = "its provider was erased: it is gone for good, and cannot be asked"

// NodeMachine returns the table of a node's life.
func NodeMachine() Machine[NodeState] {
	return Machine[NodeState]{
		Kind: "node", Initial: NodePending, Terminal: NodeDeleted,
		Edges: []Edge[NodeState]{
			{NodePending, NodeBuilding, []Actor{Launcher}, "recorded as part of a batch, then asked of the cloud"},
			{NodePending, NodeFailed, []Actor{Launcher}, "cannot be asked for: image, flavor or network invalid"},
			{NodePending, NodeDeleted, []Actor{Allocator, Operator}, "no longer wanted before it was asked for"},
			{NodeBuilding, NodeReady, []Actor{Launcher}, "active, addressed, reachable, host keys read, and ready as its label says"},
			{NodeBuilding, NodeFailed, []Actor{Launcher}, "fault, time-out, unreachable or never seen"},
			{NodeBuilding, NodeDeleting, []Actor{Allocator, Operator}, "surplus, or deleted by hand"},
			{NodeReady, NodeDeleting, []Actor{Allocator, Operator}, "surplus, too old, newer image, or deleted by hand"},
			{NodeReady, NodeInUse, []Actor{Allocator}, "given to a request"},
			{NodeReady, NodeFailed, []Actor{Launcher}, "vanished or broke in the cloud"},
			{NodeReady, NodeHold, []Actor{Operator}, "kept for a human"},
			{NodeInUse, NodeFailed, []Actor{Launcher}, "vanished or broke in the cloud; the client is told"},
			{NodeInUse, NodeUsed, []Actor{Allocator, Operator}, "released, client gone, or deleted by hand"},
			{NodeInUse, NodeHold, []Actor{Allocator, Operator}, "held by its client or a human"},
			{NodeHold, NodeUsed, []Actor{Allocator, Operator}, "hold expired or released"},
			{NodeHold, NodeDeleting, []Actor{Launcher}, "vanished in the cloud: nothing is left to keep"},
			{NodeFailed, NodeHold, []Actor{Operator}, "kept for a human"},
			{NodeUsed, NodeDeleting, []Actor{Launcher}, "delete asked"},
			{NodeFailed, NodeDeleting, []Actor{Launcher}, "delete asked"},
			{NodeDeleting, NodeDeleted, []Actor{Launcher, Operator}, "gone, with all that came with it; or its provider was erased"},
			{NodeBuilding, NodeDeleted, []Actor{Operator}, erased},
			{NodeReady, NodeDeleted, []Actor{Operator}, erased},
			{NodeUsed, NodeDeleted, []Actor{Operator}, erased},
			{NodeFailed, NodeDeleted, []Actor{Operator}, erased},
		},
	}
}

// Live tells whether a node in state s has, or may have, or is going to have
// a server in the cloud: whether it books quota.
func (s NodeState) Live() bool { return s != NodeDeleted }

// Stamp is one entry of a node's timeline.
type Stamp struct {
	State  NodeState `json:"state"`
	At     time.Time `json:"at"`
	By     Actor     `json:"by"`
	Reason string    `json:"reason,omitempty"`
}

// RequestRef names one request for ever: the same client and id made anew has
// another create revision and is another request.
type RequestRef struct {
	Client string `json:"client"`
	ID     string `json:"id"`
	// CreateRevision is the etcd create_revision of the request's key.
	CreateRevision int64 `json:"create_revision"`
}

// Address is one address of a node.
type Address struct {
	IP string `json:"ip"`
	// Version is 4 or 6.
	Version int `json:"version"`
	// Floating tells a floating IP from an address of the server's own port.
	Floating bool `json:"floating,omitempty"`
	// Network is the name of the network the address is in, as the cloud
	// reports it.
	Network string `json:"network,omitempty"`
	// MAC is of the port that the address is on, or leads to.
	MAC string `json:"mac,omitempty"`
}

// Connection is how a client reaches a node.
type Connection struct {
	// Type is "ssh", "network_cli" or "winrm".
	Type string `json:"connection_type,omitempty"`
	Port int    `json:"connection_port,omitempty"`
	// Username is whom to log in as; poold itself does so for a ready-command
	// only.
	Username   string `json:"username,omitempty"`
	PythonPath string `json:"python_path,omitempty"`
	ShellType  string `json:"shell_type,omitempty"`
}

// Node is one virtual machine, from the decision to have it until an hour
// after it is gone.
type Node struct {
	V        int       `json:"v"`
	ID       NodeID    `json:"id"`
	Provider string    `json:"provider"`
	Pool     string    `json:"pool"`
	Label    string    `json:"label"`
	State    NodeState `json:"state"`
	// Since is when the node entered State.
	Since   time.Time `json:"since"`
	Created time.Time `json:"created"`
	// Reason is why the node is in State, for a human.
	Reason string `json:"reason,omitempty"`
	// Failure is why the node failed, for the allocator; empty if it did not.
	Failure Kind `json:"failure,omitempty"`
	// Evidence is the tail of the console of a node that failed, or of what
	// its ready-command printed, at most 4 KiB.
	Evidence string  `json:"evidence,omitempty"`
	Timeline []Stamp `json:"timeline,omitempty"`

	// AllocatedTo is the request that the node belongs to, if any. It is a
	// field, not a state, and it is never changed to another request.
	AllocatedTo *RequestRef `json:"allocated_to,omitempty"`
	// Tenant is the tenant of that request.
	Tenant string `json:"tenant,omitempty"`
	// ForSet names the request whose set of several nodes this launch is
	// meant for; an intention only: a node that is ready goes to who is first.
	ForSet *RequestRef `json:"for_set,omitempty"`

	// Cloud and Region say where to delete the node when its provider has
	// left the configuration.
	Cloud  string `json:"cloud,omitempty"`
	Region string `json:"region,omitempty"`
	// AZ is the availability zone chosen at launch; empty lets Nova choose. A
	// static host is a zone of its own.
	AZ string `json:"az,omitempty"`
	// Slot is which slot of its static host the node is, from 0; nil of any
	// other node. As long as the node lives nobody else has the slot.
	Slot       *int      `json:"slot,omitempty"`
	FlavorID   string    `json:"flavor_id,omitempty"`
	Flavor     string    `json:"flavor,omitempty"`
	Resources  Resources `json:"resources"`
	Image      string    `json:"image,omitempty"`
	Build      string    `json:"build,omitempty"`
	ImageID    string    `json:"image_id,omitempty"`
	Connection           // inlined: the connection_* fields

	// Batch is the batched create that asks for the node, BatchIndex its
	// number in it from 1, BatchSize how many it asked for. Together they are
	// the name of the instance.
	Batch      string `json:"batch,omitempty"`
	BatchIndex int    `json:"batch_index,omitempty"`
	BatchSize  int    `json:"batch_size,omitempty"`
	// Doubtful says of a node that is building that the cloud may never have
	// been asked for it: the answer was lost, or whoever was to ask died, and a
	// list does not show its instance.
	Doubtful bool `json:"doubtful,omitempty"`
	// Canary says that the node was launched to find out whether its upload can
	// serve; nobody counts on it before it is ready.
	Canary bool `json:"canary,omitempty"`
	// InstanceID is the cloud's id of the server, once it was seen.
	InstanceID string `json:"instance_id,omitempty"`
	HostID     string `json:"host_id,omitempty"`
	// Volumes are the ids of the volumes that were made with the server, as
	// seen before anybody was told of it. They are to be gone with it.
	Volumes []string `json:"volumes,omitempty"`
	// ProofAsked is when somebody wanted the idle node of a static host, which
	// is to be looked at before it is given away; nil if nobody waits for that.
	ProofAsked *time.Time `json:"proof_asked,omitempty"`
	// Proven is when such a look last began that found it well.
	Proven *time.Time `json:"proven,omitempty"`
	// ExposeAsked is when a floating IP was first asked for: after it, one
	// may exist that InstanceID's addresses do not show.
	ExposeAsked *time.Time `json:"expose_asked,omitempty"`
	// Active, Addressed and Reachable are when the instance was first seen to be
	// active, when it had the address to connect to, and when it answered there.
	// They are written with the state that a boot ends in, as far as it got.
	Active      *time.Time `json:"active,omitempty"`
	Addressed   *time.Time `json:"addressed,omitempty"`
	Reachable   *time.Time `json:"reachable,omitempty"`
	Addresses   []Address  `json:"addresses,omitempty"`
	InterfaceIP string     `json:"interface_ip,omitempty"`
	// HostKeys are SSH host keys, each as "type base64", sorted.
	HostKeys   []string          `json:"host_keys,omitempty"`
	Attributes map[string]string `json:"attributes,omitempty"`

	// HoldUntil ends a hold; HoldReason says why there is one.
	HoldUntil  *time.Time `json:"hold_until,omitempty"`
	HoldReason string     `json:"hold_reason,omitempty"`
	// DeleteAsked is when the cloud last accepted a delete; zero if never.
	DeleteAsked *time.Time `json:"delete_asked,omitempty"`

	Record
}

// Name is what the node's instance is called in the cloud, or "" before it is
// part of a batch.
func (n *Node) Name() string {
	if n.Batch == "" {
		return ""
	}
	return InstanceName(n.Batch, n.BatchIndex, n.BatchSize)
}

// Clone returns a copy that can be changed without changing n.
func (n *Node) Clone() *Node {
	c := *n
	c.Timeline = slices.Clone(n.Timeline)
	return &c
}

// Moved returns a copy of n in another state, stamped. It does not ask the
// table; the store does, for every write. The slices, maps and pointers of the
// copy other than its timeline are shared: replace them, never change them.
func (n *Node) Moved(to NodeState, by Actor, reason string, now time.Time) *Node {
	c := n.Clone()
	at := now.UTC().Truncate(time.Millisecond)
	c.State, c.Since, c.Reason = to, at, reason
	c.Timeline = append(c.Timeline, Stamp{State: to, At: at, By: by, Reason: reason})
	return c
}

// Entered returns when the node entered a state, and false if it never did.
func (n *Node) Entered(s NodeState) (time.Time, bool) {
	for _, st := range n.Timeline {
		if st.State == s {
			return st.At, true
		}
	}
	return time.Time{}, false
}
