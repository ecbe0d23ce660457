package pool

import (
	"slices"
	"testing"
)

// forwardOnly protects the rule that no state is entered twice: a table with a
// cycle would make "is this observation stale?" a guess.
func forwardOnly[S ~string](t *testing.T, m Machine[S]) {
	t.Helper()
	seen := map[S]int{} // 1: on the path, 2: done
	var visit func(s S)
	visit = func(s S) {
		seen[s] = 1
		for _, e := range m.Edges {
			if e.From != s {
				continue
			}
			if seen[e.To] == 1 {
				t.Errorf("%s: %s -> %s closes a cycle", m.Kind, e.From, e.To)
			}
			if seen[e.To] == 0 {
				visit(e.To)
			}
		}
		seen[s] = 2
	}
	visit(m.Initial)
	for _, s := range m.States() {
		if seen[s] == 0 {
			t.Errorf("%s: %s cannot be reached", m.Kind, s)
		}
	}
}

func TestTablesGoForwardOnlyAndReachEveryState(t *testing.T) {
	forwardOnly(t, NodeMachine())
	forwardOnly(t, AllocationMachine())
	forwardOnly(t, BuildMachine())
	forwardOnly(t, UploadMachine())
}

// Every record must be able to end, or it leaks.
func TestEveryStateLeadsToTheEnd(t *testing.T) {
	m := NodeMachine()
	for _, s := range m.States() {
		reach := []S{s}
		for i := 0; i < len(reach); i++ {
			for _, e := range m.Edges {
				if e.From == reach[i] && !slices.Contains(reach, e.To) {
					reach = append(reach, e.To)
				}
			}
		}
		if !slices.Contains(reach, m.Terminal) {
			t.Errorf("%s never ends", s)
		}
	}
}

type S = NodeState

func TestCheckWrite(t *testing.T) {
	m := NodeMachine()
	ready, deleted := NodeReady, NodeDeleted
	for _, c := range []struct {
		name   string
		before *NodeState
		after  NodeState
		by     Actor
		ok     bool
	}{
		{"a new node is pending", nil, NodePending, Allocator, true},
		{"a new node is nothing else", nil, NodeReady, Launcher, false},
		{"a record may change without moving", &ready, NodeReady, Launcher, true},
		{"the owner takes its edge", &ready, NodeInUse, Allocator, true},
		{"nobody else takes it", &ready, NodeInUse, Launcher, false},
		{"nothing moves back", &deleted, NodeReady, Allocator, false},
	} {
		if err := m.CheckWrite(c.before, c.after, c.by); (err == nil) != c.ok {
			t.Errorf("%s: got %v", c.name, err)
		}
	}
}
