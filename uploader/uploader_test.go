package uploader

import (
	"context"
	"crypto/rand"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap/zaptest"

	"poold/cloud"
	"poold/internal/recordtest"
	"poold/pool"
)

// bench is one provider over a fake store and a fake cloud. It is used inside
// a synctest bubble.
type bench struct {
	t        *testing.T
	dir      string
	store    *recordtest.Store
	cloud    *fakeCloud
	provider pool.Provider
	limits   *Limits
	shelf    *Shelf
}

func newBench(t *testing.T, images ...string) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir(), store: recordtest.New(), cloud: newFakeCloud(), provider: pool.Provider{
		Name: "pr", ImageNameFormat: "{image_name}-{timestamp}", ImageUploadTimeout: time.Hour, MaxUploads: 2,
	}}
	for _, i := range images {
		b.provider.Images = append(b.provider.Images, pool.ProviderImage{Name: i})
	}
	return b
}

// build adds a ready build of an image with some data, made now.
func (b *bench) build(image, id string) *pool.Build {
	b.t.Helper()
	path := filepath.Join(b.dir, image+"-"+id+".qcow2")
	data := []byte(strings.Repeat("data of "+image+id+"\n", 40))
	if err := os.WriteFile(path, data, 0o644); err != nil {
		b.t.Fatal(err)
	}
	sum := sha512.Sum512(data)
	r := &pool.Build{
		Image: image, ID: id, State: pool.BuildReady, Since: time.Now(), Created: time.Now(), Builder: "p1",
		Artifacts: []pool.Artifact{{Format: "qcow2", Path: path, Bytes: int64(len(data)), SHA512: hex.EncodeToString(sum[:])}},
	}
	b.store.Edit(func() {
		r.Revision = b.store.Revision
		b.store.Builds = append(b.store.Builds, r)
	})
	return r
}

// run runs a fresh uploader until stop is called.
func (b *bench) run() (stop func()) {
	ctx, cancel := context.WithCancel(b.t.Context())
	u := New(Config{
		Provider: b.provider, Peer: "p1", Installation: "inst", Images: []pool.Image{{Name: "a", Properties: map[string]string{"os": "x"}}},
		Driver: b.cloud, Limits: b.limits, Shelf: b.shelf, Store: b.store, Random: rand.Reader, Log: zaptest.NewLogger(b.t), Registerer: prometheus.NewPedanticRegistry(),
	})
	ended := make(chan error)
	go func() { ended <- u.Run(ctx) }()
	return func() {
		b.t.Helper()
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			b.t.Errorf("Run returned %v", err)
		}
	}
}

func (b *bench) upload(image, build string) *pool.Upload {
	for _, u := range b.store.Snapshot().Uploads {
		if u.Image == image && u.Build == build && u.Provider == b.provider.Name {
			return u
		}
	}
	return &pool.Upload{State: "none"}
}

func (b *bench) want(image, build string, state pool.UploadState) *pool.Upload {
	b.t.Helper()
	u := b.upload(image, build)
	if u.State != state {
		b.t.Errorf("the upload of %s/%s is %s (%s), want %s; %v", image, build, u.State, u.Error, state, b.store.Moves)
	}
	return u
}

// exactly checks that the cloud has the images of these uploads and no other.
func (b *bench) exactly(uploads ...*pool.Upload) {
	b.t.Helper()
	var want []string
	for _, u := range uploads {
		want = append(want, u.ExternalID)
	}
	got := b.cloud.ids()
	slices.Sort(want)
	slices.Sort(got)
	if d := cmp.Diff(want, got); d != "" {
		b.t.Errorf("images in the cloud: %s", d)
	}
}

// pass lets time pass and everything settle.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// A new build is uploaded, verified and shown ready; its id was on record
// first.
func TestUpload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a")
		b.cloud.processing = 30 * time.Second
		b.cloud.fault = func(when, op, id string) error {
			if op == "create" && when == "before" && b.upload("a", "1").ExternalID != id {
				t.Errorf("image %s is asked for before it is on record", id)
			}
			return nil
		}
		build := b.build("a", "1")
		stop := b.run()
		defer stop()
		pass(time.Minute)
		u := b.want("a", "1", pool.UploadReady)
		b.exactly(u)
		if !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(u.ExternalID) {
			t.Errorf("%q is no UUID", u.ExternalID)
		}
		if u.Bytes != build.Artifacts[0].Bytes || u.SentBytes != u.Bytes || u.Format != "qcow2" ||
			u.ExternalName != fmt.Sprintf("a-%d", u.Created.Unix()) {
			t.Errorf("%+v", u)
		}
		mark := b.cloud.images[u.ExternalID].Mark
		if mark.Revision == 0 {
			t.Error("the mark has no revision")
		}
		mark.Revision = 0
		if d := cmp.Diff(cloud.Mark{Installation: "inst", Provider: "pr", Upload: "a/1"}, mark); d != "" {
			t.Error(d)
		}
		looks := b.cloud.count("look")
		pass(9 * time.Minute)
		if n := b.cloud.count("look"); n != looks {
			t.Errorf("%d calls though nothing is to be done", n-looks)
		}
	})
}

// Two images go at once, a third waits; a slow provider does not hold up
// another. Progress is written at most every 5 s.
func TestParallel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a", "b", "c")
		b.cloud.pace = 10 * time.Second
		for _, i := range b.provider.Images {
			b.build(i.Name, "1")
		}
		other := &bench{t: t, store: b.store, cloud: newFakeCloud(), provider: b.provider}
		other.provider.Name = "fast"
		defer b.run()()
		defer other.run()()
		pass(25 * time.Second)
		if b.cloud.most != 2 {
			t.Errorf("%d uploads at once, want 2", b.cloud.most)
		}
		if u := b.want("a", "1", pool.UploadUploading); u.SentBytes == 0 {
			t.Error("no progress is shown")
		}
		for _, i := range b.provider.Images {
			other.want(i.Name, "1", pool.UploadReady)
		}
		pass(10 * time.Minute)
		for _, i := range b.provider.Images {
			b.want(i.Name, "1", pool.UploadReady)
		}
	})
}

// An image whose data is not what was sent never becomes ready; it is deleted
// and sent again under a new id after a back-off that grows.
func TestMismatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a")
		b.cloud.corrupt = true
		b.build("a", "1")
		defer b.run()()
		pass(20 * time.Second)
		u := b.want("a", "1", pool.UploadDeleted)
		if !strings.Contains(u.Error, "sha512") || u.Attempts != 0 {
			t.Errorf("%+v", u)
		}
		b.exactly()
		pass(40 * time.Second)
		if again := b.want("a", "1", pool.UploadDeleted); again.Attempts != 1 || again.ExternalID == u.ExternalID {
			t.Errorf("%+v", again)
		}
		pass(time.Hour)
		if n := b.cloud.count("send"); n < 7 || n > 10 {
			t.Errorf("%d attempts in an hour", n)
		}
		b.cloud.mu.Lock()
		b.cloud.corrupt = false
		b.cloud.mu.Unlock()
		pass(20 * time.Minute)
		b.exactly(b.want("a", "1", pool.UploadReady))
	})
}

// Faults that pass do not cost an image or a copy of the data.
func TestFaults(t *testing.T) {
	for _, c := range []struct {
		name, when, op string
		kind           cloud.Kind
		sends          int
		attempts       int
	}{
		{"the reply to create is lost", "after", "create", cloud.Ambiguous, 1, 0},
		{"create was not done but might have been", "before", "create", cloud.Ambiguous, 1, 0},
		{"create must wait", "before", "create", cloud.RateLimited, 1, 0},
		{"a look fails", "before", "look", cloud.Transient, 1, 0},
		{"send is refused before data", "before", "send", cloud.Transient, 2, 0},
		{"the reply to send is lost", "before", "sent", cloud.Ambiguous, 1, 0},
		{"the cloud refuses the data at the end", "before", "sent", cloud.Transient, 2, 1},
		{"the cloud refuses the image", "before", "create", cloud.Invalid, 1, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, "a")
				left := 1
				b.cloud.fault = func(when, op, _ string) error {
					if when == c.when && op == c.op && left > 0 {
						left--
						return fail(c.kind)
					}
					return nil
				}
				b.build("a", "1")
				defer b.run()()
				pass(2 * time.Minute)
				u := b.want("a", "1", pool.UploadReady)
				b.exactly(u)
				if n := b.cloud.count("send"); n != c.sends || u.Attempts != c.attempts || left != 0 {
					t.Errorf("%d sends, want %d; %d attempts, want %d", n, c.sends, u.Attempts, c.attempts)
				}
			})
		})
	}
}

// The current and the previous upload stay; the one before goes, but not while
// a launch needs it. A cloud that will not delete is asked less and less.
func TestRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a")
		defer b.run()()
		for _, id := range []string{"1", "2"} {
			b.build("a", id)
			pass(time.Minute)
		}
		first := b.want("a", "1", pool.UploadReady)
		b.store.Edit(func() {
			b.store.Nodes = []*pool.Node{{Provider: "pr", State: pool.NodePending, ImageID: first.ExternalID}}
		})
		b.build("a", "3")
		pass(time.Minute)
		b.want("a", "1", pool.UploadReady)
		b.cloud.mu.Lock()
		b.cloud.fault = func(_, op, _ string) error {
			if op == "delete" {
				return fail(cloud.Conflict)
			}
			return nil
		}
		b.cloud.mu.Unlock()
		b.store.Edit(func() { b.store.Nodes = nil })
		pass(time.Hour)
		b.want("a", "1", pool.UploadDeleting)
		if n := b.cloud.count("delete"); n < 5 || n > 15 {
			t.Errorf("%d deletes in an hour", n)
		}
		b.cloud.mu.Lock()
		b.cloud.fault = nil
		b.cloud.mu.Unlock()
		pass(16 * time.Minute)
		b.want("a", "1", "none")
		b.exactly(b.want("a", "2", pool.UploadReady), b.want("a", "3", pool.UploadReady))
	})
}

// An upload goes with its build and with its line in the configuration, also
// in the middle of being sent.
func TestUnwanted(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*pool.Build)
	}{
		{"the build is deleted", func(r *pool.Build) { r.State = pool.BuildDeleting }},
		{"its record is gone", func(r *pool.Build) { r.Image = "other" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, "a")
				b.cloud.pace = time.Minute
				r := b.build("a", "1")
				defer b.run()()
				pass(30 * time.Second)
				b.want("a", "1", pool.UploadUploading)
				b.store.Edit(func() {
					after := *r
					c.edit(&after)
					b.store.Builds[0] = &after
				})
				pass(30 * time.Second)
				b.want("a", "1", "none")
				b.exactly()
			})
		})
	}
}

// An image that is taken off the list is deleted, but not at once, not while
// another peer lists it, and not if nothing at all is listed: that is more
// likely a mistake.
func TestUnlisted(t *testing.T) {
	for _, c := range []struct {
		name    string
		lists   []string
		members []*pool.Member
		gone    bool
	}{
		{"off the list", []string{"b"}, nil, true},
		{"the list is empty", nil, nil, false},
		{"another peer lists it", []string{"b"}, []*pool.Member{{Name: "p2", Uploads: map[string][]string{"pr": {"a"}}}}, false},
		{"another peer lists it elsewhere", []string{"b"}, []*pool.Member{{Name: "p2", Uploads: map[string][]string{"x": {"a"}, "pr": {"b"}}}}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, "a")
				b.build("a", "1")
				stop := b.run()
				pass(time.Minute)
				stop()
				b.provider.Images = nil
				for _, name := range c.lists {
					b.provider.Images = append(b.provider.Images, pool.ProviderImage{Name: name})
				}
				b.store.Edit(func() { b.store.Members = c.members })
				defer b.run()()
				pass(59 * time.Minute)
				u := b.want("a", "1", pool.UploadReady)
				pass(2 * time.Minute)
				if c.gone {
					b.want("a", "1", "none")
					b.exactly()
					return
				}
				b.want("a", "1", pool.UploadReady)
				b.exactly(u)
			})
		})
	}
}

// Only builds of this peer in the format of the cloud are uploaded, and none
// to a paused provider.
func TestNotOurs(t *testing.T) {
	now := time.Now()
	build := &pool.Build{Image: "a", ID: "1", State: pool.BuildReady, Builder: "p1", Artifacts: []pool.Artifact{
		{Format: "raw", Path: "/a.raw"}, {Format: "vhd"},
	}}
	for _, c := range []struct {
		name         string
		peer, format string
		paused       bool
		want         int
	}{
		{"ours", "p1", "raw", false, 1},
		{"another peer's", "p2", "raw", false, 0},
		{"another format", "p1", "qcow2", false, 0},
		{"a format whose file was deleted", "p1", "vhd", false, 0},
		{"paused", "p1", "raw", true, 0},
	} {
		p := pool.Provider{Name: "pr", Images: []pool.ProviderImage{{Name: "a", Paused: c.paused}}}
		v := View{Snapshot: &pool.Snapshot{Builds: []*pool.Build{build}}, Provider: &p, Peer: c.peer, Format: c.format}
		if got := len(Decide(v, now).Create); got != c.want {
			t.Errorf("%s: %d uploads, want %d", c.name, got, c.want)
		}
	}
}

// An upload that does not end in time fails; one whose record an operator
// moved stops.
func TestBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a")
		b.provider.ImageUploadTimeout = time.Minute
		b.cloud.processing = 24 * time.Hour
		b.build("a", "1")
		defer b.run()()
		pass(70 * time.Second)
		if u := b.want("a", "1", pool.UploadDeleted); !strings.Contains(u.Error, "upload timeout of 1m0s") {
			t.Errorf("failed with %q", u.Error)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a")
		b.cloud.pace = time.Minute
		b.build("a", "1")
		defer b.run()()
		pass(30 * time.Second)
		u := b.want("a", "1", pool.UploadUploading)
		b.store.Edit(func() {
			moved := u.Moved(pool.UploadDeleting, time.Now())
			moved.Revision = b.store.Revision
			b.store.Uploads[0] = moved
		})
		pass(2 * time.Minute)
		if again := b.upload("a", "1"); again.ExternalID == u.ExternalID || again.State != pool.UploadUploading {
			t.Errorf("an upload deleted by hand is %s under %s, want a new one", again.State, again.ExternalID)
		}
	})
}

// A write as somebody who is no longer the owner ends Run.
func TestNotOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a")
		b.build("a", "1")
		n := 0
		b.store.Fail = func(pool.Write) (error, bool) {
			if n++; n > 1 {
				return pool.ErrNotOwner, false
			}
			return nil, false
		}
		u := New(Config{
			Provider: b.provider, Peer: "p1", Driver: b.cloud, Store: b.store, Random: rand.Reader, Log: zaptest.NewLogger(t),
		})
		if err := u.Run(t.Context()); !errors.Is(err, pool.ErrNotOwner) {
			t.Errorf("Run returned %v", err)
		}
	})
}
