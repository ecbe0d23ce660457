package peers

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"poold/pool"
)

// Images that nobody owns belong to the peer that has the newest files, whichever it
// is: after an etcd that was away it goes on with what it builds and sends.
func TestImagesGoToTheirFiles(t *testing.T) {
	names := []string{"one", "two", "three", "four"}
	keys := []string{"image/a", "uploading/g: p", "allocator"}
	snap := &pool.Snapshot{}
	for _, name := range names {
		snap.Members = append(snap.Members, &pool.Member{Name: name, Duties: keys})
	}
	s := NewSpread("one", time.Now)
	home := func(key string) string {
		at, _ := s.home(key)
		return at.name
	}
	s.take(snap)
	without := home("allocator")
	begin := time.Now()
	for i, name := range names {
		made := func(by string, state pool.BuildState, at time.Duration) *pool.Build {
			return &pool.Build{Builder: by, State: state, Created: begin.Add(at)}
		}
		next := names[(i+1)%len(names)]
		for what, builds := range map[string][]*pool.Build{
			"it builds":          {made(next, pool.BuildReady, 0), made(name, pool.BuildBuilding, 1)},
			"it built last":      {made(name, pool.BuildReady, 1), made(next, pool.BuildReady, 0)},
			"others have failed": {made(name, pool.BuildReady, 0), made(next, pool.BuildFailed, 1), made(next, pool.BuildDeleted, 1)},
			"who built is gone":  {made(name, pool.BuildReady, 0), made("gone", pool.BuildReady, 1)},
		} {
			s.look(&pool.Snapshot{Builds: builds})
			if a, b := home("image/a"), home("uploading/g: p"); a != name || b != name {
				t.Errorf("%s, %s: the image is %s's, uploads are %s's", name, what, a, b)
			}
			if at := home("allocator"); at != without {
				t.Errorf("%s, %s: another allocates", name, what)
			}
		}
		s.take(&pool.Snapshot{Members: snap.Members, Drains: []*pool.Drain{{Peer: name}}, Builds: []*pool.Build{made(name, pool.BuildReady, 0)}})
		if at := home("image/a"); at == name {
			t.Errorf("%s is drained, and has the image", name)
		}
		s.take(snap)
	}
}

// All peers agree where a duty belongs, and one more takes some from each and
// moves nothing else.
func TestRendezvous(t *testing.T) {
	var members []*pool.Member
	keys := []string{"allocator"}
	for i := range 300 {
		keys = append(keys, fmt.Sprintf("launching/g%d: p%d", i, i))
	}
	homes := func(of string) map[string]string {
		s := NewSpread(of, time.Now)
		s.take(&pool.Snapshot{Members: members})
		all := map[string]string{}
		for _, key := range keys {
			home, _ := s.home(key)
			all[key] = home.name
		}
		return all
	}
	for i := range 5 {
		before := homes("x")
		name := fmt.Sprintf("peer%d", i)
		members = append(members, &pool.Member{Name: name, Duties: keys})
		slices.SortFunc(members, func(a, b *pool.Member) int { return -strings.Compare(a.Name, b.Name) })
		after, moved := homes("y"), 0
		for _, key := range keys {
			if after[key] != before[key] {
				moved++
				if after[key] != name {
					t.Errorf("%s went from %s to %s when %s came", key, before[key], after[key], name)
				}
			}
		}
		if share := len(keys) / (i + 1); moved < share/2 || moved > 2*share {
			t.Errorf("%d of %d duties went to peer %d", moved, len(keys), i+1)
		}
	}
	// What only one of them lists is its own, and what none lists is nobody's.
	members = append(members, &pool.Member{Name: "builder", Duties: []string{"launching/alone"}})
	s := NewSpread("x", time.Now)
	s.take(&pool.Snapshot{Members: members})
	for key, want := range map[string]string{"launching/alone": "builder", "launching/none": ""} {
		if home, _ := s.home(key); home.name != want {
			t.Errorf("%s belongs to %q, want %q", key, home.name, want)
		}
	}
}
