package spell_test

import (
	"testing"

	"poold/internal/spell"
)

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"rate", "rate", 0},
		{"", "abc", 3},
		{"rate", "rat", 1},
		{"rate", "grate", 1},
		{"rate", "rote", 1},
		{"kitten", "sitting", 3},
		{"flaw", "lawn", 2},
	} {
		if got, back := spell.Distance(c.a, c.b), spell.Distance(c.b, c.a); got != c.want || back != c.want {
			t.Errorf("%q and %q: %d and %d, want %d", c.a, c.b, got, back, c.want)
		}
	}
}
