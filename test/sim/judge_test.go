package sim

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"poold/pool"
	"poold/store"
	"poold/store/kv"
)

// judge sees every change of every record in order and holds it against the
// invariants.
type judge struct {
	w *world
	// mu guards everything below. It is held over every commit, so that the
	// writer of a revision is known before its events are looked at.
	mu      sync.Mutex
	writers map[int64]string
	// verdict is the first invariant that was broken, and how.
	verdict *verdict

	owners      map[string]ownerKey
	nodes       map[string]*nodeFacts
	requests    map[string]int64 // create revisions, by client/id
	allocations map[string]*pool.Allocation
	health      map[string]*pool.Health
	tenants     map[string]pool.Resources

	table *table
	stats stats
	// digest is of everything that was seen.
	digest uint64
	trace  []string
	// over says that the world comes to its end.
	over bool
}

// verdict is a broken invariant.
type verdict struct {
	invariant, text string
	decisions       int
	at              time.Duration
}

type ownerKey struct {
	peer    string
	created int64
}

// nodeFacts is a node and what became of it so far.
type nodeFacts struct {
	*pool.Node
	entered  time.Time
	user     *pool.RequestRef
	revealed bool
}

// stats is what a run amounts to.
type stats struct {
	decisions, nodes, requests int
	events, answered, failed   int
	frozen                     int
	virtual                    time.Duration
}

func newJudge(w *world, t *table) *judge {
	return &judge{
		w: w, writers: map[int64]string{}, owners: map[string]ownerKey{}, nodes: map[string]*nodeFacts{},
		requests: map[string]int64{}, allocations: map[string]*pool.Allocation{}, health: map[string]*pool.Health{},
		tenants: map[string]pool.Resources{}, table: t,
	}
}

// fail notes a broken invariant and ends the world.
func (j *judge) fail(invariant, format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.broken(invariant, format, args...)
}

// broken is fail while mu is held.
func (j *judge) broken(invariant, format string, args ...any) {
	if j.verdict != nil {
		return
	}
	j.over = true
	j.verdict = &verdict{invariant, fmt.Sprintf(format, args...), j.stats.decisions, time.Since(j.w.start)}
	j.w.stop()
}

// close ends the judging: what comes now is the end of the world.
func (j *judge) close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.over = true
}

// decision counts one; mu is held.
func (j *judge) decision(s *pool.Snapshot) {
	j.stats.decisions++
	for _, n := range s.Nodes {
		if n.State.Live() {
			j.stats.nodes++
		}
	}
	j.stats.requests += len(s.Requests)
}

// follow judges until ctx ends.
func (j *judge) follow(ctx context.Context) {
	for b := range j.w.kv.Watch(ctx, "", 0) {
		j.mu.Lock()
		if b.Err != nil {
			j.broken("judge", "the judge lost sight: %v", b.Err)
		}
		for _, e := range inOrder(b.Events) {
			j.event(&e)
		}
		j.mu.Unlock()
	}
}

// inOrder has what a transaction says of answers after what it says of nodes.
func inOrder(events []kv.Event) []kv.Event {
	answer := func(e kv.Event) int { return strings.Index(e.Item.Key, "/allocations/") }
	return slices.SortedStableFunc(slices.Values(events), func(a, b kv.Event) int {
		return cmp.Or(cmp.Compare(a.Item.ModRevision, b.Item.ModRevision), cmp.Compare(answer(a), answer(b)))
	})
}

func (j *judge) event(e *kv.Event) {
	if j.over {
		return
	}
	j.stats.events++
	h := fnv.New64a()
	_, _ = fmt.Fprint(h, j.digest, e.Type, e.Item.Key, e.Item.ModRevision)
	_, _ = h.Write(e.Item.Value)
	j.digest = h.Sum64()
	if j.w.keepTrace {
		j.trace = append(j.trace, fmt.Sprintf("%v %s @%d %s", time.Since(j.w.start), e.Item.Key, e.Item.ModRevision, e.Item.Value))
	}
	if bytes.Contains(e.Item.Value, []byte(secret)) {
		j.broken("I10", "the secret is in %s", e.Item.Key)
	}
	key, _ := strings.CutPrefix(e.Item.Key, store.DefaultPrefix+"/")
	family, rest, _ := strings.Cut(key, "/")
	switch family {
	case "owners":
		j.owner(rest, e)
	case "nodes":
		j.node(rest, e)
	case "requests":
		j.request(rest, e)
	case "allocations":
		j.allocation(rest, e)
	case "health":
		h := &pool.Health{}
		j.decode(e, h)
		j.health[rest] = h
	}
	delete(j.writers, e.Item.ModRevision-100)
}

func (j *judge) owner(name string, e *kv.Event) {
	if e.Type == kv.EventDelete {
		delete(j.owners, name)
		return
	}
	var o struct {
		Peer string `json:"peer"`
	}
	j.decode(e, &o)
	j.owners[name] = ownerKey{o.Peer, e.Item.CreateRevision}
}

func (j *judge) decode(e *kv.Event, into any) {
	if err := json.Unmarshal(e.Item.Value, into); err != nil {
		j.broken("judge", "%s: %v", e.Item.Key, err)
	}
}

// asOwner is I7: only who owns something writes to it.
func (j *judge) asOwner(name string, e *kv.Event) {
	writer := j.writers[e.Item.ModRevision]
	if o := j.owners[name]; writer != o.peer {
		j.broken("I7", "%s was written by %q, and the owner of %s is %q", e.Item.Key, writer, name, o.peer)
	}
}

func (j *judge) request(name string, e *kv.Event) {
	if e.Type == kv.EventDelete {
		delete(j.requests, name)
		return
	}
	j.requests[name] = e.Item.CreateRevision
}

func (j *judge) node(name string, e *kv.Event) {
	before := j.nodes[name]
	if e.Type == kv.EventDelete {
		if before == nil || before.State != pool.NodeDeleted {
			j.broken("I3", "the record of %s went though its server may be there", name)
		}
		j.asOwner("allocator", e)
		j.table.met("node", "deleted", "", j.since("allocator", "", before.entered))
		delete(j.nodes, name)
		return
	}
	n := &pool.Node{}
	j.decode(e, n)
	after := &nodeFacts{Node: n, entered: time.Now()}
	from := pool.NodeState("")
	if before != nil {
		from, after.entered, after.user, after.revealed = before.State, before.entered, before.user, before.revealed
		j.tenants[before.Tenant] = j.tenants[before.Tenant].Sub(books(before.Node))
	}
	j.tenants[n.Tenant] = j.tenants[n.Tenant].Add(books(n))
	j.nodes[name] = after
	j.move(from, after, e)
	j.use(after)
}

// books is what a node books.
func books(n *pool.Node) pool.Resources {
	if !n.State.Live() {
		return pool.Resources{}
	}
	return n.Resources
}

// move judges a change of state: that the table has it, that its owner wrote
// it, and that what it claims is so.
func (j *judge) move(from pool.NodeState, n *nodeFacts, e *kv.Event) {
	name := n.Provider + "/" + string(n.ID)
	by := pool.Allocator
	if len(n.Timeline) > 0 {
		by = n.Timeline[len(n.Timeline)-1].By
	}
	if from == n.State {
		return
	}
	var state *pool.NodeState
	if from != "" {
		state = &from
	}
	if err := pool.NodeMachine().CheckWrite(state, n.State, by); err != nil {
		j.broken("I7", "%s: %v", name, err)
	}
	scope := "allocator"
	if by == pool.Launcher {
		scope = "provider/" + n.Provider
	}
	j.asOwner(scope, e)
	entered := n.entered
	if from == "" {
		entered = time.Now().Add(-5 * time.Second)
	}
	j.table.met("node", string(from), string(n.State), j.since(scope, n.Provider, entered))
	n.entered = time.Now()
	switch n.State {
	case pool.NodeReady:
		j.ready(name, n)
	case pool.NodeDeleted:
		j.gone(name, n)
	case pool.NodePending, pool.NodeBuilding, pool.NodeInUse, pool.NodeHold, pool.NodeUsed, pool.NodeFailed, pool.NodeDeleting:
	}
}

// ready is a part of I9: a node that is ready was reached, at its address, and
// its server is its own.
func (j *judge) ready(name string, n *nodeFacts) {
	s := j.w.site(n.Provider)
	if ip := s.reached(n.InstanceID); ip == "" || ip != n.InterfaceIP {
		j.broken("I9", "node %s is ready at %q, and its server %s answered at %q", name, n.InterfaceIP, n.InstanceID, ip)
	}
	if want := []string{"ssh-ed25519 " + n.InstanceID}; !slices.Equal(n.HostKeys, want) {
		j.broken("I9", "node %s has the host keys %v, not %v", name, n.HostKeys, want)
	}
	for other, o := range j.nodes {
		if o != n && o.InstanceID == n.InstanceID && o.State.Live() && o.Provider == n.Provider {
			j.broken("I8", "nodes %s and %s have the same server %s", name, other, n.InstanceID)
		}
	}
}

// gone is a part of I3: what is deleted is not there any more.
func (j *judge) gone(name string, n *nodeFacts) {
	if n.InstanceID == "" {
		return
	}
	s := j.w.site(n.Provider)
	for _, v := range s.cloud.Truth(s.now()) {
		if v.ID == n.InstanceID {
			j.broken("I3", "node %s is deleted, and its server %s is there", name, v.ID)
		}
	}
}

// use is I1 and I2.
func (j *judge) use(n *nodeFacts) {
	name := n.Provider + "/" + string(n.ID)
	if n.revealed && (n.State == pool.NodePending || n.State == pool.NodeBuilding || n.State == pool.NodeReady) {
		j.broken("I2", "node %s is %s after its address was revealed", name, n.State)
	}
	if n.State != pool.NodeInUse {
		return
	}
	switch {
	case n.AllocatedTo == nil:
		j.broken("I1", "node %s is in use by nobody", name)
	case n.user != nil && *n.user != *n.AllocatedTo:
		j.broken("I1", "node %s was in use by %v and is by %v", name, *n.user, *n.AllocatedTo)
	default:
		n.user = n.AllocatedTo
	}
}

func (j *judge) allocation(name string, e *kv.Event) {
	j.asOwner("allocator", e)
	before := j.allocations[name]
	from := pool.AllocationState("")
	if before != nil {
		from = before.State
	}
	if e.Type == kv.EventDelete {
		j.table.met("allocation", string(from), "", j.since("allocator", "", before.Since))
		delete(j.allocations, name)
		return
	}
	a := &pool.Allocation{}
	j.decode(e, a)
	a.Client, a.ID, _ = strings.Cut(name, "/")
	a.Since = time.Now() // when it was seen, whatever its writer's clock says
	if before != nil && before.State == a.State {
		a.Since = before.Since
	}
	j.allocations[name] = a
	if from != a.State {
		since := a.Since.Add(-5 * time.Second)
		if before != nil {
			since = before.Since
		}
		j.table.met("allocation", string(from), string(a.State), j.since("allocator", "", since))
		j.answer(name, from, a)
	}
	j.shown(name, a)
}

// answer judges a request's answer when it comes.
func (j *judge) answer(name string, from pool.AllocationState, a *pool.Allocation) {
	switch a.State {
	case pool.AllocationFulfilled:
		j.stats.answered++
	case pool.AllocationFailed:
		j.stats.failed++
		if from == pool.AllocationFulfilled && strings.Contains(a.Error, "not accepted") {
			return
		}
		if r := j.w.asked(name, a.RequestRevision); r != nil && r.mustSucceed && !strings.Contains(a.Error, "deadline") {
			j.broken("I9", "request %s can be served and failed: %s", name, a.Error)
		}
	case pool.AllocationWaiting:
	}
}

// shown judges what a client is told: I1, I2, and that a set is whole and from
// one place.
func (j *judge) shown(name string, a *pool.Allocation) {
	places := map[string]bool{}
	seen := map[pool.NodeID]bool{}
	for _, s := range a.Nodes {
		at := s.Provider + "/" + string(s.ID)
		n := j.nodes[at]
		if seen[s.ID] {
			j.broken("I1", "allocation %s has node %s twice", name, at)
		}
		seen[s.ID] = true
		places[s.Provider+"/"+s.Pool+"/"+s.AZ] = true
		if s.State == "ready" && (s.InterfaceIP != "" || len(s.HostKeys) > 0 || len(s.Addresses) > 0) {
			j.broken("I2", "allocation %s reveals node %s before it is accepted", name, at)
		}
		if n == nil {
			continue
		}
		if s.State == "in-use" && (n.user == nil || *n.user != a.Ref()) {
			j.broken("I1", "allocation %s shows node %s as its own, and it is %s for %v", name, at, n.State, n.user)
		}
		if s.InterfaceIP != "" {
			n.revealed = true
			j.use(n)
		}
	}
	if len(places) > 1 {
		j.broken("I9", "allocation %s is from several places: %v", name, slices.Sorted(maps.Keys(places)))
	}
	for tenant, limits := range j.w.tenants() {
		if over := limits.Short(pool.Resources{}, j.tenants[tenant]); over != "" {
			j.broken("I5", "tenant %s uses more %s than it may: %+v", tenant, over, j.tenants[tenant])
		}
	}
}
