package allocator

import (
	"strings"
	"testing"

	"poold/pool"
)

func away(p *pool.Provider) { p.Away = "no running peer has it" }

func gone(p *pool.Provider) { p.Away, p.Gone = "no running peer has it", true }

// What is ready where nobody launches any more is given out and kept; nothing is
// launched there, and nobody counts on what is in flight there.
func TestAwayProvider(t *testing.T) {
	w := newWorld(t, aProvider("east", nil))
	w.cat.Labels[1].MinReady = 2
	w.request("early", "small")
	w.quietly() // three nodes are on their way in the east
	w.boot("n001")
	w.quietly()
	w.cat.Providers = []pool.Provider{aProvider("east", away), aProvider("west", func(p *pool.Provider) { p.Pools[0].Labels = p.Pools[0].Labels[:1] })}
	w.quota("west", pool.NoLimits())
	w.have(1, "big", "east")
	w.quietly()
	if n := w.nodes["n004"]; n.State != pool.NodeReady {
		t.Errorf("a ready node of the provider is %s", n.State)
	}
	in := map[string]int{}
	for _, n := range w.nodes {
		if n.Label == "small" && n.State == pool.NodePending {
			in[n.Provider]++
		}
	}
	if in["east"] != 2 || in["west"] != 2 {
		t.Errorf("in flight are %v, want the two of the east and two more in the west that the floor needs", in)
	}
	w.request("ready", "big")
	w.request("waits", "big")
	w.quietly()
	if a := w.allocations["ci/ready"]; a.State != pool.AllocationFulfilled {
		t.Errorf("the request that can have a ready node: %+v", a)
	}
	if a := w.allocations["ci/waits"]; a.State != pool.AllocationWaiting || a.Reasons[0].Class != ClassAway {
		t.Errorf("the request for what only the provider has: %+v", a)
	}
	w.cat.Providers[0] = aProvider("east", nil)
	w.after(reasonsEvery)
	w.quietly()
	if a := w.allocations["ci/waits"]; a.Reasons[0].Class != ClassBuilding {
		t.Errorf("when its peer is back the request waits for %+v", a.Reasons)
	}
}

// What is ready where launching is paused is given out, and what boots there is
// counted on; nothing is asked for there, and others serve what they can.
func TestPausedProvider(t *testing.T) {
	w := newWorld(t, aProvider("east", nil), aProvider("west", func(p *pool.Provider) {
		p.Pools[0].Priority = 200
		p.Pools[0].Labels = p.Pools[0].Labels[:1] // small
	}))
	w.have(1, "big", "east")
	w.request("boots", "small")
	w.quietly()
	for _, n := range w.live("east") {
		if n.State == pool.NodePending {
			w.build(n.ID)
		}
	}
	w.request("asked", "small")
	w.quietly() // one node is pending in the east
	w.pauses = []*pool.Pause{{Provider: "east", By: "ann", Reason: "upgrade"}}
	w.request("ready", "big")
	w.request("waits", "big")
	w.quietly()
	if a := w.allocations["ci/ready"]; a.State != pool.AllocationFulfilled {
		t.Errorf("the request that can have a ready node: %+v", a)
	}
	if a := w.allocations["ci/waits"]; a.State != pool.AllocationWaiting || a.Reasons[0].Class != ClassPaused ||
		a.Reasons[0].Text != "paused by ann: upgrade" {
		t.Errorf("the request for what only the provider has: %+v", a)
	}
	if east, west := len(w.live("east")), len(w.live("west")); east != 3 || west != 1 {
		t.Errorf("there are %d in the east and %d in the west, want as before and one for the node that is not asked for", east, west)
	}
	w.pauses = nil
	w.after(reasonsEvery)
	w.quietly()
	if a := w.allocations["ci/waits"]; a.Reasons[0].Class != ClassBuilding {
		t.Errorf("when it goes on the request waits for %+v", a.Reasons)
	}
}

// What only a provider has that nobody has run for long fails with the reason,
// unless it is ready.
func TestGoneProvider(t *testing.T) {
	w := newWorld(t, aProvider("east", gone))
	w.have(1, "big", "east")
	w.request("first", "big")
	w.request("second", "big")
	w.quietly()
	if a := w.allocations["ci/first"]; a.State != pool.AllocationFulfilled {
		t.Errorf("the request that can have the ready node: %+v", a)
	}
	if a := w.allocations["ci/second"]; a.State != pool.AllocationFailed || !strings.Contains(a.Error, "no running peer has it") {
		t.Errorf("the one that cannot: %+v", a)
	}
}

// While not all is known that peers have, what nobody is known to have may be
// there after all.
func TestPartialCatalog(t *testing.T) {
	w := newWorld(t, aProvider("east", nil))
	w.cat.Partial = "peer two does not say what it has"
	unknown := map[string]func(r *pool.Request){
		"label":    func(r *pool.Request) { r.Labels = []string{"elsewhere"} },
		"offer":    func(r *pool.Request) { r.Labels = []string{"rare"} },
		"provider": func(r *pool.Request) { r.Provider = "west" },
		"together": func(r *pool.Request) { r.Labels = []string{"small", "elsewhere"} },
	}
	for id, change := range unknown {
		w.request(id, "small", change)
	}
	w.quietly()
	for id := range unknown {
		a := w.allocations["ci/"+id]
		if a.State != pool.AllocationWaiting || a.Reasons[0].Class != ClassPartial || a.Reasons[0].Text != w.cat.Partial {
			t.Errorf("%s: %+v, want it to wait", id, a)
		}
		ref := w.requests["ci/"+id].Ref()
		if e := Explain(w.snapshot(), w.cat, ref, w.now); !strings.Contains(e.Outcome, w.cat.Partial) {
			t.Errorf("%s is explained by: %s", id, e.Outcome)
		}
	}
	w.cat.Partial = ""
	w.quietly()
	for id := range unknown {
		if a := w.allocations["ci/"+id]; a.State != pool.AllocationFailed || !strings.HasPrefix(a.Error, "no ") {
			t.Errorf("%s: %+v, want it to fail", id, a)
		}
	}
}
