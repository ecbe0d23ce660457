package chaos

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// prefix is where all records are.
const prefix = "/poold/v1/"

// event is one version of a key in etcd.
type event struct {
	revision int64
	key      string
	// value is nil when the key was deleted.
	value []byte
	// created is the create_revision of the key.
	created int64
	// at is when it was seen.
	at time.Time
}

// ref is a request: its key below requests/ and its create_revision.
type ref struct {
	name     string
	revision int64
}

// nodeRecord is what the judge looks at in a node's record.
type nodeRecord struct {
	ID          string
	Label       string
	State       string
	Provider    string
	InstanceID  string `json:"instance_id"`
	AllocatedTo *struct {
		Client, ID     string
		CreateRevision int64 `json:"create_revision"`
	} `json:"allocated_to"`
}

// ref is the request that the node belongs to.
func (n *nodeRecord) ref() ref {
	if n.AllocatedTo == nil {
		return ref{}
	}
	return ref{n.AllocatedTo.Client + "/" + n.AllocatedTo.ID, n.AllocatedTo.CreateRevision}
}

// allocationRecord is what the judge looks at in an allocation.
type allocationRecord struct {
	State           string
	RequestRevision int64 `json:"request_revision"`
	Nodes           []givenNode
}

// givenNode is a node in an allocation.
type givenNode struct {
	ID          string
	Provider    string
	Pool        string
	InterfaceIP string `json:"interface_ip"`
}

// life is what became of one node so far.
type life struct {
	state string
	gone  bool
	// user is the request that the node was in use for or shown to.
	user ref
}

// judge reads history in the order of its revisions.
type judge struct {
	lives    map[string]*life
	answers  map[string]allocationRecord
	requests map[string]int64 // the create_revision of those that exist
	problems []string
	// limits is how many nodes each provider may have (I5), and live how many
	// it has; without limits nobody counts.
	limits, live map[string]int
}

// suspected is the revision at which a sweep first wrote something down as a leak
// of ours, 0 if none did. It need not come to a delete: that takes two sweeps, which
// may be further apart than a run is long, and one that sees what no record ever
// explained doubts its records and removes nothing.
func suspected(history []event, id string) int64 {
	for _, e := range history {
		if strings.HasPrefix(e.key, prefix+"health/") && bytes.Contains(e.value, []byte(`"`+id+`"`)) {
			return e.revision
		}
	}
	return 0
}

// verdict lists everything in a history that must never happen: a node used
// twice or going back, an answer taken back, a record that vanishes, more nodes
// than a provider may have. Providers without a limit may have any number.
func verdict(history []event, limits map[string]int) []string {
	j := judge{
		lives: map[string]*life{}, answers: map[string]allocationRecord{}, requests: map[string]int64{},
		limits: limits, live: map[string]int{},
	}
	for _, e := range history {
		family, name, _ := strings.Cut(strings.TrimPrefix(e.key, prefix), "/")
		switch family {
		case "requests":
			j.request(e, name)
		case "nodes":
			j.node(e, name)
		case "allocations":
			j.allocation(e, name)
		}
	}
	return j.problems
}

func (j *judge) problem(e event, format string, args ...any) {
	j.problems = append(j.problems, fmt.Sprintf("at revision %d %s: ", e.revision, e.key)+fmt.Sprintf(format, args...))
}

func (j *judge) request(e event, name string) {
	if e.value == nil {
		delete(j.requests, name)
		return
	}
	j.requests[name] = e.created
}

// order is in which states a node can be one after the other.
func order(state string) int {
	return slices.Index([]string{
		"pending", "building", "ready", "in-use", "hold", "used", "failed", "deleting", "deleted",
	}, state)
}

func (j *judge) node(e event, name string) {
	l := j.lives[name]
	if e.value == nil {
		if l == nil || l.state != "deleted" {
			j.problem(e, "the record of a live node was removed")
		} else {
			l.gone = true
		}
		return
	}
	var n nodeRecord
	if err := json.Unmarshal(e.value, &n); err != nil {
		j.problem(e, "%v", err)
		return
	}
	if l == nil {
		l = &life{}
		j.lives[name] = l
	}
	switch {
	case l.gone:
		j.problem(e, "an id was used again")
	case order(n.State) < order(l.state):
		j.problem(e, "it was %s and became %s", l.state, n.State)
	case n.State == "ready" && l.user != ref{}:
		j.problem(e, "it was shown to %v and is ready again", l.user)
	}
	j.count(e, n.Provider, l.state, n.State)
	l.state = n.State
	if n.State == "in-use" {
		j.use(e, l, n.ref())
	}
}

// count counts the nodes that a provider has.
func (j *judge) count(e event, provider, before, after string) {
	limit, limited := j.limits[provider]
	switch {
	case !limited:
	case before == "" && after != "deleted":
		if j.live[provider]++; j.live[provider] > limit {
			j.problem(e, "%s has %d nodes and may have %d", provider, j.live[provider], limit)
		}
	case before != "" && before != "deleted" && after == "deleted":
		j.live[provider]--
	}
}

// use notes that a node is in use for a request or shown to it.
func (j *judge) use(e event, l *life, r ref) {
	switch {
	case r == ref{}:
		j.problem(e, "in use for nobody")
	case l.user != ref{} && l.user != r:
		j.problem(e, "given to %v after %v", r, l.user)
	}
	l.user = r
}

func (j *judge) allocation(e event, name string) {
	before := j.answers[name]
	if e.value == nil {
		delete(j.answers, name)
		if j.requests[name] == before.RequestRevision {
			j.problem(e, "the answer to a request that stands was removed")
		}
		return
	}
	var a allocationRecord
	if err := json.Unmarshal(e.value, &a); err != nil {
		j.problem(e, "%v", err)
		return
	}
	if a.RequestRevision == before.RequestRevision && before.State == "fulfilled" && a.State != "fulfilled" {
		j.problem(e, "an answer was taken back: it is %s", a.State)
	}
	j.answers[name] = a
	for _, n := range a.Nodes {
		if n.Provider != a.Nodes[0].Provider || n.Pool != a.Nodes[0].Pool {
			j.problem(e, "nodes from several places")
		}
		j.give(e, n, ref{name, a.RequestRevision})
	}
}

// give judges one node of an answer to a request.
func (j *judge) give(e event, n givenNode, r ref) {
	l := j.lives[n.Provider+"/"+n.ID]
	switch {
	case l == nil:
		j.problem(e, "node %s does not exist", n.ID)
	case l.user != ref{} && l.user != r:
		j.problem(e, "node %s of %v", n.ID, l.user)
	case n.InterfaceIP != "":
		j.use(e, l, r)
	}
}
