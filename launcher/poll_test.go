package launcher

import (
	"errors"
	"strings"
	"sync/atomic"
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

// unanswered is since when the metrics say that the cloud answers no list; zero if
// it does.
func (w *world) unanswered() time.Time {
	w.t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "poold_launcher_unanswered_since_timestamp_seconds" {
			if s := f.GetMetric()[0].GetGauge().GetValue(); s > 0 {
				return time.Unix(int64(s), 0)
			}
		}
	}
	return time.Time{}
}

// A cloud that answers is never said not to, however seldom it is asked while
// nothing is there. One that does not is soon noticed, whether it refuses calls or
// leaves them lie, and also by a launcher that came later.
func TestCloudThatDoesNotAnswer(t *testing.T) {
	for what, trouble := range map[string]func() error{
		"refuses": func() error { return errors.New("refused") },
		"hangs":   func() error { time.Sleep(time.Minute); return errors.New("too late") },
	} {
		bubble(t, func(w *world) {
			var dead atomic.Bool
			w.cloud.step = func(what string) error {
				if dead.Load() && strings.HasPrefix(what, "before") {
					return trouble()
				}
				return nil
			}
			w.start()
			for range 60 {
				pass(time.Minute)
				if at := w.unanswered(); !at.IsZero() {
					t.Fatalf("%s: a cloud that is well is said not to answer since %v", what, at)
				}
			}
			pass(firstSweep + time.Second) // the next sweep is far
			dead.Store(true)
			died := time.Now()
			pass(sweepEvery + 2*time.Minute)
			since := w.unanswered()
			if since.Before(died.Truncate(time.Second)) {
				t.Errorf("%s: a cloud that died at %v is said not to answer since %v", what, died, since)
			}
			pass(time.Hour)
			if at := w.unanswered(); !at.Equal(since) {
				t.Errorf("%s: then it is said since %v, and no longer since %v", what, at, since)
			}
			w.end()
			w.start()
			pass(time.Second)
			if at := w.unanswered(); at.IsZero() {
				t.Errorf("%s: the next launcher says that it answers", what)
			}
			dead.Store(false)
			pass(3 * time.Minute)
			if at := w.unanswered(); !at.IsZero() {
				t.Errorf("%s: it answers again, and is said not to since %v", what, at)
			}
			w.end()
		})
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
