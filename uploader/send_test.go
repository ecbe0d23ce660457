package uploader

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"poold/pool"
)

// What needs no wait takes no time: an image that a cloud takes at once is
// ready as soon as its build is.
func TestPrompt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a")
		defer b.run()()
		pass(time.Minute)
		b.build("a", "1")
		pass(500 * time.Millisecond)
		b.want("a", "1", pool.UploadReady)
	})
}

// One peer makes so many uploads at once, to however many providers.
func TestSharedSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a", "b")
		b.limits = NewLimits(1, 0)
		b.cloud.pace = 2 * time.Second
		other := &bench{t: t, store: b.store, cloud: b.cloud, provider: b.provider, limits: b.limits}
		other.provider.Name = "other"
		b.build("a", "1")
		b.build("b", "1")
		defer b.run()()
		defer other.run()()
		pass(time.Second)
		if n := b.cloud.ids(); len(n) != 1 {
			t.Errorf("%d images made, want only the one whose turn it is", len(n))
		}
		pass(2 * time.Minute)
		if b.cloud.most != 1 {
			t.Errorf("%d uploads at once, want 1", b.cloud.most)
		}
		for _, image := range []string{"a", "b"} {
			b.want(image, "1", pool.UploadReady)
			other.want(image, "1", pool.UploadReady)
		}
	})
}

// An upload that waits for its turn can be taken back.
func TestUnwantedInLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a")
		b.limits = NewLimits(1, 0)
		leave, err := b.limits.enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		r := b.build("a", "1")
		defer b.run()()
		pass(time.Minute)
		b.want("a", "1", pool.UploadPending)
		b.store.Edit(func() {
			after := *r
			after.State = pool.BuildDeleting
			b.store.Builds[0] = &after
		})
		pass(time.Minute)
		b.want("a", "1", "none")
		leave()
		b.exactly()
	})
}

// Two providers share the bandwidth of a peer: 880 bytes at 44 a second take 20
// seconds, less what goes at once.
func TestSharedBandwidth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a")
		b.limits = NewLimits(0, 44)
		b.limits.bandwidth.SetBurst(44)
		other := &bench{t: t, store: b.store, cloud: newFakeCloud(), provider: b.provider, limits: b.limits}
		other.provider.Name = "other"
		b.build("a", "1")
		defer b.run()()
		defer other.run()()
		pass(16 * time.Second)
		if b.upload("a", "1").State == pool.UploadReady && other.upload("a", "1").State == pool.UploadReady {
			t.Error("both are ready before their time")
		}
		pass(6 * time.Second)
		b.want("a", "1", pool.UploadReady)
		other.want("a", "1", pool.UploadReady)
	})
}

// While it is sent, the record says how fast it goes and when it will be over;
// afterwards no more. It is written seldom.
func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a")
		b.cloud.pace = 20 * time.Second // seven reads of 64 bytes: 3.2 a second
		build := b.build("a", "1")
		defer b.run()()
		began := time.Now()
		pass(99 * time.Second)
		u := b.want("a", "1", pool.UploadUploading)
		if u.SentBytes != 320 || u.BytesPerSecond < 1 || u.BytesPerSecond > 6 || u.Expected == nil ||
			u.Expected.Before(began.Add(90*time.Second)) || u.Expected.After(began.Add(5*time.Minute)) {
			t.Errorf("%+v, expected %v", u, u.Expected)
		}
		if n := u.Revision - build.Revision; n > 2+5 {
			t.Errorf("%d writes for 5 pieces", n)
		}
		pass(time.Minute)
		u = b.want("a", "1", pool.UploadReady)
		if u.BytesPerSecond != 0 || u.Expected != nil {
			t.Errorf("ready, and still %+v", u)
		}
	})
}

// What broke off in the middle is not waited for: a new upload starts, after its
// back-off, in which there is nothing in the cloud.
func TestCut(t *testing.T) {
	for _, method := range []string{"put", "glance-direct"} {
		synctest.Test(t, func(t *testing.T) {
			b := importBench(t, method)
			b.cloud.cut = 200
			defer b.run()()
			pass(20 * time.Second)
			if u := b.want("a", "1", pool.UploadDeleted); !strings.Contains(u.Error, "of 440 bytes") {
				t.Errorf("failed with %q", u.Error)
			}
			b.exactly()
			pass(90 * time.Second)
			b.exactly(b.want("a", "1", pool.UploadReady))
		})
	}
}

// A cloud that takes nothing any more is given up long before the time-out; one
// that is slow is not.
func TestStalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a")
		b.provider.ImageUploadTimeout = 24 * time.Hour
		b.cloud.pace = stalledAfter + time.Minute
		b.build("a", "1")
		defer b.run()()
		pass(stalledAfter + 20*time.Second)
		if u := b.want("a", "1", pool.UploadDeleted); !strings.Contains(u.Error, "took no data") {
			t.Errorf("failed with %q", u.Error)
		}
		b.exactly()
	})
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a")
		b.provider.ImageUploadTimeout = 24 * time.Hour
		b.cloud.pace = stalledAfter - time.Minute
		b.build("a", "1")
		defer b.run()()
		pass(8 * stalledAfter)
		b.want("a", "1", pool.UploadReady)
	})
}

// What the metrics say of a send is over when the send is.
func TestPaceForgetsNothing(t *testing.T) {
	m := newMetrics(nil)
	p := &pace{metrics: m.of("p"), size: 1000}
	p.metrics.unsent.Add(1000)
	at := time.Unix(0, 0)
	for i, sent := range []int64{100, 500, 500, 900} {
		p.note(at.Add(time.Duration(i)*lookAtSending), sent)
	}
	p.over(1000)
	for _, c := range []struct {
		what string
		got  float64
		want float64
	}{{"sent", testutil.ToFloat64(p.metrics.bytes), 1000}, {"unsent", testutil.ToFloat64(p.metrics.unsent), 0}, {"rate", testutil.ToFloat64(p.metrics.rate), 0}} {
		if d := c.got - c.want; d > 1e-6 || d < -1e-6 {
			t.Errorf("%s: %v, want %v", c.what, c.got, c.want)
		}
	}
}
