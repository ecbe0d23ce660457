package chaos

import (
	"strings"
	"testing"
	"time"
)

// What clients saw is possible if somebody can have given a slot back before the
// next one took it, and not otherwise.
func TestShared(t *testing.T) {
	begin := time.Now()
	// had says when a slot was asked for, given, being given back, and gone; -1
	// is never.
	had := func(who string, times ...int) held {
		at := func(i int) time.Time {
			if times[i] < 0 {
				return time.Time{}
			}
			return begin.Add(time.Duration(times[i]) * time.Second)
		}
		return held{slot: "node n", who: who, asked: at(0), answered: at(1), back: at(2), gone: at(3)}
	}
	other := had("b", 0, 1, 8, 9)
	other.slot = "node m"
	for name, c := range map[string]struct {
		all    []held
		shared bool
	}{
		"nobody":                            {nil, false},
		"one after the other":               {[]held{had("a", 0, 1, 2, 3), had("b", 4, 5, 6, 7)}, false},
		"asked for long before it was free": {[]held{had("a", 1, 2, 3, 4), had("b", 0, 5, 6, 7)}, false},
		"given while it was given back":     {[]held{had("a", 0, 1, 2, 5), had("b", 3, 4, 6, 7)}, false},
		"never known to be given back":      {[]held{had("a", 0, 1, 2, -1), had("b", 3, 4, 5, 6)}, false},
		"three in turn":                     {[]held{had("c", 0, 9, 10, 11), had("a", 0, 1, 2, 3), had("b", 0, 5, 6, 7)}, false},
		"another slot":                      {[]held{had("a", 0, 1, 8, 9), other}, false},
		"two at once":                       {[]held{had("a", 0, 1, 5, 6), had("b", 2, 3, 7, 8)}, true},
		"given just before it was given back": {
			[]held{had("a", 0, 1, 5, 6), had("b", 2, 4, 7, 8)}, true,
		},
		"one never gave it back":                     {[]held{had("a", 0, 1, -1, -1), had("b", 3, 4, 5, 6)}, true},
		"a third in between":                         {[]held{had("a", 0, 1, 2, 3), had("b", 4, 5, 8, 9), had("c", 4, 6, 7, 7)}, true},
		"the same request twice":                     {[]held{had("a", 0, 1, 4, 5), had("a", 2, 3, 4, 5)}, true},
		"nobody knows when it was given back, twice": {[]held{had("a", 0, 1, 6, -1), had("b", 2, 3, 6, -1)}, true},
	} {
		got := shared(c.all)
		if (len(got) > 0) != c.shared {
			t.Errorf("%s: got %q, want shared: %t", name, got, c.shared)
		}
		if c.shared && !strings.HasPrefix(got[0], "node n was had by more than one at a time: ") {
			t.Errorf("%s: it says %q", name, got)
		}
	}
}
