package launcher

import (
	"testing"
	"time"

	"poold/cloud"
	"poold/pool"
)

// How long boots take is not known at first. The more nodes boot, the closer
// the lists: each serves them all.
func TestManyBootsAreLookedForMoreOften(t *testing.T) {
	lists := map[int]int{}
	for _, n := range []int{1, 100} {
		bubble(t, func(w *world) {
			w.cloud.boot = time.Minute
			w.start()
			w.store.add(ids(n)...)
			pass(20 * time.Second)
			before := w.cloud.called("list")
			pass(10 * time.Second)
			lists[n] = w.cloud.called("list") - before
			pass(time.Minute)
			w.want(pool.NodeReady, n)
			w.end()
		})
	}
	if lists[1] > 9 || lists[100] < 3*lists[1] || lists[100] > 5*lists[1] {
		t.Errorf("%d lists in ten seconds while a node boots, %d while a hundred do", lists[1], lists[100])
	}
}

// The estimate of a boot comes down after a slow one, stays put while it is
// right, and leaves room for boots that vary.
func TestLearnBoot(t *testing.T) {
	const s = time.Second
	asked := time.Unix(1e9, 0)
	seen := &track{node: &pool.Node{Label: "l"}, inst: cloud.Instance{ID: "i"}}
	unseen := &track{node: &pool.Node{Label: "l"}}
	for _, c := range []struct {
		name    string
		of      *track
		known   boots
		before  time.Duration // when the list before was
		took    time.Duration
		learned boots
	}{
		{"the first one, seen building before", seen, boots{}, 10 * s, 11 * s, boots{10 * s, 0}},
		{"the first one, active at the first look", unseen, boots{}, -s, 10 * s, boots{7 * s, 0}},
		{"seen, but not in a list since it was asked for", seen, boots{}, -s, 10 * s, boots{7 * s, 0}},
		{"active at the first look: it took less than that", unseen, boots{30 * s, 0}, -s, 20 * s, boots{26 * s, 4 * s}},
		{"active at a late first look: nothing is learned", unseen, boots{10 * s, s}, -s, 60 * s, boots{10 * s, s}},
		{"seen building before: an average", seen, boots{10 * s, 0}, 30 * s, 31 * s, boots{15 * s, 5 * s}},
		{"as long as ever: it varies less", seen, boots{10 * s, 4 * s}, 10 * s, 11 * s, boots{10 * s, 3 * s}},
	} {
		v := &view{boots: map[string]boots{"l": c.known}, lists: lists{last: asked.Add(c.before)}}
		if v.learnBoot(c.of, asked, asked.Add(c.took)); v.boots["l"] != c.learned {
			t.Errorf("%s: got %v, want %v", c.name, v.boots["l"], c.learned)
		}
	}
	if early := (boots{10 * s, 2 * s}).early(); early != 6*s-paceMin {
		t.Errorf("boots of 10 s, give or take 2 s, are looked for after %v", early)
	}
}
