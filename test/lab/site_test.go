//go:build lab

package lab

import (
	"crypto/rand"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/template"
	"time"

	"poold/test/proc"
)

// site is one installation of poold: an etcd, one peer and two regions of the
// cloud. Others may use the same project of the cloud at the same time.
type site struct {
	t       *testing.T
	dir     string
	image   string // the name of the site's image, like no other in the cloud
	port    int    // of poold's web pages
	etcd    *etcd
	poold   *proc.Process
	runs    int                // of poold
	regions map[string]*region // by the name of the provider

	mark   string          // the installation's record; our servers carry its id
	seen   map[string]bool // every server of ours that was ever listed
	before map[string]bool // floating IPs that were there before us
}

// newSite starts an etcd and finds the clouds; poold does not run yet.
func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{
		t: t, dir: t.TempDir(), port: proc.FreePorts(t, 1)[0],
		image:   "tiny-" + strings.ToLower(rand.Text()[:8]),
		regions: map[string]*region{"lab-r1": connect(t, "ci-r1"), "lab-r2": connect(t, "ci-r2")},
		seen:    map[string]bool{}, before: map[string]bool{},
	}
	for _, r := range s.regions {
		for _, ip := range r.floatingIPs() {
			s.before[ip.ID] = true
		}
	}
	s.etcd = startEtcd(t, s.dir)
	return s
}

// configure writes nodepool.yaml from a template of testdata.
func (s *site) configure(name string) {
	s.t.Helper()
	here, err := filepath.Abs(".")
	if err != nil {
		s.t.Fatal(err)
	}
	file, err := os.Create(filepath.Join(s.dir, "nodepool.yaml"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = file.Close() }() // Execute reports what could not be written
	err = template.Must(template.ParseFiles(filepath.Join("testdata", name))).Execute(file, map[string]any{
		"Dir": s.dir, "Here": here, "Image": s.image, "Port": s.port, "Etcd": s.etcd.url,
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// run starts poold with the file that configure wrote.
func (s *site) run() {
	s.t.Helper()
	binary, err := filepath.Abs(filepath.Join("..", "..", "bin", "poold"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.runs++
	name := fmt.Sprintf("poold-%d", s.runs)
	s.poold = proc.Start(s.t, s.dir, name, exec.Command(binary, "-c", filepath.Join(s.dir, "nodepool.yaml")))
	s.await("poold is healthy", time.Minute, func() (string, bool) {
		request, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, proc.Loopback(s.port)+"/healthz", http.NoBody)
		if err != nil {
			s.t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			return err.Error(), false
		}
		_ = answer.Body.Close() // only the status counts
		return answer.Status, answer.StatusCode == http.StatusOK
	})
	s.await("the installation has its mark", time.Minute, func() (string, bool) {
		s.mark = s.etcd.get("installation")
		return "no key", s.mark != ""
	})
}

// await is await for something that poold has to do.
func (s *site) await(what string, limit time.Duration, look func() (string, bool)) {
	s.t.Helper()
	proc.Await(s.t, what, limit, look, s.poold, s.etcd.process)
}

// servers lists the servers of a provider that carry our mark.
func (s *site) servers(provider string) []server {
	s.t.Helper()
	ours := slices.DeleteFunc(s.regions[provider].servers(), func(v server) bool {
		mark := v.Metadata["poold_installation"]
		return mark == "" || !strings.Contains(s.mark, mark)
	})
	for _, v := range ours {
		s.seen[v.ID] = true
	}
	return ours
}

// floatingIPs lists the floating IPs of a provider that poold made meanwhile.
func (s *site) floatingIPs(provider string) []floatingIP {
	s.t.Helper()
	return slices.DeleteFunc(s.regions[provider].floatingIPs(), func(ip floatingIP) bool {
		return s.before[ip.ID] || !strings.HasPrefix(ip.Description, "poold")
	})
}

// images lists the uploads of the site's image in a provider.
func (s *site) images(provider string) []image {
	s.t.Helper()
	return slices.DeleteFunc(s.regions[provider].images(), func(i image) bool {
		return !strings.HasPrefix(i.Name, s.image)
	})
}

// left says what a provider holds that was ours.
func (s *site) left(provider string) string {
	s.t.Helper()
	var left []string
	for _, v := range s.servers(provider) {
		left = append(left, fmt.Sprintf("server %s (%s)", v.ID, v.Status))
	}
	for _, p := range s.regions[provider].ports() {
		if s.seen[p.Device] {
			left = append(left, "port "+p.ID)
		}
	}
	for _, ip := range s.floatingIPs(provider) {
		left = append(left, "floating IP "+ip.Address)
	}
	for _, i := range s.images(provider) {
		left = append(left, fmt.Sprintf("image %s (%s)", i.Name, i.Status))
	}
	return strings.Join(left, ", ")
}

// awaitUploads waits until both clouds hold the image that was built, bit by
// bit: the hash is the one that glance computed of what it received.
func (s *site) awaitUploads(limit time.Duration) {
	s.t.Helper()
	for provider := range s.regions {
		s.await("the image is in "+provider, limit, func() (string, bool) {
			images := s.images(provider)
			return fmt.Sprintf("%+v", images), len(images) == 1 && images[0].Status == "active"
		})
		got, built := s.images(provider)[0], s.built()
		if size, ok := built[got.Hash]; got.Algo != "sha512" || !ok || size != got.Size {
			s.t.Errorf("the image in %s is %+v; built were (SHA-512 and size) %v", provider, got, built)
		}
	}
}

// built are the image files on disk: their sizes by SHA-512.
func (s *site) built() map[string]int64 {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(s.dir, "images", s.image+"*"))
	if err != nil {
		s.t.Fatal(err)
	}
	sizes := map[string]int64{}
	for _, name := range files {
		if info, err := os.Stat(name); err != nil || !info.Mode().IsRegular() {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			s.t.Fatal(err)
		}
		sum := sha512.Sum512(text)
		sizes[hex.EncodeToString(sum[:])] = int64(len(text))
	}
	return sizes
}

// retire restarts poold with a file that wants nothing, and waits until the
// clouds hold nothing of ours.
func (s *site) retire() {
	s.t.Helper()
	s.poold.Stop()
	s.configure("nothing.yaml.tmpl")
	s.run()
	for provider := range s.regions {
		s.await("nothing is left in "+provider, 5*time.Minute, func() (string, bool) {
			left := s.left(provider)
			return left, left == ""
		})
	}
	s.poold.Stop()
}
