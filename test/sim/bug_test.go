package sim

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"poold/cloud"
	"poold/pool"
	"poold/store/kv"
)

// bug is what is broken on purpose at the seams of a world; the zero value is
// nothing.
type bug struct {
	// txn changes what is sent to etcd.
	txn func(txn *kv.Txn)
	// write changes what a component writes, drop loses it.
	write func(write *pool.Write)
	drop  func(write *pool.Write) bool
	// snapshot changes what the allocator sees.
	snapshot func(s *pool.Snapshot) *pool.Snapshot
	// swept changes what a sweep finds.
	swept func(s *site, l *cloud.Listing)

	openGate, postTwice, deleteNothing, reachLies, neverTakesOver, logsSecret bool
}

// planted is a bug, and the invariants that it may be caught by.
type planted struct {
	name   string
	breaks []string
	bug    func() bug
	// slow says that it takes minutes to be caught under the race detector.
	slow bool
}

// withoutConditions drops the conditions of a transaction that match.
func withoutConditions(match func(c kv.Cond) bool) func() bug {
	return func() bug {
		return bug{txn: func(txn *kv.Txn) { txn.If = slices.DeleteFunc(slices.Clone(txn.If), match) }}
	}
}

func plantedBugs() []planted {
	return []planted{
		{"a node is given to a second request", []string{"I1"}, func() bug { return bug{write: giveTwice()} }, false},
		{"an answer shows somebody else's node", []string{"I1"}, func() bug { return bug{write: showForeign()} }, false},
		{"an offer reveals the address", []string{"I2"}, func() bug { return bug{write: revealEarly} }, false},
		{"a used node goes back to the pool", []string{"I1", "I2", "I7"}, func() bug { return bug{txn: usedIsReady} }, false},
		{"sweeps find nothing", []string{"I3"}, func() bug { return bug{swept: blindSweep} }, true},
		{"deletes are not sent and believed", []string{"I3"}, func() bug { return bug{deleteNothing: true} }, false},
		{"every server counts as ours", []string{"I4"}, func() bug { return bug{swept: allOurs} }, true},
		{"the quota is not counted", []string{"I5"}, func() bug { return bug{snapshot: noQuota} }, false},
		{"nodes being deleted book nothing", []string{"I5"}, func() bug { return bug{snapshot: forgetsDeleting} }, false},
		{"tenants are not told apart", []string{"I5"}, func() bug { return bug{snapshot: noTenants} }, false},
		{"the limiter lets all pass", []string{"I6"}, func() bug { return bug{openGate: true} }, false},
		{"writes are not fenced", []string{"I7"}, withoutConditions(func(c kv.Cond) bool { return strings.Contains(c.Key, "/owners/") && c.Value > 0 }), true},
		{"a batch is asked for twice", []string{"I7"}, func() bug { return bug{postTwice: true} }, false},
		{"records are not compared", []string{"I1", "I2", "I7", "I8", "I9"}, withoutConditions(func(c kv.Cond) bool { return c.Field == kv.ModRevision }), true},
		{"releases are lost", []string{"I8"}, func() bug { return bug{drop: dropsReleases} }, true},
		{"nobody takes over", []string{"I8"}, func() bug { return bug{neverTakesOver: true} }, true},
		{"nodes count as ready unreached", []string{"I9"}, func() bug { return bug{reachLies: true} }, false},
		{"a label is never served", []string{"I9"}, func() bug { return bug{snapshot: hidesRequests} }, true},
		{"requests fail that could be served", []string{"I9"}, func() bug { return bug{write: failsAtRandom()} }, false},
		{"the password is in a reason", []string{"I10"}, func() bug { return bug{write: tellsSecret} }, false},
		{"the password is in the log", []string{"I10"}, func() bug { return bug{logsSecret: true} }, false},
	}
}

// Every planted bug is caught, by the invariant that it breaks.
func TestPlantedBugs(t *testing.T) {
	const seeds = 6
	report := make([]string, len(plantedBugs()))
	t.Cleanup(func() {
		t.Logf("caught:\n%s", strings.Join(report, "\n"))
	})
	for i, p := range plantedBugs() {
		if p.slow && underRace {
			report[i] = fmt.Sprintf("%-42s left to a run without the race detector", p.name)
			continue
		}
		t.Run(strings.ReplaceAll(p.name, " ", "-"), func(t *testing.T) {
			decisions := 0
			for s := seed(1); s <= seeds; s++ {
				o := live(t, s, p.bug(), newTable())
				if o.verdict == nil {
					decisions += o.stats.decisions
					continue
				}
				v := o.verdict
				report[i] = fmt.Sprintf("%-42s %-4s after %6d decisions (seed %d, %v): %.120s",
					p.name, v.invariant, decisions+v.decisions, s, v.at.Round(1e9), strings.SplitN(v.text, "\n", 2)[0])
				if !slices.Contains(p.breaks, v.invariant) {
					t.Errorf("caught by %s, not by %v: %s", v.invariant, p.breaks, v.text)
				}
				return
			}
			t.Errorf("not caught in %d decisions of %d worlds", decisions, seeds)
		})
	}
}

// giveTwice gives, now and then, a node to the request of the one before.
func giveTwice() func(write *pool.Write) {
	var last atomic.Pointer[pool.RequestRef]
	var n atomic.Int64
	return func(write *pool.Write) {
		for i, c := range write.Nodes {
			if c.Before == nil || c.After == nil || c.After.State != pool.NodeInUse || c.After.AllocatedTo == nil {
				continue
			}
			mine := *c.After.AllocatedTo
			if other := last.Swap(&mine); other != nil && *other != mine && n.Add(1)%5 == 0 {
				after := c.After.Clone()
				after.AllocatedTo = other
				write.Nodes[i] = pool.Update(c.Before, after)
			}
		}
	}
}

// showForeign shows a client, now and then, a node of the answer before.
func showForeign() func(write *pool.Write) {
	var last atomic.Pointer[pool.AllocatedNode]
	var n atomic.Int64
	return func(write *pool.Write) {
		for i, c := range write.Allocations {
			if c.After == nil || len(c.After.Nodes) == 0 || c.After.Nodes[0].State != shownInUse {
				continue
			}
			mine := c.After.Nodes[0]
			if other := last.Swap(&mine); other != nil && other.ID != mine.ID && n.Add(1)%5 == 0 {
				after := *c.After
				after.Nodes = slices.Clone(after.Nodes)
				after.Nodes[0] = *other
				write.Allocations[i].After = &after
			}
		}
	}
}

const shownInUse = "in-use"

func revealEarly(write *pool.Write) {
	for _, c := range write.Allocations {
		for i := range write.Nodes {
			if c.After != nil && len(c.After.Nodes) > i && c.After.Nodes[i].State == "ready" && write.Nodes[i].After != nil {
				c.After.Nodes[i].InterfaceIP = write.Nodes[i].After.InterfaceIP
			}
		}
	}
}

// usedIsReady writes ready where used is meant, past the store's own checks.
func usedIsReady(txn *kv.Txn) {
	txn.Then = slices.Clone(txn.Then) // it may be sent again
	for i, op := range txn.Then {
		if strings.Contains(op.Key, "/nodes/") {
			txn.Then[i].Value = []byte(strings.Replace(string(op.Value), `"state":"used","since"`, `"state":"ready","since"`, 1))
		}
	}
}

func blindSweep(_ *site, l *cloud.Listing) { l.Instances = nil }

// allOurs finds on everything that is in a cloud the mark of one of ours, and its
// age: less would make the sweep doubt its own records.
func allOurs(s *site, l *cloud.Listing) {
	if len(l.Instances) == 0 {
		return
	}
	like := l.Instances[0]
	for i := range s.foreign {
		like.ID, like.Name = s.foreign[i], "p123456789"
		l.Instances = append(l.Instances, like)
	}
}

// changed returns a copy of a snapshot that may be changed.
func changed(s *pool.Snapshot, change func(next *pool.Snapshot)) *pool.Snapshot {
	next := *s
	change(&next)
	return &next
}

func noQuota(s *pool.Snapshot) *pool.Snapshot {
	return changed(s, func(next *pool.Snapshot) {
		next.Quotas = nil
		for _, q := range s.Quotas {
			free := *q
			free.Limits, free.Lowered = pool.NoLimits(), nil
			next.Quotas = append(next.Quotas, &free)
		}
	})
}

func forgetsDeleting(s *pool.Snapshot) *pool.Snapshot {
	return changed(s, func(next *pool.Snapshot) {
		next.Nodes = slices.DeleteFunc(slices.Clone(s.Nodes), func(n *pool.Node) bool {
			return n.State == pool.NodeDeleting || n.State == pool.NodeUsed
		})
	})
}

func noTenants(s *pool.Snapshot) *pool.Snapshot {
	return changed(s, func(next *pool.Snapshot) {
		next.Nodes = nil
		for _, n := range s.Nodes {
			free := *n
			free.Tenant = ""
			next.Nodes = append(next.Nodes, &free)
		}
	})
}

func hidesRequests(s *pool.Snapshot) *pool.Snapshot {
	return changed(s, func(next *pool.Snapshot) {
		next.Requests = slices.DeleteFunc(slices.Clone(s.Requests), func(r *pool.Request) bool { return r.Labels[0] == "large" })
	})
}

// dropsReleases forgets to give back nodes.
func dropsReleases(write *pool.Write) bool {
	return slices.ContainsFunc(write.Nodes, func(c pool.Change[pool.Node]) bool {
		return c.After != nil && c.After.State == pool.NodeUsed
	})
}

func failsAtRandom() func(write *pool.Write) {
	var n atomic.Int64
	return func(write *pool.Write) {
		for i, c := range write.Allocations {
			if c.After != nil && c.After.State == pool.AllocationWaiting && n.Add(1)%20 == 0 {
				after := *c.After
				after.State, after.Error = pool.AllocationFailed, "tired of it"
				write.Allocations[i].After = &after
			}
		}
	}
}

func tellsSecret(write *pool.Write) {
	for i, c := range write.Nodes {
		if c.After != nil && c.After.State == pool.NodeFailed {
			after := c.After.Clone()
			after.Reason = "refused for the password " + secret
			write.Nodes[i].After = after
		}
	}
}
