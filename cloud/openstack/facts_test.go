package openstack

import (
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"poold/cloud"
	"poold/pool"
)

// limited is a region whose neutron has no details of quotas and whose cinder
// answers as a test wants.
type limited struct {
	*stub
	// cinderDown says that cinder does not answer.
	cinderDown atomic.Bool
}

func newLimited(t *testing.T) *limited {
	t.Helper()
	l := &limited{}
	l.stub = newStub(t, "    volume_endpoint_override: STUB/volume\n", func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Path; {
		case path == "/compute/flavors/detail":
			say(w, `{"flavors": []}`)
		case path == "/compute/os-availability-zone":
			say(w, `{"availabilityZoneInfo": []}`)
		case path == "/network/v2.0/networks":
			say(w, `{"networks": []}`)
		case path == "/compute/limits":
			say(w, `{"limits": {"absolute": {"maxTotalInstances": -1, "totalInstancesUsed": 3, "maxTotalCores": 20}}}`)
		case strings.HasSuffix(path, "/details.json"):
			replay(t, w, "neutron-404-no-path")
		case path == "/network/v2.0/quotas/p1":
			say(w, `{"quota": {"port": 10, "floatingip": -1}}`)
		case path == "/network/v2.0/ports" && r.URL.Query().Get("marker") == "":
			say(w, `{"ports": [{"id": "a"}, {"id": "b"}], "ports_links": [{"rel": "next", "href": "http://x/?marker=b"}]}`)
		case path == "/network/v2.0/ports":
			say(w, `{"ports": [{"id": "c"}]}`)
		case path == "/volume/limits" && l.cinderDown.Load():
			replay(t, w, "haproxy-503")
		case path == "/volume/limits":
			say(w, `{"limits": {"absolute": {"maxTotalVolumes": 7, "totalVolumesUsed": 2, "maxTotalVolumeGigabytes": -1}}}`)
		default:
			t.Errorf("unexpected %s %s", r.Method, path)
		}
	})
	return l
}

// What neutron does not sum up is counted, and only what has a limit. What it
// cannot do it is not asked for again.
func TestQuotaWithoutDetails(t *testing.T) {
	s := newLimited(t)
	d := open(t, "ours", cloud.Open{})
	for range 2 {
		f, err := d.Facts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want := pool.Limits{
			Instances: pool.Unlimited, Cores: 20, RAMMiB: pool.Unlimited, Volumes: 7, VolumeGB: pool.Unlimited,
			FloatingIPs: pool.Unlimited, Ports: 10,
		}
		if f.Limits != want {
			t.Errorf("limits %+v, want %+v", f.Limits, want)
		}
		if used := (pool.Resources{Instances: 3, Ports: 3, Volumes: 2}); f.Used != used {
			t.Errorf("used %+v, want %+v", f.Used, used)
		}
	}
	_, calls := s.seen()
	calls = slices.DeleteFunc(calls, func(c string) bool { return !strings.HasSuffix(c, "/details.json") })
	if len(calls) != 1 {
		t.Errorf("%d calls for details that are not there, want 1", len(calls))
	}
}

// A cinder that is down stops no launches, and its limits are not forgotten.
func TestFactsWithoutCinder(t *testing.T) {
	s := newLimited(t)
	d := open(t, "ours", cloud.Open{})
	for _, step := range []struct {
		down bool
		want int64
	}{{true, pool.Unlimited}, {false, 7}, {true, 7}} {
		s.cinderDown.Store(step.down)
		f, err := d.Facts(t.Context())
		if err != nil || f.Limits.Volumes != step.want {
			t.Errorf("cinder down %v: %d volumes (%v), want %d", step.down, f.Limits.Volumes, err, step.want)
		}
	}
}
