package web

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"poold/pool"
)

// crowd is a site with so many nodes, with hostile names.
func crowd(nodes int) (*pool.Snapshot, *pool.Catalog) {
	s := &pool.Snapshot{Revision: 7, Members: []*pool.Member{{Name: "one", Owns: []string{"allocator"}, Roles: []pool.Role{pool.RoleAllocator}}}}
	c := &pool.Catalog{Images: []pool.Image{{Name: hostile}}}
	begin := time.Now().Add(-time.Hour)
	for i := range 100 {
		c.Labels = append(c.Labels, pool.Label{Name: fmt.Sprintf("label-%02d", i), MinReady: 10})
	}
	for i := range 20 {
		name := fmt.Sprintf("provider-%02d", i)
		c.Providers = append(c.Providers, pool.Provider{Name: name, Images: []pool.ProviderImage{{Name: hostile}}})
		s.Quotas = append(s.Quotas, &pool.Quota{Provider: name, Limits: pool.Limits{Instances: 1000, Cores: 4000, RAMMiB: 1 << 30}})
	}
	states := []pool.NodeState{pool.NodeReady, pool.NodeInUse, pool.NodeDeleting, pool.NodeFailed}
	for i := range nodes {
		state := states[i%len(states)]
		n := &pool.Node{
			ID: pool.NodeID(fmt.Sprintf("n%05d", i)), Provider: fmt.Sprintf("provider-%02d", i*20/nodes), Label: fmt.Sprintf("label-%02d", i%100),
			Created: begin, InterfaceIP: "10.9.8.7", Image: hostile, Resources: pool.Resources{Instances: 1, Cores: 2}, Evidence: hostile,
		}
		n = n.Moved(pool.NodeReady, pool.Launcher, hostile, begin.Add(time.Minute))
		if state != pool.NodeReady {
			n = n.Moved(state, pool.Operator, "", begin.Add(2*time.Minute))
		}
		if state == pool.NodeFailed {
			n.Failure = pool.KindTimeout
		}
		s.Nodes = append(s.Nodes, n)
	}
	s.Builds = []*pool.Build{{Image: hostile, ID: "b", State: pool.BuildReady, Created: begin}}
	s.Uploads = []*pool.Upload{{Image: hostile, Build: "b", Provider: "provider-00", State: pool.UploadReady, Failing: hostile}}
	s.Requests = []*pool.Request{{Client: hostile, ID: "1", CreateRevision: 3, Labels: []string{"label-01"}}}
	return s, c
}

// hostile is a name that must not become part of a page's code.
const hostile = `"><script>alert(1)</script>/&'`

func crowded(tb testing.TB, nodes int) *Server {
	tb.Helper()
	snapshot, catalog := crowd(nodes)
	return New(Config{
		Snapshot: func() *pool.Snapshot { return snapshot },
		Catalog:  func() *pool.Catalog { return catalog },
		Ready:    func() []Check { return nil },
		Gatherer: prometheus.NewRegistry(), Log: zap.NewNop(),
	})
}

func get(tb testing.TB, h http.Handler, path string) *httptest.ResponseRecorder {
	tb.Helper()
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequestWithContext(tb.Context(), http.MethodGet, path, nil))
	return rec
}

const hostilePath = "%22%3E%3Cscript%3Ealert%281%29%3C%2Fscript%3E%2F%26%27"

// Each page is whole, light, and has nothing that its policy forbids.
func TestPages(t *testing.T) {
	s := crowded(t, 10_000)
	inline := regexp.MustCompile(`(?i)<script>|<style|\sstyle=|\son[a-z]+=|javascript:|https?://`)
	for _, path := range []string{
		"/", "/nodes", "/nodes?state=failed&provider=provider-03", "/nodes?from=200", "/nodes/n00003", "/nodes/n00001", "/requests",
		"/requests/" + hostilePath + "/1", "/images", "/images/" + hostilePath, "/providers", "/providers/provider-00", "/labels",
		"/labels/label-01", "/peers", "/peers/one",
	} {
		rec := get(t, s, path)
		body := rec.Body.String()
		if rec.Code != http.StatusOK {
			t.Errorf("%s: status %d", path, rec.Code)
			continue
		}
		if found := inline.FindString(body); found != "" {
			t.Errorf("%s has %q", path, found)
		}
		if !strings.Contains(rec.Header().Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s has no policy", path)
		}
		if n := len(body); n > 100_000 {
			t.Errorf("%s weighs %d bytes", path, n)
		}
		for _, part := range []string{"<main id=\"main\">", "<h1", "<title>", "</html>", "<nav aria-label"} {
			if strings.Count(body, part) != 1 {
				t.Errorf("%s has %d times %s", path, strings.Count(body, part), part)
			}
		}
	}
}

// Nobody learns from a page how to reach a node that nobody was given.
func TestPagesShowAddressesOfNodesInUseOnly(t *testing.T) {
	s := crowded(t, 8)
	for _, c := range []struct {
		path string
		want int
	}{
		{"/nodes?state=in-use", 2},
		{"/nodes?state=ready", 0},
		{"/nodes?state=failed", 0},
		{"/nodes/n00000", 0},
		{"/nodes/n00001", 1},
	} {
		if got := strings.Count(get(t, s, c.path).Body.String(), "10.9.8.7"); got != c.want {
			t.Errorf("%s shows %d addresses, want %d", c.path, got, c.want)
		}
	}
}

func TestMissingThings(t *testing.T) {
	s := crowded(t, 1)
	for _, path := range []string{
		"/nodes/x", "/requests/x/y", "/images/x", "/providers/x", "/labels/x", "/peers/x", "/x", "/static/x",
	} {
		if rec := get(t, s, path); rec.Code != http.StatusNotFound {
			t.Errorf("%s: status %d", path, rec.Code)
		}
	}
	s.Snapshot = func() *pool.Snapshot { return nil }
	s.site.current = nil
	if rec := get(t, s, "/"); rec.Code != http.StatusServiceUnavailable {
		t.Errorf("before the records were read: status %d", rec.Code)
	}
}

// A theme is remembered, and leads back to a page of ours only.
func TestTheme(t *testing.T) {
	s := crowded(t, 1)
	for back, want := range map[string]string{
		"%2Fnodes%3Fstate%3Dready": "/nodes?state=ready", "%2F%2Fevil.example": "/", "https%3A%2F%2Fevil.example": "/", "%2F%5Cevil": "/",
	} {
		rec := get(t, s, "/theme?to=dark&back="+back)
		if rec.Code != http.StatusSeeOther || rec.Header().Get("Location") != want {
			t.Errorf("back to %s: status %d to %s", back, rec.Code, rec.Header().Get("Location"))
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.AddCookie(rec.Result().Cookies()[0])
		answer := httptest.NewRecorder()
		s.ServeHTTP(answer, r)
		if !strings.Contains(answer.Body.String(), `data-theme="dark"`) {
			t.Error("the theme was not remembered")
		}
	}
	if rec := get(t, s, "/theme?to=%22"); rec.Code != http.StatusBadRequest {
		t.Errorf("no theme: status %d", rec.Code)
	}
}

// The model is made once for any number of readers of the same records.
func TestOneModelForAll(t *testing.T) {
	s := crowded(t, 10)
	now := time.Now()
	first := s.Site(now)
	if s.Site(now.Add(stale-time.Millisecond)) != first {
		t.Error("the same records made another model")
	}
	if s.Site(now.Add(stale)) == first {
		t.Error("time alone never makes another")
	}
	other, _ := crowd(11)
	s.Snapshot = func() *pool.Snapshot { return other }
	if got := s.Site(now.Add(stale + fresh)); len(got.Records.Nodes) != 11 {
		t.Error("a change was not seen")
	}
}

// A duty that changes hands is no trouble; one that nobody does is, since it was
// seen first.
func TestNobodyDoesItForAWhile(t *testing.T) {
	s := crowded(t, 1)
	begin := time.Now()
	has := func(at time.Duration) (since time.Time, found bool) {
		for _, t := range s.Site(begin.Add(at)).Troubles {
			if t.Of == "provider/provider-00" {
				return t.Since, true
			}
		}
		return time.Time{}, false
	}
	if _, found := has(0); found {
		t.Error("it is told of at once")
	}
	if since, found := has(patience); !found || !since.Equal(begin) {
		t.Errorf("told of: %v, since %v", found, since)
	}
}
