package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"poold/config"
	"poold/pool"
)

// readyOf counts the nodes of each label that are ready.
func readyOf(snap *pool.Snapshot) map[string]int {
	ready := map[string]int{}
	for _, n := range snap.Nodes {
		if n.State == pool.NodeReady {
			ready[n.Label]++
		}
	}
	return ready
}

// A launcher's file of a real site, as it is, with the clouds that it names being
// simulated ones, and the builder's file of the same day: as many nodes of each
// label become ready as it wants, and labels of which it wants none are served
// when they are asked for.
func TestRealLauncherFile(t *testing.T) {
	dir := os.Getenv("POOLD_CORPUS")
	if dir == "" {
		t.Skip("POOLD_CORPUS does not name a folder with real configuration files")
	}
	files := map[string]config.Source{}
	for name, file := range map[string]string{
		"nl01": "openstack__project-config__5b7316cf__nl01.opendev.org.yaml", "builder": "openstack__project-config__5b7316cf__nodepool.yaml",
	} {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = config.Source{Name: file, Data: text}
	}
	s := newSite(t, files)
	mine := &s.files["nl01"].Catalog
	// What is in clouds of other launchers is not waited for.
	builds := &s.files["builder"].Catalog
	builds.Providers = slices.DeleteFunc(builds.Providers, func(p pool.Provider) bool { return mine.Provider(p.Name) == nil })
	if len(builds.Providers) != len(mine.Providers) || len(mine.Labels) < 10 {
		t.Fatalf("%d labels, %d providers, and a builder for %d of them", len(mine.Labels), len(mine.Providers), len(builds.Providers))
	}
	s.serve()
	for name := range s.files {
		s.start(name)
		defer s.stop(name)
	}
	unready := func(snap *pool.Snapshot) []string {
		var names []string
		ready := readyOf(snap)
		for _, l := range mine.Labels {
			if ready[l.Name] < l.MinReady {
				names = append(names, l.Name)
			}
		}
		return names
	}
	snap := s.await("every label has as many ready nodes as it wants", func(snap *pool.Snapshot) bool { return len(unready(snap)) == 0 })
	for _, n := range snap.Nodes {
		if n.Failure != "" {
			t.Errorf("node %s of %s failed: %s", n.ID, n.Label, n.Reason)
		}
	}
	for i, l := range mine.Labels {
		if l.MinReady > 0 {
			continue
		}
		if got := s.served(s.ask(fmt.Sprint("wanted-", i), l.Name, nil)); got.Label != l.Name {
			t.Errorf("asked for %s, got %s", l.Name, got.Label)
		}
	}
	used := 0
	for _, c := range s.clouds {
		used += len(c.Truth(time.Now()))
	}
	if used == 0 {
		t.Error("no cloud has a server")
	}
}
