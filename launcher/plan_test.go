package launcher

import (
	"testing"
	"time"

	"poold/cloud"
	"poold/pool"
)

// planFor decides about one node, an hour after its provider was first listed.
func planFor(n *pool.Node, change func(t *track)) plan {
	began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	now := began.Add(time.Hour)
	v := newView(&pool.Provider{Name: "p", Pools: []pool.Pool{{Name: "main", Labels: []pool.LabelSpec{{Name: "small"}}}}})
	n.Provider, n.Pool, n.Label, n.FlavorID, n.ImageID = "p", "main", "small", "f", "i"
	v.absorb(&pool.Snapshot{Revision: 9, Nodes: []*pool.Node{n}}, began)
	v.lists.full, v.lists.last = now, now
	v.lists.trusted = [2]time.Time{now, now}
	change(v.nodes[0])
	return v.decide(now)
}

// effects counts what a plan does to the node.
func (p *plan) effects() int {
	return len(p.launches) + len(p.moves) + len(p.fails) + len(p.reaches) + len(p.looks) + len(p.deletes) + len(p.clears)
}

// Nothing is decided about a node that is busy, that has to wait, or whose
// record may be older than our own last write; without that, each is.
func TestDecideWaits(t *testing.T) {
	t.Parallel()
	for _, state := range []pool.NodeState{pool.NodePending, pool.NodeBuilding, pool.NodeUsed, pool.NodeFailed, pool.NodeDeleting} {
		for name, c := range map[string]struct {
			change func(t *track)
			want   int
		}{
			"free":   {func(*track) {}, 1},
			"busy":   {func(t *track) { t.busy = true }, 0},
			"behind": {func(t *track) { t.behind = true }, 0},
			"later":  {func(t *track) { t.retry = t.since.Add(24 * time.Hour) }, 0},
		} {
			p := planFor(&pool.Node{ID: "n", State: state}, c.change)
			if got := p.effects(); got != c.want {
				t.Errorf("%s, %s: %d effects, want %d", state, name, got, c.want)
			}
		}
	}
}

// A ready node whose instance is in doubt is looked at, not failed.
func TestDecideDoubt(t *testing.T) {
	t.Parallel()
	p := planFor(&pool.Node{ID: "n", State: pool.NodeInUse, InstanceID: "i"}, func(t *track) { t.missing = true })
	if len(p.looks) != 1 || p.effects() != 1 {
		t.Errorf("plan %+v, want one look", p)
	}
	p = planFor(&pool.Node{ID: "n", State: pool.NodeInUse, InstanceID: "i"}, func(t *track) { t.inst.Status = cloud.StatusOther })
	if p.effects() != 0 {
		t.Errorf("plan %+v, want nothing", p)
	}
}

// A second delete is asked for later and later, with an end to the growth.
func TestReask(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]time.Duration{1: 30 * time.Second, 2: time.Minute, 4: 4 * time.Minute, 9: 10 * time.Minute} {
		if got := reask(n); got != want {
			t.Errorf("after %d deletes %v, want %v", n, got, want)
		}
	}
}
