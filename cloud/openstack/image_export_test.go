package openstack

import (
	"net/http"
	"testing"
	"time"

	"poold/cloud"
	"poold/cloud/sim"
)

// A snapshot that somebody makes of a server of ours inherits our mark, and is
// not ours all the same.
func TestForeignSnapshotsOfOurServers(t *testing.T) {
	clock := inSim(t, sim.Config{Images: []string{"noble"}, Build: sim.Always(2 * time.Second)})
	d := open(t, "inst", cloud.Open{})
	facts, err := d.Facts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	image, err := d.FindImage(t.Context(), "noble")
	if err != nil {
		t.Fatal(err)
	}
	mark := cloud.Mark{Installation: "inst", Provider: "p", Batch: "b1"}
	if err := d.Create(t.Context(), cloud.BatchSpec{Mark: mark, Name: "b1", Count: 1, FlavorID: facts.Flavors[0].ID, ImageID: image}); err != nil {
		t.Fatal(err)
	}
	clock.Pass(time.Minute)
	s, err := d.serverNamed(t.Context(), "b1")
	if err != nil {
		t.Fatal(err)
	}
	err = d.call(t.Context(), request{
		service: cloud.Compute, method: http.MethodPost, path: "/servers/{id}/action", id: s.ID, what: "snapshot", changes: true,
		in: map[string]any{"createImage": map[string]any{"name": "mine", "metadata": mark.In(nil)}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	all, err := d.Resources(t.Context(), cloud.StoredImage)
	if err != nil || len(all) != 0 {
		t.Errorf("taken for ours: %+v, %v", all, err)
	}
	theirs, err := d.FindImage(t.Context(), "mine")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.DeleteImage(t.Context(), theirs); cloud.KindOf(err) != cloud.Conflict {
		t.Errorf("delete: %v, want it refused", err)
	}
}
