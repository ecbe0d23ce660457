package openstack

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	tokens2 "github.com/gophercloud/gophercloud/v2/openstack/identity/v2/tokens"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"

	"poold/cloud"
	"poold/cloud/openstack/cloudsyaml"
)

// oldCloud is an OpenStack that speaks the identity APIs it is told to.
type oldCloud struct {
	url string
	// versions is the answer to the question for versions, with its status.
	versions string
	status   int

	mu     sync.Mutex // guards what follows
	calls  []string
	bodies []string
}

func newOldCloud(t *testing.T, status int, versions string) *oldCloud {
	t.Helper()
	c := &oldCloud{versions: versions, status: status}
	c.url = serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		c.mu.Lock()
		c.calls = append(c.calls, r.Method+" "+r.URL.Path)
		c.bodies = append(c.bodies, string(body))
		c.mu.Unlock()
		now := time.Now().UTC()
		switch r.URL.Path {
		case "/id/":
			w.WriteHeader(c.status)
			say(w, "%s", c.versions)
		case "/id/v2.0/tokens":
			say(w, `{"access": {"token": {"id": "old", "issued_at": %q, "expires": %q, "tenant": {"id": "p2", "name": "acme"}},
				"serviceCatalog": [{"type": "compute", "name": "nova", "endpoints": [
					{"region": "two", "publicURL": "http://wrong"},
					{"region": "one", "publicURL": "%s/nova", "internalURL": "http://wrong", "adminURL": "http://wrong"}]}]}}`,
				now.Format("2006-01-02T15:04:05.999999"), now.Add(time.Hour).Format(time.RFC3339), c.url)
		case "/id/v3/auth/tokens":
			w.Header().Set("X-Subject-Token", "new")
			w.WriteHeader(http.StatusCreated)
			say(w, `{"token": {"issued_at": %q, "expires_at": %q, "project": {"id": "p3"}, "catalog": []}}`,
				now.Format(time.RFC3339Nano), now.Add(time.Hour).Format(time.RFC3339Nano))
		default:
			http.NotFound(w, r)
		}
	}))
	return c
}

func (c *oldCloud) seen() (calls, bodies []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.calls), slices.Clone(c.bodies)
}

const twoVersions = `{"versions": {"values": [
	{"id": "v3.14", "status": "stable", "links": []}, {"id": "v2.0", "status": "deprecated", "links": []}]}}`

// The identity API is the one that the address names, that the domains imply,
// or that the cloud, asked once, offers; of two the old one, since no domain
// is said.
func TestIdentityVersions(t *testing.T) {
	const old, asked, new3 = "POST /id/v2.0/tokens", "GET /id/", "POST /id/v3/auth/tokens"
	for _, c := range []struct {
		name     string
		path     string
		auth     string
		status   int
		versions string
		want     []string
		token    string
		kind     cloud.Kind
	}{
		{"an old address", "/id/v2.0", "username: u, password: p", 500, "", []string{old}, "old", ""},
		{"an old token", "/id/v2.0", "token: t, project_id: p2, project_name: acme", 500, "", []string{old}, "old", ""},
		{"a new address", "/id/v3", "user_id: u, password: p", 500, "", []string{new3}, "new", ""},
		{"domains", "/id", "username: u, password: p, user_domain_id: d", 500, "", []string{new3}, "new", ""},
		{"both offered", "/id", "username: u, password: p, project_name: acme", 300, twoVersions, []string{asked, old}, "old", ""},
		{"both offered, the old one first", "/id", "token: t", 300, `{"versions": {"values": [{"id": "v2.0"}, {"id": "v3.14"}]}}`, []string{asked, old}, "old", ""},
		{"one offered", "/id/", "user_id: u, password: p", 200, `{"version": {"id": "v3.8", "status": "stable"}}`, []string{asked, new3}, "new", ""},
		{"the new one offered to a name", "/id", "username: u, password: p", 200, `{"version": {"id": "v3.8"}}`, []string{asked}, "", cloud.Invalid},
		{"only an experiment", "/id", "user_id: u, password: p", 300, `{"versions": {"values": [{"id": "v3.0", "status": "EXPERIMENTAL"}]}}`, []string{asked}, "", cloud.Invalid},
		{"nothing offered", "/id", "user_id: u, password: p", 200, "hello", []string{asked}, "", cloud.Invalid},
		{"nobody there", "/elsewhere", "user_id: u, password: p", 200, "", []string{"GET /elsewhere/"}, "", cloud.Invalid},
		{"a bad day", "/id", "user_id: u, password: p", 503, "", []string{asked}, "", cloud.Transient},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := newOldCloud(t, c.status, c.versions)
			writeClouds(t, fmt.Sprintf("clouds: {sim: {region_name: one, auth: {auth_url: %q, %s}}}", o.url+c.path, c.auth))
			d := open(t, "ours", cloud.Open{})
			s, err := d.access().keystone.session(t.Context(), nil)
			wantKind(t, "log in", err, c.kind)
			if err == nil && s.token != c.token {
				t.Errorf("got token %q, want %q", s.token, c.token)
			}
			if err == nil && c.token == "old" {
				if u, _ := s.endpoint(cloud.Compute); u != o.url+"/nova" || s.project != "p2" {
					t.Errorf("got %+v", s)
				}
			}
			if c.kind == "" {
				// Once asked, it is known.
				if _, err := d.access().keystone.session(t.Context(), s); err != nil {
					t.Error(err)
				}
				c.want = append(c.want, c.want[len(c.want)-1])
			}
			calls, _ := o.seen()
			if diff := cmp.Diff(c.want, calls); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
		})
	}
}

// The old API is told the tenant and nothing of domains.
func TestOldLoginBody(t *testing.T) {
	o := newOldCloud(t, 500, "")
	writeClouds(t, fmt.Sprintf("clouds: {sim: {auth_type: v2password, auth: {auth_url: %q, username: u, password: p, tenant_name: acme}}}", o.url+"/id"))
	if _, err := open(t, "ours", cloud.Open{}).access().keystone.session(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	_, bodies := o.seen()
	var got, want any
	if err := json.Unmarshal([]byte(bodies[0]), &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(`{"auth": {"tenantName": "acme", "passwordCredentials": {"username": "u", "password": "p"}}}`), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Each method is told what it needs and no more; of an id and a name, the id.
func TestLoginOptions(t *testing.T) {
	both := cloudsyaml.Auth{
		Username: "u", UserDomainID: "di", UserDomainName: "dn", Password: "p", Passcode: "pc", Token: "t",
		CredentialName: "cn", CredentialSecret: "cs", ProjectName: "pn", ProjectDomainID: "pi", ProjectDomainName: "pd",
	}
	scope := tokens.Scope{ProjectName: "pn", DomainID: "pi"}
	for _, c := range []struct {
		name string
		edit func(*cloudsyaml.Auth)
		want tokens.AuthOptions
	}{
		{"password", func(a *cloudsyaml.Auth) { a.Method = cloudsyaml.ByPassword }, tokens.AuthOptions{Username: "u", DomainID: "di", Password: "p", Scope: scope}},
		{"token", func(a *cloudsyaml.Auth) { a.Method = cloudsyaml.ByToken }, tokens.AuthOptions{TokenID: "t", Scope: scope}},
		{"passcode", func(a *cloudsyaml.Auth) { a.Method = cloudsyaml.ByPasscode }, tokens.AuthOptions{Username: "u", DomainID: "di", Passcode: "pc", Scope: scope}},
		{"both, by id", func(a *cloudsyaml.Auth) { a.Method, a.UserID = cloudsyaml.ByBoth, "ui" }, tokens.AuthOptions{UserID: "ui", Password: "p", Passcode: "pc", Scope: scope}},
		{"a credential's name", func(a *cloudsyaml.Auth) { a.Method, a.UserDomainID = cloudsyaml.ByCredential, "" }, tokens.AuthOptions{
			Username: "u", DomainName: "dn", ApplicationCredentialName: "cn", ApplicationCredentialSecret: "cs",
		}},
		{"a credential's id", func(a *cloudsyaml.Auth) { a.Method, a.CredentialID = cloudsyaml.ByCredential, "ci" }, tokens.AuthOptions{
			ApplicationCredentialID: "ci", ApplicationCredentialSecret: "cs",
		}},
		{"a project's id", func(a *cloudsyaml.Auth) { a.Method, a.ProjectID = cloudsyaml.ByToken, "p" }, tokens.AuthOptions{TokenID: "t", Scope: tokens.Scope{ProjectID: "p"}}},
		{"a trust", func(a *cloudsyaml.Auth) { a.Method, a.TrustID = cloudsyaml.ByToken, "tr" }, tokens.AuthOptions{TokenID: "t", Scope: tokens.Scope{TrustID: "tr"}}},
		{"the system", func(a *cloudsyaml.Auth) { a.Method, a.System = cloudsyaml.ByToken, true }, tokens.AuthOptions{TokenID: "t", Scope: tokens.Scope{System: true}}},
		{"a domain", func(a *cloudsyaml.Auth) { a.Method, a.ProjectName, a.DomainName = cloudsyaml.ByToken, "", "dn" }, tokens.AuthOptions{TokenID: "t", Scope: tokens.Scope{DomainName: "dn"}}},
	} {
		a := both
		c.edit(&a)
		o := options3(&a)
		if diff := cmp.Diff(c.want, *o); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", c.name, diff)
		}
		if _, err := o.ToTokenV3CreateMap(nil); err != nil {
			t.Errorf("%s: gophercloud: %v", c.name, err)
		}
		if _, err := o.ToTokenV3ScopeMap(); err != nil {
			t.Errorf("%s: gophercloud: %v", c.name, err)
		}
	}
}

// A tenant is told by its id alone if there is one; and an old catalog has all
// interfaces in each entry.
func TestOldLoginDetails(t *testing.T) {
	o := newOldCloud(t, 500, "")
	writeClouds(t, fmt.Sprintf("clouds: {sim: {auth_type: v2token, auth: {auth_url: %q, token: t, tenant_id: p2, tenant_name: acme}}}", o.url+"/id"))
	if _, err := open(t, "ours", cloud.Open{}).access().keystone.session(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if _, bodies := o.seen(); strings.Contains(bodies[0], "acme") || !strings.Contains(bodies[0], `"tenantId":"p2"`) {
		t.Errorf("sent %s", bodies[0])
	}
	catalog := catalog3([]tokens2.CatalogEntry{{Type: "image", Name: "glance", Endpoints: []tokens2.Endpoint{
		{Region: "one", PublicURL: "http://p", InternalURL: "http://i", AdminURL: "http://a"},
	}}})
	for kind, want := range map[string]string{"public": "http://p", "internal": "http://i", "admin": "http://a"} {
		got := endpoint(catalog, []string{"image"}, cloudsyaml.ServiceSettings{Interface: kind, Region: "one", Name: "glance"})
		if got != want {
			t.Errorf("%s: got %s, want %s", kind, got, want)
		}
	}
}

// To the gate, a list of versions is an answer like any other.
func TestVersionsAreAnAnswer(t *testing.T) {
	o := newOldCloud(t, 300, twoVersions)
	writeClouds(t, fmt.Sprintf("clouds: {sim: {auth: {auth_url: %q, token: t}}}", o.url+"/id"))
	gate := &outcomes{}
	if _, err := open(t, "ours", gate).access().keystone.session(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	want := []string{"GET / 300 ", "POST /tokens 200 "}
	if diff := cmp.Diff(want, gate.seen); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
}

// outcomes is a gate that writes down how calls ended. It is for one caller.
type outcomes struct{ seen []string }

// Enter is part of cloud.Gate.
func (o *outcomes) Enter(_ context.Context, c cloud.Call) (func(cloud.Outcome), error) {
	return func(out cloud.Outcome) {
		o.seen = append(o.seen, fmt.Sprintf("%s %d %s", c.Operation, out.Status, out.Kind))
	}, nil
}

func TestLifeOfOldTokens(t *testing.T) {
	date := http.Header{"Date": {"Wed, 25 Nov 2026 15:00:00 GMT"}}
	for _, c := range []struct {
		issued, expires string
		want            time.Duration
	}{
		{"2026-11-25T14:00:00.123456", "2026-11-25T16:00:00Z", 2*time.Hour - 123456*time.Microsecond},
		{"2026-11-25T14:00:00Z", "2026-11-25T16:00:00Z", 2 * time.Hour},
		{"", "2026-11-25T16:00:00Z", time.Hour},
		{"", "never", 0},
	} {
		if got := life2(c.issued, c.expires, date); got != c.want {
			t.Errorf("%s to %s: got %v, want %v", c.issued, c.expires, got, c.want)
		}
	}
}

// An endpoint is that of the region and interface, under any of the names that
// the service goes by, without the version where paths have it; unless
// clouds.yaml says otherwise.
func TestChooseEndpoints(t *testing.T) {
	entry := func(service, name, url string) tokens.CatalogEntry {
		return tokens.CatalogEntry{Type: service, Name: name, Endpoints: []tokens.Endpoint{
			{Interface: "internal", Region: "one", URL: "http://wrong"},
			{Interface: "public", Region: "two", URL: "http://wrong"},
			{Interface: "public", RegionID: "one", URL: url},
		}}
	}
	catalog := []tokens.CatalogEntry{
		entry("compute", "first", "http://wrong"), entry("compute", "cloudServersOpenStack", "http://nova/v2.1/"),
		entry("image", "", "http://glance/v2"), entry("network", "", "http://neutron/v2.0/"),
		entry("volume", "", "http://old/v2/p"), entry("volumev3", "", "http://cinder/v3/p"),
		{Type: "object-store", Endpoints: []tokens.Endpoint{{Interface: "public", Region: "two", URL: "http://wrong"}}},
	}
	said := func(edit func(map[cloudsyaml.Service]cloudsyaml.ServiceSettings)) *settings {
		all := map[cloudsyaml.Service]cloudsyaml.ServiceSettings{}
		for _, s := range cloudsyaml.Services() {
			all[s] = cloudsyaml.ServiceSettings{Interface: "public", Region: "one"}
		}
		all[cloudsyaml.Compute] = cloudsyaml.ServiceSettings{Interface: "public", Region: "one", Name: "cloudServersOpenStack"}
		edit(all)
		return &settings{Cloud: &cloudsyaml.Cloud{Service: all}}
	}
	usual := map[cloud.Service]string{
		cloud.Compute: "http://nova/v2.1", cloud.ImageService: "http://glance", cloud.Network: "http://neutron", cloud.Volume: "http://cinder/v3/p",
	}
	got := said(func(map[cloudsyaml.Service]cloudsyaml.ServiceSettings) {}).choose(catalog)
	if diff := cmp.Diff(usual, got); diff != "" {
		t.Errorf("usual (-want +got):\n%s", diff)
	}
	got = said(func(s map[cloudsyaml.Service]cloudsyaml.ServiceSettings) {
		s[cloudsyaml.Network] = cloudsyaml.ServiceSettings{Absent: true, Interface: "public"}
		s[cloudsyaml.Image] = cloudsyaml.ServiceSettings{Endpoint: "https://other/v2"}
		s[cloudsyaml.BlockStorage] = cloudsyaml.ServiceSettings{Type: "volume", Interface: "public", Region: "one"}
		s[cloudsyaml.ObjectStore] = cloudsyaml.ServiceSettings{Interface: "public", Region: "two"}
	}).choose(catalog)
	if diff := cmp.Diff(map[cloud.Service]string{
		cloud.Compute: "http://nova/v2.1", cloud.ImageService: "https://other", cloud.Volume: "http://old/v2/p", cloud.Object: "http://wrong",
	}, got); diff != "" {
		t.Errorf("as clouds.yaml says (-want +got):\n%s", diff)
	}
}

// What clouds.yaml names and is not there is told with the place of the cloud.
func TestOpenErrors(t *testing.T) {
	const auth = "auth: {auth_url: 'http://k/v3', user_id: u, password: hunter2}"
	for more, want := range map[string]string{
		"cacert: /nonexistent.pem":                   "clouds.yaml:2: cloud sim: read cacert: open /nonexistent.pem",
		"cert: /nonexistent.pem":                     "clouds.yaml:2: cloud sim: read cert and key: open /nonexistent.pem",
		"floating_ip_source: nova":                   "clouds.yaml:2: floating_ip_source nova is not supported: write neutron or None",
		"cacert: /nonexistent.pem, insecure: 'true'": "",
	} {
		writeClouds(t, "clouds:\n  sim: {"+more+", "+auth+"}\n")
		d, err := Open(Config{Cloud: "sim", Gate: cloud.Open{}, Log: nopLog()})
		if want == "" && err == nil {
			d.Close()
			continue
		}
		if err == nil || want == "" || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", more, err, want)
		}
	}
}
