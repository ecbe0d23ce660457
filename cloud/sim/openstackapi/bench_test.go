package openstackapi_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"poold/cloud/sim"
	"poold/cloud/sim/openstackapi"
)

// direct answers calls without a network.
type direct struct {
	b       *testing.B
	handler http.Handler
	token   string
}

func (d *direct) do(method, path, body string) *httptest.ResponseRecorder {
	req := httptest.NewRequestWithContext(d.b.Context(), method, path, strings.NewReader(body))
	req.Header.Set("X-Auth-Token", d.token)
	w := httptest.NewRecorder()
	d.handler.ServeHTTP(w, req)
	if w.Code >= 300 {
		d.b.Fatalf("%s %s = %d %s", method, path, w.Code, w.Body)
	}
	return w
}

func newDirect(b *testing.B, now func() time.Time) (*direct, string) {
	b.Helper()
	c := sim.New(sim.Config{Images: []string{"ubuntu"}, Build: sim.Always(time.Second), TokenLife: 1e6 * time.Hour}, now())
	d := &direct{b: b, handler: openstackapi.New(now, c)}
	d.token = d.do("POST", "/v3/auth/tokens", fmt.Sprintf(passwordBody, "secret")).Header().Get("X-Subject-Token")
	return d, fmt.Sprintf(`{"server":{"name":"p","flavorRef":%q,"imageRef":%q%%s}}`, c.Config().Flavors[0].ID, c.Images(now())[0].ID)
}

// One server made, looked at and deleted, while 1000 others are there.
func BenchmarkLifecycle(b *testing.B) {
	now := time.Unix(1e9, 0)
	d, body := newDirect(b, func() time.Time { return now })
	d.do("POST", nova+"/servers", fmt.Sprintf(body, `,"min_count":1000,"max_count":1000`))
	for b.Loop() {
		w := d.do("POST", nova+"/servers", fmt.Sprintf(body, ""))
		path := strings.TrimPrefix(w.Header().Get("Location"), "http://example.com")
		now = now.Add(time.Second)
		d.do("GET", path, "")
		d.do("DELETE", path, "")
	}
}

// A full list of 1000 servers.
func BenchmarkList1000(b *testing.B) {
	now := time.Unix(1e9, 0)
	d, body := newDirect(b, func() time.Time { return now })
	d.do("POST", nova+"/servers", fmt.Sprintf(body, `,"min_count":1000,"max_count":1000`))
	now = now.Add(time.Second)
	b.ReportAllocs()
	for b.Loop() {
		d.do("GET", nova+"/servers/detail", "")
	}
}
