package cloudsyaml

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// site are the files of testdata/site, and a home.
func site(environ ...string) Places {
	return Places{Environ: append([]string{"HOME=/home/ci"}, environ...), Dirs: []string{filepath.Join("testdata", "site")}}
}

// plain is what a cloud is that says nothing but how to log in.
func plain(name, region string, a Auth, edits ...func(*Cloud)) *Cloud {
	c := &Cloud{
		Name: name, Region: region, Auth: a, ImageFormat: "qcow2", FloatingIPs: FloatingByNeutron,
		ForceIPv4: true, Service: map[Service]ServiceSettings{},
	}
	for _, s := range Services() {
		c.Service[s] = ServiceSettings{Interface: "public", Region: region}
	}
	for _, edit := range edits {
		edit(c)
	}
	return c
}

func edited(c *Cloud, service Service, edit func(*ServiceSettings)) {
	s := c.Service[service]
	edit(&s)
	c.Service[service] = s
}

func each(c *Cloud, edit func(*ServiceSettings)) {
	for _, s := range Services() {
		edited(c, s, edit)
	}
}

// What is written down here comes from the documented rules of openstacksdk.
func TestLoad(t *testing.T) {
	yes, no := true, false
	big := Auth{
		Method: ByPassword, Version: Version3, URL: "https://keystone.example:5000/v3", Username: "ci", Password: "s1",
		UserDomainName: "Default", ProjectName: "pool", ProjectDomainName: "Default",
	}
	bigTwo := big
	bigTwo.ProjectName = "pool-two"
	jdoe := Auth{Method: ByPassword, Username: "jdoe", Password: "secret"}
	with := func(edit func(*Auth)) Auth {
		a := jdoe
		edit(&a)
		return a
	}
	bigOf := func(c *Cloud) {
		each(c, func(s *ServiceSettings) { s.Interface = "internal" })
		edited(c, BlockStorage, func(s *ServiceSettings) { s.Interface = "admin" })
		edited(c, Compute, func(s *ServiceSettings) { s.Endpoint = "https://nova." + c.Region + ".example/v2.1" })
		edited(c, Image, func(s *ServiceSettings) { s.Endpoint = "https://glance.example" })
		c.Insecure, c.Timeout = true, 12*time.Second
	}
	for _, c := range []struct {
		cloud, region string
		want          *Cloud
	}{
		{"big", "", plain("big", "one", big, bigOf, func(c *Cloud) {
			c.Networks = []NetworkSettings{
				{Name: "net", RoutesIPv4: true, RoutesIPv6: true, Default: true},
				{Name: "six", RoutesIPv6: true, NATSource: true},
				{Name: "plain"},
			}
		})},
		{"big", "two", plain("big", "two", bigTwo, bigOf, func(c *Cloud) {
			c.ImageFormat, c.ForceIPv4 = "raw", false
			c.Networks = []NetworkSettings{{Name: "net2", NATDestination: true}}
		})},
		{"tilde", "anywhere", plain("tilde", "anywhere", Auth{
			Method: ByCredential, Version: Version3, URL: "https://k.example/v3", CredentialID: "id1", CredentialSecret: "s2",
		}, func(c *Cloud) { c.CACert, c.Cert, c.Key = "/home/ci/ca.pem", "/home/ci/client.pem", "/etc/client.key" })},
		{"token", "", plain("token", "", Auth{
			Method: ByToken, Version: Version3, URL: "https://k.example/v3", Token: "t1", ProjectID: "p1",
		})},
		{"old", "", plain("old", "", with(func(a *Auth) {
			a.Version, a.URL, a.ProjectName = Version2, "https://k.example:5000/v2.0", "acme"
		}), func(c *Cloud) {
			c.Timeout = 33 * time.Second
			each(c, func(s *ServiceSettings) { s.Interface = "admin" })
			c.Networks = []NetworkSettings{
				{Name: "outer", RoutesIPv4: true, RoutesIPv6: true, Default: true},
				{Name: "inner", NATDestination: true},
			}
		})},
		{"unversioned", "", plain("unversioned", "r1", with(func(a *Auth) { a.URL, a.ProjectName = "https://k.example:5000", "acme" }))},
		{"beside", "", plain("beside", "", with(func(a *Auth) {
			a.Version, a.URL, a.ProjectName = Version3, "https://k.example:5000/v3", "acme"
			a.UserDomainName, a.ProjectDomainName = "corp", "corp"
		}), func(c *Cloud) {
			c.Private, c.FloatingIPs, c.NeedsFloatingIP = true, FloatingNone, &no
			edited(c, Network, func(s *ServiceSettings) { s.Absent = true })
		})},
		{"vendor", "", plain("vendor", "ORD", with(func(a *Auth) {
			a.Version, a.URL, a.ProjectID = Version2, "https://identity.api.rackspacecloud.com/v2.0", "4711"
		}), func(c *Cloud) {
			c.ImageFormat, c.ImageByTask, c.FloatingIPs, c.NeedsFloatingIP = "vhd", true, FloatingNone, &no
			edited(c, Network, func(s *ServiceSettings) { s.Absent = true })
			edited(c, Compute, func(s *ServiceSettings) { s.Name = "cloudServersOpenStack" })
			edited(c, BlockStorage, func(s *ServiceSettings) {
				s.Endpoint, s.APIVersion = "https://ORD.blockstorage.api.rackspacecloud.com/v2/4711", "2"
			})
		})},
		// openstacksdk wants profile: here; the name says it well enough.
		{"ovh", "", plain("ovh", "GRA7", with(func(a *Auth) {
			a.Version, a.URL, a.ProjectName = Version3, "https://auth.cloud.ovh.net/v3", "acme"
			a.UserDomainName, a.ProjectDomainName = "Default", "Default"
		}), func(c *Cloud) {
			c.FloatingIPs, c.NeedsFloatingIP = FloatingNone, &no
			edited(c, Identity, func(s *ServiceSettings) { s.APIVersion = "3" })
		})},
		{"house", "south", plain("house", "south", with(func(a *Auth) {
			a.Version, a.URL, a.ProjectName = Version3, "https://south.house.example/v3", "all"
			a.UserDomainName, a.ProjectDomainName = "House", "House"
		}), func(c *Cloud) { c.ImageFormat, c.FloatingIPs, c.NeedsFloatingIP = "raw", FloatingNone, &no })},
		{"scoped", "", plain("scoped", "", with(func(a *Auth) {
			a.Version, a.URL, a.UserDomainID, a.DomainID = Version3, "https://k.example/v3", "d1", "d2"
		}))},
		{"twice", "here", plain("twice", "here", Auth{
			Method: ByPassword, Version: Version3, URL: "https://k.example/v3", UserID: "u1", Password: "secret", ProjectID: "p1",
			UserDomainID: "d0", ProjectDomainID: "d0",
		}, func(c *Cloud) {
			c.NeedsFloatingIP = &yes
			edited(c, BlockStorage, func(s *ServiceSettings) { s.Type = "volumev3" })
			edited(c, Compute, func(s *ServiceSettings) { s.Name = "nova" })
			edited(c, Network, func(s *ServiceSettings) { s.Region = "elsewhere" })
			edited(c, Identity, func(s *ServiceSettings) { s.APIVersion = "3" })
		})},
	} {
		got, err := Load(site(), c.cloud, c.region)
		if err != nil {
			t.Errorf("%s: %v", c.cloud, err)
			continue
		}
		if diff := cmp.Diff(c.want, got, cmpopts.IgnoreTypes(Place{}), cmpopts.IgnoreFields(Cloud{}, "Notes")); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", c.cloud, diff)
		}
	}
}

// A cloud knows where it is written, and what a human should change some day.
func TestPlacesAndNotes(t *testing.T) {
	c, err := Load(site(), "old", "")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("testdata", "site", "clouds.yaml")
	if want := (Place{file, 54}); c.At != want || c.Auth.At != (Place{file, 57}) {
		t.Errorf("got %v and %v, want %v", c.At, c.Auth.At, want)
	}
	var notes []string
	for _, n := range c.Notes {
		notes = append(notes, n.Error())
	}
	want := []string{
		file + ":63: nova_timeout is taken for api_timeout: write that",
		file + ":61: external_network is old: write networks, a list of name and routes_externally",
		file + ":62: internal_network is old: write networks, a list of name and routes_externally",
	}
	if diff := cmp.Diff(want, notes); diff != "" {
		t.Error(diff)
	}
}

const login = "auth: {auth_url: 'https://k.example/v3', username: u, password: hunter2, user_domain_name: d, project_id: p}"

// write writes files into a new folder, and returns it as the place to look.
func write(t *testing.T, files map[string]string, environ ...string) Places {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return Places{Environ: environ, Dirs: []string{dir}}
}

// The environment names files, a cloud and a region, or is a cloud itself.
func TestEnvironment(t *testing.T) {
	elsewhere := filepath.Join(t.TempDir(), "other.yml")
	if err := os.WriteFile(elsewhere, []byte("clouds: {other: {"+login+"}}"), 0o600); err != nil {
		t.Fatal(err)
	}
	one := map[string]string{"clouds.yml": "clouds: {only: {" + login + ", regions: [a, b]}}"}
	two := map[string]string{"clouds.yaml": "clouds: {a: {" + login + "}, b: {" + login + "}}"}
	own := []string{
		"OS_AUTH_URL=https://env.example/v3", "OS_USERNAME=e", "OS_PASSWORD=pw", "OS_PROJECT_ID=p", "OS_USER_DOMAIN_ID=d",
		"OS_TEST_X=1", "OS_STDOUT=1", "OS_LOG_DIR=1",
	}
	for _, c := range []struct {
		name    string
		files   map[string]string
		environ []string
		cloud   string
		want    string
	}{
		{"the only cloud, its first region", one, nil, "", "only a u"},
		{"OS_REGION_NAME", one, []string{"OS_REGION_NAME=b"}, "", "only b u"},
		{"OS_CLOUD", two, []string{"OS_CLOUD=b"}, "", "b  u"},
		{"a name goes before OS_CLOUD", two, []string{"OS_CLOUD=b"}, "a", "a  u"},
		{"no name and several clouds", two, nil, "", "several clouds"},
		{"OS_CLIENT_CONFIG_FILE goes first", two, []string{"OS_CLIENT_CONFIG_FILE=" + elsewhere}, "", "other  u"},
		{"the environment as a cloud, which is then the default", one, own, "", "envvars  e"},
		{"with a region", one, append(own, "OS_REGION_NAME=r"), "", "envvars r e"},
		{"under another name", one, append(own, "OS_CLOUD_NAME=mine"), "mine", "mine  e"},
		{"under a name that is taken", one, append(own, "OS_CLOUD_NAME=only"), "only", "taken by the OS_* variables"},
		{"beside files", one, own, "only", "only a u"},
		{"without any file", nil, own, "", "envvars  e"},
		{"variables that are not about clouds", one, own[5:], "", "only a u"},
		{"its own name for a profile", nil, append(own, "OS_CLOUD=envvars"), "", "envvars  e"},
		{"with a profile", nil, []string{"OS_PROFILE=ovh", "OS_USERNAME=e", "OS_PASSWORD=pw", "OS_PROJECT_ID=p", "OS_REGION_NAME=UK1"}, "envvars", "envvars UK1 e"},
		{"no cloud at all", nil, nil, "", "there is no cloud; there is none in"},
	} {
		got, err := Load(write(t, c.files, c.environ...), c.cloud, "")
		text := fmt.Sprint(err)
		if err == nil {
			if len(got.Notes) > 0 {
				t.Errorf("%s: notes: %v", c.name, got.Notes)
			}
			text = got.Name + " " + got.Region + " " + got.Auth.Username
		}
		if err == nil && text != c.want || !strings.Contains(text, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, text, c.want)
		}
	}
}

// secure.yaml is looked for on its own, and lies over clouds.yaml.
func TestSecureFile(t *testing.T) {
	files := map[string]string{
		"clouds.yaml": "clouds: {a: {" + login + "}}",
		"secure.yml":  "clouds: {a: {auth: {password: new}, region_name: r}, more: {" + login + "}}",
	}
	p := write(t, files)
	beside := Places{Environ: []string{"OS_CLIENT_CONFIG_FILE=" + filepath.Join(p.Dirs[0], "clouds.yaml")}}
	named := Places{Environ: append(beside.Environ, "OS_CLIENT_SECURE_FILE="+filepath.Join(p.Dirs[0], "secure.yml"))}
	if err := os.WriteFile(filepath.Join(p.Dirs[0], "secure.yaml"), []byte("clouds: {a: {auth: {password: beside}}}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		places      Places
		cloud, want string
	}{{named, "a", "new"}, {named, "more", "hunter2"}, {beside, "a", "beside"}, {p, "a", "beside"}} {
		got, err := Load(c.places, c.cloud, "")
		if err != nil || got.Auth.Password.Reveal() != c.want {
			t.Errorf("%v: got %+v, %v", c, got, err)
		}
	}
}

// The first folder that has a file wins, whatever its suffix; a file that may
// not be read does not count.
func TestSearchPath(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	for path, password := range map[string]string{
		filepath.Join(first, "clouds.yml"): "one", filepath.Join(second, "clouds.yaml"): "two",
	} {
		if err := os.WriteFile(path, []byte("clouds: {a: {"+strings.ReplaceAll(login, "hunter2", password)+"}}"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := Load(Places{Dirs: []string{first, second}}, "a", "")
	if err != nil || c.Auth.Password != "one" {
		t.Errorf("got %v, %v", c, err)
	}
	t.Setenv("SNAP_REAL_HOME", "")
	t.Setenv("HOME", "/home/ci")
	t.Setenv("XDG_CONFIG_HOME", "/home/ci/.cfg")
	t.Setenv("XDG_CONFIG_DIRS", "")
	want := []string{".", "/home/ci/.cfg/openstack", "/home/ci/.config/openstack", "/etc/xdg/openstack", "/etc/openstack"}
	if diff := cmp.Diff(want, Usual().Dirs); diff != "" {
		t.Error(diff)
	}
}

// A reading depends on what the fingerprint covers, and on nothing else.
func TestPrint(t *testing.T) {
	p := write(t, map[string]string{"clouds.yaml": "a", "ca.pem": "x"})
	ca := filepath.Join(p.Dirs[0], "ca.pem")
	before := p.Print(ca)
	if p.Print(ca) != before {
		t.Error("two prints of the same files differ")
	}
	for name, text := range map[string]string{"clouds.yaml": "b", "secure.yaml": "", "clouds-public.json": "{}", "ca.pem": "y"} {
		if err := os.WriteFile(filepath.Join(p.Dirs[0], name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		after := p.Print(ca)
		if after == before {
			t.Errorf("%s was written, and the print is the same", name)
		}
		before = after
	}
}

// No way of printing a cloud shows a secret.
func TestSecretsAreNotPrinted(t *testing.T) {
	c, err := Load(write(t, map[string]string{"clouds.yaml": "clouds: {a: {" + login + "}}"}), "a", "")
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprint(c.Auth), fmt.Sprintf("%+v %#v %q %x", c.Auth, c.Auth, c.Auth.Password, c.Auth.Password), string(b)} {
		if strings.Contains(text, "hunter2") || strings.Contains(text, fmt.Sprintf("%x", "hunter2")) || !strings.Contains(text, "<secret>") && !strings.Contains(text, `\u003csecret\u003e`) {
			t.Errorf("printed: %s", text)
		}
	}
}

// What the address alone does not tell is decided once the cloud was asked.
func TestAuthIn(t *testing.T) {
	at := Place{"clouds.yaml", 7}
	for _, c := range []struct {
		name    string
		auth    Auth
		version Version
		want    string
	}{
		{"2.0", Auth{Method: ByPassword, Username: "u", ProjectName: "p"}, Version2, "http://k/v2.0"},
		{"2.0 with an id", Auth{Method: ByPassword, UserID: "u"}, Version2, "clouds.yaml:7: this address offers only the identity API 2.0, which needs username, not user_id"},
		{"3 with an id", Auth{Method: ByPassword, UserID: "u", ProjectID: "p"}, Version3, "http://k/v3"},
		{"3 with a name", Auth{Method: ByPassword, Username: "u"}, Version3, "clouds.yaml:7: this address offers only the identity API 3, in which username needs its domain: add user_domain_name"},
		{"3 with the name of a project", Auth{Method: ByToken, ProjectName: "p"}, Version3, "clouds.yaml:7: this address offers only the identity API 3, in which project_name needs its domain: add project_domain_name"},
	} {
		c.auth.URL, c.auth.At = "http://k", at
		got, err := c.auth.In(c.version)
		text := got.URL
		if err != nil {
			text = err.Error()
		}
		if text != c.want || got.Version != c.version {
			t.Errorf("%s: got %s, want %s", c.name, text, c.want)
		}
	}
}

// Of several ways to say a thing, the rules of openstacksdk decide.
func TestWhatWins(t *testing.T) {
	const head = "clouds:\n  a:\n    auth:\n      auth_url: https://k.example/v3\n      user_id: u\n      password: p\n      project_id: p\n"
	for _, c := range []struct {
		name, text string
		environ    []string
		got        func(*Cloud) string
		want       string
	}{
		{
			"a passcode beside auth", head + "      passcode: \"1\"\n    auth_type: v3totp\n    passcode: \"2\"\n", nil,
			func(c *Cloud) string { return c.Auth.Passcode.Reveal() }, "2",
		},
		{
			"a project over a tenant", head + "      tenant_id: t\n", nil,
			func(c *Cloud) string { return c.Auth.ProjectID }, "p",
		},
		{
			"a tenant over a project in the old way", strings.ReplaceAll(strings.ReplaceAll(head, "v3", "v2.0"), "user_id", "username") +
				"      tenant_id: t\n    auth_type: v2password\n", nil,
			func(c *Cloud) string { return c.Auth.ProjectID }, "t",
		},
		{
			"a domain of the user over one for all", head + "      user_domain_name: mine\n      domain_name: all\n", nil,
			func(c *Cloud) string { return c.Auth.UserDomainName + " " + c.Auth.ProjectDomainName }, "mine all",
		},
		{
			"a key over what is merged in", "x: &x {region_name: x, image_format: raw}\n" + head + "    region_name: r\n    <<: *x\n", nil,
			func(c *Cloud) string { return c.Region + " " + c.ImageFormat }, "r raw",
		},
		{
			"a number that is said to be text", head + "    region_name: !!str 010\n", nil,
			func(c *Cloud) string { return c.Region }, "010",
		},
		{
			"endpoint_type over interface", head + "    interface: admin\n    endpoint_type: internalURL\n", nil,
			func(c *Cloud) string { return c.Service[Compute].Interface }, "internal",
		},
		{
			"the cloud over all clouds", "client: {prefer-ipv6: false}\n" + head + "    force_ipv4: false\n", nil,
			func(c *Cloud) string { return fmt.Sprint(c.ForceIPv4) }, "false",
		},
		{
			"the environment over all clouds", "client: {force_ipv4: false}\n" + head,
			[]string{"OS_FORCE_IPV4=True"},
			func(c *Cloud) string { return fmt.Sprint(c.ForceIPv4) }, "true",
		},
		{
			"a cloud without a service", head + "    has_volume: false\n", nil,
			func(c *Cloud) string { return fmt.Sprint(c.Service[BlockStorage].Absent, c.Service[Compute].Absent) }, "true false",
		},
		{
			"an auth_plugin", strings.ReplaceAll(head, "password", "token") + "    auth_plugin: v3token\n", nil,
			func(c *Cloud) string { return string(c.Auth.Method) + c.Auth.Token.Reveal() }, "tokenp",
		},
	} {
		got, err := Load(write(t, map[string]string{"clouds.yaml": c.text}, c.environ...), "a", "")
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if text := c.got(got); text != c.want {
			t.Errorf("%s: got %q, want %q", c.name, text, c.want)
		}
	}
}
