package uploader

import (
	"testing"
	"testing/synctest"
	"time"

	"poold/cloud"
	"poold/pool"
)

// Whatever an uploader that died left behind, the next one ends with exactly
// one image, ready, under the id on record.
func TestCrash(t *testing.T) {
	for _, c := range []struct {
		name   string
		record pool.UploadState
		image  cloud.ImageStatus
		sends  int
		same   bool
	}{
		{"pending, before create", pool.UploadPending, "", 1, true},
		{"pending, after create", pool.UploadPending, cloud.ImageQueued, 1, true},
		{"uploading, before send", pool.UploadUploading, cloud.ImageQueued, 1, true},
		{"uploading, image gone", pool.UploadUploading, "", 1, true},
		{"uploading, in the middle of send", pool.UploadUploading, cloud.ImageSaving, 1, false},
		{"uploading, after send", pool.UploadUploading, cloud.ImageActive, 0, true},
		{"uploading, in the middle of staging", pool.UploadUploading, cloud.ImageStaged, 1, false},
		{"uploading, broken", pool.UploadUploading, cloud.ImageBroken, 1, false},
		{"failed", pool.UploadFailed, cloud.ImageSaving, 1, false},
		{"deleting, before delete", pool.UploadDeleting, cloud.ImageQueued, 1, false},
		{"deleting, after delete", pool.UploadDeleting, "", 1, false},
		{"deleted", pool.UploadDeleted, "", 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, "a")
				a := b.build("a", "1").Artifacts[0]
				b.store.Edit(func() {
					b.store.Uploads = []*pool.Upload{{
						Image: "a", Build: "1", Provider: "pr", State: c.record, ExternalID: "old", Format: "qcow2", Since: time.Now(),
						Record: pool.Record{Revision: b.store.Revision},
					}}
				})
				if c.image != "" {
					b.cloud.images["old"] = &cloud.Image{ID: "old", Status: c.image}
				}
				if c.image == cloud.ImageActive {
					b.cloud.images["old"].Bytes, b.cloud.images["old"].HashAlgo, b.cloud.images["old"].Hash = a.Bytes, "sha512", a.SHA512
				}
				defer b.run()()
				pass(time.Minute)
				u := b.want("a", "1", pool.UploadReady)
				b.exactly(u)
				if n := b.cloud.count("send"); n != c.sends || (u.ExternalID == "old") != c.same {
					t.Errorf("%d sends, want %d; id %s", n, c.sends, u.ExternalID)
				}
			})
		})
	}
}

// An uploader that is stopped at any moment leaves something from which a
// fresh one gets to the same end, with no image left over.
func TestStopAnywhere(t *testing.T) {
	for _, after := range []string{"create", "look", "send", "sent"} {
		t.Run(after, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, "a")
				b.cloud.pace = time.Second
				reached := make(chan struct{}, 100)
				b.cloud.fault = func(when, op, _ string) error {
					if when == "after" && op == after {
						reached <- struct{}{}
					}
					return nil
				}
				b.build("a", "1")
				stop := b.run()
				<-reached
				stop()
				defer b.run()()
				pass(3 * time.Minute)
				b.exactly(b.want("a", "1", pool.UploadReady))
			})
		})
	}
}

// Replies of the store that are lost, and a store that is away, neither lose
// nor double an upload.
func TestStoreFaults(t *testing.T) {
	for _, c := range []struct {
		name    string
		err     error
		applied bool
	}{
		{"unavailable", pool.ErrUnavailable, false},
		{"unknown and not done", pool.ErrUnknown, false},
		{"unknown and done", pool.ErrUnknown, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, "a")
				b.cloud.pace = 3 * time.Second
				n := 0
				b.store.Fail = func(pool.Write) (error, bool) {
					if n++; n%2 == 1 {
						return c.err, c.applied
					}
					return nil, false
				}
				b.build("a", "1")
				defer b.run()()
				pass(5 * time.Minute)
				b.exactly(b.want("a", "1", pool.UploadReady))
				if sends := b.cloud.count("send"); sends != 1 {
					t.Errorf("%d sends", sends)
				}
			})
		})
	}
}

// Data that a cloud lost is not sent to the same image again: that would go on
// for as long as the time-out, at full speed. A new upload starts instead.
func TestDataLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a")
		var first string
		b.cloud.fault = func(_, op, id string) error {
			if op != "sent" || first != "" {
				return nil
			}
			first = id
			b.cloud.images[id].Status = cloud.ImageQueued
			return fail(cloud.Ambiguous)
		}
		b.build("a", "1")
		defer b.run()()
		pass(4 * time.Minute)
		u := b.want("a", "1", pool.UploadReady)
		b.exactly(u)
		if n := b.cloud.count("send"); n != 2 || u.ExternalID == first || u.Attempts != 1 {
			t.Errorf("%d sends, attempt %d", n, u.Attempts)
		}
	})
}
