package web

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap/zaptest"

	"poold/pool"
)

// page asks a server over two nodes, one in use and one ready.
func page(t *testing.T, path string, checks ...Check) (int, string) {
	t.Helper()
	answer := &pool.Allocation{
		Client: "ci", ID: "1", RequestRevision: 7, State: pool.AllocationFulfilled,
		Nodes: []pool.AllocatedNode{{ID: "used"}},
	}
	snapshot := &pool.Snapshot{
		Nodes: []*pool.Node{
			{ID: "used", Provider: "p", Label: "l", State: pool.NodeInUse, InterfaceIP: "10.0.0.1"},
			{ID: "idle", Provider: "p", Label: "l", State: pool.NodeReady, InterfaceIP: "10.0.0.2", HostKeys: []string{"k"}},
		},
		Requests: []*pool.Request{
			{Client: "ci", ID: "1", CreateRevision: 7, Labels: []string{"l"}},
			{Client: "ci", ID: "2", CreateRevision: 9, Labels: []string{"l"}},
		},
		Allocations: []*pool.Allocation{answer},
		Quotas:      []*pool.Quota{{Provider: "p", Trouble: "credentials refused"}},
	}
	catalog := &pool.Catalog{
		Labels:    []pool.Label{{Name: "l", MinReady: 3}},
		Providers: []pool.Provider{{Name: "p", Cloud: "c"}},
	}
	handler := New(Config{
		Snapshot: func() *pool.Snapshot { return snapshot },
		Catalog:  func() *pool.Catalog { return catalog },
		Ready:    func() []Check { return checks },
		Gatherer: prometheus.NewRegistry(),
		Log:      zaptest.NewLogger(t),
	})
	rec := httptest.NewRecorder()
	handler.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	return rec.Code, rec.Body.String()
}

func TestListsAnswerItems(t *testing.T) {
	for path, want := range map[string][]string{
		"/api/v1/nodes":     {`"id": "used"`, `"id": "idle"`},
		"/api/v1/requests":  {`"state": "fulfilled"`, `"state": "waiting"`, `"used"`},
		"/api/v1/providers": {`"name": "p"`, `"in-use": 1`, "credentials refused"},
		"/api/v1/labels":    {`"min_ready": 3`, `"ready": 1`},
		"/api/v1/images":    {`"items": []`},
		"/api/v1/uploads":   {`"items": []`},
		"/api/v1/peers":     {`"items": []`},
	} {
		code, body := page(t, path)
		var list struct{ Items []any }
		if err := json.Unmarshal([]byte(body), &list); err != nil || code != http.StatusOK {
			t.Errorf("%s: status %d, %v", path, code, err)
		}
		for _, w := range want {
			if !strings.Contains(body, w) {
				t.Errorf("%s lacks %s:\n%s", path, w, body)
			}
		}
	}
}

// Nobody learns how to reach a node that nobody was given.
func TestAddressesAreShownOfNodesInUseOnly(t *testing.T) {
	_, body := page(t, "/api/v1/nodes")
	if !strings.Contains(body, "10.0.0.1") {
		t.Error("the node in use shows no address")
	}
	if strings.Contains(body, "10.0.0.2") || strings.Contains(body, "host_keys") {
		t.Error("the idle node shows how to reach it")
	}
}

func TestReadyzSaysWhatIsWrong(t *testing.T) {
	if code, _ := page(t, "/readyz", Check{Name: "etcd"}); code != http.StatusOK {
		t.Errorf("ready: status %d", code)
	}
	code, body := page(t, "/readyz", Check{Name: "etcd"}, Check{Name: "records", Problem: "not read yet"})
	if code != http.StatusServiceUnavailable || !strings.Contains(body, "not read yet") {
		t.Errorf("not ready: status %d: %s", code, body)
	}
}
