package launcher

import (
	"context"
	"slices"
	"time"

	"go.uber.org/zap"

	"poold/cloud"
	"poold/pool"
)

const (
	// vanishMin is how many nodes must stand for it to be odd that more than
	// half of them vanish at once.
	vanishMin = 5
	// toldEvery is how often it is written which nodes have vanished, while
	// they are looked at one after the other.
	toldEvery = 10 * time.Second
)

// stands tells whether a node was ready once and is not given up yet.
func (t *track) stands() bool {
	switch t.node.State {
	case pool.NodeReady, pool.NodeInUse, pool.NodeHold:
		return t.inst.ID != ""
	case pool.NodePending, pool.NodeBuilding, pool.NodeUsed, pool.NodeFailed, pool.NodeDeleting, pool.NodeDeleted:
	}
	return false
}

// most tells whether so many of the nodes that stand are more than can vanish
// at once.
func most(gone, standing int) bool { return standing >= vanishMin && 2*gone > standing }

// unsure tells whether we may be looking at another project than the one that
// our instances are in. Then that an instance is not known proves nothing.
func (v *view) unsure() bool { return v.lost || v.held }

// believed tells whether it is believed that a node's instance is gone.
func (v *view) believed(t *track, now time.Time) bool {
	if !t.denied || !v.unsure() {
		return true
	}
	return v.agreed(t, now)
}

// agreed tells whether an operator agreed that a node has vanished.
func (v *view) agreed(t *track, now time.Time) bool {
	h := v.snap.Health(v.provider.Name)
	if h == nil {
		return false
	}
	gone := h.Gone(t.node.ID)
	return gone != nil && gone.Agreed(now)
}

// hold takes over whether the provider is held. After an agreement a full list
// tells whether there is more that it does not cover.
func (v *view) hold(now time.Time) {
	held := v.snap.Health(v.provider.Name).Held(now)
	if v.held && !held {
		v.lists.full = time.Time{}
	}
	v.held = held
}

// miss notes whether a full list lacks most of what should be there.
func (r *run) miss(instances []cloud.Instance, began time.Time) {
	there := make(map[string]bool, len(instances))
	for k := range instances {
		there[instances[k].ID] = true
	}
	standing, lacking := 0, 0
	for _, t := range r.view.nodes {
		if !t.stands() || t.gone && !t.denied || t.asOf.After(began) || r.view.agreed(t, began) {
			continue
		}
		standing++
		if !there[t.inst.ID] {
			lacking++
		}
	}
	r.view.lost = most(lacking, standing)
}

// deny notes the cloud's word that it knows no such instance, as of a time.
func (r *run) deny(t *track, at time.Time) {
	if t.gone {
		return
	}
	r.vanish(t, at)
	t.denied, t.asOf = true, at
}

// refute takes it back that an instance is not known, as it is seen again or
// known to be deleted. If there was doubt, then it was right, and the others
// are looked at anew.
func (r *run) refute(t *track, seen *cloud.Instance) {
	if !t.denied {
		return
	}
	t.gone, t.denied = false, false
	if seen.Status == cloud.StatusDeleted || !r.view.unsure() {
		return
	}
	for _, other := range r.view.nodes {
		if other.denied {
			other.gone, other.denied = false, false
		}
	}
}

// vanished is what should be on record of the nodes that have vanished: nothing
// once one of them is seen again, or as long as they are few. What is agreed to
// stays until it is done.
func (v *view) vanished(h *pool.Health, now time.Time) []pool.Vanished {
	if h == nil || !v.lost && len(h.Vanished) == 0 {
		return nil
	}
	var gone []pool.Vanished
	standing, denied := 0, 0
	for _, t := range v.nodes {
		if !t.stands() {
			continue
		}
		standing++
		before := h.Gone(t.node.ID)
		if before != nil && t.alive() {
			return nil
		}
		if t.denied {
			denied++
		}
		if entry := t.entry(before, now); entry != nil {
			gone = append(gone, *entry)
		}
	}
	if !h.Held(now) && !most(denied, standing) {
		gone = slices.DeleteFunc(gone, func(e pool.Vanished) bool { return !e.Agreed(now) })
	}
	return gone[:min(leaksKept, len(gone))]
}

// alive tells whether this process saw the instance, and not that it is gone
// since.
func (t *track) alive() bool { return !t.gone && !t.asOf.IsZero() }

// entry is what should be on record of a node, if it has vanished or did so for
// the owner before us.
func (t *track) entry(before *pool.Vanished, now time.Time) *pool.Vanished {
	if before == nil && t.denied {
		return &pool.Vanished{Node: t.node.ID, InstanceID: t.inst.ID, Since: stamp(now)}
	}
	return before
}

// unagreed counts those that nobody has agreed to.
func unagreed(vanished []pool.Vanished, now time.Time) int {
	n := 0
	for i := range vanished {
		if !vanished[i].Agreed(now) {
			n++
		}
	}
	return n
}

// tells tells whether it is time to write which nodes have vanished: at once
// when that begins or ends, else now and then.
func (s *sweep) tells(h *pool.Health, vanished []pool.Vanished, now time.Time) bool {
	same := slices.EqualFunc(h.Vanished, vanished, func(a, b pool.Vanished) bool { return a.Node == b.Node })
	return !same && (h.Held(now) != (unagreed(vanished, now) > 0) || !now.Before(s.told.Add(toldEvery)))
}

// nextTold is when to look again while nothing is swept.
func (s *sweep) nextTold(h *pool.Health, now time.Time) time.Time {
	if next := s.told.Add(toldEvery); next.After(now) {
		return next
	}
	return h.At.Add(healthEvery)
}

// writeVanished writes which nodes have vanished.
func (r *run) writeVanished(ctx context.Context, h *pool.Health, vanished []pool.Vanished, now time.Time) {
	switch n := unagreed(vanished, now); {
	case n > 0 && !h.Held(now):
		r.log.Error("held: nodes seem to have vanished", zap.Int("nodes", n), zap.String("first", string(vanished[0].Node)))
	case n == 0 && h.Held(now):
		r.log.Info("not held any more: nodes that seemed to have vanished are there")
	}
	r.sweep.told = now
	next := h.Clone()
	next.Vanished, next.At = vanished, stamp(now)
	r.writeHealth(ctx, h, next, nil)
}
