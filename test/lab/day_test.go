//go:build lab

package lab

import (
	"crypto/rand"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A day of a CI system in small, in two regions: an image goes to both clouds,
// nodes are kept ready, given away, destroyed after use and replaced.
func TestNodesForRequests(t *testing.T) {
	t.Parallel()
	s := newSite(t, newTenant(t, "r1", "r2"))
	image := newImage(s)
	s.run(t, image.built(t),
		provider("r1", image.uploaded(),
			pool("main", keys{"max-servers": 6}, image.label("small-r1", keys{"flavor-name": "lab.small", "min-ready": 2}))),
		provider("r2", image.uploaded(),
			pool("main", keys{"max-servers": 6}, image.label("small-r2", keys{"min-ready": 1}))),
	)
	image.await(t, "r1", "r2")
	s.awaitUp(t, "r1", 2)
	s.awaitUp(t, "r2", 1)

	two := s.ask(t, "small-r1", "small-r1")
	var used []string
	for _, n := range two.served(t) {
		v := s.server(t, n)
		equal(t, "image", v.imageID(), image.in(t, "r1").ID)
		used = append(used, v.ID)
	}
	if used[0] == used[1] {
		t.Fatalf("the same server twice: %v", used)
	}
	s.awaitUp(t, "r1", 4) // two in use, and two ready again
	two.release(t)
	s.await(t, "the used servers are gone", long, func() (string, bool) {
		servers := s.ours(t, "r1")
		left := slices.ContainsFunc(servers, func(v server) bool { return slices.Contains(used, v.ID) })
		return describe(servers), !left
	})
	s.awaitUp(t, "r1", 2)
	s.retire(t)
}

// The real diskimage-builder, called the way nodepool calls it: what it leaves
// on disk is what the clouds get, each in its format, and servers are made of.
func TestDiskimageBuilder(t *testing.T) {
	t.Parallel()
	n := newTenant(t, "r1", "r2")
	n.vary(t, "r2", "r2", keys{"image_format": "raw"})
	s := newSite(t, n)
	kernel := exec.Command("./tiny-image", "-K", filepath.Join(s.dir, "kernel"), filepath.Join(s.dir, "kernel.raw"))
	if out, err := kernel.CombinedOutput(); err != nil {
		t.Fatalf("tiny-image: %v\n%s", err, out)
	}
	image := newImage(s)
	s.run(t, keys{
		"elements-dir": here(t, "dib-elements"),
		"diskimages": []keys{{
			"name": image.name, "elements": []string{"tiny-vm"}, "username": "root",
			"env-vars": keys{"DIB_JOURNAL_SIZE": "4", "TINY_KERNEL_DIR": filepath.Join(s.dir, "kernel"), "TMP_DIR": s.dir},
		}},
	},
		provider("r1", image.uploaded(), pool("main", nil, image.label("dib-r1", keys{"min-ready": 1}))),
		provider("r2", image.uploaded(), pool("main", nil, image.label("dib-r2", keys{"min-ready": 1}))),
	)
	image.await(t, "r1", "r2")
	for cloud, format := range map[string]string{"r1": "qcow2", "r2": "raw"} {
		uploaded := image.in(t, cloud)
		equal(t, "format in "+cloud, uploaded.Format, format)
		s.awaitUp(t, cloud, 1)
		for _, v := range s.ours(t, cloud) {
			equal(t, "image of the server in "+cloud, v.imageID(), uploaded.ID)
		}
	}
	s.retire(t)
}

// diskimage is an image that poold builds.
type diskimage struct {
	site *site
	name string
}

// newImage has a name like no other in the cloud.
func newImage(s *site) *diskimage {
	return &diskimage{s, "tiny-" + strings.ToLower(rand.Text()[:8])}
}

// here is the path of a file beside the tests.
func here(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// built is what the configuration says of an image that takes a second.
func (d *diskimage) built(t *testing.T) keys {
	t.Helper()
	return keys{"diskimages": []keys{{
		"name": d.name, "dib-cmd": here(t, "testdata/build-image"), "elements": []string{"tiny-vm"}, "username": "root",
	}}}
}

// uploaded is what a provider says of the image.
func (d *diskimage) uploaded() keys { return keys{"diskimages": []keys{{"name": d.name}}} }

// label is a label on the image.
func (d *diskimage) label(name string, k keys) keys {
	return with(label(name, keys{"cloud-image": nil, "diskimage": d.name}), k)
}

// uploads are the uploads of the image in a cloud.
func (d *diskimage) uploads(t *testing.T, cloud string) []image {
	t.Helper()
	return slices.DeleteFunc(d.site.tenant.regions[cloud].images(t), func(i image) bool {
		return !strings.HasPrefix(i.Name, d.name)
	})
}

// in is the one upload of the image in a cloud.
func (d *diskimage) in(t *testing.T, cloud string) image {
	t.Helper()
	found := d.uploads(t, cloud)
	if len(found) != 1 {
		t.Fatalf("the uploads in %s are %+v", cloud, found)
	}
	return found[0]
}

// await waits until clouds hold the image that was built, bit by bit: the hash
// is the one that glance computed of what it received.
func (d *diskimage) await(t *testing.T, clouds ...string) {
	t.Helper()
	for _, cloud := range clouds {
		d.site.await(t, "the image is in "+cloud, long, func() (string, bool) {
			found := d.uploads(t, cloud)
			return fmt.Sprintf("%+v", found), len(found) == 1 && found[0].Status == "active"
		})
		got, built := d.in(t, cloud), d.files(t)
		if size, ok := built[got.Hash]; got.Algo != "sha512" || !ok || size != got.Size {
			t.Errorf("the image in %s is %+v; built were (SHA-512 and size) %v", cloud, got, built)
		}
	}
}

// files are the image files on disk: their sizes by SHA-512.
func (d *diskimage) files(t *testing.T) map[string]int64 {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(d.site.dir, "images", d.name+"*"))
	if err != nil {
		t.Fatal(err)
	}
	sizes := map[string]int64{}
	for _, name := range files {
		if info, err := os.Stat(name); err != nil || !info.Mode().IsRegular() {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha512.Sum512(text)
		sizes[hex.EncodeToString(sum[:])] = int64(len(text))
	}
	return sizes
}
