package openstack

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"poold/cloud"
	"poold/cloud/cloudtest"
	"poold/cloud/sim"
)

// importing is a driver on a cloud with two stores that imports images, and an
// image there without data.
func importing(t *testing.T) (*Driver, *sim.Cloud) {
	t.Helper()
	clock := cloudtest.NewClock(time.Now().UTC().Truncate(time.Second))
	c := sim.New(sim.Config{
		Imports: []string{"glance-direct", "web-download", "copy-image"}, Stores: []string{"fast", "slow"},
	}, clock.Now())
	onSim(t, c, clock)
	d := open(t, "ours", cloud.Open{})
	made, err := d.CreateImage(t.Context(), cloud.ImageSpec{
		ID: anImage, Name: "i", Format: "raw", Mark: cloud.Mark{Installation: "ours", Provider: "p", Upload: "i/1"},
	})
	if err != nil || made != anImage {
		t.Fatal(made, err)
	}
	return d, c
}

func (d *Driver) seen(t *testing.T) cloud.Image {
	t.Helper()
	i, err := d.Image(t.Context(), anImage)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// until waits until an image is in a status.
func (d *Driver) until(t *testing.T, want cloud.ImageStatus) cloud.Image {
	t.Helper()
	for range 600 {
		if i := d.seen(t); i.Status == want {
			return i
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("the image is never %s but %+v", want, d.seen(t))
	return cloud.Image{}
}

// What the cloud has is asked once. One that knows neither imports nor stores
// has none.
func TestImageMeans(t *testing.T) {
	d, c := importing(t)
	for range 3 {
		means, err := d.ImageMeans(t.Context())
		if err != nil || len(means.Imports) != 3 || !slices.Equal(means.Stores, []string{"fast", "slow"}) {
			t.Errorf("%+v, %v", means, err)
		}
	}
	if n := c.Calls()["image GET /info/import"]; n != 1 {
		t.Errorf("asked %d times", n)
	}
	newStub(t, "", func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) })
	means, err := open(t, "ours", cloud.Open{}).ImageMeans(t.Context())
	if err != nil || means.Imports != nil || means.Stores != nil {
		t.Errorf("an old cloud: %+v, %v", means, err)
	}
}

// stage stages some data and asks for its import.
func (d *Driver) stage(t *testing.T) {
	t.Helper()
	data := []byte("some image")
	if err := d.StageImage(t.Context(), anImage, bytes.NewReader(data), int64(len(data))); err != nil {
		t.Fatal(err)
	}
	if i := d.seen(t); i.Status != cloud.ImageStaged || i.Bytes != int64(len(data)) {
		t.Errorf("staged: %+v", i)
	}
	if err := d.ImportImage(t.Context(), anImage, cloud.ImportSpec{Method: cloud.ImageByStage, Stores: []string{"slow"}}); err != nil {
		t.Fatal(err)
	}
}

// Staged data is imported to the stores that were asked for; while it waits it
// can be seen whether all of it is there. What is active can be copied.
func TestStageAndImport(t *testing.T) {
	d, _ := importing(t)
	d.stage(t)
	if i := d.seen(t); i.Status != cloud.ImageActive || i.HashAlgo != "sha512" || !slices.Equal(i.Stores, []string{"slow"}) {
		t.Errorf("imported: %+v", i)
	}
	if err := d.CopyImage(t.Context(), anImage, []string{"fast"}); err != nil {
		t.Fatal(err)
	}
	if i := d.seen(t); !slices.Contains(i.Stores, "fast") || !slices.Contains(i.Stores, "slow") {
		t.Errorf("copied: %+v", i)
	}
}

// Data is sent into the store that is named, and into no other.
func TestSendImageToStore(t *testing.T) {
	d, _ := importing(t)
	wantKind(t, "no such store", d.SendImageTo(t.Context(), anImage, "attic", bytes.NewReader([]byte("x")), 1), cloud.Invalid)
	if err := d.SendImageTo(t.Context(), anImage, "slow", bytes.NewReader([]byte("x")), 1); err != nil {
		t.Fatal(err)
	}
	if i := d.seen(t); i.Status != cloud.ImageActive || !slices.Equal(i.Stores, []string{"slow"}) {
		t.Errorf("%+v", i)
	}
}

// An import that failed says so.
func TestImportFails(t *testing.T) {
	d, c := importing(t)
	c.AddFault(sim.Fault{Kind: sim.FaultImportFails})
	d.stage(t)
	if i := d.seen(t); i.Status != cloud.ImageImporting || !slices.Equal(i.FailedIn, []string{"slow"}) {
		t.Errorf("failed: %+v", i)
	}
	again := d.ImportImage(t.Context(), anImage, cloud.ImportSpec{Method: cloud.ImageByStage})
	wantKind(t, "import again", again, cloud.Conflict)
}

// A cloud fetches what it is told to, and says so when it cannot.
func TestWebDownload(t *testing.T) {
	d, _ := importing(t)
	files := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/image" {
			http.NotFound(w, r)
			return
		}
		say(w, "some image")
	}))
	t.Cleanup(files.Close)
	download := func(path string) {
		t.Helper()
		if err := d.ImportImage(t.Context(), anImage, cloud.ImportSpec{Method: cloud.ImageByDownload, URL: files.URL + path}); err != nil {
			t.Fatal(err)
		}
	}
	download("/none")
	if i := d.until(t, cloud.ImageQueued); len(i.FailedIn) == 0 {
		t.Errorf("failed: %+v", i)
	}
	download("/image")
	if i := d.until(t, cloud.ImageActive); i.Bytes != 10 {
		t.Errorf("fetched: %+v", i)
	}
}
