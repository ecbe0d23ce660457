package sim

import (
	"fmt"
	"strings"
	"time"

	"poold/cloud"
	"poold/pool"
)

// amiss says what is not as it should be once faults stopped and customers
// went, as "INVARIANT: what", or "".
func (j *judge) amiss() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, d := range j.w.duties() {
		if _, owned := j.owners[d.key]; !owned {
			return "I8: nobody owns " + d.key
		}
	}
	for name := range j.requests {
		return "I8: there is still the request " + name
	}
	for name := range j.allocations {
		return "I8: there is still the answer to " + name
	}
	ready := map[string]int{}
	for _, name := range sortedKeys(j.nodes) {
		n := j.nodes[name]
		switch {
		case n.State == pool.NodeReady && n.AllocatedTo == nil:
			ready[n.Label]++
		case n.State != pool.NodeDeleted:
			return fmt.Sprintf("I8: node %s is %s for %v", name, n.State, time.Since(n.entered))
		}
	}
	for _, l := range j.w.catalog.Labels {
		if ready[l.Name] < l.MinReady {
			return fmt.Sprintf("I9: %d of %s are ready, not %d", ready[l.Name], l.Name, l.MinReady)
		}
	}
	for _, s := range j.w.sites {
		if wrong := j.compare(s); wrong != "" {
			return wrong
		}
	}
	return ""
}

// overdue says what should have been well long before the rest: what is dead
// was taken over, and what belongs to nobody was given back.
func (j *judge) overdue() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, d := range j.w.duties() {
		if _, owned := j.owners[d.key]; !owned {
			return "I8: nobody owns " + d.key
		}
	}
	for _, name := range sortedKeys(j.nodes) {
		n := j.nodes[name]
		if n.AllocatedTo == nil || n.State != pool.NodeInUse && n.State != pool.NodeReady {
			continue
		}
		if j.requests[n.AllocatedTo.Client+"/"+n.AllocatedTo.ID] != n.AllocatedTo.CreateRevision {
			return fmt.Sprintf("I8: node %s is %s for %s, which is gone", name, n.State, n.AllocatedTo.ID)
		}
	}
	return ""
}

// compare holds what is in a cloud against the records.
func (j *judge) compare(s *site) string {
	servers := map[string]bool{}
	nodes := map[string]bool{}
	for name, n := range j.nodes {
		if n.Provider == s.conf.Name && n.State.Live() {
			servers[n.InstanceID], nodes[string(n.ID)] = true, true
			if n.InstanceID == "" {
				return "I8: node " + name + " has no server"
			}
		}
	}
	var leaks []string
	for _, v := range s.cloud.Truth(s.now()) {
		switch {
		case cloud.MarkOf(v.Metadata).Installation != installation:
		case !servers[v.ID]:
			leaks = append(leaks, v.Name)
		case v.Status != "ACTIVE" || !v.Booted:
			return fmt.Sprintf("I9: the server %s of a ready node is %s", v.ID, v.Status)
		default:
			delete(servers, v.ID)
		}
	}
	for id := range servers {
		return "I9: the server of a ready node is not there: " + id
	}
	for _, f := range s.cloud.FloatingIPs(s.now()) {
		if m := cloud.MarkIn(f.Description); m.Installation == installation && !nodes[m.Node] {
			leaks = append(leaks, f.IP)
		}
	}
	if len(leaks) == 0 {
		return ""
	}
	return fmt.Sprintf("I3: %s has %d leaks: %v", s.conf.Name, len(leaks), leaks)
}

// invariantOf is the invariant that something amiss breaks.
func invariantOf(wrong string) string {
	if name, _, found := strings.Cut(wrong, ":"); found {
		return name
	}
	return "I9"
}

// frozen returns the keys of what a frozen sweep found in a provider and no node
// has.
func (j *judge) frozen(provider string) []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	h := j.health[provider]
	if h == nil || h.Frozen == "" {
		return nil
	}
	has := map[string]bool{}
	for _, n := range j.nodes {
		if n.Provider == provider && n.State.Live() {
			has[n.InstanceID] = true
		}
	}
	var keys []string
	for i := range h.Leaks {
		if !has[h.Leaks[i].ID] {
			keys = append(keys, h.Leaks[i].Key())
		}
	}
	return keys
}

// unsettled says more about what is amiss.
func (j *judge) unsettled(wrong string) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var b strings.Builder
	b.WriteString(wrong)
	for _, name := range sortedKeys(j.allocations) {
		a := j.allocations[name]
		fmt.Fprintf(&b, "\n  %s %s for %v %v %v", name, a.State, time.Since(a.Since), a.Reasons, j.w.asked(name, 0).want.Labels)
	}
	for _, name := range sortedKeys(j.nodes) {
		if n := j.nodes[name]; n.State.Live() {
			fmt.Fprintf(&b, "\n  node %s %s %s for %v: %s %s", name, n.Label, n.State, time.Since(n.entered), n.Failure, n.Reason)
		}
	}
	fmt.Fprintf(&b, "\n  owners %v", j.owners)
	return b.String()
}

// strangers is I4: all that is not ours is still there.
func (j *judge) strangers() {
	for _, s := range j.w.sites {
		there := map[string]bool{}
		for _, v := range s.cloud.Truth(s.now()) {
			there[v.ID] = true
		}
		for _, id := range s.foreign {
			if !there[id] {
				j.fail("I4", "%s: the server %s was not ours and is gone", s.conf.Name, id)
			}
		}
	}
}

// someNode draws a node that is there.
func (j *judge) someNode(d *dice) pool.NodeID {
	return idOf(j.draw(d, func(n *nodeFacts) bool { return n.State.Live() }))
}

// someFailed draws one that failed and is not being deleted yet.
func (j *judge) someFailed(d *dice) pool.NodeID {
	return idOf(j.draw(d, func(n *nodeFacts) bool { return n.State == pool.NodeFailed }))
}

func idOf(n *nodeFacts) pool.NodeID {
	if n == nil {
		return ""
	}
	return n.ID
}

// someServer draws a server of ours, of a held node more often than of others.
func (j *judge) someServer(provider string, d *dice) string {
	there := func(n *nodeFacts) bool { return n.Provider == provider && n.State.Live() && n.InstanceID != "" }
	n := j.draw(d, there)
	held := j.draw(d, func(n *nodeFacts) bool { return there(n) && n.State == pool.NodeHold })
	if held != nil && d.chance(2) {
		n = held
	}
	if n == nil {
		return ""
	}
	return n.InstanceID
}

func (j *judge) draw(d *dice, want func(n *nodeFacts) bool) *nodeFacts {
	j.mu.Lock()
	defer j.mu.Unlock()
	var found []*nodeFacts
	for _, name := range sortedKeys(j.nodes) {
		if n := j.nodes[name]; want(n) {
			found = append(found, n)
		}
	}
	if len(found) == 0 {
		return nil
	}
	return found[d.below(len(found))]
}
