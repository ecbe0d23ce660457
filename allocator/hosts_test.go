package allocator

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"poold/pool"
)

// aRack is a provider of hosts: each is "NAME SLOTS LABEL...".
func aRack(name string, hosts ...string) pool.Provider {
	p := pool.Provider{Name: name, Driver: pool.DriverStatic, Pools: []pool.Pool{{Name: "main", Limits: pool.NoLimits()}}}
	in := &p.Pools[0]
	for _, line := range hosts {
		words := strings.Fields(line)
		h := pool.Host{
			Name: words[0], Labels: words[2:], Checking: true,
			Connection: pool.Connection{Type: "ssh", Port: 22, Username: "zuul"},
		}
		_, _ = fmt.Sscan(words[1], &h.Slots)
		in.Hosts = append(in.Hosts, h)
	}
	for _, l := range []string{"big", "rare", "small"} {
		if slices.ContainsFunc(in.Hosts, func(h pool.Host) bool { return slices.Contains(h.Labels, l) }) {
			in.Labels = append(in.Labels, pool.LabelSpec{Name: l, MinReady: in.Slots(l), HostKeyChecking: true})
		}
	}
	return p
}

func hostID(name string) string { return "zuul@" + name + ":22" }

// prove does what the launcher does about the nodes that are wanted.
func (w *world) prove() {
	w.t.Helper()
	for _, n := range sorted(w.nodes) {
		if n.State != pool.NodeReady || n.ProofAsked == nil {
			continue
		}
		after := n.Clone()
		at := w.now
		after.Proven, after.ProofAsked = &at, nil
		if _, err := w.apply(pool.Write{By: pool.Launcher, Nodes: []pool.Change[pool.Node]{pool.Update(n, after)}}); err != nil {
			w.t.Fatal(err)
		}
	}
}

// down says that hosts are down, and no others.
func (w *world) down(provider string, hosts ...string) {
	q := *w.quotas[provider]
	w.revision++
	q.Revision, q.Down = w.revision, map[string]string{}
	for _, h := range hosts {
		q.Down[hostID(h)] = "connection refused"
	}
	w.quotas[provider] = &q
}

func tellStatic(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, aRack("rack", "one 1 small", "two 2 small big"))
	w.pass("every slot stands ready, each for one of its host's labels")
	w.boot()
	w.pass("nothing is left to do")
	w.request("a", "small")
	w.pass("who wants a node has it looked at")
	w.prove()
	w.pass("and gets it once it was found well")
	w.request("set", "big big")
	w.pass("an idle node of another label makes room on a host that has both")
	w.sweep()
	w.pass("the slot goes to the set")
	w.prove()
	w.boot()
	w.pass("which is served")
	w.request("b", "small")
	w.pass("nothing is left: it waits, and no host is lent twice")
	w.request("never", "big big big")
	w.pass("what no number of free slots could serve fails")
	w.drop("a")
	w.pass("the first is given back")
	w.sweep()
	w.pass("and its slot goes to who waits")
	w.boot()
	w.pass("without another look")
	return w
}

func tellStaticDown(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, aRack("rack", "one 1 small", "two 1 small", "three 1 big"))
	w.down("rack", "one")
	w.pass("a host that is down has no nodes")
	w.boot()
	w.request("a", "small")
	w.quietly()
	w.prove()
	w.quietly()
	w.request("b", "small")
	w.pass("who wants one of it waits, and is told so")
	w.request("c", "big")
	w.quietly()
	w.prove()
	w.pass("which holds up nobody else")
	w.down("rack")
	w.pass("when it is back, it is lent")
	w.breakDown("n003", pool.KindCapacity, "batch")
	w.sweep()
	w.pass("if it proves not to be, it rests for a while")
	w.after(firstPause)
	w.pass("and is tried again, which nobody counts on")
	w.boot()
	w.pass("until it works")
	return w
}

func tellStaticChanges(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, aRack("rack", "one 2 small", "two 1 small", "three 1 small"))
	w.quietly()
	w.boot()
	w.request("a", "small")
	w.quietly()
	w.prove()
	w.quietly()
	w.cat.Providers[0] = aRack("rack", "one 1 small", "three 1 small big", "four 1 small")
	w.cat.Providers[0].Pools[0].Hosts[1].Connection.Type = "network_cli"
	w.pass("idle nodes of hosts that are gone, smaller or otherwise are retired; those in use are not")
	w.sweep()
	w.pass("and made anew as the hosts are now")
	w.boot()
	w.drop("a")
	w.quietly()
	w.sweep()
	w.pass("the one that was in use as well, once it is given back")
	return w
}

func tellStaticStarvation(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, aRack("rack", "one 2 small", "two 1 big"))
	w.quietly()
	w.boot()
	for _, id := range []string{"a", "b"} {
		w.request(id, "small")
	}
	w.quietly()
	w.prove()
	w.quietly()
	w.request("set", "small small")
	w.quietly()
	w.after(patience)
	w.request("single", "small")
	w.request("other", "big")
	w.drop("a")
	w.quietly()
	w.sweep()
	w.pass("a slot is free: it is kept for the set that has waited for long")
	w.prove()
	w.pass("and nobody else's host is")
	w.drop("b")
	w.quietly()
	w.sweep()
	w.quietly()
	w.boot()
	w.pass("the set is served when it has all")
	return w
}

// Seats are found if, and only if, there is a way to have them.
func TestSeatIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		labels := []string{"a", "b", "c"}
		s := &slice{}
		for i := range rapid.IntRange(1, 4).Draw(t, "hosts") {
			h := &host{
				id:   fmt.Sprint("h", i),
				conf: &pool.Host{Slots: rapid.IntRange(0, 3).Draw(t, "slots")},
				used: rapid.IntRange(0, 2).Draw(t, "used"),
			}
			for _, l := range labels {
				if rapid.Bool().Draw(t, "has "+l) {
					h.conf.Labels = append(h.conf.Labels, l)
				}
			}
			s.hosts = append(s.hosts, h)
		}
		counts := []int{
			rapid.IntRange(0, 3).Draw(t, "a"), rapid.IntRange(0, 3).Draw(t, "b"), rapid.IntRange(0, 3).Draw(t, "c"),
		}
		room := func(h *host) int { return h.conf.Slots - h.used }
		seats := s.seat(labels, counts, room)
		if possible := anyWay(s.hosts, labels, slices.Clone(counts), room); (seats != nil) != possible {
			t.Fatalf("seats %v, though that there is a way is %v", seats, possible)
		}
		on := map[*host]int{}
		for i, hosts := range seats {
			if len(hosts) != counts[i] {
				t.Fatalf("%d seats for %s, want %d", len(hosts), labels[i], counts[i])
			}
			for _, h := range hosts {
				if on[h]++; on[h] > room(h) || !h.serves(labels[i]) {
					t.Fatalf("%s cannot have %d, with a %s among them", h.id, on[h], labels[i])
				}
			}
		}
	})
}

// anyWay tries all ways.
func anyWay(hosts []*host, labels []string, counts []int, room func(h *host) int) bool {
	next := slices.IndexFunc(counts, func(n int) bool { return n > 0 })
	if next < 0 {
		return true
	}
	counts[next]--
	defer func() { counts[next]++ }()
	for _, h := range hosts {
		if h.serves(labels[next]) && room(h) > 0 {
			h.used++
			found := anyWay(hosts, labels, counts, room)
			h.used--
			if found {
				return true
			}
		}
	}
	return false
}

// Whatever happens, no slot is two nodes', no host has more nodes than slots,
// and nobody is given a node that was not looked at since he asked. When
// nothing happens any more, whoever can be served is.
func TestStaticHoldsWhatItPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, aRack("rack", "one 1 small", "two 2 small big", "three 3 big rare", "four 1 rare"))
		x := &racked{world: w, t: t}
		t.Repeat(map[string]func(*rapid.T){
			"":        func(*rapid.T) { x.check() },
			"ask":     x.ask,
			"drop":    x.drop,
			"pass":    func(*rapid.T) { x.step() },
			"boot":    x.bootOne,
			"break":   x.breakOne,
			"prove":   func(*rapid.T) { w.prove() },
			"sweep":   func(*rapid.T) { w.sweep() },
			"weather": x.weather,
			"time":    func(t *rapid.T) { w.after(time.Duration(rapid.IntRange(1, 400).Draw(t, "seconds")) * time.Second) },
		})
		x.settle()
	})
}

// racked is a world of hosts under a random life.
type racked struct {
	*world

	t    *rapid.T
	asks int
}

func (x *racked) ask(t *rapid.T) {
	x.asks++
	labels := rapid.SampledFrom([]string{
		"small", "big", "rare", "small small", "big rare", "small big rare", "rare rare rare",
		"small small big big", "big big big rare rare",
	}).Draw(t, "labels")
	x.request(fmt.Sprint("r", x.asks), labels)
}

func (x *racked) drop(t *rapid.T) {
	if len(x.requests) > 0 {
		r := rapid.SampledFrom(sorted(x.requests)).Draw(t, "request")
		x.world.drop(r.ID)
	}
}

func (x *racked) inFlight() []*pool.Node {
	return slices.DeleteFunc(sorted(x.nodes), func(n *pool.Node) bool { return !inFlight(n) })
}

func (x *racked) bootOne(t *rapid.T) {
	if some := x.inFlight(); len(some) > 0 {
		x.boot(rapid.SampledFrom(some).Draw(t, "node").ID)
	}
}

func (x *racked) breakOne(t *rapid.T) {
	if some := x.inFlight(); len(some) > 0 {
		n := rapid.SampledFrom(some).Draw(t, "node")
		x.breakDown(n.ID, pool.KindCapacity, string(n.ID))
	}
}

func (x *racked) weather(t *rapid.T) {
	var hosts []string
	for _, h := range []string{"one", "two", "three", "four"} {
		if rapid.IntRange(0, 3).Draw(t, h) == 0 {
			hosts = append(hosts, h)
		}
	}
	x.down("rack", hosts...)
}

// step decides once, and looks at what is given to whom.
func (x *racked) step() *Plan {
	plan := Decide(x.snapshot(), x.cat, x.now)
	for i := range plan.Decisions {
		d := &plan.Decisions[i]
		for _, c := range d.Write.Nodes {
			if c.After == nil || c.Before == nil || c.After.State != pool.NodeInUse || c.Before.State != pool.NodeReady {
				continue
			}
			if c.Before.ProofAsked != nil || c.Before.Revision <= c.After.AllocatedTo.CreateRevision {
				x.t.Fatalf("%s is given to %v, and was not looked at since that came", c.Before.ID, c.After.AllocatedTo)
			}
		}
	}
	x.carryOut(&plan)
	return &plan
}

func (x *racked) check() {
	seats, on := map[string]pool.NodeID{}, map[string]int{}
	for _, n := range sorted(x.nodes) {
		if !n.State.Live() {
			continue
		}
		seat := fmt.Sprint(n.AZ, "/", *n.Slot)
		if other := seats[seat]; other != "" {
			x.t.Fatalf("%s and %s are both %s", other, n.ID, seat)
		}
		seats[seat] = n.ID
		on[n.AZ]++
	}
	in := &x.cat.Providers[0].Pools[0]
	for id, n := range on {
		if h := in.Host(id); n > h.Slots {
			x.t.Fatalf("%d nodes are on %s, which has %d slots", n, id, h.Slots)
		}
	}
}

// settle has all go well from now on, each client give back what it gets, and
// everybody be served.
func (x *racked) settle() {
	x.down("rack")
	for range 400 {
		x.after(10 * time.Second)
		x.boot()
		x.prove()
		x.sweep()
		x.step()
		x.check()
		for _, a := range sorted(x.allocations) {
			if a.State == pool.AllocationWaiting {
				continue
			}
			if a.State == pool.AllocationFailed {
				x.t.Fatalf("%s failed: %s", a.ID, a.Error)
			}
			x.world.drop(a.ID)
		}
		if len(x.requests) == 0 && len(x.allocations) == 0 {
			return
		}
	}
	x.t.Fatalf("not all are served:\n%s\n%s", x.step(), x.picture())
}

// picture is who is where, and who waits for what.
func (x *racked) picture() string {
	var b strings.Builder
	for _, n := range sorted(x.nodes) {
		if n.State.Live() {
			fmt.Fprintf(&b, "%s %s %s on %s/%d, wanted %v\n", n.ID, n.State, n.Label, n.AZ, *n.Slot, n.ProofAsked != nil)
		}
	}
	for _, r := range sorted(x.requests) {
		e := Explain(x.snapshot(), x.cat, r.Ref(), x.now)
		fmt.Fprintf(&b, "%s %v: %s %+v\n", r.ID, r.Labels, e.Outcome, e.Places)
	}
	return b.String()
}
