//go:build lab

package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"poold/test/proc"
)

// Every way to get an image into a real Glance: sent to it, staged and
// imported, fetched by it, into one store and into several, copied by it.
func TestUploadMethods(t *testing.T) {
	t.Parallel()
	s := newSite(t, newTenant(t, "r1", "r2"))
	image := newImage(s)
	both := []string{"file", "second"}
	ways := []struct {
		name, cloud string
		k           keys
		method      string
		stores      []string
	}{
		{"plain", "r1", keys{}, "put", []string{"file"}},
		{"copied", "r1", keys{"image-upload-method": "put", "image-stores": both}, "put", both},
		{"stored", "r1", keys{"image-upload-method": "put", "image-stores": both[1:]}, "put", both[1:]},
		{"staged", "r1", keys{"image-upload-method": "glance-direct", "image-stores": both[1:]}, "glance-direct", both[1:]},
		{"fetched", "r1", keys{"image-upload-method": "web-download"}, "web-download", both[:1]},
		{"everywhere", "r2", keys{"image-stores": both}, "glance-direct", both},
	}
	var providers []keys
	for _, w := range ways {
		providers = append(providers, provider(w.cloud, with(with(image.uploaded(), w.k), keys{"name": w.name})))
	}
	s.run(t, with(image.built(t), keys{"webapp": keys{
		"port": s.port, "listen_address": "127.0.0.1", "image-url": proc.Loopback(s.port),
	}}), providers...)
	for _, w := range ways {
		u := image.ready(t, w.name)
		equal(t, "method of "+w.name, u.Method, w.method)
		stores := strings.Split(image.whole(t, w.cloud, u).Stores, ",")
		slices.Sort(stores)
		if !slices.Equal(stores, w.stores) {
			t.Errorf("%s: it is in %v, want %v", w.name, stores, w.stores)
		}
	}
	if status, _, err := s.fetch(t, "/image-files/"); err != nil || status != http.StatusNotFound {
		t.Errorf("the files of images: %d, %v", status, err)
	}
	s.retire(t)
}

// A store that is full takes no image, and nothing is left of the try; other
// ways into the same cloud do not wait for it.
func TestFullStore(t *testing.T) {
	t.Parallel()
	s := newSite(t, newTenant(t, "r1"))
	image := newImage(s)
	built := image.built(t)
	listOf(built["diskimages"])[0]["env-vars"] = keys{"IMAGE_BYTES": "8388608"}
	s.run(t, built,
		provider("r1", with(image.uploaded(), keys{
			"name": "full", "image-upload-method": "glance-direct", "image-stores": []string{"tight"},
		})),
		provider("r1", with(image.uploaded(), keys{"name": "roomy"})),
	)
	image.whole(t, "r1", image.ready(t, "roomy"))
	image.failed(t, "full", "could not import the image to: tight")
	image.nothingBut(t, "r1", "roomy")
	s.retire(t)
}

// A connection that breaks in the middle of the data, and data that arrives
// otherwise than it was sent, each cost one try: nothing of it is ever used, and
// the next one brings the image.
func TestBadConnection(t *testing.T) {
	t.Parallel()
	n := newTenant(t, "r1", "r2")
	s := newSite(t, n)
	image := newImage(s)
	bad := []struct{ name, cloud, method, want string }{
		{"cut", "r1", "put", "ended after"},
		{"cut-staging", "r1", "glance-direct", "ended after"},
		{"other", "r2", "put", "the sha512 of the image in the cloud is"},
		{"other-staged", "r2", "glance-direct", "the sha512 of the image in the cloud is"},
	}
	built := image.built(t)
	listOf(built["diskimages"])[0]["env-vars"] = keys{"IMAGE_BYTES": "16777216"}
	var providers []keys
	for _, b := range bad {
		meddle := flip
		if strings.HasPrefix(b.name, "cut") {
			meddle = cut
		}
		n.through(t, b.cloud, b.name, newMeddler(t, n.regions[b.cloud], meddle))
		providers = append(providers, provider(b.cloud, with(image.uploaded(), keys{
			"name": b.name, "cloud": b.name, "image-upload-method": b.method,
		})))
	}
	providers = append(providers, provider("r1", image.uploaded()))
	s.run(t, built, providers...)
	image.whole(t, "r1", image.ready(t, "r1"))
	for _, b := range bad {
		u := image.ready(t, b.name)
		image.whole(t, b.cloud, u)
		if u.Attempts == 0 {
			t.Errorf("%s: nothing went wrong", b.name)
		}
	}
	image.nothingBut(t, "r1", "r1", "cut", "cut-staging")
	image.nothingBut(t, "r2", "other", "other-staged")
	s.retire(t)
}

// Glance is killed while it receives an image, and comes back. No other test
// runs at that time.
func TestGlanceKilled(t *testing.T) {
	n := newTenant(t, "r1", "r2")
	s := newSite(t, n)
	image := newImage(s)
	middle, killed := make(chan struct{}), make(chan struct{})
	n.through(t, "r2", "killed", newMeddler(t, n.regions["r2"], func(body io.Reader) io.Reader {
		return &held{from: body, after: 1 << 20, reached: middle, until: killed}
	}))
	built := image.built(t)
	listOf(built["diskimages"])[0]["env-vars"] = keys{"IMAGE_BYTES": "16777216"}
	s.run(t, built, provider("r2", with(image.uploaded(), keys{"name": "killed", "cloud": "killed"})), provider("r1", image.uploaded()))
	s.await(t, "glance has a part of the image", long, func() (string, bool) {
		select {
		case <-middle:
			return "", true
		default:
			return "", false
		}
	})
	killDaemon(t, "glance-r2")
	t.Cleanup(func() { openstack(t, "up") })
	close(killed)
	image.whole(t, "r1", image.ready(t, "r1")) // which has another glance
	openstack(t, "up")
	u := image.ready(t, "killed")
	image.whole(t, "r2", u)
	if u.Attempts == 0 {
		t.Error("nothing went wrong")
	}
	image.nothingBut(t, "r2", "killed")
	s.retire(t)
}

// upload is what poolctl shows of an upload.
type upload struct {
	Image, Provider, State, Error, Method string
	ID                                    string `json:"external_id"`
	Attempts                              int
}

// to is the upload of the image to a provider, as it is now.
func (d *diskimage) to(t *testing.T, provider string) upload {
	t.Helper()
	var all struct{ Items []upload }
	if err := json.Unmarshal([]byte(d.site.poolctl(t, "upload", "list", "-o", "json")), &all); err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(all.Items, func(u upload) bool { return u.Image == d.name && u.Provider == provider })
	if at < 0 {
		return upload{}
	}
	return all.Items[at]
}

// ready waits until a provider has the image.
func (d *diskimage) ready(t *testing.T, provider string) upload {
	t.Helper()
	var u upload
	d.site.await(t, "the image is in "+provider, long, func() (string, bool) {
		u = d.to(t, provider)
		return fmt.Sprintf("%+v", u), u.State == "ready"
	})
	return u
}

// failed waits until an upload to a provider has failed for a reason.
func (d *diskimage) failed(t *testing.T, provider, why string) {
	t.Helper()
	d.site.await(t, "the image is not taken by "+provider, long, func() (string, bool) {
		u := d.to(t, provider)
		if u.State == "ready" {
			t.Fatalf("%s took it: %+v", provider, u)
		}
		return fmt.Sprintf("%+v", u), strings.Contains(u.Error, why)
	})
}

// stored is an image with what matters of where it is.
type stored struct {
	image

	Stores string
}

// whole fails unless what is ready in a cloud is what was built, bit by bit.
func (d *diskimage) whole(t *testing.T, cloud string, u upload) stored {
	t.Helper()
	var got stored
	d.site.tenant.regions[cloud].get(t, images, "/v2/images/"+u.ID, &got)
	if size, ok := d.files(t)[got.Hash]; got.Status != "active" || got.Algo != "sha512" || !ok || size != got.Size || size == 0 {
		t.Errorf("%s says ready of %+v; built were (SHA-512 and size) %v", u.Provider, got, d.files(t))
	}
	return got
}

// nothingBut waits until a cloud holds no images of the project but those that
// providers have ready.
func (d *diskimage) nothingBut(t *testing.T, cloud string, providers ...string) {
	t.Helper()
	d.site.await(t, "nothing else is left in "+cloud, long, func() (string, bool) {
		var want, got []string
		for _, p := range providers {
			if u := d.to(t, p); u.State == "ready" {
				want = append(want, u.ID)
			}
		}
		for _, i := range d.site.tenant.regions[cloud].images(t) {
			got = append(got, i.ID)
		}
		slices.Sort(want)
		slices.Sort(got)
		return fmt.Sprintf("%v, want %v", got, want), len(want) == len(providers) && slices.Equal(want, got)
	})
}

// through makes a cloud of the tenant that is another one, whose images are
// reached at an address.
func (n *tenant) through(t *testing.T, cloud, name, address string) {
	t.Helper()
	n.vary(t, cloud, name, keys{"image_endpoint_override": address + "/v2"})
}

// vary makes a cloud of the tenant, under a name of its own or the same, that
// differs from another one.
func (n *tenant) vary(t *testing.T, cloud, name string, differs keys) {
	t.Helper()
	text, err := os.ReadFile(n.file)
	var file struct {
		Clouds map[string]keys `yaml:"clouds"`
	}
	if err == nil {
		err = yaml.Unmarshal(text, &file)
	}
	if err == nil {
		file.Clouds[name] = with(differs, file.Clouds[cloud])
		text, err = yaml.Marshal(file)
	}
	if err == nil {
		err = os.WriteFile(n.file, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// newMeddler stands in front of a cloud's images until the test ends. It meddles
// with the first data that is sent through it, and with no other. It returns its
// address.
func newMeddler(t *testing.T, c *api, meddle func(io.Reader) io.Reader) string {
	t.Helper()
	target, err := url.Parse(c.endpoints[images])
	if err != nil {
		t.Fatal(err)
	}
	var done atomic.Bool
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			if r.Out.Method == http.MethodPut && done.CompareAndSwap(false, true) {
				r.Out.Body = io.NopCloser(meddle(r.In.Body))
			}
		},
		// Whoever sends sees the connection break, as it did.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	return server.URL
}

// errCut is a connection that breaks.
var errCut = errors.New("cut")

// cut breaks the connection after a part of the data.
func cut(body io.Reader) io.Reader {
	return io.MultiReader(io.LimitReader(body, 1<<20), failing{})
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errCut }

// flip lets one bit arrive otherwise.
func flip(body io.Reader) io.Reader { return &flipping{from: body} }

type flipping struct {
	from io.Reader
	done bool
}

func (f *flipping) Read(p []byte) (int, error) {
	n, err := f.from.Read(p)
	if n > 0 && !f.done {
		p[n-1] ^= 1
		f.done = true
	}
	return n, err
}

// held stops in the middle of the data.
type held struct {
	from           io.Reader
	after          int64
	reached, until chan struct{}
	once           sync.Once
}

func (h *held) Read(p []byte) (int, error) {
	if h.after <= 0 {
		h.once.Do(func() { close(h.reached) })
		select {
		case <-h.until:
			return 0, errCut
		case <-time.After(long):
			return 0, errCut
		}
	}
	n, err := h.from.Read(p[:min(int64(len(p)), h.after)])
	h.after -= int64(n)
	return n, err
}
