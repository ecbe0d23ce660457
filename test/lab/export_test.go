//go:build lab

package lab

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What is in one region comes to another: an image byte by byte, and the disk
// of a server that runs there, of which nova makes a snapshot that is gone
// afterwards. Servers start from both. The lab needs "openstack kvm": nova's
// fake driver has no disks.
func TestExport(t *testing.T) {
	t.Parallel()
	s := newSite(t, newTenant(t, "r1", "r2"))
	r1 := s.tenant.regions["r1"]
	golden := s.tenant.newImage(t, "r1", "golden")
	running := s.tenant.newServer(t, "r1", "running", object{
		"imageRef": golden.ID, "flavorRef": r1.flavorNamed(t, "lab.kvm"), "availability_zone": "kvm",
		"networks": []object{{"uuid": r1.named(t, network, "/v2.0/networks?name=kvm-net", "networks", "kvm-net")}},
	})
	s.before = s.tenant.inventory(t)

	image, snapshot := newImage(s), newImage(s)
	s.run(t, keys{"diskimages": []keys{
		{"name": image.name, "username": "root", "snapshot-of": keys{"provider": "r1", "image": "golden"}},
		{"name": snapshot.name, "username": "root", "snapshot-of": keys{"provider": "r1", "server": running.ID}},
	}}, provider("r1", nil), provider("r2",
		keys{"diskimages": []keys{{"name": image.name}, {"name": snapshot.name}}},
		pool("main", keys{"max-servers": 2}, image.label("from-image", nil), snapshot.label("from-server", nil))))

	image.await(t, "r2")
	if there := image.in(t, "r2"); there.Hash != golden.Hash || there.Size != golden.Size || golden.Algo != "sha512" {
		t.Errorf("the image is %+v, and in the other region %+v", golden, there)
	}
	snapshot.await(t, "r2")
	there := snapshot.in(t, "r2")
	if origin := s.poolctl(t, "image", "list", "-o", "json"); !strings.Contains(origin, "sha512:"+there.Hash) {
		t.Errorf("the cloud's hash of the snapshot is not that of %+v: %s", there, origin)
	}
	s.await(t, "the snapshot is gone", soon, func() (string, bool) {
		left := r1.images(t)
		return describeImages(left), len(left) == 1 && left[0].ID == golden.ID
	})
	for name, d := range map[string]*diskimage{"from-image": image, "from-server": snapshot} {
		r := s.ask(t, name)
		v := s.server(t, r.served(t)[0])
		equal(t, "image of "+name, v.imageID(), d.in(t, "r2").ID)
		r.release(t)
	}
	s.retire(t)
}

func describeImages(all []image) string {
	var names []string
	for _, i := range all {
		names = append(names, i.Name+" "+i.Status)
	}
	return strings.Join(names, ", ")
}

// newImage makes an image that is not poold's, which boots.
func (n *tenant) newImage(t *testing.T, cloud, name string) image {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tiny.qcow2")
	if out, err := exec.Command("./tiny-image", file).CombinedOutput(); err != nil {
		t.Fatalf("tiny-image: %v\n%s", err, out)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c := n.regions[cloud]
	var made image
	c.must(t, http.MethodPost, images, "/v2/images", object{
		"name": name, "disk_format": "qcow2", "container_format": "bare", "visibility": "private",
	}, &made)
	put, err := http.NewRequestWithContext(t.Context(), http.MethodPut, c.endpoints[images]+"/v2/images/"+made.ID+"/file", bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	put.Header.Set("X-Auth-Token", c.token)
	put.Header.Set("Content-Type", "application/octet-stream")
	answer, err := http.DefaultClient.Do(put)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close() // it has none
	if answer.StatusCode != http.StatusNoContent {
		t.Fatalf("the image's data: %s", answer.Status)
	}
	c.get(t, images, "/v2/images/"+made.ID, &made)
	return made
}
