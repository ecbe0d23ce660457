package openstackapi_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"poold/cloud/cloudtest"
	"poold/cloud/sim"
	"poold/cloud/sim/openstackapi"
)

// site is a cloud behind HTTP, with a clock that only moves when told to.
type site struct {
	t     *testing.T
	cloud *sim.Cloud
	url   string
	token string
	micro string

	clock *cloudtest.Clock
}

func newSite(t *testing.T, cfg sim.Config) *site {
	t.Helper()
	s := &site{t: t, clock: cloudtest.NewClock(time.Date(2026, 11, 21, 2, 0, 0, 0, time.UTC)), micro: "2.79"}
	cfg.Images = []string{"ubuntu"}
	s.cloud = sim.New(cfg, s.clock.Now())
	server := httptest.NewServer(openstackapi.New(s.clock.Now, s.cloud))
	t.Cleanup(server.Close)
	s.url = server.URL
	s.login()
	return s
}

// reply is an answer; err is set instead if there was none.
type reply struct {
	status int
	header http.Header
	body   string
	err    error
}

// get finds a value in a JSON body by a path such as "server.addresses".
func (r reply) get(t *testing.T, path string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(r.body), &v); err != nil {
		t.Fatalf("the body %q is not JSON: %v", r.body, err)
	}
	for part := range strings.SplitSeq(path, ".") {
		var i int
		if list, is := v.([]any); is {
			if _, err := fmt.Sscan(part, &i); err != nil || i >= len(list) {
				t.Fatalf("no %s of %s in %s", part, path, r.body)
			}
			v = list[i]
			continue
		}
		v = v.(map[string]any)[part]
	}
	return v
}

func (s *site) do(method, path, body string) reply {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, bytes.NewReader([]byte(body)))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("X-Auth-Token", s.token)
	req.Header.Set("Content-Type", "application/json")
	if strings.HasSuffix(path, "/file") {
		req.Header.Set("Content-Type", "application/octet-stream")
	}
	if s.micro != "" {
		req.Header.Set("OpenStack-API-Version", "compute "+s.micro)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return reply{err: err}
	}
	defer func() { _ = res.Body.Close() }()
	data, err := io.ReadAll(res.Body)
	return reply{res.StatusCode, res.Header, string(data), err}
}

// want does a call and fails the test unless it is answered as expected.
func (s *site) want(status int, method, path, body string) reply {
	s.t.Helper()
	r := s.do(method, path, body)
	if r.err != nil || r.status != status {
		s.t.Fatalf("%s %s = %d %v %s, want %d", method, path, r.status, r.err, r.body, status)
	}
	return r
}

const passwordBody = `{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":"ci",` +
	`"domain":{"name":"Default"},"password":"%s"}}},"scope":{"project":{"name":"ci","domain":{"name":"Default"}}}}}`

func (s *site) login() {
	s.t.Helper()
	s.token = s.want(201, "POST", "/v3/auth/tokens", fmt.Sprintf(passwordBody, "secret")).header.Get("X-Subject-Token")
}

const (
	nova    = "/RegionOne/compute/v2.1"
	glance  = "/RegionOne/image/v2"
	neutron = "/RegionOne/network/v2.0"
)

// servers is a body for a POST of /servers, with more fields if given.
func (s *site) servers(name, more string) string {
	s.t.Helper()
	image := s.cloud.Images(s.clock.Now())[0].ID
	return fmt.Sprintf(`{"server":{"name":%q,"flavorRef":%q,"imageRef":%q,"networks":"auto"%s}}`,
		name, s.cloud.Config().Flavors[0].ID, image, more)
}

// A server is made, seen, given a floating IP, and deleted.
func TestLifeOfAServer(t *testing.T) {
	s := newSite(t, sim.Config{Build: sim.Always(time.Second), Delete: sim.Always(time.Second)})
	id := s.want(202, "POST", nova+"/servers", s.servers("one", `,"metadata":{"a":"b"}`)).get(t, "server.id").(string)
	one := s.want(200, "GET", nova+"/servers/"+id, "")
	if got := one.get(t, "server.status"); got != "BUILD" {
		t.Errorf("at first the status is %v, want BUILD", got)
	}
	s.clock.Pass(time.Second)
	one = s.want(200, "GET", nova+"/servers/"+id, "")
	if got := one.get(t, "server.status"); got != "ACTIVE" {
		t.Errorf("when it is built the status is %v, want ACTIVE", got)
	}
	if got := one.get(t, "server.addresses.private.0.addr"); got != "10.0.0.2" {
		t.Errorf("its address is %v, want 10.0.0.2", got)
	}
	s.want(204, "DELETE", nova+"/servers/"+id, "")
	one = s.want(200, "GET", nova+"/servers/"+id, "")
	if status, task := one.get(t, "server.status"), one.get(t, "server.OS-EXT-STS:task_state"); status != "ACTIVE" || task != "deleting" {
		t.Errorf("while it is deleted it is %v, %v, want ACTIVE, deleting", status, task)
	}
	s.want(204, "DELETE", nova+"/servers/"+id, "")
	s.clock.Pass(time.Second)
	if got := s.want(404, "GET", nova+"/servers/"+id, "").body; got !=
		`{"itemNotFound":{"code":404,"message":"Instance `+id+` could not be found."}}` {
		t.Errorf("a server that is gone answers %s", got)
	}
	s.want(404, "DELETE", nova+"/servers/"+id, "")
}
