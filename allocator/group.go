package allocator

import (
	"slices"

	"poold/pool"
)

const (
	// groupMax is how many decisions are written together at most, and
	// groupChanges how many records they may change: one transaction holds
	// twice as many, but compares more than it changes.
	groupMax     = 16
	groupChanges = 60
	// groupsMin is how many transactions a plan is spread over at least,
	// before decisions are put together.
	groupsMin = 4
)

// deed is a decision with the write that it became.
type deed struct {
	decision *Decision
	write    pool.Write
}

// grouped puts deeds together that are written as one, so that a burst costs
// few transactions. Neighbours only: what is more important is written first.
func grouped(deeds []deed) [][]deed {
	most := min(groupMax, len(deeds)/groupsMin)
	var groups [][]deed
	size := 0
	for i, d := range deeds {
		changes := records(&d.write)
		last := len(groups) - 1
		if i > 0 && len(groups[last]) < most && size+changes <= groupChanges && groups[last][0].write.By == d.write.By {
			groups[last] = append(groups[last], d)
			size += changes
			continue
		}
		groups, size = append(groups, []deed{d}), changes
	}
	return groups
}

// records is how many records a write changes or compares.
func records(w *pool.Write) int {
	return len(w.Nodes) + len(w.Allocations) + len(w.Builds) + len(w.Uploads) + len(w.Commands) + len(w.Quotas) + len(w.Healths) +
		len(w.Penalties) + len(w.Pauses) + len(w.Drains) + len(w.Offers) + len(w.Freezes) + len(w.Requests) + len(w.Unchanged) + len(w.Gone)
}

// together is one write of all that a group does.
func together(group []deed) pool.Write {
	all := group[0].write
	for _, d := range group[1:] {
		w := &d.write
		all.Nodes = slices.Concat(all.Nodes, w.Nodes)
		all.Allocations = slices.Concat(all.Allocations, w.Allocations)
		all.Builds = slices.Concat(all.Builds, w.Builds)
		all.Uploads = slices.Concat(all.Uploads, w.Uploads)
		all.Commands = slices.Concat(all.Commands, w.Commands)
		all.Quotas = slices.Concat(all.Quotas, w.Quotas)
		all.Healths = slices.Concat(all.Healths, w.Healths)
		all.Penalties = slices.Concat(all.Penalties, w.Penalties)
		all.Pauses = slices.Concat(all.Pauses, w.Pauses)
		all.Drains = slices.Concat(all.Drains, w.Drains)
		all.Offers = slices.Concat(all.Offers, w.Offers)
		all.Freezes = slices.Concat(all.Freezes, w.Freezes)
		all.Requests = slices.Concat(all.Requests, w.Requests)
		all.Unchanged = slices.Concat(all.Unchanged, w.Unchanged)
		all.Gone = slices.Concat(all.Gone, w.Gone)
	}
	return all
}
