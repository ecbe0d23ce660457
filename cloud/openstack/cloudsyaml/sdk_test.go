package cloudsyaml

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

// debianPython is the Python that Debian's openstacksdk is installed for.
const debianPython = "/usr/bin/python3"

// needSDK skips a test where openstacksdk is not installed.
func needSDK(t *testing.T) {
	t.Helper()
	if err := exec.CommandContext(t.Context(), debianPython, "-c", "import openstack.config").Run(); err != nil {
		t.Skip("skipped: python3-openstacksdk is not installed")
	}
}

// sdkCloud is how openstacksdk reads a cloud, see testdata/sdk.py.
type sdkCloud struct {
	Type      string                 `json:"auth_type"`
	Auth      map[string]string      `json:"auth"`
	Region    string                 `json:"region"`
	Verify    any                    `json:"verify"`
	Cert      any                    `json:"cert"`
	Timeout   any                    `json:"timeout"`
	Format    string                 `json:"image_format"`
	Tasks     bool                   `json:"tasks"`
	Source    *string                `json:"source"`
	Requires  *bool                  `json:"requires"`
	ForceIPv4 bool                   `json:"force_ipv4"`
	Private   bool                   `json:"private"`
	Networks  []sdkNetwork           `json:"networks"`
	Service   map[Service]sdkService `json:"services"`
}

type sdkNetwork struct {
	Name      string `json:"name"`
	IPv4      *bool  `json:"routes_ipv4_externally"`
	IPv6      *bool  `json:"routes_ipv6_externally"`
	Routes    bool   `json:"routes_externally"`
	NATSource bool   `json:"nat_source"`
	NATDest   bool   `json:"nat_destination"`
	Default   bool   `json:"default_interface"`
}

type sdkService struct {
	Endpoint  string `json:"endpoint"`
	Interface string `json:"interface"`
	Region    string `json:"region"`
	Name      string `json:"name"`
	Version   string `json:"version"`
	Absent    bool   `json:"absent"`
}

type sdkAnswer struct {
	Default *string `json:"default"`
	Clouds  []struct {
		Cloud string    `json:"cloud"`
		Asked string    `json:"asked"`
		Got   *sdkCloud `json:"got"`
		Error string    `json:"error"`
	} `json:"clouds"`
}

// askSDK has openstacksdk read the clouds that an environment leads to.
func askSDK(t *testing.T, environ []string) sdkAnswer {
	t.Helper()
	script, err := filepath.Abs(filepath.Join("testdata", "sdk.py"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := exec.CommandContext(ctx, debianPython, script)
	c.Dir = t.TempDir()
	c.Env = append([]string{"PATH=/usr/bin:/bin"}, environ...)
	out, err := c.Output()
	if err != nil {
		if ee, ok := errors.AsType[*exec.ExitError](err); ok {
			t.Fatalf("%v: %s", err, ee.Stderr)
		}
		t.Fatal(err)
	}
	var a sdkAnswer
	if err := json.Unmarshal(out, &a); err != nil {
		t.Fatalf("%v in %.200s", err, out)
	}
	return a
}

// compareSDK reads all clouds in all their regions as openstacksdk does, but
// for those that are listed with the error that poold has for them.
func compareSDK(t *testing.T, environ []string, refused map[string]string) {
	t.Helper()
	answer := askSDK(t, environ)
	places := Places{Environ: environ}
	if home := places.env("HOME"); home != "" {
		places.Dirs = []string{filepath.Join(home, ".config", "openstack")}
	}
	if len(answer.Clouds) == 0 {
		t.Fatal("openstacksdk found no cloud")
	}
	for _, a := range answer.Clouds {
		got, err := Load(places, a.Cloud, a.Asked)
		if want, ok := refused[a.Cloud]; ok && err != nil {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s in %q: got %v, want %q", a.Cloud, a.Asked, err, want)
			}
			continue
		}
		switch {
		case (err != nil) && a.Got == nil:
		case err != nil || a.Got == nil:
			t.Errorf("%s in %q: got %v, openstacksdk %q", a.Cloud, a.Asked, err, a.Error)
		default:
			if diff := gocmp.Diff(fromSDK(a.Got), fromOurs(got)); diff != "" {
				t.Errorf("%s in %q: (-openstacksdk +poold)\n%s", a.Cloud, a.Asked, diff)
			}
		}
	}
	got, err := Load(places, "", "")
	if answer.Default == nil {
		if err == nil {
			t.Errorf("no name: got %s, openstacksdk has no default", got.Name)
		}
	} else if _, ok := refused[*answer.Default]; !ok && err == nil && got.Name != *answer.Default {
		t.Errorf("no name: got %s, openstacksdk %s", got.Name, *answer.Default)
	}
}

// common is what both readings are brought to, to be compared.
type common struct {
	URL, Region, Verify, Cert, Timeout, Format, Source, Requires string
	Auth                                                         map[string]string
	Tasks, ForceIPv4, Private                                    bool
	Networks                                                     []NetworkSettings
	Service                                                      map[Service]sdkService
}

func baseOf(u string) string {
	base, _ := splitVersion(strings.TrimRight(u, "/"))
	return base
}

func fromSDK(s *sdkCloud) common {
	c := common{
		URL: baseOf(s.Auth["auth_url"]), Region: s.Region, Verify: fmt.Sprint(s.Verify), Format: strings.ToLower(s.Format),
		Tasks: s.Tasks, ForceIPv4: s.ForceIPv4, Private: s.Private, Service: s.Service, Auth: map[string]string{},
	}
	switch cert := s.Cert.(type) {
	case string:
		c.Cert = cert
	case []any:
		c.Cert = fmt.Sprint(cert[0], " ", cert[1])
	}
	if s.Timeout != nil {
		c.Timeout = fmt.Sprint(s.Timeout)
	}
	c.Source = "none" // Python's None
	if s.Source != nil {
		c.Source = strings.ToLower(*s.Source)
	}
	// Of "None" it knows that none is needed, of None only that there is none.
	if s.Requires != nil && c.Source != "none" {
		c.Requires = fmt.Sprint(*s.Requires)
	}
	for _, n := range s.Networks {
		c.Networks = append(c.Networks, NetworkSettings{
			Name: n.Name, RoutesIPv4: *cmp.Or(n.IPv4, &n.Routes), RoutesIPv6: *cmp.Or(n.IPv6, &n.Routes),
			NATDestination: n.NATDest, NATSource: n.NATSource, Default: n.Default,
		})
	}
	for service, one := range c.Service {
		one.Interface = strings.TrimSuffix(one.Interface, "URL")
		// Its defaults of versions, which poold knows by itself.
		if service == Network && one.Version == "2" || service == ObjectStore && one.Version == "1" {
			one.Version = ""
		}
		c.Service[service] = one
	}
	for key, text := range s.Auth {
		if key = strings.ReplaceAll(key, "tenant_", "project_"); key != "auth_url" && text != "" {
			c.Auth[key] = text
		}
	}
	if of := c.Auth["default_domain"]; of != "" {
		c.Auth["default_domain_id"] = of // a key of other tools
		delete(c.Auth, "default_domain")
	}
	for _, kind := range []string{"id", "name"} {
		fallback := c.Auth["default_domain_"+kind]
		delete(c.Auth, "default_domain_"+kind)
		for _, of := range []string{"user_domain_", "project_domain_"} {
			if fallback != "" && c.Auth[of+"id"] == "" && c.Auth[of+"name"] == "" {
				c.Auth[of+kind] = fallback
			}
		}
	}
	return c
}

func fromOurs(g *Cloud) common {
	c := common{
		URL: baseOf(g.Auth.URL), Region: g.Region, Verify: fmt.Sprint(!g.Insecure), Cert: g.Cert, Format: g.ImageFormat,
		Source: string(g.FloatingIPs), Tasks: g.ImageByTask, ForceIPv4: g.ForceIPv4, Private: g.Private, Networks: g.Networks,
		Service: map[Service]sdkService{}, Auth: map[string]string{},
	}
	if g.CACert != "" && !g.Insecure {
		c.Verify = g.CACert
	}
	if g.Key != "" {
		c.Cert += " " + g.Key
	}
	if g.Timeout > 0 {
		c.Timeout = fmt.Sprint(g.Timeout.Seconds())
	}
	if g.NeedsFloatingIP != nil && g.FloatingIPs != FloatingNone {
		c.Requires = fmt.Sprint(*g.NeedsFloatingIP)
	}
	for service, s := range g.Service {
		c.Service[service] = sdkService{
			Endpoint: s.Endpoint, Interface: s.Interface, Region: s.Region, Name: s.Name, Version: s.APIVersion, Absent: s.Absent,
		}
		if service == Network && s.APIVersion == "2" || service == ObjectStore && s.APIVersion == "1" {
			one := c.Service[service]
			one.Version = ""
			c.Service[service] = one
		}
	}
	a := g.Auth
	for key, text := range map[string]string{
		"username": a.Username, "user_id": a.UserID, "user_domain_id": a.UserDomainID, "user_domain_name": a.UserDomainName,
		"password": a.Password.Reveal(), "passcode": a.Passcode.Reveal(), "token": a.Token.Reveal(),
		"application_credential_id": a.CredentialID, "application_credential_name": a.CredentialName,
		"application_credential_secret": a.CredentialSecret.Reveal(),
		"project_id":                    a.ProjectID, "project_name": a.ProjectName,
		"project_domain_id": a.ProjectDomainID, "project_domain_name": a.ProjectDomainName,
		"domain_id": a.DomainID, "domain_name": a.DomainName, "trust_id": a.TrustID,
	} {
		if text != "" {
			c.Auth[key] = text
		}
	}
	if a.System {
		c.Auth["system_scope"] = "all"
	}
	return c
}

// openstacksdk reads the files of this package as poold does.
func TestLikeSDK(t *testing.T) {
	needSDK(t)
	home := t.TempDir()
	conf := filepath.Join(home, ".config", "openstack")
	if err := os.MkdirAll(conf, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"clouds.yaml", "secure.yaml", "clouds-public.yaml"} {
		b, err := os.ReadFile(filepath.Join("testdata", "site", name))
		if err != nil {
			t.Fatal(err)
		}
		// It does not take the name of a cloud for that of its profile.
		b = []byte(strings.ReplaceAll(string(b), "  ovh:\n", "  ovh:\n    profile: ovh\n"))
		if err := os.WriteFile(filepath.Join(conf, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, more := range map[string][]string{
		"files alone":   nil,
		"IPv6 disliked": {"OS_PREFER_IPV6=false"},
		"an environment": {
			"OS_AUTH_URL=https://env.example:5000", "OS_USERNAME=e", "OS_PASSWORD=pw", "OS_TENANT_NAME=p", "OS_DOMAIN_NAME=d",
			"OS_INTERFACE=internal", "OS_CACERT=~/x.pem", "OS_NETWORK_ENDPOINT_OVERRIDE=https://net.example", "OS_FORCE_IPV4=true",
		},
		// openstacksdk puts its defaults over what the profile of such a cloud
		// says; this profile says nothing that has a default.
		"a profile in the environment": {
			"OS_PROFILE=elastx", "OS_USERNAME=e", "OS_USER_DOMAIN_ID=d", "OS_PASSWORD=pw", "OS_PROJECT_ID=p", "OS_CLOUD_NAME=mine", "OS_API_TIMEOUT=7",
		},
	} {
		t.Run(name, func(t *testing.T) {
			// One variable more makes the environment a cloud, if a useless one.
			compareSDK(t, append([]string{"HOME=" + home}, more...), map[string]string{"envvars": "has no auth_url"})
		})
	}
}

// The table of vendors says what that of openstacksdk says.
func TestVendorsLikeSDK(t *testing.T) {
	needSDK(t)
	out, err := exec.CommandContext(t.Context(), debianPython, filepath.Join("testdata", "sdk.py"), "vendors").Output()
	if err != nil {
		t.Fatal(err)
	}
	var vendors map[string][]string
	if err := json.Unmarshal(out, &vendors); err != nil {
		t.Fatal(err)
	}
	if len(vendors) < 20 {
		t.Fatalf("openstacksdk has %d vendors", len(vendors))
	}
	// Its entry has region-name, which it then does not find: no region.
	delete(vendors, "ultimum")
	var text strings.Builder
	text.WriteString("clouds:\n")
	for name := range vendors {
		auth := "username: u, password: p, project_id: '1'"
		switch name {
		case "catalyst", "rackspace": // of the identity API 2.0
		case "bluebox":
			auth += ", user_domain_id: d, auth_url: 'https://bluebox.example'"
		default:
			auth += ", user_domain_id: d"
		}
		fmt.Fprintf(&text, "  my-%[1]s: {profile: %[1]s, auth: {%[2]s}}\n", name, auth)
	}
	path := filepath.Join(t.TempDir(), "clouds.yaml")
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	compareSDK(t, []string{"OS_CLIENT_CONFIG_FILE=" + path}, nil)
}

// render makes a file of a template as the site's tool would.
func render(t *testing.T, template string) string {
	t.Helper()
	const script = `
import json, sys
try:
    import jinja2
except ImportError:
    sys.exit(3)
env = jinja2.Environment(trim_blocks=True)
one = dict(name="first", username="u", password="pw", auth_url="https://k.example:5000/v3", project_name="p",
           user_domain_name="Default", project_domain_name="Default", regions=["a", "b"])
two = dict(name="second", username="u", password="pw", auth_url="https://k.example:5000", project_name="p",
           region_name="c", api_timeout=30, image_format="raw")
t = env.from_string(sys.stdin.read())
print(t.render(nodepool_cache_ttl=5, nodepool_providers=[one, two], network={"disable_external_resources": False}, **json.loads(sys.argv[1])))
`
	values := map[string]string{}
	for _, m := range placeholder.FindAllStringSubmatch(template, -1) {
		values[m[1]] = "value-of-" + m[1]
	}
	delete(values, "nodepool_cache_ttl")
	b, err := json.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), debianPython, "-c", script, string(b))
	c.Stdin = strings.NewReader(template)
	out, err := c.Output()
	if c.ProcessState != nil && c.ProcessState.ExitCode() == 3 {
		t.Skip("skipped: python3-jinja2 is not installed")
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// placeholder is a plain one in a template of a site.
var placeholder = regexp.MustCompile(`\{\{ *([a-z_]+) *\}\}`)

// Configuration files of real sites are read as openstacksdk reads them, but
// for those that could never log in.
func TestCorpusLikeSDK(t *testing.T) {
	dir := os.Getenv("POOLD_CORPUS")
	if dir == "" {
		t.Skip("skipped: POOLD_CORPUS names no folder with configuration files of real sites")
	}
	needSDK(t)
	files, err := filepath.Glob(filepath.Join(dir, "*clouds.yaml*"))
	if err != nil || len(files) < 4 {
		t.Fatalf("got %d files, %v", len(files), err)
	}
	const domain = "username needs its domain"
	refused := map[string]string{
		// openstacksdk loads these and is refused by keystone.
		"philadelphia": domain, "philadelphia_complex": domain, "disconnected_clouds": domain,
	}
	for _, file := range files {
		name := filepath.Base(file)
		t.Run(name, func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			text := string(b)
			if strings.HasSuffix(name, ".j2") {
				text = render(t, text)
			}
			path := filepath.Join(t.TempDir(), "clouds.yaml")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			environ := []string{"OS_CLIENT_CONFIG_FILE=" + path}
			compareSDK(t, environ, refused)
			secure := filepath.Join(dir, strings.Replace(name, "clouds.yaml", "secure.yaml", 1))
			if _, err := os.Stat(secure); err == nil {
				compareSDK(t, append(environ, "OS_CLIENT_SECURE_FILE="+secure), refused)
			}
		})
	}
}
