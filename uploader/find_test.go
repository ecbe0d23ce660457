package uploader

import (
	"testing"
	"testing/synctest"
	"time"

	"poold/cloud"
	"poold/pool"
)

// An image of ours that no record names is adopted if it is the build, bit by
// bit; what is something else is replaced, and what is another's is not touched.
func TestAdoption(t *testing.T) {
	for _, c := range []struct {
		name    string
		meddle  func(i *cloud.Image)
		adopted bool
		left    int // once the sweep was there
	}{
		{"identical", func(*cloud.Image) {}, true, 1},
		{"other data", func(i *cloud.Image) { i.Hash = "other" }, false, 1},
		{"other size", func(i *cloud.Image) { i.Bytes-- }, false, 1},
		{"no hash", func(i *cloud.Image) { i.HashAlgo, i.Hash = "", "" }, false, 1},
		{"not whole", func(i *cloud.Image) { i.Status = cloud.ImageSaving }, false, 1},
		{"another build", func(i *cloud.Image) { i.Mark.Upload = "a/0" }, false, 1},
		{"another provider's", func(i *cloud.Image) { i.Mark.Provider = "other" }, false, 2},
		{"another installation's", func(i *cloud.Image) { i.Mark.Installation = "other" }, false, 2},
	} {
		for _, tasks := range []bool{false, true} {
			name := c.name
			if tasks {
				name += ", where tasks make images"
			}
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newBench(t, "a")
					b.cloud.objects.wants, b.cloud.objects.means = tasks, cloud.ObjectMeans{MaxBytes: 1000, MaxSegments: 10}
					a := b.build("a", "1").Artifacts[0]
					there := &cloud.Image{
						ID: "there", Name: "a-old", Status: cloud.ImageActive, Bytes: a.Bytes, HashAlgo: "sha512", Hash: a.SHA512,
						Mark: cloud.Mark{Installation: "inst", Provider: "pr", Upload: "a/1"},
					}
					c.meddle(there)
					b.cloud.images["there"] = there
					stop := b.run()
					pass(time.Minute)
					u := b.want("a", "1", pool.UploadReady)
					if u.Attempts != 0 {
						t.Errorf("it took %d attempts", u.Attempts+1)
					}
					if sent := b.cloud.count("send") + b.cloud.count("segment"); (u.ExternalID == "there") != c.adopted || (sent == 0) != c.adopted {
						t.Errorf("it is %s, and data was sent %d times", u.ExternalID, sent)
					}
					stop()
					defer b.run()()
					pass(30 * time.Minute)
					if n := len(b.cloud.ids()); n != c.left {
						t.Errorf("%d images are left, want %d", n, c.left)
					}
					if again := b.want("a", "1", pool.UploadReady); again.ExternalID != u.ExternalID {
						t.Error("it was made again")
					}
				})
			})
		}
	}
}

// An image that is adopted and vanishes before it is ready costs an attempt.
func TestAdoptedVanishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a")
		a := b.build("a", "1").Artifacts[0]
		b.cloud.images["there"] = &cloud.Image{
			ID: "there", Status: cloud.ImageActive, Bytes: a.Bytes, HashAlgo: "sha512", Hash: a.SHA512,
			Mark: cloud.Mark{Installation: "inst", Provider: "pr", Upload: "a/1"},
		}
		looks := 0
		b.cloud.fault = func(when, op, id string) error {
			if op == "look" && when == "before" && id == "there" {
				if looks++; looks == 2 {
					delete(b.cloud.images, id)
				}
			}
			return nil
		}
		defer b.run()()
		pass(3 * time.Minute)
		u := b.want("a", "1", pool.UploadReady)
		b.exactly(u)
		if u.ExternalID == "there" || u.Attempts != 1 {
			t.Errorf("%+v", u)
		}
	})
}
