package pool

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Presence is how much of a peer there is.
type Presence int

// The presences, best first.
const (
	// Present is a peer that runs, or was there a moment ago.
	Present Presence = iota
	// Away is a peer that has not been there for a while.
	Away
	// Gone is a peer that nobody waits for any more.
	Gone
)

// said is what one peer's file says of something.
type said[T any] struct {
	what *T
	peer string
	at   Presence
}

// Union is what the files of all peers have together. Owners says which peer
// owns a provider, by name. Of what files contradict each other in, one counts:
// of a provider what its owner says, for nobody else launches there; of a label
// the one that keeps most ready; of a tenant's limit the lowest. What only a peer has
// that is not present stays, but nothing can be launched there.
func Union(offers []*Offer, presence func(peer string) Presence, owners map[string]string) *Catalog {
	out := &Catalog{}
	for _, all := range gather(offers, presence, func(c *Catalog) []Provider { return c.Providers }, func(p *Provider) string { return p.Name }) {
		out.Providers = append(out.Providers, unitedProvider(all, owners))
	}
	for _, all := range gather(offers, presence, func(c *Catalog) []Label { return c.Labels }, func(l *Label) string { return l.Name }) {
		out.Labels = append(out.Labels, *slices.MinFunc(all, compareLabels).what)
	}
	for _, all := range gather(offers, presence, func(c *Catalog) []TenantLimit { return c.Tenants }, func(t *TenantLimit) string { return t.Tenant }) {
		out.Tenants = append(out.Tenants, lowestTenant(all))
	}
	out.MaxHoldAge = longestHold(offers)
	return out
}

// gather collects what is said of each thing of a kind, by peer, sorted by the
// name of the thing.
func gather[T any](offers []*Offer, presence func(string) Presence, list func(*Catalog) []T, name func(*T) string) [][]said[T] {
	byName := map[string][]said[T]{}
	var names []string
	for _, o := range offers {
		things := list(&o.Catalog)
		for i := range things {
			n := name(&things[i])
			if byName[n] == nil {
				names = append(names, n)
			}
			byName[n] = append(byName[n], said[T]{&things[i], o.Peer, presence(o.Peer)})
		}
	}
	slices.Sort(names)
	all := make([][]said[T], len(names))
	for i, n := range names {
		all[i] = byName[n]
	}
	return all
}

// unitedProvider is the provider as its owner has it, or else the first peer that
// launches there.
func unitedProvider(all []said[Provider], owners map[string]string) Provider {
	best := slices.MinFunc(all, func(a, b said[Provider]) int {
		return cmp.Or(
			first(a.what.Launches(), b.what.Launches()),
			cmp.Compare(a.at, b.at),
			first(owners[a.what.Name] == a.peer, owners[b.what.Name] == b.peer),
			cmp.Compare(a.peer, b.peer),
		)
	})
	out := *best.what
	switch elsewhere := slices.DeleteFunc(slices.Clone(all), func(s said[Provider]) bool {
		return s.at != Present || s.what.Driver == out.Driver && s.what.Cloud == out.Cloud && s.what.Region == out.Region
	}); {
	case best.at != Present:
		out.Away = "no running peer has it; " + best.peer + ", which had, is away"
		out.Gone = best.at == Gone
	case len(elsewhere) > 0:
		out.Away = "peers " + best.peer + " and " + elsewhere[0].peer + " have it in different clouds"
	}
	return out
}

// first orders what is so before what is not.
func first(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// compareLabels orders what is said of a label: what is more than a name, by who
// is there, and what keeps most ready.
func compareLabels(a, b said[Label]) int {
	return cmp.Or(first(!a.what.Plain(), !b.what.Plain()), cmp.Compare(a.at, b.at), cmp.Compare(b.what.MinReady, a.what.MinReady),
		strings.Compare(a.peer, b.peer))
}

// lowestTenant is a tenant with the lowest of its limits.
func lowestTenant(all []said[TenantLimit]) TenantLimit {
	out := *all[0].what
	for _, s := range all[1:] {
		out.Limits = out.Limits.Lowest(s.what.Limits)
	}
	return out
}

// longestHold is the longest of what holds are capped at: a hold is not ended
// early because files differ.
func longestHold(offers []*Offer) time.Duration {
	var longest time.Duration
	for _, o := range offers {
		longest = max(longest, o.Catalog.MaxHoldAge)
	}
	return longest
}
