package openstack

import (
	"net/http"
	"slices"
	"sync"
	"testing"

	"poold/cloud"
)

// What nova made for a server is told from what anybody else made, and only
// the first is deleted.
func TestRemovePortsOfAServer(t *testing.T) {
	var mu sync.Mutex
	var deleted []string
	newStub(t, "", func(w http.ResponseWriter, r *http.Request) {
		switch r.Method + " " + r.URL.Path {
		case "GET /network/v2.0/ports":
			// A cloud that takes no notice of the filter.
			say(w, `{"ports": [
				{"id": "half", "device_id": "s1", "device_owner": ""},
				{"id": "full", "device_id": "s1", "device_owner": "compute:nova"},
				{"id": "router", "device_id": "s1", "device_owner": "network:router_interface"},
				{"id": "free", "device_id": "", "device_owner": ""},
				{"id": "theirs", "device_id": "s2", "device_owner": "compute:nova"}]}`)
		case "GET /network/v2.0/ports/full":
			say(w, `{"port": {"id": "full", "device_id": "s1", "device_owner": "compute:nova"}}`)
		case "GET /network/v2.0/ports/reused":
			say(w, `{"port": {"id": "reused", "device_id": "s2", "device_owner": "compute:nova"}}`)
		case "DELETE /network/v2.0/ports/full":
			mu.Lock()
			defer mu.Unlock()
			deleted = append(deleted, "full")
			w.WriteHeader(http.StatusNoContent)
		default:
			replay(t, w, "neutron-404-port")
		}
	})
	d := open(t, "ours", cloud.Open{})
	got, err := d.Ports(t.Context(), "s1")
	if err != nil || !slices.Equal(got, []string{"half", "full"}) {
		t.Errorf("ports of s1: %v, %v", got, err)
	}
	if err := d.RemovePort(t.Context(), "s1", "full"); err != nil {
		t.Error(err)
	}
	wantKind(t, "a port that is another server's by now", d.RemovePort(t.Context(), "s1", "reused"), cloud.Conflict)
	wantKind(t, "a port that is gone", d.RemovePort(t.Context(), "s1", "half"), cloud.NotFound)
	_, err = d.Ports(t.Context(), "")
	wantKind(t, "ports of no server", err, cloud.Invalid)
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(deleted, []string{"full"}) {
		t.Errorf("deleted %v", deleted)
	}
}

// A volume is deleted when it is free, and gone only when cinder says so.
func TestRemoveVolume(t *testing.T) {
	s := newStub(t, "    volume_endpoint_override: STUB/volume\n", func(w http.ResponseWriter, r *http.Request) {
		switch r.Method + " " + r.URL.Path {
		case "GET /volume/volumes/free":
			say(w, `{"volume": {"id": "free", "status": "available", "attachments": []}}`)
		case "GET /volume/volumes/going":
			say(w, `{"volume": {"id": "going", "status": "deleting", "attachments": []}}`)
		case "GET /volume/volumes/used":
			say(w, `{"volume": {"id": "used", "status": "in-use", "attachments": [{"server_id": "s2"}]}}`)
		case "GET /volume/volumes/snapped":
			say(w, `{"volume": {"id": "snapped", "status": "available", "attachments": []}}`)
		case "DELETE /volume/volumes/snapped":
			replay(t, w, "cinder-400-in-use")
		case "DELETE /volume/volumes/free":
			w.WriteHeader(http.StatusAccepted)
		default:
			replay(t, w, "cinder-404")
		}
	})
	d := open(t, "ours", cloud.Open{})
	for id, want := range map[string]cloud.Kind{
		"free": "", "going": "", "used": cloud.Conflict, "snapped": cloud.Invalid, "gone": cloud.NotFound,
	} {
		wantKind(t, id, d.RemoveVolume(t.Context(), id), want)
	}
	_, calls := s.seen()
	for _, id := range []string{"going", "used", "gone"} {
		if slices.Contains(calls, "DELETE /volume/volumes/"+id) {
			t.Errorf("volume %s was deleted", id)
		}
	}
}

// Of a server's volumes only those that nova is to delete with it are told.
func TestVolumesOfAServer(t *testing.T) {
	newStub(t, "", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("OpenStack-API-Version") != "compute 2.3" {
			t.Error("asked in a version that does not tell which volumes die")
		}
		say(w, `{"server": {"id": "s1", "status": "ACTIVE", "os-extended-volumes:volumes_attached":
			[{"id": "root", "delete_on_termination": true}, {"id": "data", "delete_on_termination": false}, {"id": "old"}]}}`)
	})
	i, err := open(t, "ours", cloud.Open{}).Instance(t.Context(), "s1")
	if err != nil || !slices.Equal(i.Volumes, []string{"root"}) {
		t.Errorf("volumes %v, %v", i.Volumes, err)
	}
}
