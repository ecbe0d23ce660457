//go:build lab

package openstack

import (
	"context"
	"crypto/rand"
	"net/http"
	"os"
	"slices"
	"testing"
	"time"

	"go.uber.org/zap/zaptest"

	"poold/cloud"
	"poold/cloud/cloudtest"
	"poold/pool"
)

// openLab opens a driver for a cloud of the lab.
func openLab(t *testing.T, name, installation string, gate cloud.Gate) *Driver {
	t.Helper()
	d, err := Open(Config{Cloud: name, Installation: installation, Gate: gate, Log: zaptest.NewLogger(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// inLab fails unless there is a lab.
func inLab(t *testing.T) {
	t.Helper()
	if os.Getenv("OS_CLIENT_CONFIG_FILE") == "" {
		t.Fatal("set OS_CLIENT_CONFIG_FILE to the clouds.yaml of a running lab, which `make test-lab` brings up")
	}
}

// labLooks bounds how often the lab is asked whether it is done: five minutes
// and more, since it shares a machine with others.
const labLooks = 1000

// labPause is how long the lab gets between two looks.
func labPause() {
	timer := time.NewTimer(300 * time.Millisecond)
	<-timer.C
}

func newInstallation(t *testing.T) string {
	t.Helper()
	id, err := pool.NewID(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// The driver keeps its contract on a real OpenStack.
func TestLabConformance(t *testing.T) {
	inLab(t)
	cloudtest.Run(t, func(t *testing.T) cloudtest.Env { t.Helper(); return labEnv(t, "ci-r2", "RegionTwo") })
}

// Only the first region has volumes, and two networks once real guests run.
func TestLabOptions(t *testing.T) {
	inLab(t)
	cloudtest.RunOptions(t, func(t *testing.T) cloudtest.Env {
		t.Helper()
		e := labEnv(t, "ci-r1", "RegionOne")
		e.Volumes, e.Networks = true, true
		return e
	})
}

func labEnv(t *testing.T, name, region string) cloudtest.Env {
	t.Helper()
	e := cloudtest.Env{
		Installation: newInstallation(t), OtherInstallation: newInstallation(t),
		ImageName: "lab-image", Network: "ci-net", Floats: true,
		Gate: &cloudtest.Gate{}, Settle: labPause, Tags: true, Zone: "nova",
	}
	plain := openLab(t, name, e.OtherInstallation, cloud.Open{})
	e.FlavorID, e.ImageID = labFacts(t, plain)
	e.Other = plain
	group := "apart-" + e.Installation
	labServerGroup(t, plain, group)
	equip(t, &e, plain, group)
	// Only ours: the other driver's calls are not to be counted.
	own := fronted(t, name, region)
	e.Sent, e.Inject = own.count, own.inject
	e.Driver = openLab(t, name, e.Installation, e.Gate)
	e.Again = func() cloud.Driver { return openLab(t, name, e.Installation, cloud.Open{}) }
	return e
}

// labServerGroup makes a server group, and deletes it after the test.
func labServerGroup(t *testing.T, d *Driver, name string) {
	t.Helper()
	var made struct {
		Group identified `json:"server_group"`
	}
	err := d.call(t.Context(), request{
		service: cloud.Compute, method: http.MethodPost, path: "/os-server-groups", what: "create server group", changes: true,
		in:           map[string]any{"server_group": map[string]any{"name": name, "policies": []string{"soft-anti-affinity"}}},
		microversion: "2.15",
	}, &made)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := d.call(context.WithoutCancel(t.Context()), request{
			service: cloud.Compute, method: http.MethodDelete, path: "/os-server-groups/{id}", id: made.Group.ID,
			what: "delete server group", changes: true,
		}, nil)
		if err != nil {
			t.Error(err)
		}
	})
}

func labFacts(t *testing.T, d *Driver) (flavor, image string) {
	t.Helper()
	facts, err := d.Facts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	k := slices.IndexFunc(facts.Flavors, func(f pool.Flavor) bool { return f.Name == "lab.tiny" })
	if k < 0 {
		t.Fatalf("no flavor lab.tiny in %+v", facts.Flavors)
	}
	image, err = d.FindImage(t.Context(), "lab-image")
	if err != nil {
		t.Fatal(err)
	}
	return facts.Flavors[k].ID, image
}

// What real services do at the edge of a quota is what the driver says it is.
func TestLabQuota(t *testing.T) {
	inLab(t)
	d := openLab(t, "ci-small-r2", newInstallation(t), cloud.Open{})
	flavor, image := labFacts(t, d)
	facts, err := d.Facts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	room := int(facts.Limits.Instances - facts.Used.Instances)
	if room < 1 || facts.Limits.FloatingIPs != 3 || facts.Limits.Ports < 1 {
		t.Fatalf("the project is in use, or has other limits than it should: %+v, used %+v", facts.Limits, facts.Used)
	}
	if room < 2 {
		t.Fatalf("there is room for %d instances only", room)
	}
	spec := func(batch string, n int) cloud.BatchSpec {
		return cloud.BatchSpec{
			Mark: cloud.Mark{Installation: d.installation, Batch: batch}, Name: batch, Count: n,
			FlavorID: flavor, ImageID: image, Networks: []string{"ci-small-net"},
		}
	}
	t.Cleanup(func() { emptyLab(t, d) })
	if err := d.Create(t.Context(), spec("pfirst", room-1)); err != nil {
		t.Fatal(err)
	}
	// Nova counts what has reached a cell: sooner, it lets more through.
	built(t, d, room-1)
	if err := d.Create(t.Context(), spec("psecond", 4)); err != nil {
		t.Fatalf("a batch that fits in part: %v", err)
	}
	l := built(t, d, room)
	// Nova gives no number to what is alone in the end.
	if !slices.ContainsFunc(l.Instances, func(i cloud.Instance) bool { return i.Name == "psecond" }) {
		t.Errorf("none of %+v has the bare name", l.Instances)
	}
	wantKind(t, "a batch beyond the quota", d.Create(t.Context(), spec("pthird", 2)), cloud.Quota)
}

// built waits until a driver has n instances, all active.
func built(t *testing.T, d *Driver, n int) cloud.Listing {
	t.Helper()
	for range labLooks {
		l, err := d.Instances(t.Context(), cloud.ListMark{})
		if err != nil {
			t.Fatal(err)
		}
		building := func(i cloud.Instance) bool { return i.Status != cloud.StatusActive }
		if len(l.Instances) == n && !slices.ContainsFunc(l.Instances, building) {
			return l
		}
		labPause()
	}
	t.Fatalf("there are not %d active instances", n)
	return cloud.Listing{}
}

// emptyLab removes what a driver has left behind.
func emptyLab(t *testing.T, d *Driver) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	for range labLooks {
		l, err := d.Instances(ctx, cloud.ListMark{})
		if err == nil && len(l.Instances) == 0 {
			return
		}
		for _, i := range l.Instances {
			if i.Status != cloud.StatusDeleting {
				_ = d.Delete(ctx, i.ID)
			}
		}
		labPause()
	}
	t.Error("the project is not empty")
}
