package allocator

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"poold/pool"
)

// history is what must hold over the whole life of a world.
type history struct {
	*world
	rt *rapid.T
	// user is who was given a node; shown are the nodes whose address was
	// revealed.
	user  map[pool.NodeID]pool.RequestRef
	shown map[pool.NodeID]bool
	ids   int
}

func drawWorld(rt *rapid.T) *history {
	var providers []pool.Provider
	quotas := map[string]pool.Limits{}
	for i := range rapid.IntRange(1, 3).Draw(rt, "providers") {
		name := fmt.Sprintf("p%d", i)
		quotas[name] = cores(rapid.Int64Range(2, 20).Draw(rt, "cores"))
		providers = append(providers, aProvider(name, func(p *pool.Provider) {
			p.Priority = rapid.IntRange(0, 1).Draw(rt, "priority")
			p.MaxConcurrency = rapid.IntRange(0, 4).Draw(rt, "concurrency")
			p.Pools[0].Limits.Instances = rapid.Int64Range(1, 6).Draw(rt, "max-servers")
			p.Pools[0].AZs = [][]string{nil, {"az1"}, {"az1", "az2"}}[rapid.IntRange(0, 2).Draw(rt, "azs")]
			other := p.Pools[0]
			other.Name, other.Labels = "other", other.Labels[:1]
			p.Pools = append(p.Pools, other)
		}))
	}
	h := &history{
		world: newWorld(rt, providers...), rt: rt,
		user: map[pool.NodeID]pool.RequestRef{}, shown: map[pool.NodeID]bool{},
	}
	for name, l := range quotas {
		h.quota(name, l).Zones = []string{"az1", "az2"}
	}
	h.cat.MaxHoldAge = time.Hour
	h.cat.Labels[0].MinReady = rapid.IntRange(0, 3).Draw(rt, "min-ready")
	h.cat.Labels[1].MaxReadyAge = 20 * time.Minute
	h.cat.Tenants = []pool.TenantLimit{{Tenant: "acme", Limits: cores(8)}}
	return h
}

// happen is something that clients, operators, launchers or time do.
func (h *history) happen() {
	nodes, requests := sorted(h.nodes), sorted(h.requests)
	h.now = h.now.Add(time.Duration(rapid.SampledFrom([]int{0, 1, 7, 60, 400}).Draw(h.rt, "seconds")) * time.Second)
	what := rapid.IntRange(0, 9).Draw(h.rt, "event")
	switch {
	case what <= 2 || len(requests) == 0:
		h.ids++
		labels := rapid.SampledFrom([]string{"small", "big", "small small", "small big", "big big big"}).Draw(h.rt, "labels")
		h.request(fmt.Sprintf("r%d", h.ids%12), labels, func(r *pool.Request) {
			r.Accept = rapid.SampledFrom([]pool.Accept{pool.AcceptAuto, pool.AcceptExplicit}).Draw(h.rt, "accept")
			r.Tenant = rapid.SampledFrom([]string{"", "acme"}).Draw(h.rt, "tenant")
			r.RelativePriority = rapid.IntRange(0, 2).Draw(h.rt, "relative")
		})
	case what == 3:
		h.drop(rapid.SampledFrom(requests).Draw(h.rt, "dropped").ID)
	case what == 4:
		h.rewrite(rapid.SampledFrom(requests).Draw(h.rt, "rewritten").ID, func(r *pool.Request) { h.edit(r, nodes) })
	case what == 5 || len(nodes) == 0:
		h.sweep()
	case what == 6:
		n := rapid.SampledFrom(nodes).Draw(h.rt, "broken")
		kind := rapid.SampledFrom([]pool.Kind{pool.KindTimeout, pool.KindCapacity, pool.KindQuota, pool.KindVanished}).Draw(h.rt, "kind")
		if inFlight(n) {
			h.breakDown(n.ID, kind, "")
		} else if n.State == pool.NodeInUse || n.State == pool.NodeReady {
			h.move(n.ID, pool.NodeFailed, func(n *pool.Node) { n.Failure = pool.KindVanished })
		}
	case what == 7:
		verb := rapid.SampledFrom([]pool.Verb{pool.VerbDelete, pool.VerbForceDelete, pool.VerbHold, pool.VerbUnhold}).Draw(h.rt, "verb")
		h.ids++
		h.command(fmt.Sprintf("c%d", h.ids), verb, rapid.SampledFrom(nodes).Draw(h.rt, "target").ID, nil)
	default:
		h.boot(rapid.SampledFrom(nodes).Draw(h.rt, "booted").ID)
	}
}

func (h *history) edit(r *pool.Request, nodes []*pool.Node) {
	r.Accepted = rapid.Bool().Draw(h.rt, "accepted")
	if len(nodes) > 0 && rapid.Bool().Draw(h.rt, "gives back") {
		id := rapid.SampledFrom(nodes).Draw(h.rt, "node").ID
		if rapid.Bool().Draw(h.rt, "hold") {
			r.Hold = &pool.Hold{Nodes: []pool.NodeID{id}, TTL: "10m"}
		} else {
			r.Release = append(slices.Clone(r.Release), id)
		}
	}
}

// decideAndJudge makes one pass and checks every safety property of it.
func (h *history) decideAndJudge() *Plan {
	before := h.snapshot()
	text := h.text(before)
	plan, again := Decide(before, h.cat, h.now), Decide(before, h.cat, h.now)
	if !reflect.DeepEqual(plan, again) {
		h.rt.Fatalf("equal snapshots, different plans:\n%s\n%s", &plan, &again)
	}
	if after := h.text(before); after != text {
		h.rt.Fatalf("deciding changed the snapshot:\n%s\n%s", text, after)
	}
	h.judgeRecords(&plan)
	// No two decisions depend on each other: any order will do.
	order := rand.New(rand.NewPCG(uint64(h.revision), 1)).Perm(len(plan.Decisions))
	for _, i := range order {
		if err := h.carryOne(&plan.Decisions[i]); err != nil {
			h.rt.Fatalf("%s %s: %v\n%s", plan.Decisions[i].Operation, plan.Decisions[i].Subject, err, &plan)
		}
	}
	h.judgeLaunches(&plan)
	h.judgeNodes()
	return &plan
}

func (h *history) text(s *pool.Snapshot) string {
	text, err := json.Marshal(s)
	if err != nil {
		h.rt.Fatal(err)
	}
	return string(text)
}

func (h *history) judgeRecords(plan *Plan) {
	seen := map[any]bool{}
	for i := range plan.Decisions {
		w := &plan.Decisions[i].Write
		size := len(w.Nodes) + len(w.Allocations) + len(w.Commands) + len(w.Requests) + len(w.Unchanged) + len(w.Gone)
		for _, l := range plan.Decisions[i].Launches {
			size += l.Count
		}
		if size > 120 {
			h.rt.Fatalf("a write of %d operations", size)
		}
		keys := []any{}
		for _, c := range w.Nodes {
			keys = append(keys, c.Before.ID)
		}
		for _, c := range w.Allocations {
			if c.Before != nil {
				keys = append(keys, c.Before.ID+"!")
			} else {
				keys = append(keys, c.After.ID+"!")
			}
		}
		for _, k := range keys {
			if seen[k] {
				h.rt.Fatalf("%v is in two decisions:\n%s", k, plan)
			}
			seen[k] = true
		}
	}
}

// judgeLaunches is I5: what the plan booked was within every limit.
func (h *history) judgeLaunches(plan *Plan) {
	used, inPool := map[string]pool.Resources{}, map[string]pool.Resources{}
	tenants, flying := map[string]pool.Resources{}, map[string]int{}
	for _, n := range h.nodes {
		if !n.State.Live() {
			continue
		}
		used[n.Provider] = used[n.Provider].Add(n.Resources)
		inPool[n.Provider+"/"+n.Pool] = inPool[n.Provider+"/"+n.Pool].Add(n.Resources)
		tenants[n.Tenant] = tenants[n.Tenant].Add(n.Resources)
		if inFlight(n) {
			flying[n.Provider]++
		}
	}
	for _, t := range h.cat.Tenants {
		if s := t.Limits.Short(pool.Resources{}, tenants[t.Tenant]); s != "" {
			h.rt.Fatalf("tenant %s is over its limit of %s:\n%s", t.Tenant, s, plan)
		}
	}
	for i := range plan.Decisions {
		for _, l := range plan.Decisions[i].Launches {
			p := h.cat.Provider(l.Node.Provider)
			if s := h.quotas[p.Name].Limits.Short(pool.Resources{}, used[p.Name]); s != "" {
				h.rt.Fatalf("provider %s is over its quota of %s:\n%s", p.Name, s, plan)
			}
			if s := p.Pool(l.Node.Pool).Limits.Short(pool.Resources{}, inPool[p.Name+"/"+l.Node.Pool]); s != "" {
				h.rt.Fatalf("pool %s/%s is over its cap of %s:\n%s", p.Name, l.Node.Pool, s, plan)
			}
			if flying[p.Name] > bound(p.MaxConcurrency) {
				h.rt.Fatalf("provider %s has %d in flight:\n%s", p.Name, flying[p.Name], plan)
			}
		}
	}
}

// judgeNodes is I1 and I2: one request per node, and no way back for a node
// whose address was revealed.
func (h *history) judgeNodes() {
	for _, a := range h.allocations {
		zones := map[string]bool{}
		for _, shown := range a.Nodes {
			n := h.nodes[shown.ID]
			if shown.InterfaceIP != "" {
				h.shown[shown.ID] = true
			}
			if shown.State == shownReady && (shown.InterfaceIP != "" || len(shown.HostKeys) > 0) {
				h.rt.Fatalf("node %s is revealed before it is accepted", shown.ID)
			}
			if shown.State == shownInUse && n.State != pool.NodeInUse {
				continue // somebody moved it since; the next pass tells the client
			}
			zones[where(shown.Provider, shown.Pool, shown.AZ)] = true
		}
		if len(zones) > 1 {
			h.rt.Fatalf("allocation %s/%s is from several places: %v", a.Client, a.ID, zones)
		}
	}
	for _, n := range h.nodes {
		if n.State == pool.NodeInUse {
			if was, ok := h.user[n.ID]; ok && was != *n.AllocatedTo {
				h.rt.Fatalf("node %s was in use by %s and is by %s", n.ID, name(was), name(*n.AllocatedTo))
			}
			h.user[n.ID] = *n.AllocatedTo
		}
		if h.shown[n.ID] && n.State == pool.NodeReady {
			h.rt.Fatalf("node %s went back to the pool after its address was revealed", n.ID)
		}
	}
}

// settle passes until nothing is left to decide: each pass may only react to
// what the one before wrote.
func (h *history) settle() {
	var last []string
	for range 12 {
		plan := h.decideAndJudge()
		if len(plan.Decisions) == 0 {
			return
		}
		last = append(last, plan.String())
	}
	h.rt.Fatalf("no fixpoint: the last plans are\n%s", strings.Join(last[9:], "--\n"))
}

func TestPlansAreSafeAndReachAFixpoint(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := drawWorld(rt)
		for range rapid.IntRange(1, 40).Draw(rt, "events") {
			h.happen()
			if rapid.Bool().Draw(rt, "settle") {
				h.settle()
			} else {
				h.decideAndJudge()
			}
		}
	})
}

// I9: once faults stop and clients finish, every request is answered.
func TestEveryRequestIsAnsweredInTheEnd(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := drawWorld(rt)
		for range rapid.IntRange(1, 30).Draw(rt, "events") {
			h.happen()
			h.decideAndJudge()
		}
		for range 150 {
			h.settle()
			h.boot()
			h.sweep()
			h.after(time.Minute)
			waiting := false
			for _, r := range slices.Collect(maps.Values(h.requests)) {
				a := h.allocations["ci/"+r.ID]
				if a != nil && a.RequestRevision == r.CreateRevision && a.State != pool.AllocationWaiting {
					h.drop(r.ID)
				} else {
					waiting = true
				}
			}
			if !waiting {
				return
			}
		}
		plan := Decide(h.snapshot(), h.cat, h.now)
		rt.Fatalf("requests wait for ever:\n%s", &plan)
	})
}
