package peers

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"poold/pool"
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
		u, own := NewUnion("one", time.Now), file("east")
		both := file("west")
		both.Providers = append(both.Providers, own.Providers...)
		two, one := &pool.Offer{Peer: "two", Catalog: both}, &pool.Offer{Peer: "one", Catalog: file("stale")}
		far := time.Now().Add(-time.Hour) // the other one's clock
		running := &pool.Member{Name: "two", Started: far, Owns: []string{"provider/west"}}
		with := &pool.Snapshot{Revision: 1, Offers: []*pool.Offer{one, two}, Members: []*pool.Member{running}}
		without := &pool.Snapshot{Revision: 1, Offers: with.Offers}
		see := func(s *pool.Snapshot, away, gone bool) {
			t.Helper()
			c := u.Catalog(&own, s)
			west, east := c.Provider("west"), c.Provider("east")
			if west == nil || (west.Away != "") != away || west.Gone != gone || east == nil || east.Away != "" || c.Provider("stale") != nil {
				t.Fatalf("the catalog has %+v, want the west to be away %v and gone %v", c.Providers, away, gone)
			}
			if again := u.Catalog(&own, s); again != c {
				t.Error("the catalog is made anew though nothing changed")
			}
		}
		see(with, false, false)
		if why := u.built.Partial; !strings.Contains(why, "just begun") {
			t.Errorf("at the start it may lack something because %q", why)
		}
		time.Sleep(StartGrace)
		see(with, false, false)
		if why := u.built.Partial; why != "" {
			t.Errorf("it may lack something because %q", why)
		}
		see(without, false, false)
		time.Sleep(RestartGrace)
		see(without, true, false)
		see(with, false, false)
		see(without, false, false) // missed anew
		time.Sleep(AwayGrace)
		see(without, true, true)
		without.Unreadable = []string{"/poold/v1/members/two"}
		see(without, false, false) // of a newer version
	})
}

// Nobody concludes from what peers of other versions do not say.
func TestUnionMayLackSomething(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u, own := NewUnion("one", time.Now), file("east")
		if why := u.Catalog(&own, &pool.Snapshot{Revision: 1}).Partial; why == "" {
			t.Error("it lacks nothing at its first look")
		}
		time.Sleep(StartGrace)
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
			if got := u.Catalog(&own, &c.s).Partial; (got == "") != (c.says == "") || !strings.Contains(got, c.says) {
				t.Errorf("%s: %q, want %q", name, got, c.says)
			}
		}
	})
}

// What a peer had is kept for as long as nobody else has it, or for an hour.
func TestStaleOffers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := NewUnion("one", time.Now)
		// A builder has a provider for its images only.
		images := pool.Catalog{Providers: []pool.Provider{{Name: "west", Images: make([]pool.ProviderImage, 1)}}}
		s := &pool.Snapshot{
			Members: []*pool.Member{{Name: "one"}, {Name: "builder"}},
			Offers: []*pool.Offer{
				{Peer: "builder", Catalog: images}, {Peer: "one", Catalog: file("east")}, {Peer: "only", Catalog: file("west")}, {Peer: "was", Catalog: file("east")},
			},
		}
		if got := u.Stale(s); len(got) > 0 {
			t.Errorf("%v are stale at once", got)
		}
		time.Sleep(OfferGrace)
		if got := u.Stale(s); len(got) != 1 || got[0].Peer != "was" {
			t.Errorf("%v are stale, want that of the peer whose provider another has", got)
		}
	})
}
