package openstack

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"poold/cloud"
)

const otherID = "00000000-1111-4222-8333-555555555555"

// Tags need a microversion, which needs networks; a server group is a hint.
func TestCreateWithTagsAndHints(t *testing.T) {
	var got map[string]any
	var version string
	s := newStub(t, "", func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/compute/os-server-groups":
			say(w, `{"server_groups": [{"id": %q, "name": "other"}, {"id": %q, "name": "apart"}]}`, anID, otherID)
		case "/compute/servers":
			version, got = r.Header.Get("OpenStack-API-Version"), nil
			if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
				t.Error(err)
			}
			w.WriteHeader(http.StatusAccepted)
		}
	})
	d := open(t, "ours", cloud.Open{})
	spec := aBatch(2)
	spec.Tags, spec.ServerGroup, spec.Hints = []string{"ci"}, "apart", map[string]string{"a": "b"}
	for range 2 {
		if err := d.Create(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
	}
	server, ok := got["server"].(map[string]any)
	if !ok || version != "compute 2.52" || server["networks"] != "auto" || !cmp.Equal(server["tags"], []any{"ci"}) {
		t.Errorf("with %q: %v", version, got)
	}
	if diff := cmp.Diff(map[string]any{"group": otherID, "a": "b"}, got["os:scheduler_hints"]); diff != "" {
		t.Errorf("hints (-want +got):\n%s", diff)
	}
	if spec.Hints["group"] != "" {
		t.Error("the hints of the spec were changed")
	}
	if err := d.Create(t.Context(), aBatch(1)); err != nil {
		t.Fatal(err)
	}
	if version != "" || got["os:scheduler_hints"] != nil {
		t.Errorf("nothing was asked for: with %q: %v", version, got)
	}
	_, calls := s.seen()
	want := []string{"GET /compute/os-server-groups", "POST /compute/servers", "POST /compute/servers", "POST /compute/servers"}
	if diff := cmp.Diff(want, calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

// A name that means several things is refused with the way out.
func TestAmbiguousNames(t *testing.T) {
	newStub(t, "", func(w http.ResponseWriter, r *http.Request) {
		say(w, `{"server_groups": [{"id": "a", "name": "x"}, {"id": "b", "name": "x"}], "networks": [{"id": "a"}, {"id": "b"}]}`)
		if r.Method == http.MethodPost {
			t.Error("it was asked for all the same")
		}
	})
	d := open(t, "ours", cloud.Open{})
	group, network := aBatch(1), aBatch(1)
	group.ServerGroup, network.Networks = "x", []string{"x"}
	for _, spec := range []cloud.BatchSpec{group, network} {
		err := d.Create(t.Context(), spec)
		wantKind(t, "create", err, cloud.Invalid)
		if !strings.Contains(err.Error(), `"x": use an id`) {
			t.Errorf("got %v", err)
		}
	}
}

// What nova refuses may be gone: it is looked up again.
func TestForgetsWhatIsGone(t *testing.T) {
	id, refuse := anID, false
	var asked []string
	s := newStub(t, "", func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/network/v2.0/networks":
			say(w, `{"networks": [{"id": %q}]}`, id)
		case "/compute/servers":
			var body struct {
				Server struct {
					Networks []networkRef `json:"networks"`
				} `json:"server"`
			}
			if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
				t.Error(err)
			}
			asked = append(asked, body.Server.Networks[0].UUID)
			if refuse {
				w.WriteHeader(http.StatusBadRequest)
				say(w, `{"badRequest": {"code": 400, "message": "Network %s could not be found."}}`, id)
				return
			}
			w.WriteHeader(http.StatusAccepted)
		}
	})
	d := open(t, "ours", cloud.Open{})
	spec := aBatch(1)
	spec.Networks = []string{"net"}
	if err := d.Create(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	refuse = true
	wantKind(t, "create in a network that is gone", d.Create(t.Context(), spec), cloud.Invalid)
	id, refuse = otherID, false
	if err := d.Create(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{anID, anID, otherID}, asked); diff != "" {
		t.Errorf("networks (-want +got):\n%s", diff)
	}
	if _, calls := s.seen(); len(calls) != 5 {
		t.Errorf("calls: %v", calls)
	}
}

// Many at once ask once.
func TestOneLookupForAll(t *testing.T) {
	s := newStub(t, "", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/compute/servers" {
			w.WriteHeader(http.StatusAccepted)
			return
		}
		say(w, `{"networks": [{"id": %q}], "keypair": {}}`, anID)
	})
	d := open(t, "ours", cloud.Open{})
	spec := aBatch(1)
	spec.Networks = []string{"net"}
	key := cloud.KeyPairName("ours", "ssh-rsa AAAA")
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if err := d.EnsureKeyPair(t.Context(), key, "ssh-rsa AAAA"); err != nil {
				t.Error(err)
			}
			if err := d.Create(t.Context(), spec); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	count := map[string]int{}
	_, calls := s.seen()
	for _, c := range calls {
		count[c]++
	}
	want := map[string]int{"POST /compute/os-keypairs": 1, "GET /network/v2.0/networks": 1, "POST /compute/servers": 20}
	if diff := cmp.Diff(want, count); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

// Flavors and zones hardly ever change: of many looks at the limits, few ask
// for them.
func TestFactsAreNotAskedTwice(t *testing.T) {
	s := newStub(t, "", func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/compute/flavors/detail":
			say(w, `{"flavors": [{"id": "1", "name": "m1", "vcpus": 1, "ram": 2, "disk": 3}]}`)
		case "/compute/os-availability-zone":
			say(w, `{"availabilityZoneInfo": [{"zoneName": "a", "zoneState": {"available": true}}, {"zoneName": "b", "zoneState": {}}]}`)
		case "/compute/servers":
			w.WriteHeader(http.StatusBadRequest)
			say(w, `{"badRequest": {"code": 400, "message": "The requested availability zone is not available"}}`)
		default:
			say(w, `{"limits": {"absolute": {}}, "quota": {}}`)
		}
	})
	d := open(t, "ours", cloud.Open{})
	asked := func(looks int) (flavors, zones int) {
		for range looks {
			f, err := d.Facts(t.Context())
			if err != nil || len(f.Flavors) != 1 || len(f.Zones) != 1 || f.Flavors[0].Name != "m1" || f.Zones[0] != "a" {
				t.Fatalf("got %+v, %v", f, err)
			}
			f.Flavors[0].Name, f.Zones[0] = "changed", "changed" // nobody else sees it
		}
		_, calls := s.seen()
		for _, c := range calls {
			switch c {
			case "GET /compute/flavors/detail":
				flavors++
			case "GET /compute/os-availability-zone":
				zones++
			}
		}
		return flavors, zones
	}
	if f, z := asked(refreshEvery - 1); f != 1 || z != 1 {
		t.Errorf("flavors were asked for %d times, zones %d, want once", f, z)
	}
	if f, z := asked(1); f != 2 || z != 2 {
		t.Errorf("flavors were asked for %d times, zones %d, want once more by now", f, z)
	}
	wantKind(t, "create in a zone that is gone", d.Create(t.Context(), aBatch(1)), cloud.Capacity)
	if f, z := asked(1); f != 3 || z != 3 {
		t.Errorf("flavors were asked for %d times, zones %d, want again after a refusal", f, z)
	}
	// What has gone may come back.
	want := 2 + refreshEvery
	if f, z := asked(refreshEvery - 1); f != want || z != want {
		t.Errorf("flavors were asked for %d times, zones %d, want %d, each time for a while", f, z, want)
	}
	if f, z := asked(refreshEvery / 2); f != want || z != want {
		t.Errorf("flavors were asked for %d times, zones %d, want %d, and no more then", f, z, want)
	}
	d.Doubt()
	if f, z := asked(1); f != want+1 || z != want+1 {
		t.Errorf("flavors were asked for %d times, zones %d, want %d: they are doubted", f, z, want+1)
	}
}

// A poold that starts launches nothing before it knows the facts: each of them
// is asked for while the others are. But who is not let in asks once.
func TestFactsAreAskedForTogether(t *testing.T) {
	arrived, all := make(chan struct{}, 3), make(chan struct{})
	var closed atomic.Bool
	s := newStub(t, "", func(w http.ResponseWriter, r *http.Request) {
		switch {
		case closed.Load():
			w.WriteHeader(http.StatusForbidden)
			return
		case r.URL.Path != "/compute/limits":
			arrived <- struct{}{}
			select {
			case <-all:
			case <-r.Context().Done():
			}
		}
		say(w, `{"limits": {"absolute": {}}, "quota": {}}`)
	})
	d := open(t, "ours", cloud.Open{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	go func() {
		for range cap(arrived) {
			<-arrived
		}
		close(all)
	}()
	if _, err := d.Facts(ctx); err != nil {
		t.Error(err)
	}
	_, before := s.seen()
	if !slices.Contains(before, "GET /network/v2.0/networks") {
		t.Errorf("calls %v, want one for the networks, before the first server is there", before)
	}
	closed.Store(true)
	_, err := d.Facts(t.Context())
	wantKind(t, "facts that may not be asked for", err, cloud.Unauthorized)
	if _, calls := s.seen(); len(calls) != len(before)+1 {
		t.Errorf("calls %v after a refusal, want one", calls[len(before):])
	}
}
