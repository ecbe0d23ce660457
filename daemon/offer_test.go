package daemon

import (
	"testing"
	"testing/synctest"
	"time"

	"poold/config"
	"poold/peers"
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
		pass(2 * peers.AwayGrace)
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
