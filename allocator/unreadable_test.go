package allocator

import (
	"testing"

	"poold/pool"
)

// Nodes whose records cannot be read count against the limits of every pool of
// their provider and of every tenant (I5), and no host is lent beside them; other
// providers serve as ever.
func TestUnreadableNodesTakeAPlace(t *testing.T) {
	four := func(p *pool.Provider) {
		p.Pools[0].Limits.Instances = 4
		second := p.Pools[0]
		second.Name = "second"
		p.Pools = append(p.Pools, second)
	}
	acme := func(r *pool.Request) { r.Tenant = "acme" }
	const all = "small small small small"
	for name, c := range map[string]struct {
		unreadable []string
		want       string
	}{
		"none":                {nil, "fulfilled"},
		"one of the provider": {[]string{"/poold/v1/nodes/east/n9"}, "waiting"},
		"of another provider": {[]string{"/poold/v1/nodes/eastern/n9", "/poold/v1/requests/east/n9"}, "fulfilled"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, aProvider("east", four), aRack("rack", "one 1 rare"))
			w.unreadable = c.unreadable
			w.request("a", all)
			w.ready()
			w.answers("a " + c.want)
			w.request("b", "small small small")
			w.ready()
			w.answers("b fulfilled")
			w.cat.Tenants = []pool.TenantLimit{{Tenant: "acme", Limits: cores(4)}}
			w.finish("a")
			w.finish("b")
			w.request("c", "small", acme)
			w.ready()
			w.answers("c " + c.want) // one that is unreadable may be acme's, and as large as all that it may have
		})
	}
	t.Run("of hosts", func(t *testing.T) {
		w := newWorld(t, aProvider("east", nil), aRack("rack", "one 2 rare"))
		w.unreadable = []string{"/poold/v1/nodes/rack/n9"}
		w.request("a", "rare")
		w.request("b", "small")
		w.ready()
		w.answers("a waiting", "b fulfilled")
		if n := len(w.live("rack")); n > 0 {
			t.Errorf("%d slots are taken, and nobody knows which are free", n)
		}
		w.unreadable = nil
		w.ready()
		w.prove()
		w.ready()
		w.answers("a fulfilled")
	})
}
