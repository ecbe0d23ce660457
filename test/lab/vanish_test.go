//go:build lab

package lab

import (
	"fmt"
	"os"
	"testing"
)

// poold is given the credentials of another project. While it runs it refuses
// them; started with them it finds none of its servers and does not believe
// that: nothing is given up, launched or deleted until it sees them again.
func TestAnotherProject(t *testing.T) {
	t.Parallel()
	s := start(t, provider("r2", nil, pool("main", nil, label("plain", keys{"min-ready": 5}))))
	used := s.ask(t, "plain")
	used.served(t)
	s.awaitReady(t, 5)
	ours := s.tenant.inventory(t)

	other := newTenant(t, "r2")
	right := replace(t, s.tenant.file, read(t, other.file))
	s.await(t, "poold refuses the other project", soon, func() (string, bool) {
		return "", s.metric(t, "poold_cloud_reload_failed", `provider="r2"`) == 1
	})
	s.stop(t)
	s.again(t)
	s.await(t, "poold misses all its nodes", soon, func() (string, bool) {
		return "", s.metric(t, "poold_launcher_vanished_nodes", `provider="r2"`) == 6
	})
	waiting := s.ask(t, "plain")
	waiting.waits(t, "vanished")
	if lost := ours.missing(s.tenant.inventory(t)); lost != "" {
		t.Errorf("lost:\n%s", lost)
	}
	if made := other.regions["r2"].servers(t); len(made) > 0 {
		t.Errorf("launched in the other project: %s", describe(made))
	}
	if a := used.answer(t); a.State != "fulfilled" || a.Nodes[0].State != "in-use" {
		t.Errorf("the node in use is shown as %+v", a)
	}

	s.stop(t)
	replace(t, s.tenant.file, right)
	s.again(t)
	waiting.served(t)
	s.await(t, "nothing is missed any more", soon, func() (string, bool) {
		return "", s.metric(t, "poold_launcher_vanished_nodes", `provider="r2"`) == 0
	})
	used.release(t)
	waiting.release(t)
	s.awaitReady(t, 5)
	s.retire(t)
}

// awaitReady waits until n nodes are ready, and none is on its way.
func (s *site) awaitReady(t *testing.T, n int) {
	t.Helper()
	s.await(t, fmt.Sprintf("%d nodes are ready", n), long, func() (string, bool) {
		found := map[string]int{}
		for _, r := range s.records(t) {
			found[r.State]++
		}
		return fmt.Sprint(found), found["ready"] == n && found["pending"]+found["building"] == 0
	})
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// replace changes what a file says, and returns what it said before.
func replace(t *testing.T, file string, text []byte) []byte {
	t.Helper()
	before := read(t, file)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return before
}
