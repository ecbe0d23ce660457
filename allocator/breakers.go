package allocator

import (
	"cmp"
	"slices"
	"time"

	"poold/pool"
)

// Breakers returns the kinds of launch that are stopped now because they
// failed, as the next decision would find them, in a fixed order.
func Breakers(nodes []*pool.Node, now time.Time) []pool.Breaker {
	var open []pool.Breaker
	for k, b := range newCircuits(nodes, now).all {
		if !b.open || k == k.upload() { // what speaks of an upload is on record with it
			continue
		}
		open = append(open, pool.Breaker{
			Provider: k.provider, Pool: k.slice, AZ: k.az, ImageID: k.image, FlavorID: k.flavor,
			Kind: b.last.Failure, Last: b.last.ID, Text: b.text(), Since: b.oldest, Next: b.next(),
		})
	}
	slices.SortFunc(open, func(a, b pool.Breaker) int {
		return cmp.Or(
			cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.Pool, b.Pool), cmp.Compare(a.AZ, b.AZ),
			cmp.Compare(a.ImageID, b.ImageID), cmp.Compare(a.FlavorID, b.FlavorID),
		)
	})
	return open
}
