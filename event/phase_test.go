package event

import (
	"strings"
	"testing"
	"time"

	"poold/pool"
)

// life makes a node that was in states, ten seconds each, and with marks a second
// apart from when it was building.
func life(marks int, states ...pool.NodeState) *pool.Node {
	n := &pool.Node{ID: "n", Provider: "p", State: pool.NodePending, Created: begin()}
	at := begin()
	for _, s := range states {
		at = at.Add(10 * time.Second)
		if n.State == pool.NodeBuilding {
			for i, mark := range []**time.Time{&n.Active, &n.Addressed, &n.Reachable} {
				if i < marks {
					seen := n.Since.Add(time.Duration(i+1) * time.Second)
					*mark = &seen
				}
			}
		}
		n = n.Moved(s, pool.Launcher, "", at)
	}
	return n
}

func say(all []Phase) string {
	var words []string
	for _, p := range all {
		word := p.Name + "=" + p.End.Sub(p.Begin).String()
		if p.Cut {
			word += "!"
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

func TestPhases(t *testing.T) {
	for _, c := range []struct {
		what   string
		marks  int
		states []pool.NodeState
		want   string
	}{
		{
			"a normal life", 3,
			[]pool.NodeState{"building", "ready", "in-use", "used", "deleting", "deleted"},
			"queued=10s asked=1s active=1s addressed=1s reachable=7s idle=10s handed-out=10s released=20s",
		},
		{"it never got an address", 1, []pool.NodeState{"building", "failed"}, "queued=10s asked=1s active=9s!"},
		{"it was never seen", 0, []pool.NodeState{"building", "failed", "deleting", "deleted"}, "queued=10s asked=10s! released=20s"},
		{"surplus before it was asked for", 0, []pool.NodeState{"deleted"}, "queued=10s!"},
		{"surplus while it booted", 0, []pool.NodeState{"building", "deleting", "deleted"}, "queued=10s asked=10s! released=10s"},
		{
			"held while in use", 3,
			[]pool.NodeState{"building", "ready", "in-use", "hold", "used", "deleting", "deleted"},
			"queued=10s asked=1s active=1s addressed=1s reachable=7s idle=10s handed-out=10s held=10s released=20s",
		},
		{
			"of a version that did not note it", 0,
			[]pool.NodeState{"building", "ready", "deleting", "deleted"},
			"queued=10s idle=10s released=10s",
		},
		{
			"it goes on", 3,
			[]pool.NodeState{"building", "ready", "in-use"},
			"queued=10s asked=1s active=1s addressed=1s reachable=7s idle=10s",
		},
	} {
		if got := say(Phases(life(c.marks, c.states...))); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.what, got, c.want)
		}
	}
}

// However often one looks, each phase ends once.
func TestPhasesEndOnce(t *testing.T) {
	states := []pool.NodeState{"building", "ready", "in-use", "hold", "used", "deleting", "deleted"}
	want := say(Phases(life(3, states...)))
	for step := 1; step <= len(states); step++ {
		var before *pool.Node
		var all []Phase
		for n := step; ; n += step {
			after := life(3, states[:min(n, len(states))]...)
			all = append(all, Ended(before, after)...)
			if before = after; n >= len(states) {
				break
			}
		}
		if got := say(all); got != want {
			t.Errorf("looking after every %d moves:\ngot  %s\nwant %s", step, got, want)
		}
	}
}

// The clock of one peer is behind: nothing takes less than no time.
func TestPhasesOfOtherClocks(t *testing.T) {
	n := life(3, "building", "ready")
	early := begin()
	n.Active = &early
	if got, want := say(Phases(n)), "queued=10s asked=0s active=2s addressed=1s reachable=7s"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
