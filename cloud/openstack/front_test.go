package openstack

import (
	"bufio"
	"bytes"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"gopkg.in/yaml.v3"

	"poold/cloud"
	"poold/cloud/cloudtest"
)

// front stands between a driver and an OpenStack, counts what passes, and
// causes faults.
type front struct {
	url string

	mu     sync.Mutex // guards what follows
	sent   int
	faults map[cloudtest.Fault]bool
}

// newFront opens a front for the services at some URLs.
func newFront(t *testing.T, services map[string]string) *front {
	t.Helper()
	f := &front{faults: map[cloudtest.Fault]bool{}}
	mux := http.NewServeMux()
	for name, target := range services {
		u, err := url.Parse(target)
		if err != nil {
			t.Fatal(err)
		}
		proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(u)
			r.Out.Host = u.Host
		}}
		mux.Handle("/"+name+"/", http.StripPrefix("/"+name, f.wrap(t, proxy)))
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	f.url = server.URL
	return f
}

func (f *front) inject(fault cloudtest.Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults[fault] = true
}

func (f *front) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sent
}

// take uses a fault up.
func (f *front) take(fault cloudtest.Fault, fits bool) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	taken := fits && f.faults[fault]
	if taken {
		f.faults[fault] = false
	}
	return taken
}

func (f *front) wrap(t *testing.T, next http.Handler) http.Handler {
	t.Helper()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.sent++
		f.mu.Unlock()
		create := r.Method == http.MethodPost && r.URL.Path == "/servers"
		look := r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, "/servers/")
		switch {
		case f.take(cloudtest.QuotaFull, create):
			replay(t, w, "nova-403-quota")
		case f.take(cloudtest.TooMany, create):
			replay(t, w, "nova-429")
		case f.take(cloudtest.Gone, look):
			replay(t, w, "nova-404")
		case f.take(cloudtest.LostReply, create):
			next.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// recorded reads an answer that a real service gave.
func recorded(tb testing.TB, name string) (status int, h http.Header, body []byte) {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "replies", name+".http"))
	if err != nil {
		tb.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(b)), nil)
	if err != nil {
		tb.Fatal(err)
	}
	defer closeBody(resp.Body)
	body, err = io.ReadAll(resp.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return resp.StatusCode, resp.Header, body
}

// replay answers as a real service did.
func replay(tb testing.TB, w http.ResponseWriter, name string) {
	tb.Helper()
	status, h, body := recorded(tb, name)
	maps.Copy(w.Header(), h)
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// fronted writes a clouds.yaml beside the one in use, in which a cloud's
// services are behind a new front, and makes it the one in use.
func fronted(t *testing.T, cloudName, region string) *front {
	t.Helper()
	d, err := Open(Config{Cloud: cloudName, Region: region, Gate: cloud.Open{}})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	s, err := d.access().keystone.session(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	services := map[string]string{"identity": strings.TrimSuffix(d.access().settings.Auth.URL, "/v3")}
	for service, u := range s.endpoints {
		services[string(service)] = u
	}
	f := newFront(t, services)

	b, err := os.ReadFile(os.Getenv("OS_CLIENT_CONFIG_FILE"))
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Clouds map[string]map[string]any `yaml:"clouds"`
	}
	if err := yaml.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	c := doc.Clouds[cloudName]
	auth, ok := c["auth"].(map[string]any)
	if !ok {
		t.Fatalf("cloud %s has no auth", cloudName)
	}
	auth["auth_url"] = f.url + "/identity/v3"
	for service := range s.endpoints {
		key := string(service)
		if service == cloud.Object {
			key = "object_store"
		}
		c[key+"_endpoint_override"] = f.url + "/" + string(service)
	}
	b, err = yaml.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "clouds.yaml")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("OS_CLIENT_CONFIG_FILE", path)
	return f
}
