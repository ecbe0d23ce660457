package daemon

import "testing"

// Memory is given back once after each burst, not during one, and not again
// while nothing happens.
func TestCalm(t *testing.T) {
	var c calm
	allocated := uint64(0)
	for i, look := range []struct {
		allocated uint64
		over      bool
	}{
		{1 << 20, false}, // nothing has happened yet
		{calmBytes, false},
		{10 * calmBytes, false},
		{1 << 20, true},
		{1 << 20, false},
		{calmBytes - 1, false},
		{calmBytes, false},
		{0, true},
	} {
		allocated += look.allocated
		if got := c.over(allocated); got != look.over {
			t.Errorf("look %d: over is %v, want %v", i, got, look.over)
		}
	}
}
