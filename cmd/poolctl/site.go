package main

import (
	"slices"
	"strings"
	"time"

	"poold/allocator"
	"poold/pool"
	"poold/web/model"
)

// siteOf works out what the pages of poold show, from the records alone: what
// the files of the peers have together, who waits, and what is wrong.
func siteOf(s *pool.Snapshot, now time.Time) *model.Site {
	owners := map[string]string{}
	for _, m := range s.Members {
		for _, key := range m.Owns {
			if name, ok := strings.CutPrefix(key, "provider/"); ok {
				owners[name] = m.Name
			}
		}
	}
	presence := func(peer string) pool.Presence {
		if s.Runs(peer) {
			return pool.Present
		}
		return pool.Away
	}
	return model.New(model.Input{
		Records: s, Catalog: pool.Union(s.Offers, presence, owners), Breakers: allocator.Breakers(s.Nodes, now), Now: now,
	})
}

// troublesOf are those of a provider.
func troublesOf(site *model.Site, provider string) []model.Trouble {
	return slices.DeleteFunc(slices.Clone(site.Troubles), func(t model.Trouble) bool { return t.Provider != provider })
}
