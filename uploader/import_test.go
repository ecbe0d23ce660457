package uploader

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap/zaptest"

	"poold/cloud"
	"poold/pool"
)

func (c *fakeCloud) ImageMeans(ctx context.Context) (cloud.ImageMeans, error) {
	return c.means, c.call(ctx, "means", "", func() error { return nil })
}

func (c *fakeCloud) SendImageTo(ctx context.Context, id, store string, data io.Reader, size int64) error {
	err := c.SendImage(ctx, id, data, size)
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := c.images[id]; i != nil {
		i.Stores = []string{store}
	}
	return err
}

func (c *fakeCloud) StageImage(ctx context.Context, id string, data io.Reader, size int64) error {
	err := c.call(ctx, "stage", id, func() error {
		if c.images[id] == nil || c.images[id].Status != cloud.ImageQueued {
			return fail(cloud.Conflict)
		}
		c.images[id].Status = cloud.ImageStaged
		return nil
	})
	if err != nil {
		return err
	}
	n, hash, err := c.receive(ctx, data)
	if err != nil || n != size {
		return fail(cloud.Ambiguous)
	}
	c.mu.Lock()
	if i := c.images[id]; i != nil {
		i.Bytes, c.hashes[id] = n, hash
	}
	c.mu.Unlock()
	return c.call(ctx, "staged", id, func() error { return nil })
}

func (c *fakeCloud) ImportImage(ctx context.Context, id string, spec cloud.ImportSpec) error {
	return c.call(ctx, "import", id, func() error {
		i := c.images[id]
		want := map[cloud.ImageMethod]cloud.ImageStatus{cloud.ImageByStage: cloud.ImageStaged, cloud.ImageByDownload: cloud.ImageQueued}
		if i == nil || i.Status != want[spec.Method] {
			return fail(cloud.Conflict)
		}
		i.Status, i.FailedIn = cloud.ImageImporting, nil
		go c.work(context.WithoutCancel(ctx), id, spec)
		return nil
	})
}

// work is what the cloud does by itself for an import.
func (c *fakeCloud) work(ctx context.Context, id string, spec cloud.ImportSpec) {
	time.Sleep(c.processing)
	var bytes int64
	var hash string
	var err error
	if spec.Method == cloud.ImageByDownload {
		bytes, hash, err = c.fetch(ctx, strings.TrimPrefix(spec.URL, "http://here/image-files/"))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	i := c.images[id]
	if i == nil {
		return
	}
	if err != nil || c.importFails > 0 {
		c.importFails--
		i.Status, i.FailedIn = map[cloud.ImageMethod]cloud.ImageStatus{
			cloud.ImageByStage: cloud.ImageImporting, cloud.ImageByDownload: cloud.ImageQueued,
		}[spec.Method], []string{"fast"}
		return
	}
	if spec.Method == cloud.ImageByStage {
		bytes, hash = i.Bytes, c.hashes[id]
	}
	i.Status, i.Bytes, i.HashAlgo, i.Hash, i.Stores = cloud.ImageActive, bytes, "sha512", hash, spec.Stores
	if c.converts {
		i.Format, i.Bytes, i.Hash = "raw", 3*bytes, "other"
	}
}

func (c *fakeCloud) fetch(ctx context.Context, name string) (int64, string, error) {
	file, _, err := c.shelf.Open(ctx, name)
	if err != nil {
		return 0, "", err
	}
	defer file.Close() //nolint:errcheck // it was only read
	return c.receive(ctx, file)
}

func (c *fakeCloud) CopyImage(ctx context.Context, id string, stores []string) error {
	return c.call(ctx, "copy", id, func() error {
		i := c.images[id]
		if i == nil || len(i.CopyingTo) > 0 {
			return fail(cloud.Conflict)
		}
		i.CopyingTo, i.FailedIn = stores, nil
		time.AfterFunc(c.processing, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			i.CopyingTo = nil
			if c.importFails > 0 {
				c.importFails--
				i.FailedIn = stores
				return
			}
			i.Stores = append(i.Stores, stores...)
		})
		return nil
	})
}

// importBench is a provider whose cloud imports images and has two stores.
func importBench(t *testing.T, method string, stores ...string) *bench {
	t.Helper()
	b := newBench(t, "a")
	b.provider.UploadMethod, b.provider.ImageStores = method, stores
	b.cloud.means = cloud.ImageMeans{Imports: []string{"glance-direct", "web-download", "copy-image"}, Stores: []string{"fast", "slow"}}
	b.cloud.processing = 20 * time.Second
	b.shelf = NewShelf("http://here/", rand.Reader, nil)
	b.cloud.shelf = b.shelf
	b.build("a", "1")
	return b
}

// What the configuration and the cloud say decides how data gets there.
func TestMethod(t *testing.T) {
	for _, c := range []struct {
		name, method string
		stores       []string
		imports      string
		want         cloud.ImageMethod
		calls        string
	}{
		{"nothing said", "", nil, "glance-direct", cloud.ImageByPut, "send"},
		{"put", "put", nil, "glance-direct", cloud.ImageByPut, "send"},
		{"staged", "glance-direct", nil, "glance-direct", cloud.ImageByStage, "means stage import"},
		{"fetched", "web-download", nil, "web-download", cloud.ImageByDownload, "means import"},
		{"in every store", "", []string{"all"}, "glance-direct", cloud.ImageByStage, "means stage import"},
		{"in every store, without import", "", []string{"all"}, "", cloud.ImageByPut, "means send copy"},
		{"put into every store", "put", []string{"fast", "slow"}, "glance-direct", cloud.ImageByPut, "means send copy"},
		{"put into one store", "put", []string{"slow"}, "glance-direct", cloud.ImageByPut, "means send"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := importBench(t, c.method, c.stores...)
				b.cloud.means.Imports = strings.Fields(c.imports)
				defer b.run()()
				pass(3 * time.Minute)
				u := b.want("a", "1", pool.UploadReady)
				b.exactly(u)
				if u.Method != string(c.want) || u.SentBytes != u.Bytes {
					t.Errorf("by %s, want %s: %+v", u.Method, c.want, u)
				}
				want := len(c.stores)
				if slices.Contains(c.stores, "all") {
					want = 2
				}
				if len(b.cloud.images[u.ExternalID].Stores) != want {
					t.Errorf("it is in %v", b.cloud.images[u.ExternalID].Stores)
				}
				for _, call := range []string{"means", "send", "stage", "import", "copy"} {
					if n, want := b.cloud.count(call), strings.Count(c.calls, call); n != want {
						t.Errorf("%d calls %s, want %d", n, call, want)
					}
				}
			})
		})
	}
}

// What the cloud does not have is said, and tried again more and more rarely.
func TestNoSuchMethod(t *testing.T) {
	for _, c := range []struct{ method, store, want string }{
		{"web-download", "", "the cloud has no web-download, only: glance-direct"},
		{"", "attic", "the cloud has no image store attic, only: fast, slow"},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := importBench(t, c.method)
			b.cloud.means.Imports = []string{"glance-direct"}
			if c.store != "" {
				b.provider.ImageStores = []string{c.store}
			}
			defer b.run()()
			pass(20 * time.Second)
			if u := b.want("a", "1", pool.UploadDeleted); u.Error != c.want {
				t.Errorf("failed with %q", u.Error)
			}
			pass(time.Hour)
			if n := b.cloud.count("means"); n > 10 {
				t.Errorf("%d attempts in an hour", n)
			}
			b.exactly()
		})
	}
}

// An import or a copy that the cloud could not do costs that image, never one
// too many, and a new upload does it.
func TestImportFails(t *testing.T) {
	for _, c := range []struct{ method, want string }{
		{"glance-direct", "could not import"}, {"web-download", "could not import"}, {"put", "could not copy"},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := importBench(t, c.method, "all")
			b.cloud.importFails = 1
			defer b.run()()
			for range 60 {
				if pass(time.Second); b.upload("a", "1").Error != "" {
					break
				}
			}
			if u := b.upload("a", "1"); u.Attempts != 0 || !strings.Contains(u.Error, c.want) {
				t.Errorf("%s: %+v", c.method, u)
			}
			pass(3 * time.Minute)
			u := b.want("a", "1", pool.UploadReady)
			b.exactly(u)
			if u.Attempts != 1 {
				t.Errorf("%+v", u)
			}
		})
	}
}

// An image that the cloud converts is another file, which cannot be compared; one
// that it says it has not converted must be the file. Neither may be empty.
func TestConverted(t *testing.T) {
	for _, c := range []struct {
		method, format string
		bytes          int64
		hash           string
		want           string
	}{
		{"glance-direct", "raw", 1000, "other", ""},
		{"glance-direct", "qcow2", 440, "other", "the sha512 of the image"},
		{"glance-direct", "qcow2", 1000, "right", "the cloud has 1000 bytes"},
		{"glance-direct", "raw", 0, "right", "empty"},
		{"put", "raw", 440, "other", "the sha512 of the image"},
		{"put", "raw", 440, "right", ""},
		{"put", "qcow2", 0, "right", "empty"},
	} {
		a := pool.Artifact{Format: "qcow2", Bytes: 440, SHA512: "right"}
		tr := &transfer{
			Uploader: New(Config{Log: zaptest.NewLogger(t)}), record: &pool.Upload{Format: "qcow2", Method: c.method},
			build: &pool.Build{Artifacts: []pool.Artifact{a}},
		}
		err := tr.same(cloud.Image{Format: c.format, Bytes: c.bytes, HashAlgo: "sha512", Hash: c.hash})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		b := importBench(t, "glance-direct")
		b.cloud.converts = true
		defer b.run()()
		pass(2 * time.Minute)
		b.exactly(b.want("a", "1", pool.UploadReady))
	})
}

// Replies that are lost, and a state that changed meanwhile, cost neither an
// image nor a copy of the data.
func TestImportFaults(t *testing.T) {
	for _, c := range []struct {
		method, when, op string
		kind             cloud.Kind
	}{
		{"glance-direct", "before", "means", cloud.Transient},
		{"glance-direct", "after", "import", cloud.Ambiguous},
		{"glance-direct", "before", "import", cloud.Transient},
		{"glance-direct", "before", "import", cloud.Conflict},
		{"glance-direct", "before", "staged", cloud.Ambiguous},
		{"web-download", "after", "import", cloud.Ambiguous},
		{"web-download", "before", "import", cloud.RateLimited},
		{"put", "after", "copy", cloud.Ambiguous},
		{"put", "after", "copy", cloud.Conflict},
		{"put", "before", "copy", cloud.Transient},
	} {
		t.Run(c.method+" "+c.when+" "+c.op+" "+string(c.kind), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := importBench(t, c.method, "all")
				left := 1
				b.cloud.fault = func(when, op, _ string) error {
					if when == c.when && op == c.op && left > 0 {
						left--
						return fail(c.kind)
					}
					return nil
				}
				defer b.run()()
				pass(5 * time.Minute)
				u := b.want("a", "1", pool.UploadReady)
				b.exactly(u)
				if n := b.cloud.count("stage") + b.cloud.count("send"); n > 1 || u.Attempts != 0 || left != 0 {
					t.Errorf("data sent %d times: %+v", n, u)
				}
			})
		})
	}
}

// Whatever an uploader that died in an import left behind, the next one goes on
// from it, unless it cannot know whether the data is whole.
func TestCrashInImport(t *testing.T) {
	for _, c := range []struct {
		name, method    string
		status          cloud.ImageStatus
		part            int64 // of the data, in hundredths
		failed          bool
		stages, imports int
		same            bool
	}{
		{"before staging", "glance-direct", cloud.ImageQueued, 0, false, 1, 1, true},
		{"in the middle of staging", "glance-direct", cloud.ImageStaged, 0, false, 1, 1, false},
		{"staged in part", "glance-direct", cloud.ImageStaged, 50, false, 1, 1, false},
		{"staged", "glance-direct", cloud.ImageStaged, 100, false, 0, 1, true},
		{"importing", "glance-direct", cloud.ImageImporting, 100, false, 0, 0, true},
		{"the import has failed", "glance-direct", cloud.ImageQueued, 0, true, 1, 1, true},
		{"before the cloud was asked", "web-download", cloud.ImageQueued, 0, false, 0, 1, true},
		{"the cloud fetches", "web-download", cloud.ImageImporting, 0, false, 0, 0, true},
		{"the cloud could not fetch", "web-download", cloud.ImageQueued, 0, true, 0, 1, true},
		{"active", "web-download", cloud.ImageActive, 100, false, 0, 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := importBench(t, c.method)
				a := b.store.Builds[0].Artifacts[0]
				b.store.Edit(func() {
					b.store.Uploads = []*pool.Upload{{
						Image: "a", Build: "1", Provider: "pr", State: pool.UploadUploading, ExternalID: "old", Format: "qcow2",
						Since: time.Now(), Record: pool.Record{Revision: b.store.Revision},
					}}
				})
				old := &cloud.Image{ID: "old", Status: c.status, Bytes: a.Bytes * c.part / 100}
				if c.failed {
					old.FailedIn = []string{"fast"}
				}
				if c.status == cloud.ImageActive {
					old.HashAlgo, old.Hash = "sha512", a.SHA512
				}
				b.cloud.images["old"], b.cloud.hashes["old"] = old, a.SHA512
				if c.status == cloud.ImageImporting {
					time.AfterFunc(30*time.Second, func() {
						b.cloud.mu.Lock()
						defer b.cloud.mu.Unlock()
						old.Status, old.Bytes, old.HashAlgo, old.Hash = cloud.ImageActive, a.Bytes, "sha512", a.SHA512
					})
				}
				defer b.run()()
				pass(4 * time.Minute)
				u := b.want("a", "1", pool.UploadReady)
				b.exactly(u)
				if n, m := b.cloud.count("stage"), b.cloud.count("import"); n != c.stages || m != c.imports || (u.ExternalID == "old") != c.same {
					t.Errorf("staged %d times, imported %d times, want %d and %d; id %s", n, m, c.stages, c.imports, u.ExternalID)
				}
			})
		})
	}
}

// An uploader that is stopped at any moment of an import leaves something from
// which a fresh one gets to the same end, with no image left over.
func TestStopInImport(t *testing.T) {
	for _, c := range []struct{ method, after string }{
		{"glance-direct", "create"},
		{"glance-direct", "stage"},
		{"glance-direct", "staged"},
		{"glance-direct", "import"},
		{"web-download", "create"},
		{"web-download", "import"},
		{"put", "sent"},
		{"put", "copy"},
	} {
		t.Run(c.method+" "+c.after, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := importBench(t, c.method, "all")
				b.cloud.pace = time.Second
				reached := make(chan struct{}, 100)
				b.cloud.fault = func(when, op, _ string) error {
					if when == "after" && op == c.after {
						reached <- struct{}{}
					}
					return nil
				}
				stop := b.run()
				<-reached
				stop()
				defer b.run()()
				pass(6 * time.Minute)
				b.exactly(b.want("a", "1", pool.UploadReady))
			})
		})
	}
}

// A file is there for who knows its name, while it is offered, and no faster
// than the limits allow.
func TestShelf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a")
		a := b.build("a", "1").Artifacts[0]
		s := NewShelf("http://here/", rand.Reader, NewLimits(0, 44))
		s.limits.bandwidth.SetBurst(44)
		o, err := s.put(t.Context(), a.Path, a.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		name, ok := strings.CutPrefix(o.url, "http://here/image-files/")
		if !ok || len(name) != 2*nameBytes {
			t.Errorf("offered at %s", o.url)
		}
		if _, _, err := s.Open(t.Context(), "guess"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("a guess: %v", err)
		}
		file, size, err := s.Open(t.Context(), name)
		if err != nil || size != a.Bytes {
			t.Fatal(size, err)
		}
		began := time.Now()
		if n, err := io.Copy(io.Discard, file); n != size || err != nil || o.fetched.Load() != size {
			t.Errorf("%d bytes of %d, %v; %d noted", n, size, err, o.fetched.Load())
		}
		if took := time.Since(began); took < 8*time.Second {
			t.Errorf("it took %v", took)
		}
		if err := file.Close(); err != nil {
			t.Error(err)
		}
		late, _, err := s.Open(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		defer late.Close() //nolint:errcheck // it was only read
		o.withdraw()
		if _, err := late.Read(make([]byte, 10)); err == nil {
			t.Error("it is read after it was withdrawn")
		}
		if _, _, err := s.Open(t.Context(), name); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("withdrawn: %v", err)
		}
	})
	if _, err := (*Shelf)(nil).put(t.Context(), "", 0); err == nil || !strings.Contains(err.Error(), "webapp.image-url") {
		t.Errorf("no shelf: %v", err)
	}
}
