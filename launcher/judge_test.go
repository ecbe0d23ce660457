package launcher

import (
	"testing"

	"poold/pool"
)

// A batch that the cloud broke as a whole halves the next ones of its kind, down
// to single launches; one that it made as a whole lets them grow again, slowly.
// A batch of which a part broke says nothing.
func TestTheSizeOfBatchesFollowsTheCloud(t *testing.T) {
	t.Parallel()
	key, other := batchKey{label: "a"}, batchKey{label: "b"}
	v := newView(&pool.Provider{})
	size := batchMax
	for step, c := range []struct{ size, errored, booted, want int }{
		{batchMax, batchMax, 0, 25},
		{25, 24, 1, 25},
		{4, 4, 0, 2}, // what was broken was smaller than what may be asked for
		{2, 2, 0, 1},
		{1, 1, 0, 1},
		{1, 0, 1, 2},
		{2, 0, 1, 2}, // not over
		{2, 0, 2, 3},
		{3, 0, 3, 4},
		{4, 0, 4, 5},
		{5, 0, 5, 6},
		{6, 0, 6, 7},
		{7, 0, 7, 8},
		{8, 0, 8, 10},
	} {
		v.judge(&batch{key: key, size: c.size, errored: c.errored, booted: c.booted})
		if size = v.size(key); size != c.want {
			t.Fatalf("step %d: the size is %d, want %d", step, size, c.want)
		}
	}
	if n := v.size(other); n != batchMax {
		t.Errorf("what was not launched yet is asked for %d at a time, want %d", n, batchMax)
	}
	for range 20 {
		v.judge(&batch{key: key, size: size, booted: size})
	}
	if n := v.size(key); n != batchMax || len(v.sizes) > 0 {
		t.Errorf("after many good batches the size is %d, and %d are remembered", n, len(v.sizes))
	}
}
