package allocator

import (
	"fmt"
	"testing"
	"time"

	"poold/pool"
)

// shares checks how many live nodes each provider has.
func (w *world) shares(want map[string]int) {
	w.t.Helper()
	for p, n := range want {
		if got := len(w.live(p)); got != n {
			w.t.Errorf("%d nodes in %s, want %d", got, p, n)
		}
	}
}

// Equals get nodes by their weight, a pool's before its provider's; priority
// comes first.
func TestWeights(t *testing.T) {
	weigh := func(name string, weight, priority int) pool.Provider {
		return aProvider(name, func(p *pool.Provider) { p.Weight, p.Priority = weight, priority })
	}
	own := weigh("south", 9, 1)
	own.Pools[0].Weight = 2
	for name, prepare := range map[string]func(w *world){
		"requests": func(w *world) {
			for i := range 12 {
				w.request(fmt.Sprint(i), "small")
			}
		},
		"min-ready": func(w *world) { w.cat.Labels = []pool.Label{{Name: "small", MinReady: 12}} },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, weigh("east", 0, 1), weigh("north", 3, 1), own, weigh("west", 100, 2))
			w.quota("east", cores(1000)) // more room does not matter
			prepare(w)
			w.quietly()
			w.shares(map[string]int{"east": 2, "north": 6, "south": 4, "west": 0})
		})
	}
}

// A preference decides between what is ready at the same time, and keeps nobody
// waiting.
func TestPreference(t *testing.T) {
	west := func(r *pool.Request) { r.Prefer = "west" }
	for name, c := range map[string]struct {
		prepare func(w *world)
		want    string
	}{
		"both have one":       {func(w *world) { w.have(1, "small", "east"); w.have(1, "small", "west") }, "west"},
		"the other has one":   {func(w *world) { w.have(1, "small", "east") }, "east"},
		"none has":            {func(*world) {}, "west"},
		"it is full":          {func(w *world) { w.cat.Providers[1].Pools[0].Limits = cores(1) }, "east"},
		"it does not answer":  {func(w *world) { w.quotas["west"].Trouble = "away" }, "east"},
		"nobody is called so": {func(w *world) { w.cat.Providers = w.cat.Providers[:1] }, "east"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, aProvider("east", func(p *pool.Provider) { p.Priority = 1 }), aProvider("west", func(p *pool.Provider) { p.Priority = 2 }))
			c.prepare(w)
			w.request("a", "small", west)
			w.ready()
			w.answers("a fulfilled")
			if got := w.allocations["ci/a"].Nodes[0].Provider; got != c.want {
				t.Errorf("it is from %s, want %s", got, c.want)
			}
			for range 3 {
				w.quietly()
			}
			if w.made > 2 {
				t.Errorf("%d nodes", w.made)
			}
		})
	}
}

// Requests that differ in what they prefer are not taken for one another.
func TestPreferencesApart(t *testing.T) {
	w := newWorld(t, aProvider("east", func(p *pool.Provider) { p.Priority = 1 }), aProvider("west", func(p *pool.Provider) { p.Priority = 2 }))
	w.request("a", "small", func(r *pool.Request) { r.Prefer = "west" })
	w.request("b", "small")
	w.quietly()
	w.shares(map[string]int{"east": 1, "west": 1})
}

// A pool's own floor is kept besides the system's and counts towards it, and
// what it needs is not given up.
func TestReadyInOnePool(t *testing.T) {
	w := newWorld(t, aProvider("east", nil), aProvider("west", func(p *pool.Provider) { p.Pools[0].Labels[0].MinReady = 2 }))
	w.quota("west", cores(6)) // the least room
	w.cat.Labels = []pool.Label{{Name: "small", MinReady: 5}}
	w.quietly()
	w.shares(map[string]int{"east": 3, "west": 2})
	w.cat.Labels[0].MinReady = 0
	w.quietly()
	w.shares(map[string]int{"east": 0, "west": 2})
}

// What is kept ready follows what is in use, and the clock.
func TestReadyFollows(t *testing.T) {
	w := newWorld(t, aProvider("east", nil))
	w.cat.Labels = []pool.Label{{Name: "small", MinReady: 1, ReadyPercent: 50, Schedule: []pool.Period{{
		Days: []time.Weekday{start.Weekday()}, From: 4 * time.Hour, To: 5 * time.Hour, Location: time.UTC, MinReady: 7,
	}}}}
	w.ready()
	w.count(1)
	for i := range 5 {
		w.request(fmt.Sprint(i), "small")
	}
	w.ready()
	w.count(5 + 3)
	w.after(time.Hour)
	w.ready()
	w.count(5 + 7)
}

// A client that keeps a node for too long loses it, and is told.
func TestInUseForTooLong(t *testing.T) {
	w := newWorld(t, aProvider("east", nil))
	w.have(2, "small", "east")
	w.request("a", "small")
	w.request("b", "small")
	w.quietly()
	w.after(1000 * time.Hour)
	w.quietly()
	w.cat.Labels[1].MaxInUseAge = 1001 * time.Hour
	w.rewrite("b", func(r *pool.Request) { r.Hold = &pool.Hold{Nodes: []pool.NodeID{"n002"}} })
	w.quietly()
	if plan := Decide(w.snapshot(), w.cat, w.now); !plan.Next.Equal(start.Add(1001 * time.Hour)) {
		t.Errorf("next at %s", plan.Next)
	}
	w.after(time.Hour)
	w.quietly()
	for id, want := range map[pool.NodeID]pool.NodeState{"n001": pool.NodeUsed, "n002": pool.NodeHold} {
		if got := w.nodes[id].State; got != want {
			t.Errorf("%s is %s, want %s", id, got, want)
		}
	}
	if got := w.allocations["ci/a"].Nodes[0].State; got != shownFailed {
		t.Errorf("the client reads %s", got)
	}
}
