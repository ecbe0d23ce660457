package allocator

import (
	"testing"
	"time"

	"poold/pool"
)

func tellBreaker(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, aProvider("east", nil))
	w.request("a", "small")
	w.request("b", "small")
	w.request("c", "small")
	w.quietly()
	w.after(time.Minute)
	w.breakDown("n001", pool.KindTimeout, "p1")
	w.breakDown("n002", pool.KindTimeout, "p1")
	w.breakDown("n003", pool.KindTimeout, "p1")
	w.pass("a batch that fails alike is one failure: a pause of five seconds")
	w.after(firstPause)
	w.pass("then a single probe")
	w.after(time.Second)
	w.pass("and no second one")
	w.breakDown("n004", pool.KindInvalid, "p2")
	w.pass("that fails too: twice the pause")
	w.after(2 * firstPause)
	w.pass("another probe")
	w.after(time.Second)
	w.boot("n005")
	w.pass("a success ends it")
	w.breakDown("n006", pool.KindUnauthorized, "p3")
	w.after(time.Hour / 2)
	w.quota("east", pool.NoLimits()).At = w.now.Add(-time.Hour)
	w.pass("refused credentials stop the provider")
	w.quota("east", pool.NoLimits())
	w.pass("until its owner has asked the cloud again")
	return w
}

func tellCapacity(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, aProvider("east", func(p *pool.Provider) { p.Pools[0].AZs = []string{"az1", "az2"} }))
	w.request("a", "small")
	w.quietly()
	w.after(time.Second)
	w.breakDown("n001", pool.KindCapacity, "p1")
	w.pass("a zone that is full says nothing about the others")
	return w
}

func tellBreakerKeys(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, aProvider("east", func(p *pool.Provider) {
		s := &p.Pools[0]
		s.Labels = append(s.Labels, pool.LabelSpec{Name: "rare", CloudImage: "noble", FlavorName: "s2"})
	}))
	w.request("a", "small")
	w.quietly()
	w.breakDown("n001", pool.KindUnreachable, "p1")
	w.pass("one failure may happen: the next launch follows at once")
	w.breakDown("n002", pool.KindUnreachable, "p2")
	w.request("b", "rare")
	w.request("c", "big")
	w.pass("two stop the image with this flavor for all labels, and no other flavor")
	w.boot()
	w.quietly()
	w.after(2 * firstPause)
	w.pass("one probe serves both")
	w.boot()
	w.pass("whoever is first gets it if it is of his label, and launches go on")
	return w
}

// newFallback is a world with two builds of its only image.
func newFallback(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, aProvider("east", func(p *pool.Provider) {
		p.Images = []pool.ProviderImage{{Name: "deb"}}
		p.Pools[0].Labels = []pool.LabelSpec{{Name: "small", DiskImage: "deb", FlavorName: "s2"}}
	}))
	upload := func(build string, at time.Time) *pool.Upload {
		return &pool.Upload{
			Image: "deb", Build: build, Provider: "east", State: pool.UploadReady, Created: at, ExternalID: "id-" + build,
		}
	}
	w.uploads = []*pool.Upload{upload("b1", start.Add(-time.Hour)), upload("b2", start)}
	return w
}

// tellFallback also shows that a node that nobody asked the cloud for yet is
// given up when its image proves bad.
func tellFallback(t *testing.T) *world {
	t.Helper()
	w := newFallback(t)
	for _, id := range []string{"a", "b", "c"} {
		w.request(id, "small")
	}
	w.quietly()
	w.after(time.Second)
	w.breakDown("n001", pool.KindTimeout, "p1")
	w.breakDown("n002", pool.KindTimeout, "p2")
	w.pass("a new image that fails: from the build before it, and that is said")
	w.showImages()
	w.boot()
	w.quietly()
	w.drop("a")
	w.request("d", "small")
	w.after(2 * firstPause)
	w.pass("the new one is tried beside it")
	w.showImages()
	w.pass("once, and nobody waits for it")
	w.boot("n008")
	w.pass("it works: back to it")
	w.request("e", "small small")
	w.pass("for all that follow")
	w.showImages()
	return w
}

// showImages adds to the transcript what the nodes in flight are made from.
func (w *world) showImages() {
	for _, n := range sorted(w.nodes) {
		if inFlight(n) {
			w.out.WriteString("  (" + string(n.ID) + " from " + n.ImageID + ")\n")
		}
	}
}

func tellPhantom(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, aProvider("east", nil))
	w.quota("east", cores(6))
	w.request("a", "small")
	w.request("b", "small")
	w.quietly()
	w.build("n001")
	w.build("n002")
	w.pass("both are waited for")
	for _, id := range []pool.NodeID{"n001", "n002"} {
		w.move(id, pool.NodeBuilding, func(n *pool.Node) { n.Doubtful = true })
	}
	w.after(20 * time.Second)
	w.pass("nobody knows whether the cloud was asked: launched around them, within the quota")
	w.boot("n001")
	w.pass("one turns up and is taken like any other")
	w.move("n002", pool.NodeFailed, func(n *pool.Node) { n.Failure = pool.KindNeverSeen })
	w.sweep()
	w.pass("one never does, and no breaker minds")
	return w
}

// A newer image that failed is tried beside the older one only if there is room
// for that as well.
func TestAProbeTakesNoRoomThatIsWanted(t *testing.T) {
	for name, c := range map[string]struct {
		limit func(w *world)
		want  int
	}{
		"quota":       {func(w *world) { w.quota("east", cores(4)) }, 2},
		"pool":        {func(w *world) { w.cat.Providers[0].Pools[0].Limits = cores(4) }, 2},
		"concurrency": {func(w *world) { w.cat.Providers[0].MaxConcurrency = 2 }, 2},
		"nothing":     {func(*world) {}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			w := newFallback(t)
			w.cat.Labels = []pool.Label{{Name: "small"}, {Name: "other"}}
			s := &w.cat.Providers[0].Pools[0]
			s.Labels = append(s.Labels, pool.LabelSpec{Name: "other", DiskImage: "deb", FlavorName: "s2"})
			w.request("a", "small small")
			w.quietly()
			w.breakDown("n001", pool.KindTimeout, "p1")
			w.breakDown("n002", pool.KindTimeout, "p2")
			w.drop("a")
			w.sweep()
			w.quietly()
			w.after(2 * firstPause)
			c.limit(w)
			w.request("b", "small other")
			w.quietly()
			if got := len(w.live("east")); got != c.want {
				t.Errorf("%d nodes for a request of 2, want %d", got, c.want)
			}
		})
	}
}

// A provider of which most seems to have vanished is left alone: its idle nodes
// are given to nobody and wait, what is in use stays so, and requests are
// served elsewhere or wait with the reason.
func TestVanishedProvider(t *testing.T) {
	w := newWorld(t, aProvider("east", nil), aProvider("west", func(p *pool.Provider) { p.Priority = 200 }))
	w.request("old", "small")
	w.quietly()
	w.boot()
	w.quietly()
	w.have(5, "small", "east")
	w.health = &pool.Health{Provider: "east", Vanished: []pool.Vanished{{Node: "n002"}}}
	w.request("a", "small")
	w.request("b", "small", func(r *pool.Request) { r.Provider = "east" })
	w.quietly()
	if got := w.live("east"); len(got) != 6 {
		t.Errorf("%d nodes in east, want the 6 that were there", len(got))
	}
	if got := w.live("west"); len(got) != 1 {
		t.Errorf("%d nodes in west, want one for the request that can go there", len(got))
	}
	for id, class := range map[string]string{"a": ClassBuilding, "b": ClassVanished} {
		a := w.allocations["ci/"+id]
		if a.State != pool.AllocationWaiting || a.Reasons[0].Class != class {
			t.Errorf("%s is %s for %+v, want it to wait for %s", id, a.State, a.Reasons, class)
		}
	}
	if a := w.allocations["ci/old"]; a.State != pool.AllocationFulfilled || a.Nodes[0].State != shownInUse {
		t.Errorf("the node in use is shown as %+v", a)
	}
	w.health = nil
	w.quietly()
	if a := w.allocations["ci/b"]; a.State != pool.AllocationFulfilled {
		t.Errorf("b is %s though all is well again", a.State)
	}
}

// What the cloud does not have fails a request only if it was asked after the
// request came. Until then the request waits, and the cloud is asked once; what
// the configuration rules out fails at once.
func TestFactsOlderThanARequest(t *testing.T) {
	flavor := func(name string) func(p *pool.Provider) {
		return func(p *pool.Provider) { p.Pools[0].Labels[0].FlavorName = name }
	}
	w := newWorld(t, aProvider("east", flavor("new")), aProvider("west", func(p *pool.Provider) {
		flavor("gone")(p)
		p.Pools[0].Limits.Instances = 1
	}))
	w.asked = 0
	w.quota("east", pool.NoLimits())
	w.quota("west", cores(2))
	w.request("a", "small")
	w.request("pinned", "small", func(r *pool.Request) { r.Provider = "west" })
	w.request("many", "big big", func(r *pool.Request) { r.Provider = "west" })
	w.request("large", "big", func(r *pool.Request) { r.Provider = "west" })
	w.quietly()
	for id, class := range map[string]string{"a": ClassNoFlavor, "pinned": ClassNoFlavor, "large": ClassTooLarge} {
		if a := w.allocations["ci/"+id]; a.State != pool.AllocationWaiting || a.Reasons[0].Class != class {
			t.Errorf("%s is %s for %+v, want it to wait for %s", id, a.State, a.Reasons, class)
		}
	}
	if a := w.allocations["ci/many"]; a.State != pool.AllocationFailed {
		t.Errorf("more nodes than the pool may have are %s", a.State)
	}
	wanted := map[string]int64{}
	for name, q := range w.quotas {
		wanted[name] = q.Wanted
		if q.Wanted <= w.requests["ci/a"].CreateRevision {
			t.Errorf("%s was not asked for again", name)
		}
	}
	w.asked = w.revision
	w.quota("east", pool.NoLimits()).Flavors[0].Name = "new"
	w.quota("west", cores(2))
	w.after(reasonsEvery)
	w.quietly()
	for id, state := range map[string]pool.AllocationState{
		"a": pool.AllocationWaiting, "pinned": pool.AllocationFailed, "large": pool.AllocationFailed,
	} {
		if a := w.allocations["ci/"+id]; a.State != state || state == pool.AllocationWaiting && a.Reasons[0].Class != ClassBuilding {
			t.Errorf("%s is %s for %+v, want %s", id, a.State, a.Reasons, state)
		}
	}
}
