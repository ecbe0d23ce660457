package openstack

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"poold/cloud"
)

// stub is an OpenStack that gives tokens, and for the rest answers what a test
// wants.
type stub struct {
	url string
	// life is how long a token lives.
	life time.Duration

	mu     sync.Mutex // guards what follows
	tokens int
	// valid is the only token that is accepted; "" accepts any.
	valid string
	calls []string
}

// newStub starts an OpenStack and makes it the cloud "sim". More are lines of
// its clouds.yaml.
func newStub(tb testing.TB, more string, services http.HandlerFunc) *stub {
	tb.Helper()
	s := &stub{life: time.Hour}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v3/auth/tokens", s.authenticate)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if s.admit(r) {
			services(w, r)
			return
		}
		replay(tb, w, "nova-401")
	})
	server := httptest.NewServer(mux)
	tb.Cleanup(server.Close)
	s.url = server.URL
	writeClouds(tb, fmt.Sprintf(`clouds:
  sim:
    auth: {auth_url: %[1]s, username: u, password: hunter2, user_domain_name: d, project_name: p, project_domain_name: d}
    compute_endpoint_override: %[1]s/compute
    image_endpoint_override: %[1]s/image/v2
    network_endpoint_override: %[1]s/network/v2.0
%[2]s`, server.URL, strings.ReplaceAll(more, "STUB", server.URL)))
	return s
}

func (s *stub) authenticate(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens++
	now := time.Now().UTC()
	w.Header().Set("X-Subject-Token", "token-"+strconv.Itoa(s.tokens))
	w.WriteHeader(http.StatusCreated)
	say(w, `{"token": {"issued_at": %q, "expires_at": %q, "project": {"id": "p1"}, "catalog": []}}`,
		now.Format(time.RFC3339Nano), now.Add(s.life).Format(time.RFC3339Nano))
}

func (s *stub) admit(r *http.Request) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, r.Method+" "+r.URL.Path)
	return s.valid == "" || s.valid == r.Header.Get("X-Auth-Token")
}

// accept makes a token the only one that is accepted.
func (s *stub) accept(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.valid = token
}

func (s *stub) seen() (tokens int, calls []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tokens, append([]string(nil), s.calls...)
}

// wantKind fails the test unless err is of a kind.
func wantKind(t *testing.T, what string, err error, want cloud.Kind) {
	t.Helper()
	if got := cloud.KindOf(err); got != want {
		t.Errorf("%s: got %v (%s), want %s", what, err, got, want)
	}
}

// say writes an answer. A driver that has hung up meanwhile is no failure.
func say(w http.ResponseWriter, format string, args ...any) {
	_, _ = fmt.Fprintf(w, format, args...)
}
