//go:build lab

package openstack

import (
	"net/http"
	"testing"
	"time"

	"poold/cloud"
)

// On the real services: a boot volume that a snapshot keeps outlives its
// server, is known by the id that the server showed, and goes afterwards.
func TestLabVolumeThatStays(t *testing.T) {
	inLab(t)
	d := openLab(t, "ci-r1", newInstallation(t), cloud.Open{})
	facts, err := d.Facts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	image, err := d.FindImage(t.Context(), "lab-image")
	if err != nil {
		t.Fatal(err)
	}
	flavor := ""
	for _, f := range facts.Flavors {
		if f.Name == "lab.tiny" {
			flavor = f.ID
		}
	}
	err = d.Create(t.Context(), cloud.BatchSpec{
		Mark: cloud.Mark{Installation: d.installation, Provider: "p", Batch: "pclean"}, Name: "pclean", Count: 1,
		FlavorID: flavor, ImageID: image, Networks: []string{"ci-net"}, BootFromVolume: true, VolumeGB: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	i := labUntil(t, "the server is active", func() (cloud.Instance, bool) {
		l, err := d.Instances(t.Context(), cloud.ListMark{})
		if err != nil || len(l.Instances) != 1 {
			return cloud.Instance{}, false
		}
		return l.Instances[0], l.Instances[0].Status == cloud.StatusActive
	})
	if len(i.Volumes) != 1 {
		t.Fatalf("volumes %v, want one", i.Volumes)
	}
	volume := i.Volumes[0]
	wantKind(t, "a volume in use", d.RemoveVolume(t.Context(), volume), cloud.Conflict)
	var made struct {
		Snapshot struct {
			ID string `json:"id"`
		} `json:"snapshot"`
	}
	err = d.call(t.Context(), request{
		service: cloud.Volume, method: http.MethodPost, path: "/snapshots", what: "snapshot", changes: true,
		in: map[string]any{"snapshot": map[string]any{"volume_id": volume, "force": true}},
	}, &made)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.ForceDelete(t.Context(), i.ID); err != nil {
		t.Fatal(err)
	}
	labUntil(t, "the server is gone", func() (struct{}, bool) {
		_, err := d.Instance(t.Context(), i.ID)
		return struct{}{}, cloud.KindOf(err) == cloud.NotFound
	})
	if ports, err := d.Ports(t.Context(), i.ID); err != nil || len(ports) > 0 {
		t.Errorf("ports that are left: %v, %v", ports, err)
	}
	wantKind(t, "a volume with a snapshot", d.RemoveVolume(t.Context(), volume), cloud.Invalid)
	err = d.call(t.Context(), request{
		service: cloud.Volume, method: http.MethodDelete, path: "/snapshots/{id}", id: made.Snapshot.ID, what: "delete snapshot", changes: true,
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	labUntil(t, "the volume is gone", func() (struct{}, bool) {
		return struct{}{}, cloud.KindOf(d.RemoveVolume(t.Context(), volume)) == cloud.NotFound
	})
}

// labUntil asks until it is so, for a minute.
func labUntil[T any](t *testing.T, what string, is func() (T, bool)) T {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); labPause() {
		if v, ok := is(); ok {
			return v
		}
	}
	t.Fatalf("%s: not so within a minute", what)
	panic("unreachable")
}
