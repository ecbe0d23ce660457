package web

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap/zaptest"

	"poold/pool"
)

// site is a small site with one of everything.
func site() (*pool.Snapshot, *pool.Catalog) {
	since := time.Unix(1_700_000_000, 0)
	used := &pool.Node{
		ID: "n1", Provider: "p", Pool: "main", Label: "l", State: pool.NodeInUse, Since: since, InstanceID: "i1",
		InterfaceIP: "192.0.2.1", AllocatedTo: &pool.RequestRef{Client: "ci", ID: "job", CreateRevision: 7},
		Addresses: []pool.Address{
			{IP: "10.0.0.1", Version: 4},
			{IP: "192.0.2.1", Version: 4, Floating: true},
			{IP: "2001:db8::1", Version: 6},
		},
	}
	used.Username, used.Port = "zuul", 22
	idle := &pool.Node{ID: "n2", Provider: "p", Label: "l", State: pool.NodeReady, InterfaceIP: "192.0.2.2"}
	idle.Addresses = []pool.Address{{IP: "192.0.2.2", Version: 4}}
	snapshot := &pool.Snapshot{
		Nodes: []*pool.Node{
			used, idle, {ID: "n3", State: pool.NodeDeleted}, {ID: "n4", State: pool.NodePending},
		},
		Requests: []*pool.Request{
			{Client: "ci", ID: "job", CreateRevision: 7, Labels: []string{"l"}},
			{Client: "ci", ID: "next", CreateRevision: 8, Labels: []string{"l", "l"}, RelativePriority: 3},
		},
		Allocations: []*pool.Allocation{{
			Client: "ci", ID: "job", RequestRevision: 7, State: pool.AllocationFulfilled,
			Nodes: []pool.AllocatedNode{{ID: "n1"}},
		}},
		Builds: []*pool.Build{
			{
				Image: "noble", ID: "b1", Builder: "nb1", State: pool.BuildReady, Since: since,
				Artifacts: []pool.Artifact{{Format: "qcow2"}, {Format: "raw"}},
			},
			{Image: "noble", ID: "b0", State: pool.BuildDeleted},
		},
		Uploads: []*pool.Upload{{
			Image: "noble", Build: "b1", Provider: "p", State: pool.UploadPending, Since: since,
			ExternalName: "noble-1", ExternalID: "e1",
		}},
		Commands: []*pool.Command{{Verb: pool.VerbBuild, Target: "noble", At: since}},
	}
	catalog := &pool.Catalog{
		Images: []pool.Image{{Name: "noble"}, {Name: "still", Paused: true}},
		Providers: []pool.Provider{{Name: "p", Pools: []pool.Pool{
			{Labels: []pool.LabelSpec{{Name: "m"}, {Name: "l"}}}, {Labels: []pool.LabelSpec{{Name: "l"}}},
		}}},
	}
	return snapshot, catalog
}

// ask sends a GET for a path, accepting the type.
func ask(t *testing.T, path, accept string, checks ...Check) *httptest.ResponseRecorder {
	t.Helper()
	snapshot, catalog := site()
	handler := New(Config{
		Snapshot: func() *pool.Snapshot { return snapshot },
		Catalog:  func() *pool.Catalog { return catalog },
		Ready:    func() []Check { return checks },
		Gatherer: prometheus.NewRegistry(), Log: zaptest.NewLogger(t),
	})
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	r.Header.Set("Accept", accept)
	rec := httptest.NewRecorder()
	handler.ServeHTTP(rec, r)
	return rec
}

// The keys are nodepool's, and so are the values that scripts compare with.
func TestOldListsHaveNodepoolsShapes(t *testing.T) {
	for path, want := range map[string]struct {
		rows int
		// first is some of what the first row says.
		first map[string]any
		keys  string
	}{
		"/node-list": {3, map[string]any{
			"id": "n1", "public_ipv4": "192.0.2.1", "private_ipv4": "10.0.0.1", "ipv6": "2001:db8::1",
			"state": "in-use", "locked": "locked", "allocated_to": "ci/job", "connection_port": 22.0, "server_id": "i1",
		}, "AZ age allocated_to comment connection_port hostname id ipv6 label locked pool private_ipv4 provider " +
			"public_ipv4 server_id state username"},
		"/request-list": {
			2,
			map[string]any{"id": "job", "state": "fulfilled", "requestor": "ci"},
			"declined_by id node_types nodes relative_priority requestor state",
		},
		"/image-list": {
			1,
			map[string]any{"id": "b1", "state": "uploading", "external_id": "e1", "age": 1_700_000_000.0},
			"age external_id external_name id image provider state upload_id",
		},
		"/dib-image-list": {
			1,
			map[string]any{"id": "noble-b1", "builder": "nb1", "age": 1_700_000_000.0},
			"age builder formats id image state",
		},
		"/image-status": {
			2,
			map[string]any{"image": "noble", "paused": false, "build_request": "pending"},
			"build_request build_request_age image paused",
		},
		"/label-list": {2, map[string]any{"label": "l"}, "label"},
	} {
		rec := ask(t, path, "application/json")
		var rows []map[string]any
		if err := json.Unmarshal(rec.Body.Bytes(), &rows); err != nil || len(rows) != want.rows {
			t.Errorf("%s: %d rows, want %d (%v)\n%s", path, len(rows), want.rows, err, rec.Body)
			continue
		}
		keys := make([]string, 0, len(rows[0]))
		for k := range rows[0] {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		if got := strings.Join(keys, " "); got != want.keys {
			t.Errorf("%s has the keys\n%s, want\n%s", path, got, want.keys)
		}
		for k, v := range want.first {
			if rows[0][k] != v {
				t.Errorf("%s: %s is %v, want %v", path, k, rows[0][k], v)
			}
		}
	}
}

func TestOldListsAreTextForWhoDoesNotAskForJSON(t *testing.T) {
	body := ask(t, "/node-list?fields=id,state,label", "").Body.String()
	want := "ID  Label  State\nn1  l      in-use\nn2  l      ready\nn4         init\n"
	if body != want {
		t.Errorf("got\n%s, want\n%s", body, want)
	}
	if body := ask(t, "/node-list?node_id=n2", "*/*").Body.String(); strings.Count(body, "\n") != 2 {
		t.Errorf("one node that was asked for by id:\n%s", body)
	}
}

// Nodepool showed every address; an idle node's is nobody's business.
func TestOldNodeListHidesIdleNodes(t *testing.T) {
	if body := ask(t, "/node-list", "application/json").Body.String(); strings.Contains(body, "192.0.2.2") {
		t.Errorf("an idle node shows its address:\n%s", body)
	}
}

func TestOldReady(t *testing.T) {
	if rec := ask(t, "/ready", ""); rec.Code != http.StatusOK || rec.Body.String() != "OK\n" {
		t.Errorf("ready: %d %q", rec.Code, rec.Body)
	}
	if rec := ask(t, "/ready", "", Check{Name: "etcd", Problem: "away"}); rec.Code != http.StatusServiceUnavailable {
		t.Errorf("not ready: %d", rec.Code)
	}
}

func TestOldAge(t *testing.T) {
	if got := oldAge(49*time.Hour + 3*time.Minute + 4*time.Second); got != "02:01:03:04" {
		t.Errorf("got %s", got)
	}
}

// An image is paused by the configuration or by an operator.
func TestOldStatusPaused(t *testing.T) {
	s, c := site()
	s.Pauses = []*pool.Pause{{Image: "noble"}}
	for i, row := range oldStatus(s, c) {
		if row[1].value != true {
			t.Errorf("%s is not paused", c.Images[i].Name)
		}
	}
}
