package openstackapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"poold/cloud/sim"
	"poold/cloud/sim/openstackapi"
	"poold/pool"
)

func limits(change func(*pool.Limits)) pool.Limits {
	l := pool.NoLimits()
	change(&l)
	return l
}

// names lists the names of all servers that a list shows, sorted.
func (s *site) names(query string) []string {
	s.t.Helper()
	var page struct {
		Servers []struct{ Name, Status string }
	}
	r := s.want(200, "GET", nova+"/servers/detail"+query, "")
	if err := json.Unmarshal([]byte(r.body), &page); err != nil {
		s.t.Fatal(err)
	}
	names := []string{}
	for _, v := range page.Servers {
		names = append(names, v.Name+" "+v.Status)
	}
	slices.Sort(names)
	return names
}

// A batch at the edge of the quota is cut to what fits; one that has no room
// is refused in Nova's words. A lone server has no suffix.
func TestBatchAtTheEdgeOfTheQuota(t *testing.T) {
	s := newSite(t, sim.Config{Quota: limits(func(l *pool.Limits) { l.Instances = 4 })})
	s.want(202, "POST", nova+"/servers", s.servers("lone", `,"max_count":1`))
	s.want(202, "POST", nova+"/servers", s.servers("b", `,"min_count":1,"max_count":"2"`))
	r := s.want(202, "POST", nova+"/servers", s.servers("cut", `,"min_count":1,"max_count":8,"return_reservation_id":true`))
	if id, is := r.get(t, "reservation_id").(string); !is || !strings.HasPrefix(id, "r-") {
		t.Errorf("the reservation is %v", id)
	}
	if got, want := s.names(""), []string{"b-1 ACTIVE", "b-2 ACTIVE", "cut ACTIVE", "lone ACTIVE"}; !slices.Equal(got, want) {
		t.Errorf("the servers are %q, want %q", got, want)
	}
	got := s.want(403, "POST", nova+"/servers", s.servers("c", `,"min_count":3,"max_count":4`)).body
	const want = `{"forbidden":{"code":403,"message":"Quota exceeded for instances: Requested 3-4, but already used 4 of 4 instances"}}`
	if got != want {
		t.Errorf("over the quota the answer is\n%s, want\n%s", got, want)
	}
}

// Nova's refusals of what can never be, with its words.
func TestRefusals(t *testing.T) {
	s := newSite(t, sim.Config{})
	long := strings.Repeat("x", 256)
	for _, c := range []struct{ body, want string }{
		{`{"server":{"name":"x","flavorRef":"1"}}`, "'networks' is a required property"},
		{`{"server":{"name":"x"}}`, "'flavorRef' is a required property"},
		{`{bad`, "Malformed request body"},
		{s.servers("x", `,"metadata":{"k":"`+long+`"}`), "is too long"},
		{s.servers("x", `,"metadata":{"`+long+`":"v"}`), "does not match any of the regexes"},
		{s.servers("x", `,"availability_zone":"no"`), "The requested availability zone is not available"},
		{s.servers("x", `,"key_name":"no"`), "Invalid key_name provided."},
		{s.servers("x", `,"min_count":3,"max_count":2`), "min_count must be <= max_count"},
		{s.servers("x", `,"security_groups":[{"name":"no"}]`), "Unable to find security_group with name or id 'no'"},
		{strings.Replace(s.servers("x", ""), `"auto"`, `[{"uuid":"no"}]`, 1), "Network no could not be found."},
		{strings.Replace(s.servers("x", ""), `"imageRef":"`, `"imageRef":"no`, 1), "Can not find requested image"},
		{strings.Replace(s.servers("x", ""), `"flavorRef":"`, `"flavorRef":"no`, 1), "could not be found."},
	} {
		if got := s.want(400, "POST", nova+"/servers", c.body).get(t, "badRequest.message").(string); !strings.Contains(got, c.want) {
			t.Errorf("the answer to %.80s is %q, want %q", c.body, got, c.want)
		}
	}
	s.want(202, "POST", nova+"/servers", s.servers("x", `,"metadata":{"k":"`+long[1:]+`"}`))
}

// Pages follow one another by links, which keep the query, and show every
// server once.
func TestPaging(t *testing.T) {
	s := newSite(t, sim.Config{})
	s.want(202, "POST", nova+"/servers", s.servers("p", `,"min_count":5,"max_count":5`))
	var seen []string
	path := nova + "/servers/detail?limit=2&status=active"
	pages := 0
	for ; path != ""; pages++ {
		var page struct {
			Servers []struct{ Name string }
			Links   []struct{ Rel, Href string } `json:"servers_links"`
		}
		if err := json.Unmarshal([]byte(s.want(200, "GET", path, "").body), &page); err != nil {
			t.Fatal(err)
		}
		for _, v := range page.Servers {
			seen = append(seen, v.Name)
		}
		path = ""
		if len(page.Links) > 0 {
			path = strings.TrimPrefix(page.Links[0].Href, s.url)
			if page.Links[0].Rel != "next" || !strings.Contains(path, "status=active") {
				t.Errorf("the link is %+v", page.Links[0])
			}
		}
	}
	slices.Sort(seen)
	if want := []string{"p-1", "p-2", "p-3", "p-4", "p-5"}; !slices.Equal(seen, want) || pages != 3 {
		t.Errorf("%d pages show %q, want 3 and %q", pages, seen, want)
	}
	s.want(400, "GET", nova+"/servers/detail?marker=no", "")
	s.want(400, "GET", nova+"/servers/detail?limit=x", "")
}

// A list of changes has the deleted servers too, without their metadata; a
// plain list does not, and nobody may ask for them by status.
func TestChangesSince(t *testing.T) {
	for _, c := range []struct {
		ignored bool
		want    []string
	}{{false, []string{"dies DELETED", "new ACTIVE"}}, {true, []string{"new ACTIVE", "old ACTIVE"}}} {
		s := newSite(t, sim.Config{NoChangesSince: c.ignored})
		s.want(202, "POST", nova+"/servers", s.servers("old", ""))
		id := s.want(202, "POST", nova+"/servers", s.servers("dies", `,"metadata":{"a":"b"}`)).get(t, "server.id").(string)
		s.clock.Pass(time.Minute)
		since := "?changes-since=" + s.clock.Now().Format(time.RFC3339)
		s.want(204, "DELETE", nova+"/servers/"+id, "")
		s.want(202, "POST", nova+"/servers", s.servers("new", ""))
		if got := s.names(since); !slices.Equal(got, c.want) {
			t.Errorf("the changes are %q, want %q", got, c.want)
		}
		if got, want := s.names(""), []string{"new ACTIVE", "old ACTIVE"}; !slices.Equal(got, want) {
			t.Errorf("the list is %q, want %q", got, want)
		}
		if body := s.do("GET", nova+"/servers/detail"+since, "").body; strings.Contains(body, `"a":"b"`) {
			t.Errorf("a deleted server kept its metadata: %s", body)
		}
		s.want(403, "GET", nova+"/servers/detail?status=DELETED", "")
		s.want(400, "GET", nova+"/servers/detail?changes-since=no", "")
	}
}

// What a server shows depends on the microversion.
func TestMicroversions(t *testing.T) {
	s := newSite(t, sim.Config{})
	id := s.want(202, "POST", nova+"/servers", s.servers("p", "")).get(t, "server.id").(string)
	for _, c := range []struct{ micro, header, path string }{
		{"", "compute 2.1", "server.flavor.id"},
		{"2.46", "compute 2.46", "server.flavor.id"},
		{"2.47", "compute 2.47", "server.flavor.original_name"},
		{"latest", "compute 2.93", "server.flavor.original_name"},
	} {
		s.micro = c.micro
		r := s.want(200, "GET", nova+"/servers/"+id, "")
		if r.get(t, c.path) == nil || r.header.Get("OpenStack-API-Version") != c.header {
			t.Errorf("at %q the answer is %s, %s, want %s in it", c.micro, r.header.Get("OpenStack-API-Version"), r.body, c.path)
		}
	}
	s.micro = "2.999"
	s.want(406, "GET", nova+"/servers/"+id, "")
}

// Tokens come from passwords and application credentials, cease to be good,
// and can be taken back.
func TestTokens(t *testing.T) {
	s := newSite(t, sim.Config{TokenLife: time.Hour, CredentialID: "app", CredentialSecret: "hush"})
	s.want(401, "POST", "/v3/auth/tokens", fmt.Sprintf(passwordBody, "wrong"))
	s.clock.Pass(time.Hour - 1)
	s.want(200, "GET", nova+"/limits", "")
	s.clock.Pass(1)
	for _, path := range []string{nova + "/limits", glance + "/images", neutron + "/ports"} {
		s.want(401, "GET", path, "")
	}
	const app = `{"auth":{"identity":{"methods":["application_credential"],"application_credential":{"id":"app","secret":"%s"}}}}`
	s.want(401, "POST", "/v3/auth/tokens", fmt.Sprintf(app, "loud"))
	s.token = s.want(201, "POST", "/v3/auth/tokens", fmt.Sprintf(app, "hush")).header.Get("X-Subject-Token")
	s.want(200, "GET", nova+"/limits", "")
	s.want(204, "POST", "/sim/faults", `{"kind":"revoke-tokens","times":1}`)
	s.want(401, "GET", nova+"/limits", "")
	s.login()
	s.want(200, "GET", nova+"/limits", "")
}

// The catalog has an endpoint of each service in each region, and they work.
func TestCatalogOfTwoRegions(t *testing.T) {
	now := func() time.Time { return time.Unix(1e9, 0) }
	one, two := sim.New(sim.Config{}, now()), sim.New(sim.Config{Region: "RegionTwo"}, now())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- openstackapi.Serve(ctx, l, openstackapi.New(now, one, two)) }()
	s := &site{t: t, url: "http://" + l.Addr().String(), cloud: one}
	r := s.want(201, "POST", "/v3/auth/tokens", fmt.Sprintf(passwordBody, "secret"))
	s.token = r.header.Get("X-Subject-Token")
	var body struct {
		Token struct {
			Catalog []struct {
				Type      string
				Endpoints []struct{ Interface, Region, URL string }
			}
		}
	}
	if err := json.Unmarshal([]byte(r.body), &body); err != nil {
		t.Fatal(err)
	}
	urls := map[string]string{}
	for _, service := range body.Token.Catalog {
		for _, e := range service.Endpoints {
			if e.Interface == "public" {
				urls[e.Region+" "+service.Type] = strings.TrimPrefix(e.URL, s.url)
			}
		}
	}
	if len(urls) != 8 {
		t.Errorf("the endpoints are %v, want 8", urls)
	}
	s.want(200, "GET", urls["RegionTwo compute"]+"/limits", "")
	s.want(200, "GET", urls["RegionTwo image"]+"/v2/images", "")
	s.want(200, "GET", urls["RegionTwo network"]+"/v2.0/ports", "")
	if one, two := one.Calls()["compute GET /limits"], two.Calls()["compute GET /limits"]; one != 0 || two != 1 {
		t.Errorf("the calls are %d and %d, want only the second region called", one, two)
	}
	for path, status := range map[string]int{
		"/": 300, "/v3": 200, "/v3/": 200, "/RegionTwo/compute/": 200, "/RegionTwo/compute/v2.1/": 200,
		"/RegionTwo/image/": 300, "/RegionTwo/network": 200, "/RegionThree/network": 404, "/RegionTwo/other/v1/x": 404,
		urls["RegionTwo compute"] + "/nope": 404,
	} {
		s.want(status, "GET", path, "")
	}
	done := errors.New("done")
	cancel(done)
	if err := <-ended; !errors.Is(err, done) {
		t.Errorf("Serve ended with %v, want the cause", err)
	}
}

// An image is made under an id of one's own, filled, found, changed and
// deleted; its id stays used.
func TestImages(t *testing.T) {
	s := newSite(t, sim.Config{})
	const id = "8d0f6a0e-3f7c-4a57-9c2b-0d8b7d6a0001"
	const body = `{"id":"` + id + `","name":"noble","disk_format":"raw","container_format":"bare","k":"v"}`
	if got := s.want(201, "POST", glance+"/images", body); got.get(t, "status") != "queued" || got.get(t, "k") != "v" {
		t.Errorf("the image is %s", got.body)
	}
	if got := s.want(409, "POST", glance+"/images", body).body; got != "409 Conflict\n\nImage ID "+id+" already exists!\n\n   " {
		t.Errorf("again it is %q", got)
	}
	s.want(400, "POST", glance+"/images", `{"id":"short","name":"n"}`)
	s.want(400, "POST", glance+"/images", `{"name":"n","disk_format":"floppy"}`)
	s.want(204, "PUT", glance+"/images/"+id+"/file", "hello")
	s.want(409, "PUT", glance+"/images/"+id+"/file", "hello")
	got := s.want(200, "GET", glance+"/images/"+id, "")
	if got.get(t, "size") != 5.0 || got.get(t, "checksum") != "5d41402abc4b2a76b9719d911017c592" ||
		got.get(t, "os_hash_algo") != "sha512" || !strings.HasPrefix(got.get(t, "os_hash_value").(string), "9b71d224bd62f378") {
		t.Errorf("the image is %s", got.body)
	}
	s.want(200, "PATCH", glance+"/images/"+id, `[{"op":"add","path":"/x","value":"y"},{"op":"remove","path":"/k"}]`)
	s.want(409, "PATCH", glance+"/images/"+id, `[{"op":"replace","path":"/k","value":"y"}]`)
	for query, n := range map[string]int{
		"": 2, "?name=noble": 1, "?name=noble&status=queued": 0, "?x=y": 1, "?limit=1": 1, "?marker=" + id: 1, "?k=v": 0,
	} {
		if got := s.want(200, "GET", glance+"/images"+query, "").get(t, "images").([]any); len(got) != n {
			t.Errorf("the list of %q has %d images, want %d", query, len(got), n)
		}
	}
	s.want(204, "DELETE", glance+"/images/"+id, "")
	s.want(404, "DELETE", glance+"/images/"+id, "")
	s.want(404, "PUT", glance+"/images/"+id+"/file", "hello")
	s.want(409, "POST", glance+"/images", body)
}

// An upload whose client goes away leaves the image queued.
func TestUploadThatIsCut(t *testing.T) {
	s := newSite(t, sim.Config{})
	id := s.want(201, "POST", glance+"/images", `{"name":"n","disk_format":"raw"}`).get(t, "id").(string)
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = fmt.Fprintf(conn, "PUT %s/images/%s/file HTTP/1.1\r\nHost: x\r\nX-Auth-Token: %s\r\nContent-Type: application/octet-stream\r\n"+
		"Content-Length: 10\r\n\r\nhello", glance, id, s.token)
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	// The answer, or the end, comes when the cloud has noticed.
	_, _ = conn.Read(make([]byte, 1))
	_ = conn.Close()
	if got := s.want(200, "GET", glance+"/images/"+id, "").get(t, "status"); got != "queued" {
		t.Errorf("the image is %v, want queued", got)
	}
}

// A floating IP is one of a quota, goes to one port at a time, and is left
// behind by its server.
func TestFloatingIPs(t *testing.T) {
	s := newSite(t, sim.Config{
		Floating: netip.MustParsePrefix("172.24.0.0/24"), Quota: limits(func(l *pool.Limits) { l.FloatingIPs = 2 }),
	})
	id := s.want(202, "POST", nova+"/servers", s.servers("p", "")).get(t, "server.id").(string)
	port := s.want(200, "GET", neutron+"/ports?device_id="+id, "").get(t, "ports.0.id").(string)
	external := s.want(200, "GET", neutron+"/networks?router:external=true", "").get(t, "networks.0.id").(string)
	create := fmt.Sprintf(`{"floatingip":{"floating_network_id":%q,"port_id":%q,"description":"ours"}}`, external, port)
	fip := s.want(201, "POST", neutron+"/floatingips", create)
	if fip.get(t, "floatingip.floating_ip_address") != "172.24.0.2" || fip.get(t, "floatingip.port_details.device_id") != id {
		t.Errorf("the floating IP is %s", fip.body)
	}
	if got := s.want(200, "GET", nova+"/servers/"+id, "").get(t, "server.addresses.private.1.OS-EXT-IPS:type"); got != "floating" {
		t.Errorf("the server's second address is %v", got)
	}
	if got := s.want(409, "POST", neutron+"/floatingips", create).get(t, "NeutronError.type"); got != "FloatingIPPortAlreadyAssociated" {
		t.Errorf("a second one for the port is %v", got)
	}
	free := fmt.Sprintf(`{"floatingip":{"floating_network_id":%q}}`, external)
	s.want(201, "POST", neutron+"/floatingips", free)
	const over = `{"NeutronError":{"detail":"","message":"Quota exceeded for resources: ['floatingip'].","type":"OverQuota"}}`
	if got := s.want(409, "POST", neutron+"/floatingips", free).body; got != over {
		t.Errorf("over the quota the answer is %s", got)
	}
	path := neutron + "/floatingips/" + fip.get(t, "floatingip.id").(string)
	s.want(200, "PUT", path+"/tags", `{"tags":["a"]}`)
	if got := s.want(200, "GET", neutron+"/floatingips?description=ours&tags=a&fields=id", "").get(t, "floatingips").([]any); len(got) != 1 || len(got[0].(map[string]any)) != 1 {
		t.Errorf("by description and tag there are %v", got)
	}
	for _, to := range []any{nil, port} {
		body, err := json.Marshal(map[string]any{"floatingip": map[string]any{"port_id": to}})
		if err != nil {
			t.Fatal(err)
		}
		if got := s.want(200, "PUT", path, string(body)).get(t, "floatingip.port_id"); got != to {
			t.Errorf("moved to port %v it is at %v", to, got)
		}
	}
	s.want(204, "DELETE", nova+"/servers/"+id, "")
	if got := s.want(200, "GET", path, "").get(t, "floatingip.port_id"); got != nil {
		t.Errorf("its server is gone, and its port is %v", got)
	}
	s.want(204, "DELETE", path, "")
	if got := s.want(404, "DELETE", path, "").get(t, "NeutronError.type"); got != "FloatingIPNotFound" {
		t.Errorf("then it is %v", got)
	}
}

// Faults that are put in over HTTP: the answer, its headers, and whether the
// connection holds.
func TestFaults(t *testing.T) {
	s := newSite(t, sim.Config{Rate: 100, Burst: 100})
	for _, c := range []struct {
		fault  string
		status int
		made   int
	}{
		{`{"kind":"status","status":429,"retry_after":3000000000}`, 429, 0},
		{`{"kind":"status","status":502,"body":"<html>bad gateway</html>"}`, 502, 0},
		{`{"kind":"cut"}`, 0, 0},
		{`{"kind":"lost-reply"}`, 0, 1},
		{`{"kind":"status-after"}`, 500, 1},
		{`{"kind":"slow","delay":20000000}`, 202, 1},
	} {
		before, start := len(s.names("")), time.Now()
		fault := strings.Replace(c.fault, "{", `{"on":"compute POST /servers","match":"strike","times":1,`, 1)
		s.want(204, "POST", "/sim/faults", fault)
		r := s.do("POST", nova+"/servers", s.servers("strike", ""))
		if r.status != c.status || (r.err != nil) != (c.status == 0) {
			t.Errorf("%s: the answer is %d, %v", c.fault, r.status, r.err)
		}
		if c.status == 429 && r.header.Get("Retry-After") != "3" || c.status == 502 && r.body != "<html>bad gateway</html>" {
			t.Errorf("%s: the answer is %v %s", c.fault, r.header, r.body)
		}
		if c.status == 202 && time.Since(start) < 20*time.Millisecond {
			t.Errorf("%s: it took %v", c.fault, time.Since(start))
		}
		if made := len(s.names("")) - before; made != c.made {
			t.Errorf("%s: %d servers were made, want %d", c.fault, made, c.made)
		}
	}
}

// What tests in other processes look at.
func TestInspection(t *testing.T) {
	s := newSite(t, sim.Config{})
	id := s.want(202, "POST", nova+"/servers", s.servers("p", `,"metadata":{"a":"b"}`)).get(t, "server.id").(string)
	var views []openstackapi.ServerView
	if err := json.Unmarshal([]byte(s.want(200, "GET", "/sim/servers", "").body), &views); err != nil {
		t.Fatal(err)
	}
	if len(views) != 1 || views[0].ID != id || views[0].Metadata["a"] != "b" || !views[0].Booted ||
		len(views[0].HostKeys) != 2 || views[0].Addresses[0].IP != "10.0.0.2" {
		t.Errorf("the servers are %+v", views)
	}
	var calls map[string]int
	if err := json.Unmarshal([]byte(s.want(200, "GET", "/sim/calls", "").body), &calls); err != nil {
		t.Fatal(err)
	}
	if want := map[string]int{"identity POST /auth/tokens": 1, "compute POST /servers": 1}; !maps.Equal(calls, want) {
		t.Errorf("the calls are %v, want %v", calls, want)
	}
	s.want(204, "DELETE", "/sim/calls", "")
	s.want(204, "PUT", "/sim/quota", `{"instances":1}`)
	s.want(403, "POST", nova+"/servers", s.servers("q", ""))
	if got := s.want(200, "GET", nova+"/limits", "").get(t, "limits.absolute.maxTotalCores"); got != -1.0 {
		t.Errorf("the quota of cores is %v, want -1", got)
	}
	s.want(404, "GET", "/sim/servers?region=no", "")
	s.want(200, "GET", "/sim/images?region=RegionOne", "")
	s.want(200, "GET", "/sim/floatingips", "")
}

// A rate limit answers 429 with the time to wait.
func TestRateLimit(t *testing.T) {
	s := newSite(t, sim.Config{Rate: 1, Burst: 1})
	s.want(200, "GET", nova+"/limits", "")
	if r := s.want(http.StatusTooManyRequests, "GET", nova+"/limits", ""); r.header.Get("Retry-After") != "1" {
		t.Errorf("the headers are %v, want Retry-After 1", r.header)
	}
	s.clock.Pass(time.Second)
	s.want(200, "GET", nova+"/limits", "")
}

// The console shows the host keys, and not before the server runs.
func TestConsole(t *testing.T) {
	s := newSite(t, sim.Config{Build: sim.Always(time.Second)})
	id := s.want(202, "POST", nova+"/servers", s.servers("p", "")).get(t, "server.id").(string)
	const ask = `{"os-getConsoleOutput":{"length":%d}}`
	s.want(409, "POST", nova+"/servers/"+id+"/action", fmt.Sprintf(ask, 9))
	s.clock.Pass(time.Second)
	out := s.want(200, "POST", nova+"/servers/"+id+"/action", fmt.Sprintf(ask, 4)).get(t, "output").(string)
	if strings.Count(out, "\n") != 3 || !strings.Contains(out, "ssh-ed25519 ") || !strings.Contains(out, "p login:") {
		t.Errorf("the console shows %q", out)
	}
}
