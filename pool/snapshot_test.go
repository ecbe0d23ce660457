package pool_test

import (
	"testing"
	"time"

	"poold/pool"
)

func TestBuildsOf(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := &pool.Snapshot{Builds: []*pool.Build{
		{Image: "a", ID: "old", Created: at},
		{Image: "b", ID: "other", Created: at.Add(time.Hour)},
		{Image: "a", ID: "twin-1", Created: at.Add(time.Minute)},
		{Image: "a", ID: "twin-2", Created: at.Add(time.Minute)},
	}}
	var got string
	for _, b := range s.BuildsOf("a") {
		got += b.ID + " "
	}
	if want := "twin-2 twin-1 old "; got != want || s.Builds[0].ID != "old" {
		t.Errorf("got %q, want %q and the snapshot as it was", got, want)
	}
}

func TestAnswers(t *testing.T) {
	one := &pool.Allocation{Client: "ci", ID: "1", RequestRevision: 5}
	s := &pool.Snapshot{Allocations: []*pool.Allocation{one}}
	if got := s.Answers(); len(got) != 1 || got[one.Ref()] != one {
		t.Errorf("got %v", got)
	}
}

// The list is in the order of the keys, in which "a-b/" is before "a/", and
// what is escaped before both.
func TestNodesOf(t *testing.T) {
	s := &pool.Snapshot{}
	for _, n := range []struct{ provider, id string }{
		{"ä", "1"}, {"a b", "1"}, {"a-b", "1"}, {"a-b", "2"}, {"a", "1"}, {"a", "2"}, {"a", "3"}, {"b", "1"},
	} {
		s.Nodes = append(s.Nodes, &pool.Node{Provider: n.provider, ID: pool.NodeID(n.id)})
	}
	for provider, want := range map[string]int{"ä": 1, "a b": 1, "a-b": 2, "a": 3, "b": 1, "aa": 0, "": 0, "c": 0} {
		nodes := s.NodesOf(provider)
		if len(nodes) != want {
			t.Errorf("%q has %d nodes, want %d", provider, len(nodes), want)
		}
		for _, n := range nodes {
			if n.Provider != provider {
				t.Errorf("%q has a node of %q", provider, n.Provider)
			}
		}
	}
}
