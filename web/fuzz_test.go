package web

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"poold/pool"
)

// Whatever is asked of the pages is answered, without a panic and without a
// failure of ours; nothing is changed, as nothing can be.
func FuzzPages(f *testing.F) {
	for _, target := range []string{
		"/", "/node-list?fields=a,b&node_id=x", "/api/v1/nodes?x=%00", "/image-files/..%2f..%2fetc%2fpasswd", "/metrics", "/../x", "/ready?a=b",
	} {
		f.Add("GET", target, "application/json")
	}
	f.Add("POST", "/api/v1/nodes", "*/*")
	handler := New(Config{
		Snapshot: func() *pool.Snapshot {
			return &pool.Snapshot{Nodes: []*pool.Node{{ID: "used", Provider: "p", Label: "l", State: pool.NodeInUse}}}
		},
		Catalog:  func() *pool.Catalog { return &pool.Catalog{Labels: []pool.Label{{Name: "l", MinReady: 3}}} },
		Ready:    func() []Check { return nil },
		Gatherer: prometheus.NewRegistry(),
		Log:      zap.NewNop(),
	})
	f.Fuzz(func(t *testing.T, method, target, accept string) {
		req, err := http.NewRequest(method, "http://poold"+target, http.NoBody)
		if err != nil {
			return
		}
		req.Header.Set("Accept", accept)
		rec := httptest.NewRecorder()
		handler.ServeHTTP(rec, req)
		if rec.Code >= http.StatusInternalServerError {
			t.Errorf("%s %q: %d", method, target, rec.Code)
		}
		if _, err := io.Copy(io.Discard, rec.Body); err != nil {
			t.Error(err)
		}
	})
}
