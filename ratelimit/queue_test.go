package ratelimit

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// asGuard are lanes as they are used, the most urgent first.
func asGuard() []int { return []int{1, 8, 12, 16, 9, 20, 20} }

// entry is a call in the test, with how many turns others had before it.
type entry struct {
	lane, seq, ahead, turns int
	w                       *waiter
}

// No lane starves, whatever the others do: a call waits for those that stand
// before it in its lane, and for each of them and itself the lane's patience
// and a turn per lane at most. And urgent goes first: nobody passes a more
// urgent call without having been passed as often as its lane bears.
func TestEveryLaneHasItsTurn(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		patience := asGuard()
		q := newQueue(patience)
		// overloaded lanes always have somebody waiting.
		overloaded := rapid.SliceOfNDistinct(rapid.IntRange(0, len(patience)-1), 0, len(patience), rapid.ID).Draw(t, "overloaded")
		var waiting []*entry
		seq := 0
		came := func(lane int) {
			ahead := 0
			for _, e := range waiting {
				if e.lane == lane {
					ahead++
				}
			}
			seq++
			waiting = append(waiting, &entry{lane: lane, seq: seq, ahead: ahead, w: q.add(lane)})
		}
		for range rapid.IntRange(1, 400).Draw(t, "turns") {
			for _, lane := range overloaded {
				came(lane)
			}
			for _, lane := range rapid.SliceOfN(rapid.IntRange(0, len(patience)-1), 0, 2).Draw(t, "come") {
				came(lane)
			}
			if len(waiting) > 0 && rapid.IntRange(0, 9).Draw(t, "gives up") == 0 {
				i := rapid.IntRange(0, len(waiting)-1).Draw(t, "who")
				q.remove(waiting[i].lane, waiting[i].w)
				waiting = slices.Delete(waiting, i, i+1)
			}
			var before [7]int
			for i := range before {
				before[i] = q.lanes[i].passed
			}
			w := q.next()
			if w == nil {
				continue
			}
			i := slices.IndexFunc(waiting, func(e *entry) bool { return e.w == w })
			went := waiting[i]
			waiting = slices.Delete(waiting, i, i+1)
			for _, e := range waiting {
				e.turns++
				if most := (e.ahead + 1) * (patience[e.lane] + len(patience)); e.turns > most {
					t.Fatalf("a call of lane %d, %d before it, has waited for %d turns, want at most %d", e.lane, e.ahead, e.turns, most)
				}
				if e.lane < went.lane && before[went.lane] < patience[went.lane] {
					t.Fatalf("lane %d went before lane %d after %d turns, its patience is %d",
						went.lane, e.lane, before[went.lane], patience[went.lane])
				}
				if e.lane == went.lane && e.seq < went.seq {
					t.Fatalf("lane %d is not served in order", e.lane)
				}
			}
		}
	})
}

// When everybody wants more than there is, deletes get more than half, and
// looking for what is in flight a tenth, so that at least 85 % of the turns are
// for creating and deleting unless there are floating IPs or images to do.
func TestSharesUnderOverload(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		lanes []int
		want  map[int]float64 // the least share in percent
	}{
		{"all", []int{0, 1, 2, 3, 4, 5, 6}, map[int]float64{0: 50, 1: 9, 2: 6, 3: 5, 4: 8, 5: 4, 6: 4}},
		{"delete, launch, poll", []int{0, 2, 4}, map[int]float64{0: 78, 2: 7, 4: 8.5}},
		{"launch, poll", []int{2, 4}, map[int]float64{2: 90, 4: 9}},
		{"launches", []int{2, 3}, map[int]float64{2: 94, 3: 5}},
	} {
		q, turns := newQueue(asGuard()), map[*waiter]int{}
		got := make([]float64, len(asGuard()))
		for range 10_000 {
			for _, lane := range c.lanes {
				turns[q.add(lane)] = lane
			}
			got[turns[q.next()]] += 0.01
		}
		for lane, least := range c.want {
			if got[lane] < least {
				t.Errorf("%s: lane %d got %.1f %% of the turns, want at least %v %%: %v", c.name, lane, got[lane], least, got)
			}
		}
	}
}
