package rest_test

import (
	"testing"
	"time"

	"poold/internal/rest"
)

func TestAfter(t *testing.T) {
	var r rest.Rest
	for _, c := range []struct{ took, want time.Duration }{
		{2 * time.Millisecond, 8 * time.Millisecond},
		{18 * time.Millisecond, 16 * time.Millisecond}, // an eighth of the rise
		{time.Millisecond, 4 * time.Millisecond},
		{time.Second, rest.Longest},
	} {
		if got := r.After(c.took); got != c.want {
			t.Errorf("after a pass of %v: %v, want %v", c.took, got, c.want)
		}
	}
}
