package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"poold/pool"
)

// Every list can be watched.
func TestListsCanBeWatched(t *testing.T) {
	lists := 0
	for _, noun := range command(time.Now).Commands() {
		for _, verb := range noun.Commands() {
			if verb.Name() != "list" {
				continue
			}
			lists++
			if verb.Flags().Lookup("watch") == nil {
				t.Errorf("%s list has no --watch", noun.Name())
			}
		}
	}
	if lists < 8 {
		t.Errorf("%d lists", lists)
	}
}

// Launches count for as long as the last minutes go, and who waits longest is
// first, whoever is served first.
func TestTop(t *testing.T) {
	at := func(d time.Duration) time.Time { return noon.Add(-d) }
	node := func(id, label, provider string, to pool.NodeState, ago time.Duration) *pool.Node {
		return &pool.Node{
			ID: pool.NodeID(id), Label: label, Provider: provider, State: to, Since: at(ago),
			Timeline: []pool.Stamp{{State: pool.NodePending, At: at(time.Hour)}, {State: to, At: at(ago)}},
		}
	}
	s := &pool.Snapshot{
		Nodes: []*pool.Node{
			node("1", "a", "north", pool.NodeReady, time.Minute), node("2", "a", "north", pool.NodeReady, topTime),
			node("3", "a", "north", pool.NodeFailed, time.Minute), node("4", "b", "south", pool.NodeReady, topTime-time.Second),
		},
		Offers: []*pool.Offer{{Peer: "one", Catalog: pool.Catalog{Labels: []pool.Label{{Name: "a", MinReady: 3}, {Name: "b"}}}}},
	}
	for i := range topRows + 2 {
		r := &pool.Request{Client: "ci", ID: fmt.Sprint(i), Labels: []string{"a"}, CreateRevision: int64(i + 1)}
		s.Requests = append(s.Requests, r)
		if i > 0 { // the first was not seen yet
			s.Allocations = append(s.Allocations, &pool.Allocation{
				Client: "ci", ID: r.ID, State: pool.AllocationWaiting, RequestRevision: r.CreateRevision,
				Since: at(time.Duration(i) * time.Minute), Created: at(time.Duration(i) * time.Minute),
			})
		}
	}
	o := look(s, noon)
	if o.Launched != (flow{Ready: 2, Failed: 1}) {
		t.Errorf("launched %+v", o.Launched)
	}
	if len(o.Labels) != 2 || o.Labels[0].Floor != 3 || o.Labels[0].Waiting != topRows+2 || o.Labels[0].Launched != (flow{1, 1}) ||
		o.Labels[1].Launched != (flow{1, 0}) || o.Labels[0].Nodes != (counts{Ready: 2, Leaving: 1}) {
		t.Errorf("labels %+v", o.Labels)
	}
	if len(o.Clouds) != 2 || o.Clouds[0].Launched != (flow{1, 1}) {
		t.Errorf("providers %+v", o.Clouds)
	}
	if len(o.Queue) != topRows || o.Queue[0].Request != "ci/9" || o.Queue[topRows-1].Request != "ci/2" {
		t.Errorf("longest waiting: %+v", o.Queue)
	}
	var b strings.Builder
	if err := printTop(&b, formatTable, o); err != nil || !strings.Contains(b.String(), "10 requests wait for 10 nodes; 0.2/min ready, 1 failed\n") {
		t.Errorf("%v:\n%s", err, b.String())
	}
}
