package allocator

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"poold/pool"
)

// launched is a node as a launch leaves it: ready if it did not fail.
func launched(at time.Duration, az string, failure pool.Kind, batch string) *pool.Node {
	n := &pool.Node{
		Provider: "east", Pool: "main", Label: "small", ImageID: "img", FlavorID: "f", AZ: az,
		State: pool.NodeReady, Created: start, Failure: failure, Batch: batch,
	}
	if failure != "" {
		n.State = pool.NodeFailed
	}
	n.Since = start.Add(at)
	n.Timeline = []pool.Stamp{{State: n.State, At: n.Since}}
	return n
}

func TestBreakersOpenAndClose(t *testing.T) {
	capacity, slow, invalid := pool.KindCapacity, pool.KindTimeout, pool.KindInvalid
	other := launched(3, "az1", "", "")
	other.FlavorID = "g"
	for _, c := range []struct {
		name  string
		nodes []*pool.Node
		az    string
		pause time.Duration // zero: closed
	}{
		{"one failure", []*pool.Node{launched(1, "az1", slow, "a")}, "az1", 0},
		{"two of a batch", []*pool.Node{launched(1, "az1", slow, "a"), launched(1, "az1", slow, "a")}, "az1", firstPause},
		{"two batches", []*pool.Node{launched(1, "az1", slow, "a"), launched(1, "az1", slow, "b")}, "az1", 2 * firstPause},
		{"another zone", []*pool.Node{launched(1, "az1", slow, "a"), launched(1, "az2", slow, "b")}, "az1", 0},
		{"what is invalid", []*pool.Node{launched(1, "az1", invalid, "a")}, "az1", firstPause},
		{"no capacity", []*pool.Node{launched(1, "az1", capacity, "a")}, "az1", firstPause},
		{"no capacity, and then some", []*pool.Node{launched(1, "az1", capacity, "a"), launched(2, "az1", "", "b")}, "az1", 0},
		{"some capacity for another flavor", []*pool.Node{launched(1, "az1", capacity, "a"), other}, "az1", firstPause},
		{"some capacity, and then none", []*pool.Node{launched(3, "az1", capacity, "a"), launched(2, "az1", "", "b")}, "az1", firstPause},
		{"none where the cloud chooses", []*pool.Node{launched(1, "", capacity, "a")}, "", firstPause},
		{"but in the zone that it chose", []*pool.Node{launched(1, "", capacity, "a"), launched(2, "az1", "", "b")}, "", 0},
		{"quota is nobody's failure", []*pool.Node{launched(1, "az1", pool.KindQuota, "a")}, "az1", 0},
		{"nor is a doubtful create", []*pool.Node{launched(1, "az1", pool.KindNeverSeen, "a"), launched(1, "az1", pool.KindNeverSeen, "b")}, "az1", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var open *breaker
			for _, b := range newCircuits(c.nodes, start.Add(time.Minute)).before(breakerKey{"east", "main", c.az, "img", "f"}) {
				if b.open {
					open = b
				}
			}
			var pause time.Duration
			if open != nil {
				pause = open.until.Sub(open.newest)
			}
			if pause != c.pause {
				t.Errorf("a pause of %s, want %s", pause, c.pause)
			}
		})
	}
}

// Dead nodes are remembered for an hour, but no more of them than every decision
// can look at.
func TestForgetsTheOldestOfManyDead(t *testing.T) {
	s := &pool.Snapshot{}
	for i := range tombstonesMax + 3 {
		n := launched(time.Duration(i)*time.Millisecond, "az1", "", "")
		n.ID, n.State = pool.NodeID(strconv.Itoa(i)), pool.NodeDeleted
		s.Nodes = append(s.Nodes, n)
	}
	forgotten := func(now time.Time) []string {
		var ids []string
		plan := Decide(s, &pool.Catalog{}, now)
		for i := range plan.Decisions {
			for _, c := range plan.Decisions[i].Write.Nodes {
				ids = append(ids, string(c.Before.ID))
			}
		}
		return ids
	}
	if got := forgotten(start.Add(time.Minute)); !slices.Equal(got, []string{"0", "1", "2"}) {
		t.Errorf("forgot %v, want the three oldest", got)
	}
	s.Nodes = s.Nodes[3:]
	if got := forgotten(start.Add(time.Minute)); len(got) > 0 {
		t.Errorf("forgot %v of as many as may be remembered", got)
	}
	if got, want := Remembered(s.Nodes, start.Add(time.Minute)), s.Nodes[0].Since; !got.Equal(want) {
		t.Errorf("all are remembered since %v, want %v", got, want)
	}
	for at, nodes := range map[time.Time][]*pool.Node{start.Add(2 * tombstoneAge): s.Nodes, start.Add(time.Minute): s.Nodes[1:]} {
		if got, want := Remembered(nodes, at), at.Add(-tombstoneAge); !got.Equal(want) {
			t.Errorf("%d are remembered since %v, want %v", len(nodes), got, want)
		}
	}
	if got := forgotten(start.Add(tombstoneAge + time.Minute)); len(got) != tombstonesMax {
		t.Errorf("forgot %d of %d that are too old", len(got), tombstonesMax)
	}
}
