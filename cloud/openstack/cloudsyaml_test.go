package openstack

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"

	"poold/cloud"
)

const sampleClouds = `
x: &domain {user_domain_name: Default, project_domain_name: Default}
clouds:
  big:
    auth: {<<: *domain, auth_url: "https://keystone.example:5000/", username: ci, project_name: pool}
    regions:
      - one
      - name: two
        values:
          auth: {project_name: pool-two}
          image_format: RAW
          networks: [{name: net2, nat_destination: true}]
    interface: internalURL
    verify: false
    api_timeout: 12
    compute_endpoint_override: https://nova.example/v2.1/
    networks: [{name: net, routes_externally: true, default_interface: true}]
  app:
    auth_type: v3applicationcredential
    auth: {auth_url: https://k.example/v3, application_credential_id: id1}
  tok:
    auth_type: token
    auth: {auth_url: https://k.example/v3, token: t1, project_id: p1}
`

func TestLoadClouds(t *testing.T) {
	path := writeClouds(t, sampleClouds)
	secret := "clouds: {big: {auth: {password: s1}}, app: {auth: {application_credential_secret: s2}}}"
	if err := os.WriteFile(filepath.Join(filepath.Dir(path), "secure.yaml"), []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	one, err := load("big", "one")
	if err != nil {
		t.Fatal(err)
	}
	want := tokens.AuthOptions{
		Username: "ci", Password: "s1", DomainName: "Default",
		Scope: tokens.Scope{ProjectName: "pool", DomainName: "Default"},
	}
	if one.options != want {
		t.Errorf("options: got %+v, want %+v", one.options, want)
	}
	if one.authURL != "https://keystone.example:5000/v3" || one.endpointKind != "internal" || !one.insecure ||
		one.apiTimeout != 12*time.Second || one.imageFormat != "qcow2" || !one.networks[0].DefaultInterface ||
		!one.networks[0].routesIPv4() || one.choose(nil)[cloud.Compute] != "https://nova.example/v2.1" {
		t.Errorf("got %+v", one)
	}
	two, err := load("big", "two")
	if err != nil {
		t.Fatal(err)
	}
	want.Scope.ProjectName = "pool-two"
	if two.options != want || two.imageFormat != "raw" || !two.networks[len(two.networks)-1].NATDestination || two.region != "two" {
		t.Errorf("the values of a region: got %+v", two)
	}
	app, err := load("app", "")
	if err != nil {
		t.Fatal(err)
	}
	if app.options != (tokens.AuthOptions{ApplicationCredentialID: "id1", ApplicationCredentialSecret: "s2"}) || app.apiTimeout != time.Minute {
		t.Errorf("application credential: got %+v", app)
	}
	tok, err := load("tok", "anywhere")
	if err != nil {
		t.Fatal(err)
	}
	if tok.options != (tokens.AuthOptions{TokenID: "t1", Scope: tokens.Scope{ProjectID: "p1"}}) || tok.region != "anywhere" {
		t.Errorf("token: got %+v", tok)
	}
}

// An error says where and what to write instead.
func TestCloudsErrors(t *testing.T) {
	const auth = "    auth: {auth_url: u, username: u, password: hunter2, user_domain_name: d}\n"
	for _, c := range []struct{ name, text, want string }{
		{"no such cloud", "clouds: {other: {}}", `clouds.yaml: there is no cloud "sim"`},
		{"no clouds at all", "", "there is no cloud"},
		{"no auth", "clouds:\n  sim:\n    region_name: r\n", `clouds.yaml:3: cloud "sim" has no auth_url`},
		{"a cloud that is a list", "clouds:\n  sim: []\n", "clouds.yaml:2: cloud \"sim\" is not a mapping"},
		{"a profile", "clouds:\n  sim:\n    profile: vexxhost\n" + auth, "clouds.yaml:3: profile is not supported: write the auth_url"},
		{"identity 2.0", "clouds:\n  sim:\n    auth: {auth_url: http://x/v2.0}\n", "clouds.yaml:3: auth_url"},
		{"an unknown way to log in", "clouds:\n  sim:\n    auth_type: v3oidcpassword\n" + auth, "clouds.yaml:3: auth_type"},
		{"a tenant", "clouds:\n  sim:\n    auth: {auth_url: u, tenant_name: t}\n", "clouds.yaml:3: tenants are called projects"},
		{"an interface", "clouds:\n  sim:\n" + auth + "    interface: outer\n", "clouds.yaml:4: interface"},
		{"a time-out", "clouds:\n  sim:\n" + auth + "    api_timeout: soon\n", "clouds.yaml:4: api_timeout"},
		{"a source of floating IPs", "clouds:\n  sim:\n" + auth + "    floating_ip_source: nova\n", "clouds.yaml:4: floating_ip_source"},
		{"a list where a value should be", "clouds:\n  sim:\n    region_name: [a, b]\n" + auth, "clouds.yaml:3: a single value"},
		{"a region that is not there", "clouds:\n  sim:\n    regions: [a, b]\n" + auth, "name one of a, b"},
		{"broken YAML", "clouds:\n  sim: {\n", "clouds.yaml:"},
	} {
		writeClouds(t, c.text)
		_, err := load("sim", "")
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v, want %q in it", c.name, err, c.want)
		}
	}
	t.Setenv("OS_CLIENT_CONFIG_FILE", "/nonexistent/clouds.yaml")
	if _, err := load("sim", ""); err == nil || !strings.Contains(err.Error(), "/nonexistent/clouds.yaml") {
		t.Errorf("a missing file: got %v", err)
	}
}

// An endpoint is that of the region and interface, under any of the names that
// the service goes by, without the version where paths have it.
func TestChooseEndpoints(t *testing.T) {
	entry := func(service, url string) tokens.CatalogEntry {
		return tokens.CatalogEntry{Type: service, Endpoints: []tokens.Endpoint{
			{Interface: "internal", Region: "one", URL: "http://wrong"},
			{Interface: "public", Region: "two", URL: "http://wrong"},
			{Interface: "public", RegionID: "one", URL: url},
		}}
	}
	s := &settings{region: "one", endpointKind: "public"}
	got := s.choose([]tokens.CatalogEntry{
		entry("compute", "http://nova/v2.1/"), entry("image", "http://glance/v2"), entry("network", "http://neutron/v2.0/"),
		entry("volume", "http://wrong"), entry("volumev3", "http://cinder/v3/p"),
		{Type: "object-store", Endpoints: []tokens.Endpoint{{Interface: "public", Region: "two", URL: "http://wrong"}}},
	})
	for service, want := range map[cloud.Service]string{
		cloud.Compute: "http://nova/v2.1", cloud.ImageService: "http://glance", cloud.Network: "http://neutron",
		cloud.Volume: "http://cinder/v3/p", cloud.Object: "",
	} {
		if got[service] != want {
			t.Errorf("%s: got %q, want %q", service, got[service], want)
		}
	}
}
