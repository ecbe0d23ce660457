package allocator

import (
	"slices"
	"strings"
	"testing"
	"time"

	"poold/pool"
)

// The behaviours of nodepool's own tests that are the allocator's to show;
// docs/nodepool-scenarios.md says which is which.

// ready lets everything that is launched come up, until nothing happens.
func (w *world) ready() {
	w.t.Helper()
	for range 5 {
		w.quietly()
		w.boot()
	}
	w.quietly()
}

// finish ends a request and lets its nodes go.
func (w *world) finish(id string) {
	w.t.Helper()
	w.drop(id)
	w.quietly()
	w.sweep()
}

// answers checks what became of requests: "id state".
func (w *world) answers(want ...string) {
	w.t.Helper()
	for _, one := range want {
		id, state, _ := strings.Cut(one, " ")
		a := w.allocations["ci/"+id]
		switch {
		case a == nil:
			w.t.Errorf("%s is not answered at all, want %s", id, state)
		case string(a.State) != state:
			w.t.Errorf("%s is %s %q %v, want %s", id, a.State, a.Error, a.Reasons, state)
		}
	}
}

// live returns the nodes that book quota, and those only of a provider if one
// is named.
func (w *world) live(provider string) []*pool.Node {
	return slices.DeleteFunc(sorted(w.nodes), func(n *pool.Node) bool {
		return !n.State.Live() || provider != "" && n.Provider != provider
	})
}

func (w *world) count(want int) {
	w.t.Helper()
	if got := len(w.live("")); got != want {
		w.t.Errorf("%d nodes, want %d", got, want)
	}
}

func tenant(name string) func(r *pool.Request) {
	return func(r *pool.Request) { r.Tenant = name }
}

func relative(n int) func(r *pool.Request) {
	return func(r *pool.Request) { r.RelativePriority = n }
}

// costly is a provider whose small nodes use two cores, 2 GiB, a volume of
// 50 GB, a port and a floating IP.
func costly(p *pool.Provider) {
	p.Pools[0].AutoFloatingIP = true
	p.Pools[0].Labels[0].BootFromVolume, p.Pools[0].Labels[0].VolumeGB = true, 50
}

// twoOfEach are limits that hold two such nodes, each by one resource.
func twoOfEach() map[string]pool.Limits {
	all := map[string]pool.Limits{}
	for name, set := range map[string]func(l *pool.Limits){
		"instances": func(l *pool.Limits) { l.Instances = 2 }, "cores": func(l *pool.Limits) { l.Cores = 5 },
		"ram": func(l *pool.Limits) { l.RAMMiB = 4096 }, "volumes": func(l *pool.Limits) { l.Volumes = 2 },
		"volume-gb": func(l *pool.Limits) { l.VolumeGB = 149 }, "ports": func(l *pool.Limits) { l.Ports = 2 },
		"floating-ips": func(l *pool.Limits) { l.FloatingIPs = 2 },
	} {
		l := pool.NoLimits()
		set(&l)
		all[name] = l
	}
	return all
}

// Two sets of two where there is room for one: the first is served, the second
// holds nothing meanwhile and is served when the last of the first is gone.
func TestTwoSetsAtALimit(t *testing.T) {
	for what, limits := range twoOfEach() {
		for whose, set := range map[string]func(w *world){
			"pool":   func(w *world) { w.cat.Providers[0].Pools[0].Limits = limits },
			"cloud":  func(w *world) { w.quota("east", limits) },
			"tenant": func(w *world) { w.cat.Tenants = []pool.TenantLimit{{Tenant: "acme", Limits: limits}} },
		} {
			t.Run(whose+"/"+what, func(t *testing.T) {
				w := newWorld(t, aProvider("east", costly))
				set(w)
				w.request("a", "small small", tenant("acme"))
				w.request("b", "small small", tenant("acme"))
				w.ready()
				w.answers("a fulfilled", "b waiting")
				w.count(2)
				w.rewrite("a", func(r *pool.Request) { r.Release = []pool.NodeID{"n001"} })
				w.quietly()
				w.sweep()
				w.ready()
				w.answers("a fulfilled", "b waiting")
				w.finish("a")
				w.ready()
				w.answers("b fulfilled")
			})
		}
	}
}

// A set that is larger than a limit can never be served and says so, whatever
// resource is short.
func TestTooLargeForALimit(t *testing.T) {
	for what, limits := range twoOfEach() {
		for whose, set := range map[string]func(w *world){
			"pool":   func(w *world) { w.cat.Providers[0].Pools[0].Limits = limits },
			"cloud":  func(w *world) { w.quota("east", limits) },
			"tenant": func(w *world) { w.cat.Tenants = []pool.TenantLimit{{Tenant: "acme", Limits: limits}} },
		} {
			t.Run(whose+"/"+what, func(t *testing.T) {
				w := newWorld(t, aProvider("east", costly))
				set(w)
				w.request("a", "small small small", tenant("acme"))
				w.quietly()
				w.answers("a failed")
				w.count(0)
			})
		}
	}
}

// A tenant at its limit keeps nobody else waiting.
func TestTenantAtItsLimit(t *testing.T) {
	w := newWorld(t, aProvider("east", nil))
	w.cat.Tenants = []pool.TenantLimit{{Tenant: "acme", Limits: cores(2)}}
	w.have(2, "small", "east")
	w.request("a", "small", tenant("acme"))
	w.request("b", "small", tenant("acme"))
	w.request("c", "small", tenant("other"))
	w.ready()
	w.answers("a fulfilled", "b waiting", "c fulfilled")
	w.finish("a")
	w.ready()
	w.answers("b fulfilled")
}

// Nodes come in the order of the labels, whichever is ready first.
func TestOrderOfASet(t *testing.T) {
	w := newWorld(t, aProvider("east", nil))
	w.request("a", "big small big")
	w.quietly()
	w.boot("n003")
	w.quietly()
	w.boot("n001", "n002")
	w.quietly()
	var got []string
	for _, n := range w.allocations["ci/a"].Nodes {
		got = append(got, n.Label)
	}
	if want := []string{"big", "small", "big"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Each label goes where it is offered, each pool to its own zones, and a pin
// is obeyed.
func TestWhoOffersWhat(t *testing.T) {
	w := newWorld(t,
		aProvider("east", func(p *pool.Provider) { p.Pools[0].Labels = p.Pools[0].Labels[:1] }),
		aProvider("west", func(p *pool.Provider) {
			other := p.Pools[0]
			p.Pools[0].AZs = []string{"az1"}
			p.Pools[0].Labels, other.Labels = p.Pools[0].Labels[1:], []pool.LabelSpec{p.Pools[0].Labels[0]}
			other.Labels[0].Name = "rare"
			other.Name, other.AZs = "other", []string{"az2"}
			p.Pools = append(p.Pools, other)
		}))
	w.request("small", "small")
	w.request("big", "big")
	w.request("rare", "rare")
	w.request("pinned", "big", func(r *pool.Request) { r.Provider = "west" })
	w.request("nowhere", "small rare")
	w.ready()
	w.answers("small fulfilled", "big fulfilled", "rare fulfilled", "pinned fulfilled", "nowhere failed")
	for id, want := range map[string]string{
		"small": "east/main", "big": "west/main/az1", "rare": "west/other/az2", "pinned": "west/main/az1",
	} {
		if n := w.allocations["ci/"+id].Nodes[0]; where(n.Provider, n.Pool, n.AZ) != want {
			t.Errorf("%s is from %s, want %s", id, where(n.Provider, n.Pool, n.AZ), want)
		}
	}
}

// With room for one at a time requests are served by priority, relative
// priority and age, and a change of mind costs nothing.
func TestOrderAtQuota(t *testing.T) {
	w := newWorld(t, aProvider("east", nil))
	w.quota("east", cores(2))
	w.request("first", "small")
	w.ready()
	w.request("late", "small", relative(2))
	w.request("early", "small", relative(1))
	w.request("revised", "small", relative(3))
	w.request("urgent", "small", func(r *pool.Request) { p := 100; r.Priority = &p })
	w.request("hopeless", "huge")
	w.ready()
	w.answers("first fulfilled", "late waiting", "early waiting", "revised waiting", "urgent waiting", "hopeless failed")
	made := w.made
	w.rewrite("revised", relative(0))
	w.ready()
	if w.made != made {
		t.Errorf("%d launches for a change of priority", w.made-made)
	}
	for _, turn := range [][2]string{{"first", "urgent"}, {"urgent", "revised"}, {"revised", "early"}, {"early", "late"}} {
		w.finish(turn[0])
		w.ready()
		w.answers(turn[1] + " fulfilled")
	}
	w.count(1)
}

// Priorities that change while nodes are being launched have none launched
// anew: the nodes in flight go to whoever is first now.
func TestPrioritiesAreRevisedAtNoCost(t *testing.T) {
	w := newWorld(t, aProvider("east", nil), aProvider("west", nil))
	w.request("a", "small")
	w.request("b", "small")
	w.request("set", "small small")
	w.quietly()
	made := w.made
	for n := range 10 {
		w.rewrite("a", relative(n))
		w.rewrite("b", relative(-n))
		w.rewrite("set", relative(n%3-1))
		w.after(time.Second)
		w.quietly()
	}
	if w.made != made {
		t.Errorf("%d more launches", w.made-made)
	}
	w.count(4)
	w.boot("n001")
	w.quietly()
	w.answers("a waiting", "b fulfilled")
}

// A zone that is gone costs a launch, not the request.
func TestZoneThatIsGone(t *testing.T) {
	w := newWorld(t, aProvider("east", func(p *pool.Provider) { p.Pools[0].AZs = []string{"az1", "az2"} }))
	w.quota("east", pool.NoLimits()).Zones = []string{"az1", "az2"}
	w.request("a", "small")
	w.quietly()
	w.breakDown("n001", pool.KindTransient, "p1")
	w.sweep()
	w.quota("east", pool.NoLimits()).Zones = []string{"az2"}
	w.ready()
	w.answers("a fulfilled")
	if az := w.allocations["ci/a"].Nodes[0].AZ; az != "az2" {
		t.Errorf("it is in %q", az)
	}
}

// A cloud that refuses by quota what the arithmetic allows is not asked again
// until there is room, and the request is kept.
func TestCloudSaysQuota(t *testing.T) {
	for name, ignore := range map[string]bool{"quota": false, "ignored quota": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, aProvider("east", func(p *pool.Provider) { p.Pools[0].IgnoreProviderQuota = ignore }))
			w.request("first", "small")
			w.ready()
			w.request("a", "small")
			w.quietly()
			w.breakDown("n002", pool.KindQuota, "p1")
			lowered := cores(2)
			w.quotas["east"].Lowered = &lowered
			w.sweep()
			w.quietly()
			w.answers("a waiting")
			if ignore {
				w.ready()
			} else {
				w.count(1)
				w.finish("first")
				w.ready()
			}
			w.answers("a fulfilled")
		})
	}
}

// A pool that ignores the cloud's quota launches though the cloud says that it
// is full, and still keeps its own limit.
func TestIgnoredQuota(t *testing.T) {
	w := newWorld(t, aProvider("east", func(p *pool.Provider) {
		p.Pools[0].IgnoreProviderQuota, p.Pools[0].Limits.Instances = true, 1
	}))
	w.quota("east", cores(0))
	w.request("a", "small")
	w.request("b", "small")
	w.ready()
	w.answers("a fulfilled", "b waiting")
	w.cat.Providers[0].Pools[0].IgnoreProviderQuota = false
	w.finish("a")
	w.ready()
	w.answers("b failed") // a quota of no cores is for ever
}

// Nothing waits behind a request that cannot be served: what is hopeless fails
// at once also while everything is full, and so does what a new configuration
// made hopeless.
func TestHopelessAtQuota(t *testing.T) {
	w := newWorld(t, aProvider("east", nil))
	w.quota("east", cores(4))
	w.request("first", "small small")
	w.ready()
	w.request("a", "small small")
	w.request("b", "huge")
	w.ready()
	w.answers("a waiting", "b failed")
	w.cat.Providers[0].Pools[0].Limits.Instances = 1
	w.ready()
	w.answers("a failed")
}

// A pool of no servers serves nobody, and neither does a provider that is
// away; others do.
func TestBrokenProviders(t *testing.T) {
	w := newWorld(t,
		aProvider("disabled", func(p *pool.Provider) { p.Priority, p.Pools[0].Limits.Instances = 1, 0 }),
		aProvider("trouble", func(p *pool.Provider) { p.Priority = 2 }),
		aProvider("unknown", func(p *pool.Provider) { p.Priority = 3 }),
		aProvider("works", func(p *pool.Provider) { p.Priority = 4 }))
	w.quotas["trouble"].Trouble = "no route to host"
	delete(w.quotas, "unknown")
	delete(w.quotas, "disabled")
	w.request("a", "small")
	w.request("b", "small", func(r *pool.Request) { r.Provider = "disabled" })
	w.ready()
	w.answers("a fulfilled", "b failed")
	if n := w.allocations["ci/a"].Nodes[0]; n.Provider != "works" {
		t.Errorf("it is from %s", n.Provider)
	}
	w.count(1)
}

// Launches that fail do not fail a request: it goes on elsewhere, and where
// there is no elsewhere until its deadline. Nodes that cannot be deleted hold
// up nobody.
func TestFailedLaunches(t *testing.T) {
	w := newWorld(t, aProvider("east", func(p *pool.Provider) { p.Priority = 1 }), aProvider("west", func(p *pool.Provider) { p.Priority = 2 }))
	deadline := start.Add(time.Hour)
	w.request("a", "small")
	w.request("b", "small", func(r *pool.Request) { r.Provider, r.Deadline = "east", &deadline })
	for range 20 {
		w.quietly()
		for _, n := range w.live("east") {
			if inFlight(n) {
				w.breakDown(n.ID, pool.KindTimeout, string(n.ID))
				w.move(n.ID, pool.NodeDeleting, nil) // where it stays
			}
		}
		w.after(time.Minute)
	}
	if n := len(w.live("east")); n > 12 {
		t.Errorf("%d launches in 20 minutes of failures", n)
	}
	w.boot()
	w.quietly()
	w.answers("a fulfilled", "b waiting")
	w.now = deadline
	w.quietly()
	w.answers("b failed")
}

// Min-ready is filled up while a node of it cannot be deleted, and takes
// nothing from a request.
func TestMinReadyAmongTroubles(t *testing.T) {
	w := newWorld(t, aProvider("east", nil))
	w.quota("east", cores(8))
	w.cat.Labels = []pool.Label{{Name: "small", MinReady: 2}, {Name: "big"}}
	w.ready()
	w.count(2)
	w.command("1", pool.VerbDelete, "n001", nil)
	w.ready()
	w.count(3) // one of them in deletion, for ever
	w.request("a", "big")
	w.ready()
	w.answers("a waiting") // for the room of the one in deletion
	w.sweep()
	w.ready()
	w.answers("a fulfilled")
	w.count(3)
}

// A request that another leader began to serve is served: nothing of it is in
// anybody's memory.
func TestBegunByAnother(t *testing.T) {
	w := newWorld(t, aProvider("east", nil))
	w.request("a", "small small")
	w.quietly()
	other := &world{t: t, model: w.model, cat: w.cat, now: w.now.Add(time.Minute), made: w.made}
	other.ready()
	other.answers("a fulfilled")
	other.count(2)
}

// A hold ends after its time to live or the cap, whichever is sooner.
func TestEndOfAHold(t *testing.T) {
	for name, c := range map[string]struct {
		most time.Duration
		ttl  string
		want time.Duration
	}{
		"neither":         {0, "", 0},
		"the cap":         {2 * time.Hour, "", 2 * time.Hour},
		"the ttl":         {0, "3h", 3 * time.Hour},
		"a lower ttl":     {2 * time.Hour, "1h", time.Hour},
		"a higher ttl":    {2 * time.Hour, "3h", 2 * time.Hour},
		"what is no time": {2 * time.Hour, "soon", 2 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, aProvider("east", nil))
			w.cat.MaxHoldAge = c.most
			w.have(1, "small", "east")
			w.request("a", "small")
			w.quietly()
			w.rewrite("a", func(r *pool.Request) { r.Hold = &pool.Hold{Nodes: []pool.NodeID{"n001"}, TTL: c.ttl} })
			w.quietly()
			w.drop("a")
			w.quietly()
			end := pool.NodeUsed
			if c.want == 0 {
				c.want, end = 1000*time.Hour, pool.NodeHold
			}
			w.after(c.want - time.Second)
			w.quietly()
			if got := w.nodes["n001"].State; got != pool.NodeHold {
				t.Errorf("it is %s too soon", got)
			}
			w.after(time.Second)
			w.quietly()
			if got := w.nodes["n001"].State; got != end {
				t.Errorf("it is %s in the end, want %s", got, end)
			}
		})
	}
}
