package daemon

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"poold/config"
	"poold/pool"
	"poold/store"
	"poold/store/kv/memkv"
)

// file is a catalog with one provider.
func file(provider string) pool.Catalog {
	return pool.Catalog{
		Labels: []pool.Label{{Name: provider + "-label"}},
		Providers: []pool.Provider{{
			Name: provider, Pools: []pool.Pool{{Name: "main", Labels: []pool.LabelSpec{{Name: provider + "-label"}}}},
		}},
	}
}

// A peer that is missed is waited for, then its providers are away, then gone;
// what others have as well stays in service. It goes by the clock of whoever
// misses it.
func TestUnionMissesPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u, own := newUnion("one"), file("east")
		both := file("west")
		both.Providers = append(both.Providers, own.Providers...)
		two, one := &pool.Offer{Peer: "two", Catalog: both}, &pool.Offer{Peer: "one", Catalog: file("stale")}
		far := time.Now().Add(-time.Hour) // the other one's clock
		running := &pool.Member{Name: "two", Started: far, Owns: []string{"provider/west"}}
		with := &pool.Snapshot{Revision: 1, Offers: []*pool.Offer{one, two}, Members: []*pool.Member{running}}
		without := &pool.Snapshot{Revision: 1, Offers: with.Offers}
		see := func(s *pool.Snapshot, away, gone bool) {
			t.Helper()
			c := u.catalog(&own, s)
			west, east := c.Provider("west"), c.Provider("east")
			if west == nil || (west.Away != "") != away || west.Gone != gone || east == nil || east.Away != "" || c.Provider("stale") != nil {
				t.Fatalf("the catalog has %+v, want the west to be away %v and gone %v", c.Providers, away, gone)
			}
			if again := u.catalog(&own, s); again != c {
				t.Error("the catalog is made anew though nothing changed")
			}
		}
		see(with, false, false)
		if why := u.built.Partial; !strings.Contains(why, "just begun") {
			t.Errorf("at the start it may lack something because %q", why)
		}
		time.Sleep(startGrace)
		see(with, false, false)
		if why := u.built.Partial; why != "" {
			t.Errorf("it may lack something because %q", why)
		}
		see(without, false, false)
		time.Sleep(restartGrace)
		see(without, true, false)
		see(with, false, false)
		see(without, false, false) // missed anew
		time.Sleep(awayGrace)
		see(without, true, true)
		without.Unreadable = []string{"/poold/v1/members/two"}
		see(without, false, false) // of a newer version
	})
}

// Nobody concludes from what peers of other versions do not say.
func TestUnionMayLackSomething(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u, own := newUnion("one"), file("east")
		if why := u.catalog(&own, &pool.Snapshot{Revision: 1}).Partial; why == "" {
			t.Error("it lacks nothing at its first look")
		}
		time.Sleep(startGrace)
		for name, c := range map[string]struct {
			s    pool.Snapshot
			says string
		}{
			"alone":   {pool.Snapshot{Members: []*pool.Member{{Name: "one"}}}, ""},
			"older":   {pool.Snapshot{Members: []*pool.Member{{Name: "two", Version: "v0"}}}, "peer two, of version v0,"},
			"newer":   {pool.Snapshot{Unreadable: []string{"/poold/v1/members/two"}}, "newer version"},
			"offer":   {pool.Snapshot{Unreadable: []string{"/poold/v1/offers/two"}}, "newer version"},
			"another": {pool.Snapshot{Unreadable: []string{"/poold/v1/nodes/p/n"}}, ""},
		} {
			if got := u.catalog(&own, &c.s).Partial; (got == "") != (c.says == "") || !strings.Contains(got, c.says) {
				t.Errorf("%s: %q, want %q", name, got, c.says)
			}
		}
	})
}

// What a peer had is kept for as long as nobody else has it, or for an hour.
func TestStaleOffers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newUnion("one")
		// A builder has a provider for its images only.
		images := pool.Catalog{Providers: []pool.Provider{{Name: "west", Images: make([]pool.ProviderImage, 1)}}}
		s := &pool.Snapshot{
			Members: []*pool.Member{{Name: "one"}, {Name: "builder"}},
			Offers: []*pool.Offer{
				{Peer: "builder", Catalog: images}, {Peer: "one", Catalog: file("east")}, {Peer: "only", Catalog: file("west")}, {Peer: "was", Catalog: file("east")},
			},
		}
		if got := u.stale(s); len(got) > 0 {
			t.Errorf("%v are stale at once", got)
		}
		time.Sleep(offerGrace)
		if got := u.stale(s); len(got) != 1 || got[0].Peer != "was" {
			t.Errorf("%v are stale, want that of the peer whose provider another has", got)
		}
	})
}

// peerWith is a peer with a file and the duty of allocating, which only tells what
// the catalog is.
func peerWith(name string, records *memkv.KV, c pool.Catalog) *Daemon {
	d := newPeer(name, records)
	d.cfg = &config.Config{Name: name, Etcd: config.Etcd{LeaseTTL: ttl}, Catalog: c}
	d.enforce(&setup{cfg: d.cfg})
	return d
}

// Whichever peer plans knows what the others have, whether or not they still run;
// what has not changed is not written again.
func TestPeersOffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := newModel(t)
		one, two := peerWith("one", mem, file("east")), peerWith("two", mem, file("west"))
		stopOne, stopTwo := start(t, one), start(t, two)
		pass(time.Minute)
		for _, d := range []*Daemon{one, two} {
			if c := d.united(); c.Provider("east") == nil || c.Provider("west") == nil || c.Label("west-label") == nil || c.Partial != "" {
				t.Errorf("%s knows of %+v", d.name, c)
			}
		}
		stopTwo()
		pass(2 * awayGrace)
		if p := one.united().Provider("west"); p == nil || !p.Gone {
			t.Errorf("without its peer the west is %+v", p)
		}
		offers := func() map[string]int64 {
			items, _, err := mem.List(t.Context(), store.DefaultPrefix+"/offers/")
			if err != nil {
				t.Fatal(err)
			}
			at := map[string]int64{}
			for _, it := range items {
				at[it.Key] = it.ModRevision
			}
			return at
		}
		before := offers()
		stopAgain := start(t, peerWith("two", mem, file("west")))
		pass(time.Minute)
		for key, at := range offers() {
			if at != before[key] {
				t.Errorf("%s is written again", key)
			}
		}
		if p := one.united().Provider("west"); p.Away != "" {
			t.Errorf("the west is still away: %s", p.Away)
		}
		stopAgain()
		last := peerWith("two", mem, file("north"))
		stopLast := start(t, last)
		pass(time.Minute)
		if c := one.united(); c.Provider("west") != nil || c.Provider("north") == nil {
			t.Errorf("with another file of the peer there are %+v", c.Providers)
		}
		last.enforce(&setup{cfg: &config.Config{Catalog: file("south")}})
		pass(time.Minute)
		if c := one.united(); c.Provider("north") != nil || c.Provider("south") == nil {
			t.Errorf("after the peer took another file over there are %+v", c.Providers)
		}
		stopLast()
		stopOne()
	})
}
