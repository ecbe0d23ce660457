package allocator

import (
	"path/filepath"
	"testing"
	"time"

	"poold/internal/golden"
	"poold/pool"
)

// Each scenario is a story whose plans are the golden file testdata/NAME.txt.
func TestScenarios(t *testing.T) {
	for name, tell := range map[string]func(t *testing.T) *world{
		"serve": tellServe, "late-binding": tellLateBinding, "accept": tellAccept, "release": tellRelease,
		"hold": tellHold, "death": tellDeath, "hopeless": tellHopeless, "lifetime": tellLifetime, "quota": tellQuota,
		"priority": tellPriority, "concurrency": tellConcurrency, "zones": tellZones, "zones-gone": tellZonesGone, "zone-unnamed": tellZoneUnnamed, "zone-astray": tellZoneAstray, "breaker": tellBreaker,
		"min-ready": tellMinReady, "room": tellRoom, "starvation": tellStarvation, "commands": tellCommands,
		"retire": tellRetire, "tenant": tellTenant, "record": tellRecord, "capacity": tellCapacity,
		"freeze": tellFreeze, "alike": tellAlike,
		"breaker-keys": tellBreakerKeys, "fallback": tellFallback, "phantom": tellPhantom,
		"roll-back": tellRollBack, "canary": tellCanary, "canary-first": tellFirstCanary, "canary-full": tellCanaryInAFullCloud,
		"static": tellStatic, "static-down": tellStaticDown, "static-changes": tellStaticChanges, "static-starvation": tellStaticStarvation,
	} {
		t.Run(name, func(t *testing.T) {
			golden.Equal(t, filepath.Join("testdata", name+".txt"), tell(t).out.String())
		})
	}
}

func tellServe(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, aProvider("east", nil), aProvider("west", nil))
	w.have(1, "big", "west")
	w.after(time.Second)
	w.have(2, "small", "west")
	w.have(1, "small", "east")
	w.request("set", "small big small")
	w.request("one", "small")
	w.pass("a set is served from one provider in the order of its labels, a lone node from elsewhere")
	w.pass("nothing is left to do")
	return w
}

func tellLateBinding(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, aProvider("east", nil))
	w.request("first", "small")
	w.pass("a node is launched, and the client is told")
	w.request("urgent", "small", func(r *pool.Request) { p := 100; r.Priority = &p })
	w.pass("a more urgent request takes the launch in flight; one more is launched")
	w.boot("n001")
	w.pass("whichever is ready first goes to who is first in line")
	w.drop("first")
	w.build("n002")
	w.pass("a cancelled request leaves its building node")
	w.request("next", "small")
	w.pass("to the next one: nothing is launched")
	return w
}

func tellAccept(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, aProvider("east", nil))
	w.have(3, "small", "east")
	w.request("a", "small", explicit)
	w.request("gone", "small", explicit)
	w.request("late", "small", explicit)
	w.pass("offered: addresses are hidden, nodes stay ready")
	w.rewrite("a", func(r *pool.Request) { r.Accepted = true })
	w.drop("gone")
	w.pass("accepted: revealed; gone before that: back to the pool")
	w.after(acceptTimeout)
	w.pass("not accepted in time: failed, back to the pool")
	w.pass("nothing is left to do")
	return w
}

func tellRelease(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, aProvider("east", nil))
	w.have(3, "small", "east")
	w.request("a", "small small")
	w.quietly()
	w.rewrite("a", func(r *pool.Request) { r.Release = []pool.NodeID{"n001", "n999"} })
	w.pass("one node is released early; what is not of the request is ignored")
	w.drop("a")
	w.request("a", "small")
	w.pass("the same id anew: a release first")
	w.pass("and then a new request")
	w.drop("a")
	w.pass("gone: used, never reused")
	return w
}

func tellHold(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, aProvider("east", nil))
	w.cat.MaxHoldAge = 2 * time.Hour
	w.have(3, "small", "east")
	w.request("a", "small small small")
	w.quietly()
	w.rewrite("a", func(r *pool.Request) {
		r.Hold = &pool.Hold{Nodes: []pool.NodeID{"n001", "n777"}, Reason: "flaky", TTL: "24h"}
	})
	w.pass("held at once, for max-hold-age at most")
	w.rewrite("a", func(r *pool.Request) { r.Hold = &pool.Hold{Nodes: []pool.NodeID{"n001", "n002"}, TTL: "soon"} })
	w.pass("a time to live that is none is ignored, the hold is not")
	w.rewrite("a", func(r *pool.Request) { r.Release = []pool.NodeID{"n002"} })
	w.pass("a held node can be released")
	w.drop("a")
	w.pass("a held node outlives its request")
	w.after(2 * time.Hour)
	w.pass("and expires")
	return w
}

func tellDeath(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, aProvider("east", nil))
	w.have(2, "small", "east")
	w.request("a", "small small")
	w.quietly()
	w.move("n002", pool.NodeFailed, func(n *pool.Node) { n.Failure = pool.KindVanished })
	w.pass("the client is told")
	w.rewrite("a", func(r *pool.Request) { r.Labels = []string{"big"} })
	w.pass("an answered request cannot ask for others")
	w.pass("nothing is left to do")
	return w
}

func tellHopeless(t *testing.T) *world {
	t.Helper()
	w := newWorld(t,
		aProvider("east", func(p *pool.Provider) { p.Pools[0].Limits.Instances = 3 }),
		aProvider("west", func(p *pool.Provider) { p.Pools[0].Labels = p.Pools[0].Labels[:1] }))
	w.quota("west", cores(4))
	w.request("defect", "small", func(r *pool.Request) { r.Defect = "bad JSON at offset 3" })
	w.request("lease", "small", func(r *pool.Request) { r.Leased = false })
	w.request("unknown", "small huge")
	w.request("nobody", "rare")
	w.request("pin", "small", func(r *pool.Request) { r.Provider = "north" })
	w.request("pin-label", "big", func(r *pool.Request) { r.Provider = "west" })
	w.request("large", "small small small small")
	late := start
	w.request("late", "small", func(r *pool.Request) { r.Deadline = &late })
	w.pass("what cannot be served fails with the reason")
	return w
}

func tellLifetime(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, aProvider("east", nil))
	w.have(1, "small", "east")
	w.request("a", "small", func(r *pool.Request) { r.Leased, r.MaxLifetime = false, "4h" })
	w.pass("served")
	w.pass("nothing to do until its lifetime is over")
	w.after(4 * time.Hour)
	w.pass("over: the request is removed")
	w.pass("then its node released")
	return w
}

func tellQuota(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, aProvider("east", nil))
	w.quota("east", cores(6)).Foreign = pool.Resources{Cores: 1}
	w.request("set", "small big")
	w.request("too-big-now", "big")
	w.request("little", "small")
	w.pass("five of six cores are ours: the set does not fit, a big one does")
	w.after(time.Second)
	w.quota("east", cores(7)).Foreign = pool.Resources{Cores: 1}
	w.pass("room for the set: it is placed first; its reasons are rewritten later")
	w.after(reasonsEvery)
	w.pass("ten seconds after they were written")
	return w
}

func tellPriority(t *testing.T) *world {
	t.Helper()
	w := newWorld(t,
		aProvider("cheap", func(p *pool.Provider) { p.Priority, p.Pools[0].Limits = 1, cores(4) }),
		aProvider("dear", func(p *pool.Provider) { p.Priority = 2 }))
	w.request("c", "small", func(r *pool.Request) { r.RelativePriority = 2 })
	w.request("b", "small", func(r *pool.Request) { r.RelativePriority = 1 })
	w.request("a", "small", func(r *pool.Request) { p := 100; r.Priority = &p })
	w.pass("in order; the preferred provider first, the next when it is full")
	return w
}

func tellConcurrency(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, aProvider("east", func(p *pool.Provider) { p.MaxConcurrency = 2 }))
	w.request("set", "small small small")
	w.request("one", "small")
	w.pass("two of three are launched at once")
	w.boot("n001")
	w.pass("the third when one is ready")
	w.boot()
	w.pass("the set is served whole")
	w.pass("and what waited follows")
	return w
}

func tellZones(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, aProvider("east", func(p *pool.Provider) { p.Pools[0].AZs = []string{"az1", "az2", "gone"} }))
	w.quota("east", pool.NoLimits()).Zones = []string{"az1", "az2"}
	w.request("one", "small")
	w.request("set", "small small")
	w.pass("a set shares a zone, the least loaded")
	w.drop("one")
	w.boot("n001", "n002")
	w.pass("a set is never put together from two zones")
	return w
}

func tellZonesGone(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, aProvider("east", func(p *pool.Provider) { p.Pools[0].AZs = []string{"az1"} }))
	w.quota("east", pool.NoLimits()).Zones = []string{"az2"}
	w.request("one", "small")
	w.request("set", "small small")
	w.pass("nothing is launched where no zone of the pool is there any more")
	w.quota("east", pool.NoLimits()).Zones = []string{"az1", "az2"}
	w.pass("until one is back")
	return w
}

// tellZoneUnnamed is a cloud with one zone, which nodes learn the name of when
// they are ready.
func tellZoneUnnamed(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, aProvider("east", nil))
	w.quota("east", pool.NoLimits()).Zones = []string{"nova"}
	w.request("set", "small small small")
	w.pass("a set is launched")
	for _, id := range []pool.NodeID{"n001", "n002", "n003"} {
		w.boot(id)
		w.nodes[id].AZ = "nova"
		w.pass("one after the other is ready, and no more are launched")
	}
	return w
}

// tellZoneAstray is a cloud that puts a server into another zone than it was
// asked for, as Nova may if that was its default one.
func tellZoneAstray(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, aProvider("east", func(p *pool.Provider) { p.Pools[0].AZs = []string{"nova"} }))
	w.quota("east", pool.NoLimits()).Zones = []string{"nova", "spare"}
	w.request("set", "small small")
	w.pass("a set is launched")
	w.boot("n001")
	w.nodes["n001"].AZ = "spare"
	w.pass("a node that is elsewhere is replaced")
	w.request("one", "small")
	w.pass("and serves a request for one")
	w.boot()
	w.pass("the set is served in one zone")
	return w
}

func tellMinReady(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, aProvider("east", nil), aProvider("north", nil), aProvider("west", nil))
	w.quota("east", cores(20))
	w.quota("north", cores(40))
	w.quota("west", cores(0))
	w.cat.Labels = []pool.Label{{Name: "small", MinReady: 7}, {Name: "big"}}
	w.request("big", "big")
	w.pass("every provider gets a share by its headroom, after the requests")
	w.cat.Labels[0].MinReady = 5
	w.pass("pending nodes beyond the floor are given up, the newest first")
	w.boot()
	w.cat.Labels[0].MinReady = 2
	w.pass("ready ones stay")
	return w
}

func tellRoom(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, aProvider("east", nil))
	w.quota("east", cores(8))
	w.cat.Labels = []pool.Label{{Name: "small", MinReady: 4}, {Name: "big"}}
	w.quietly()
	w.boot()
	w.request("b", "big")
	w.pass("the oldest idle nodes make room, no more than needed")
	w.pass("no more while they are being deleted")
	w.sweep()
	w.pass("and no node ahead of demand takes the room")
	return w
}

func tellStarvation(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, aProvider("east", nil))
	w.quota("east", cores(8))
	for _, id := range []string{"a", "b", "c"} {
		w.request(id, "small")
	}
	w.quietly()
	w.boot()
	w.quietly()
	w.request("set", "big big")
	w.after(time.Second)
	w.request("d", "small")
	w.pass("a small request overtakes a set that does not fit")
	w.boot()
	w.quietly()
	w.drop("a")
	w.quietly()
	w.sweep()
	w.after(patience)
	w.request("e", "small")
	w.pass("but not one that has waited for long: the provider is kept for it")
	w.out.WriteString(Explain(w.snapshot(), w.cat, pool.RequestRef{Client: "ci", ID: "set"}, w.now).String())
	w.out.WriteString(Explain(w.snapshot(), w.cat, pool.RequestRef{Client: "ci", ID: "e"}, w.now).String())
	for _, id := range []string{"b", "c", "d"} {
		w.drop(id)
	}
	w.quietly()
	w.sweep()
	w.after(reasonsEvery)
	w.pass("until it is served")
	return w
}

func tellCommands(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, aProvider("east", nil))
	w.have(5, "small", "east")
	w.request("a", "small small")
	w.request("x", "small", explicit)
	w.quietly()
	w.command("1", pool.VerbDelete, "n999", nil)
	w.command("2", pool.VerbDelete, "n001", nil)
	w.command("3", pool.VerbForceDelete, "n002", nil)
	w.command("4", pool.VerbHold, "n003", nil)
	w.command("5", pool.VerbHold, "n004", func(c *pool.Command) { c.TTL, c.Reason = "1h", "look" })
	w.command("6", pool.VerbDelete, "n005", nil)
	w.command("7", pool.VerbUnhold, "n005", nil)
	w.command("8", pool.VerbUnhold, "n001", nil)
	w.command("9", pool.VerbBuild, "", nil)
	w.pass("each effect and its result are one write")
	w.pass("a second command for a node sees what became of it")
	w.command("a", pool.VerbUnhold, "n004", nil)
	w.command("b", pool.VerbHold, "n001", func(c *pool.Command) { c.TTL = "soon" })
	w.pass("unheld: never given away again")
	return w
}

func tellRetire(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, aProvider("east", nil), aProvider("west", nil))
	w.cat.Labels = []pool.Label{{Name: "small", MaxReadyAge: time.Hour, MinReady: 1}, {Name: "big"}}
	w.have(1, "small", "east")
	w.have(1, "big", "east")
	w.have(1, "big", "west")
	w.pass("nothing to do before the age")
	w.after(time.Hour)
	w.cat.Providers = w.cat.Providers[:1]
	w.cat.Providers[0].Pools[0].Labels = w.cat.Providers[0].Pools[0].Labels[:1]
	w.pass("too old, no longer offered, no longer there")
	w.sweep()
	w.after(tombstoneAge)
	w.pass("tombstones are forgotten after an hour")
	return w
}

func tellTenant(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, aProvider("east", nil))
	w.cat.Tenants = []pool.TenantLimit{{Tenant: "acme", Limits: cores(4)}}
	acme := func(r *pool.Request) { r.Tenant = "acme" }
	w.have(2, "small", "east")
	w.request("a", "small", acme)
	w.request("b", "big", acme)
	w.request("never", "big small", acme)
	w.request("c", "small", acme)
	w.request("other", "big")
	w.pass("a tenant at its limit gets no idle node either; others are served")
	return w
}

func tellRecord(t *testing.T) *world {
	t.Helper()
	yes := true
	w := newWorld(t, aProvider("east", func(p *pool.Provider) {
		p.Images = []pool.ProviderImage{{
			Name: "deb", ConfigDrive: &yes, Connection: pool.Connection{Type: "ssh", Port: 2222, Username: "root"},
		}}
		s := &p.Pools[0]
		s.AutoFloatingIP, s.Attributes = true, map[string]string{"executor-zone": "z"}
		s.Labels = []pool.LabelSpec{{Name: "small", DiskImage: "deb", FlavorName: "s2", BootFromVolume: true, VolumeGB: 50, Networks: []string{"front", "back"}}}
	}))
	w.request("a", "small")
	w.pass("no upload yet")
	w.uploads = []*pool.Upload{
		{Image: "deb", Build: "b1", Provider: "east", State: pool.UploadReady, Created: start, ExternalID: "old"},
		{Image: "deb", Build: "b2", Provider: "east", State: pool.UploadReady, Created: start.Add(1), ExternalID: "new"},
		{Image: "deb", Build: "b3", Provider: "east", State: pool.UploadUploading, Created: start.Add(2), ExternalID: "half"},
	}
	w.builds = []*pool.Build{{Image: "deb", ID: "b2", Username: "zuul", PythonPath: "auto"}}
	w.pass("the newest upload that is ready")
	n := w.nodes["n001"]
	want := pool.Node{
		V: 1, ID: "n001", Provider: "east", Pool: "main", Label: "small", State: pool.NodePending, Since: start, Created: start,
		Reason: n.Reason, Cloud: "east-cloud", Region: "r1", FlavorID: "f2", Flavor: "s2",
		Resources: pool.Resources{Instances: 1, Cores: 2, RAMMiB: 2048, Volumes: 1, VolumeGB: 50, FloatingIPs: 1, Ports: 2},
		Image:     "deb", Build: "b2", ImageID: "new",
		Connection: pool.Connection{Type: "ssh", Port: 2222, Username: "zuul", PythonPath: "auto"},
		Attributes: map[string]string{"executor-zone": "z"},
		Timeline:   []pool.Stamp{{State: pool.NodePending, At: start, By: pool.Allocator, Reason: n.Reason}},
		Record:     n.Record,
	}
	if diff := diffNodes(want, *n); diff != "" {
		t.Errorf("the new node (-want +got):\n%s", diff)
	}
	return w
}
