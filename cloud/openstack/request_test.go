package openstack

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"poold/cloud"
)

const anID = "00000000-1111-4222-8333-444444444444"

func aBatch(n int) cloud.BatchSpec {
	return cloud.BatchSpec{Mark: cloud.Mark{Installation: "ours", Batch: "pb"}, Name: "pb", Count: n, FlavorID: "f", ImageID: "i"}
}

// A token that was refused is renewed once, by one caller for all, and the
// call made again.
func TestRefusedTokenIsRenewedOnce(t *testing.T) {
	s := newStub(t, "", func(w http.ResponseWriter, _ *http.Request) { say(w, `{"servers": []}`) })
	d := open(t, "ours", cloud.Open{})
	if _, err := d.Instances(t.Context(), cloud.ListMark{}); err != nil {
		t.Fatal(err)
	}
	s.accept("token-2")
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := d.Instances(t.Context(), cloud.ListMark{}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if tokens, _ := s.seen(); tokens != 2 {
		t.Errorf("%d tokens were asked for, want 2", tokens)
	}
	// A new token that is refused too is the end of it.
	s.accept("none")
	_, calls := s.seen()
	_, err := d.Instances(t.Context(), cloud.ListMark{})
	wantKind(t, "list", err, cloud.Unauthorized)
	if _, after := s.seen(); len(after)-len(calls) != 2 {
		t.Errorf("the list was asked for %d times, want 2", len(after)-len(calls))
	}
}

// A token is renewed before it expires, while calls go on with the old one.
func TestTokenIsRenewedBeforeItExpires(t *testing.T) {
	s := newStub(t, "", func(w http.ResponseWriter, _ *http.Request) { say(w, `{"servers": []}`) })
	s.life = 250 * time.Millisecond
	d := open(t, "ours", cloud.Open{})
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if _, err := d.Instances(t.Context(), cloud.ListMark{}); err != nil {
			t.Fatal(err)
		}
		if tokens, _ := s.seen(); tokens >= 2 {
			return
		}
	}
	t.Error("the token was never renewed")
}

func TestRefusedCredentials(t *testing.T) {
	s := newStub(t, "", nil)
	front := http.NewServeMux()
	front.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { replay(t, w, "keystone-401") })
	listener := serve(t, front)
	writeClouds(t, fmt.Sprintf(`clouds: {sim: {auth: {auth_url: %q, username: u, password: hunter2, user_domain_name: d}}}`, listener))
	d := open(t, "ours", cloud.Open{})
	err := d.Create(t.Context(), aBatch(1))
	wantKind(t, "create", err, cloud.Unauthorized)
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the error tells the password: %v", err)
	}
	if tokens, calls := s.seen(); tokens+len(calls) != 0 {
		t.Errorf("the cloud was asked: %v", calls)
	}
}

// A keystone that is not where it should be proves nothing about a server.
func TestMissingKeystoneIsNotNotFound(t *testing.T) {
	url := serve(t, http.NotFoundHandler())
	writeClouds(t, fmt.Sprintf(`clouds: {sim: {auth: {auth_url: %q, username: u, password: x, user_domain_name: d}}}`, url))
	_, err := open(t, "ours", cloud.Open{}).Instance(t.Context(), anID)
	wantKind(t, "look", err, cloud.Invalid)
}

// serve starts an HTTP server and returns its URL.
func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return "http://" + listener.Addr().String()
}

// Whether a call may have been done is told by whether it was sent.
func TestLostCalls(t *testing.T) {
	hang := make(chan struct{})
	newStub(t, "    api_timeout: 0.3\n", func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, "/image"):
			w.WriteHeader(http.StatusBadGateway)
		case strings.HasSuffix(r.URL.Path, anID):
			panic(http.ErrAbortHandler)
		default:
			_, _ = io.Copy(io.Discard, r.Body)
			<-hang
		}
	})
	t.Cleanup(func() { close(hang) })
	d := open(t, "ours", cloud.Open{})
	err := d.Create(t.Context(), aBatch(1))
	wantKind(t, "a create that is never answered", err, cloud.Ambiguous)
	if !strings.Contains(err.Error(), errSlow.Error()) {
		t.Errorf("got %v, which does not say that the time was up", err)
	}
	wantKind(t, "a delete whose connection breaks", d.Delete(t.Context(), anID), cloud.Ambiguous)
	_, err = d.Instance(t.Context(), anID)
	wantKind(t, "a look whose connection breaks", err, cloud.Transient)
	_, err = d.CreateImage(t.Context(), cloud.ImageSpec{ID: anID, Mark: cloud.Mark{Installation: "ours"}})
	wantKind(t, "an image behind a bad gateway", err, cloud.Ambiguous)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantKind(t, "a create under a context that has ended", d.Create(ctx, aBatch(1)), cloud.Transient)
}

func TestUnreachableCloudIsTransient(t *testing.T) {
	newStub(t, "", nil)
	d := open(t, "ours", cloud.Open{})
	if _, err := d.access().keystone.session(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	// A port that was just free answers nothing.
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := "http://" + listener.Addr().String()
	_ = listener.Close()
	d.access().keystone.current.endpoints[cloud.Compute] = dead
	wantKind(t, "create", d.Create(t.Context(), aBatch(1)), cloud.Transient)
}

// An id must not become a path: that would delete something else.
func TestIDsAreNoPaths(t *testing.T) {
	s := newStub(t, "", nil)
	d := open(t, "ours", cloud.Open{})
	for _, id := range []string{"", ".", "..", "a/b", "a?b", "%2e"} {
		wantKind(t, "delete "+id, d.Delete(t.Context(), id), cloud.Invalid)
	}
	if _, calls := s.seen(); len(calls) != 0 {
		t.Errorf("the cloud was asked: %v", calls)
	}
}

func TestCreateBody(t *testing.T) {
	var got any
	newStub(t, "", func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/network/v2.0/networks":
			say(w, `{"networks": [{"id": %q}]}`, anID)
		case "/compute/servers":
			if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
				t.Error(err)
			}
			w.WriteHeader(http.StatusAccepted)
			// Nobody needs the rest of the answer.
			say(w, `{"server": {"id": "`)
		}
	})
	d := open(t, "ours", cloud.Open{})
	yes := true
	err := d.Create(t.Context(), cloud.BatchSpec{
		Mark: cloud.Mark{Installation: "ours", Batch: "pb", Provider: "p", Revision: 7},
		Name: "pb", Count: 3, FlavorID: "f", ImageID: "i", AZ: "az1", Networks: []string{"net"},
		SecurityGroups: []string{"sg"}, KeyName: "key", UserData: "#!/bin/sh", ConfigDrive: &yes,
		Properties: map[string]string{"a": "b", "poold_installation": "stolen"}, BootFromVolume: true, VolumeGB: 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	var want any
	if err := json.Unmarshal([]byte(`{"server": {
		"name": "pb", "min_count": 1, "max_count": 3, "flavorRef": "f", "availability_zone": "az1", "key_name": "key",
		"user_data": "IyEvYmluL3No", "config_drive": true, "networks": [{"uuid": "`+anID+`"}], "security_groups": [{"name": "sg"}],
		"metadata": {"a": "b", "poold_installation": "ours", "poold_batch": "pb", "poold_provider": "p", "poold_revision": "7"},
		"block_device_mapping_v2": [{"boot_index": 0, "uuid": "i", "source_type": "image", "destination_type": "volume",
			"volume_size": 20, "delete_on_termination": true}]}}`), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
	if err := d.Create(t.Context(), aBatch(1)); err != nil {
		t.Fatal(err)
	}
	want = map[string]any{"server": map[string]any{
		"name": "pb", "flavorRef": "f", "imageRef": "i",
		"metadata": map[string]any{"poold_installation": "ours", "poold_batch": "pb", "poold_revision": "0"},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("body of the least (-want +got):\n%s", diff)
	}
}

// A network is looked up once; one that is not there is looked for again.
func TestNetworkLookups(t *testing.T) {
	there := false
	s := newStub(t, "", func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/compute/servers":
			w.WriteHeader(http.StatusAccepted)
		case there:
			say(w, `{"networks": [{"id": %q}]}`, anID)
		default:
			say(w, `{"networks": []}`)
		}
	})
	d := open(t, "ours", cloud.Open{})
	spec := aBatch(1)
	spec.Networks = []string{"net"}
	wantKind(t, "create in a network that is not there", d.Create(t.Context(), spec), cloud.Invalid)
	there = true
	for range 3 {
		if err := d.Create(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
	}
	_, calls := s.seen()
	want := []string{
		"GET /network/v2.0/networks", "GET /network/v2.0/networks",
		"POST /compute/servers", "POST /compute/servers", "POST /compute/servers",
	}
	if diff := cmp.Diff(want, calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

// Data is sent in one request with its length, and never again: not when the
// token is refused either, since glance would take nothing for an image.
func TestSendImageOnce(t *testing.T) {
	var length int64
	var got []byte
	s := newStub(t, "", func(w http.ResponseWriter, r *http.Request) {
		length = r.ContentLength
		got, _ = io.ReadAll(r.Body)
		w.WriteHeader(http.StatusNoContent)
	})
	d := open(t, "ours", cloud.Open{})
	data := bytes.Repeat([]byte("x"), 1<<20)
	// Not a type whose length net/http knows.
	if err := d.SendImage(t.Context(), anID, io.MultiReader(bytes.NewReader(data)), int64(len(data))); err != nil {
		t.Fatal(err)
	}
	if length != int64(len(data)) || !bytes.Equal(got, data) {
		t.Errorf("got %d bytes, announced as %d", len(got), length)
	}
	s.accept("token-2")
	wantKind(t, "refused token", d.SendImage(t.Context(), anID, bytes.NewReader(data), int64(len(data))), cloud.Ambiguous)
	tokens, calls := s.seen()
	if len(calls) != 2 || tokens != 1 {
		t.Errorf("%d requests and %d tokens, want 2 and 1", len(calls), tokens)
	}
	if err := d.SendImage(t.Context(), anID, bytes.NewReader(data), int64(len(data))); err != nil {
		t.Errorf("after a new token: %v", err)
	}
}
