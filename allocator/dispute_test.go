package allocator

import (
	"testing"

	"poold/pool"
)

// Nothing is retired because of the configuration as long as a running peer has
// it in another one.
func TestNothingIsRetiredInDispute(t *testing.T) {
	east, west := aProvider("east", nil), aProvider("west", nil)
	prints := func(providers ...pool.Provider) map[string]string {
		c := pool.Catalog{Providers: providers, Labels: []pool.Label{{Name: "small"}}}
		p, err := c.Prints()
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	other := aProvider("east", func(p *pool.Provider) { p.Pools[0].Labels = p.Pools[0].Labels[:1] })
	for name, c := range map[string]struct {
		// has is the file of the allocator, members are those of the peers.
		has     pool.Provider
		members []map[string]string
		stays   bool
	}{
		"nobody has the provider":         {west, []map[string]string{prints(west)}, false},
		"another peer has the provider":   {west, []map[string]string{prints(west), prints(east)}, true},
		"an older peer has it":            {west, []map[string]string{prints(west), nil}, true},
		"all agree that the label went":   {other, []map[string]string{prints(other), prints(other)}, false},
		"another peer still has the pool": {other, []map[string]string{prints(other), prints(east)}, true},
	} {
		w := newWorld(t, east)
		w.have(2, "big", "east")
		w.nodes["n002"].State = pool.NodeBuilding
		w.cat.Providers = []pool.Provider{c.has}
		for _, p := range c.members {
			w.members = append(w.members, &pool.Member{Prints: p, Providers: []string{"east"}})
		}
		w.quietly()
		if stays := w.nodes["n001"].State == pool.NodeReady; stays != c.stays {
			t.Errorf("%s: the node is %s", name, w.nodes["n001"].State)
		}
		if stays := w.nodes["n002"].State == pool.NodeBuilding; stays != c.stays {
			t.Errorf("%s: the node that boots is %s", name, w.nodes["n002"].State)
		}
	}
}
