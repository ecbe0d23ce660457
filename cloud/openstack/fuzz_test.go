package openstack

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"

	"poold/cloud"
	"poold/cloud/openstack/cloudsyaml"
)

// A page of servers that is cut up is the page that encoding/json reads, or an
// error.
func FuzzServers(f *testing.F) {
	for _, page := range []string{
		`{"servers": [{"id": "a", "status": "ACTIVE"}], "servers_links": [{"rel": "next", "href": "?marker=a"}]}`,
		`{"servers": []}`, `{}`, `[]`, ``, `{"servers": [1, "x", null, {"addresses": {"n": [{"addr": "::1"}]}}]}`, `{"servers_links": 7, "servers": [`,
	} {
		f.Add([]byte(page))
	}
	f.Fuzz(func(t *testing.T, page []byte) {
		var cut []json.RawMessage
		href, err := decodeServers(bytes.NewReader(page), func(text []byte) error {
			cut = append(cut, bytes.Clone(text))
			return json.Unmarshal(text, &server{})
		})
		if err != nil {
			return
		}
		if _, err := next(href); err != nil {
			return
		}
		var whole struct {
			Servers []json.RawMessage `json:"servers"`
		}
		if json.Unmarshal(page, &whole) == nil && bytes.Count(page, []byte("ervers")) == 1 && len(whole.Servers) != len(cut) {
			t.Errorf("%d servers, cut into %d", len(whole.Servers), len(cut))
		}
	})
}

// Whatever a cloud says in an error, it never proves that something is gone
// unless the status says so, and no more is kept of it than of an error.
func FuzzErrors(f *testing.F) {
	f.Add(404, "60", []byte(`{"itemNotFound": {"message": "no"}}`))
	f.Add(413, "Wed, 25 Nov 2026 22:00:00 GMT", []byte(`{"overLimit": {"retryAfter": 1}}`))
	f.Add(403, "-1", []byte(`{"forbidden": {"message": "Quota exceeded for cores"}}`))
	f.Add(503, "99999999999999999999", []byte(`<html>`))
	f.Add(300, "", []byte(`{"versions": {"values": [{"id": "v3.14", "status": "stable"}]}}`))
	f.Fuzz(func(t *testing.T, status int, after string, body []byte) {
		h := http.Header{"Retry-After": {after}}
		for _, service := range []cloud.Service{cloud.Compute, cloud.Network, cloud.ImageService, cloud.Identity} {
			p := plan{call: cloud.Call{Service: service, Operation: "POST /servers"}, changes: true}
			kind, wait := classify(p, status, h, body)
			if wait < 0 {
				t.Errorf("wait %v", wait)
			}
			if kind == cloud.NotFound && status != http.StatusNotFound && status != http.StatusGone {
				t.Errorf("%d %q is not found", status, body)
			}
		}
		oldest(body)
		redacted(body)
	})
}

// A catalog, whatever is in it, leads to http and https addresses or nowhere.
func FuzzCatalog(f *testing.F) {
	f.Add([]byte(`[{"type": "compute", "endpoints": [{"interface": "public", "region": "R", "url": "http://a/v2.1/p"}]}]`))
	f.Add([]byte(`[{"type": "image", "endpoints": [{"interface": "public", "region": "R", "url": "file:///etc/passwd"}]}]`))
	f.Add([]byte(`[{"type": "network", "endpoints": [{"interface": "public", "region": "R", "url": "//\u0000%zz"}]}]`))
	s := &settings{Cloud: &cloudsyaml.Cloud{Region: "R"}}
	f.Fuzz(func(t *testing.T, text []byte) {
		var catalog []tokens.CatalogEntry
		if json.Unmarshal(text, &catalog) != nil {
			return
		}
		for _, u := range s.choose(catalog) {
			req, err := http.NewRequest(http.MethodGet, u+"/servers", http.NoBody)
			if err == nil && req.URL.Scheme != "http" && req.URL.Scheme != "https" {
				if !strings.Contains(unsent(req), "unsupported protocol scheme") {
					t.Errorf("%q is asked", u)
				}
			}
		}
	})
}

// unsent is why a request cannot be sent.
func unsent(req *http.Request) string {
	resp, err := (&http.Transport{}).RoundTrip(req)
	if err == nil {
		_ = resp.Body.Close()
		return ""
	}
	return err.Error()
}
