package uploader

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"poold/cloud"
	"poold/pool"
)

// An image that vanished from the cloud is noticed and made again.
func TestVanished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a")
		b.build("a", "1")
		defer b.run()()
		pass(time.Minute)
		u := b.want("a", "1", pool.UploadReady)
		b.cloud.status(u.ExternalID, cloud.ImageBroken)
		pass(12 * time.Minute)
		again := b.want("a", "1", pool.UploadReady)
		if again.ExternalID == u.ExternalID {
			t.Error("the broken image is still on record")
		}
		b.exactly(again)
	})
}

// A launch that the cloud refused makes the uploader look at once whether the
// image is still there; one that failed for another reason does not.
func TestVanishedUnderALaunch(t *testing.T) {
	for kind, soon := range map[pool.Kind]bool{pool.KindInvalid: true, pool.KindNotFound: true, pool.KindCapacity: false} {
		t.Run(string(kind), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, "a")
				b.build("a", "1")
				defer b.run()()
				pass(time.Minute)
				u := b.want("a", "1", pool.UploadReady)
				b.cloud.status(u.ExternalID, cloud.ImageBroken)
				b.store.Edit(func() {
					b.store.Nodes = append(b.store.Nodes, &pool.Node{
						ID: "n1", Provider: "pr", ImageID: u.ExternalID, State: pool.NodeDeleted, Failure: kind,
						Timeline: []pool.Stamp{{State: pool.NodeFailed, At: time.Now()}},
					})
				})
				pass(time.Minute)
				if replaced := b.want("a", "1", pool.UploadReady).ExternalID != u.ExternalID; replaced != soon {
					t.Errorf("a minute after a launch failed as %s, replaced: %v, want %v", kind, replaced, soon)
				}
			})
		})
	}
}

// A leaked image is removed once it was seen twice; what is not ours, never;
// and nothing if there are too many, or the store lost its memory.
func TestSweep(t *testing.T) {
	leak := func(b *bench, n int, mark cloud.Mark) {
		for i := range n {
			id := fmt.Sprintf("%s-%s-%d", mark.Installation, mark.Provider, i)
			b.cloud.images[id] = &cloud.Image{ID: id, Status: cloud.ImageActive, Mark: mark}
		}
	}
	for _, c := range []struct {
		name  string
		leaks int
		rev   int64
		left  int
	}{
		{"a few", 10, 0, 3},
		{"too many", 11, 0, 14},
		{"from the future", 1, 1 << 40, 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, "a")
				b.build("a", "1")
				leak(b, c.leaks, cloud.Mark{Installation: "inst", Provider: "pr", Revision: c.rev})
				leak(b, 1, cloud.Mark{Installation: "other", Provider: "pr"})
				leak(b, 1, cloud.Mark{Installation: "inst", Provider: "elsewhere"})
				defer b.run()()
				pass(9 * time.Minute)
				if got := len(b.cloud.ids()); got != c.leaks+3 {
					t.Errorf("%d images after one look, want %d", got, c.leaks+3)
				}
				pass(2 * time.Minute)
				if got := len(b.cloud.ids()); got != c.left {
					t.Errorf("%d images are left, want %d", got, c.left)
				}
				b.want("a", "1", pool.UploadReady)
			})
		})
	}
}

// What a build takes out of the cloud is not leaked while it is built, and is
// when the build is over.
func TestSweepSparesExports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a")
		b.cloud.images["x"] = &cloud.Image{
			ID: "x", Status: cloud.ImageActive, Mark: cloud.Mark{Installation: "inst", Provider: "pr", Upload: "b/1"},
		}
		building := &pool.Build{Image: "b", ID: "1", State: pool.BuildBuilding}
		b.store.Edit(func() { b.store.Builds = append(b.store.Builds, building) })
		defer b.run()()
		pass(30 * time.Minute)
		if b.cloud.images["x"] == nil {
			t.Fatal("a build lost its image")
		}
		b.store.Edit(func() {
			over := *building
			over.State = pool.BuildFailed
			b.store.Builds = []*pool.Build{&over}
		})
		pass(20 * time.Minute)
		if b.cloud.images["x"] != nil {
			t.Error("the image of a build that is over is left")
		}
	})
}
