//go:build lab

package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"
)

// object is a JSON object.
type object = map[string]any

// The service types of the catalogue.
const (
	identity = "identity"
	compute  = "compute"
	network  = "network"
	images   = "image"
	volumes  = "volumev3"
)

// novaVersion is the newest that the lab has: it shows everything.
const novaVersion = "2.93"

// api is one account's way to the services of one region, without poold's
// driver and without the library under it.
type api struct {
	region, project, token string
	endpoints              map[string]string // by service type
}

// account is one entry of clouds.yaml.
type account struct {
	Auth struct {
		URL           string `yaml:"auth_url"`
		User          string `yaml:"username"`
		Password      string `yaml:"password"`
		Project       string `yaml:"project_name"`
		UserDomain    string `yaml:"user_domain_name"`
		ProjectDomain string `yaml:"project_domain_name"`
	} `yaml:"auth"`
	Region  string `yaml:"region_name"`
	Timeout int    `yaml:"api_timeout,omitempty"` // seconds
}

// labDir is where the lab keeps its state, beside its clouds.yaml.
func labDir() string { return filepath.Dir(os.Getenv("OS_CLIENT_CONFIG_FILE")) }

// accounts are the clouds of the lab's clouds.yaml.
func accounts(t *testing.T) map[string]account {
	t.Helper()
	text, err := os.ReadFile(os.Getenv("OS_CLIENT_CONFIG_FILE"))
	if err != nil {
		t.Fatalf("no lab to test against (make test-lab brings one up): %v", err)
	}
	var file struct {
		Clouds map[string]account `yaml:"clouds"`
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	return file.Clouds
}

// login gets a token and the services' addresses.
func login(t *testing.T, a account) *api {
	t.Helper()
	c := &api{region: a.Region, endpoints: map[string]string{identity: a.Auth.URL}}
	var answer struct {
		Token struct {
			Project struct{ ID string }
			Catalog []struct {
				Type      string
				Endpoints []struct{ Interface, Region, URL string }
			}
		}
	}
	header := c.must(t, http.MethodPost, identity, "/auth/tokens", object{"auth": object{
		"identity": object{"methods": []string{"password"}, "password": object{"user": object{
			"name": a.Auth.User, "password": a.Auth.Password, "domain": object{"name": a.Auth.UserDomain},
		}}},
		"scope": object{"project": object{"name": a.Auth.Project, "domain": object{"name": a.Auth.ProjectDomain}}},
	}}, &answer)
	c.token, c.project = header.Get("X-Subject-Token"), answer.Token.Project.ID
	for _, service := range answer.Token.Catalog {
		for _, e := range service.Endpoints {
			if e.Interface == "public" && e.Region == a.Region && service.Type != identity {
				c.endpoints[service.Type] = e.URL
			}
		}
	}
	return c
}

// admin is the lab's administrator, in a region named as in clouds.yaml: "r1".
func admin(t *testing.T, region string) *api {
	t.Helper()
	return login(t, accounts(t)["admin-"+region])
}

// has says whether the region has a service.
func (c *api) has(service string) bool { return c.endpoints[service] != "" }

// refusal is an answer that is not success.
type refusal struct {
	status int
	text   string
}

func (r *refusal) Error() string { return fmt.Sprintf("%d: %s", r.status, r.text) }

// ask makes a request and decodes the answer into out, unless that is nil.
func (c *api) ask(ctx context.Context, method, service, path string, in, out any) (http.Header, error) {
	var body io.Reader = http.NoBody
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, c.endpoints[service]+path, body)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-Auth-Token", c.token)
	request.Header.Set("X-OpenStack-Nova-API-Version", novaVersion)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }() // it is read to its end
	text, err := io.ReadAll(answer.Body)
	switch {
	case err != nil:
		return nil, err
	case answer.StatusCode >= http.StatusMultipleChoices:
		return nil, &refusal{answer.StatusCode, string(text)}
	case out == nil || len(text) == 0:
		return answer.Header, nil
	}
	return answer.Header, json.Unmarshal(text, out)
}

// must is ask, and the end of the test if it fails. It works at the end of a
// test too, when the test's context is over.
func (c *api) must(t *testing.T, method, service, path string, in, out any) http.Header {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 3*time.Minute)
	defer cancel()
	header, err := c.ask(ctx, method, service, path, in, out)
	if err != nil {
		t.Fatalf("%s %s %s: %v", method, service, path, err)
	}
	return header
}

// get reads one thing.
func (c *api) get(t *testing.T, service, path string, out any) {
	t.Helper()
	c.must(t, http.MethodGet, service, path, nil, out)
}

// put replaces something.
func (c *api) put(t *testing.T, service, path string, in any) {
	t.Helper()
	c.must(t, http.MethodPut, service, path, in, nil)
}

// remove deletes something.
func (c *api) remove(t *testing.T, service, path string) {
	t.Helper()
	c.must(t, http.MethodDelete, service, path, nil, nil)
}

// discard deletes something that may be gone.
func (c *api) discard(t *testing.T, service, path string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 3*time.Minute)
	defer cancel()
	_, err := c.ask(ctx, http.MethodDelete, service, path, nil, nil)
	if refused, ok := errors.AsType[*refusal](err); err != nil && (!ok || refused.status != http.StatusNotFound) {
		t.Errorf("clean up %s: %v", path, err)
	}
}

// create makes something that the service calls kind, and returns its id.
func (c *api) create(t *testing.T, service, path, kind string, what object) string {
	t.Helper()
	var made map[string]struct{ ID string }
	c.must(t, http.MethodPost, service, path, object{kind: what}, &made)
	return made[kind].ID
}

// list reads what a service lists under a key.
func list[T any](t *testing.T, c *api, service, path, key string) []T {
	t.Helper()
	var answer map[string]json.RawMessage
	c.get(t, service, path, &answer)
	var found []T
	if err := json.Unmarshal(answer[key], &found); err != nil {
		t.Fatalf("GET %s %s: %v", service, path, err)
	}
	return found
}

// named is the id of what has a name in a list of neutron's or nova's.
func (c *api) named(t *testing.T, service, path, key, name string) string {
	t.Helper()
	for _, one := range list[struct{ ID, Name string }](t, c, service, path, key) {
		if one.Name == name {
			return one.ID
		}
	}
	t.Fatalf("there is no %q among the %s of %s", name, key, c.region)
	return ""
}

// server is what nova says of a server.
type server struct {
	ID        string
	Name      string
	Status    string
	Metadata  map[string]string
	Addresses map[string][]struct {
		Addr    string
		Version int
		Kind    string `json:"OS-EXT-IPS:type"`
	}
	Flavor struct {
		Name string `json:"original_name"`
	}
	Image        json.RawMessage // an object, or "" if it boots from a volume
	Key          string          `json:"key_name"`
	ConfigDrive  string          `json:"config_drive"`
	UserData     string          `json:"OS-EXT-SRV-ATTR:user_data"` // base64
	Zone         string          `json:"OS-EXT-AZ:availability_zone"`
	Tags         []string
	ServerGroups []string `json:"server_groups"`
	Volumes      []struct {
		ID     string
		Delete bool `json:"delete_on_termination"`
	} `json:"os-extended-volumes:volumes_attached"`
}

// port is what neutron says of a port.
type port struct {
	ID      string
	Network string `json:"network_id"`
	Device  string `json:"device_id"`
	Fixed   []struct {
		Address string `json:"ip_address"`
	} `json:"fixed_ips"`
	Groups []string `json:"security_groups"`
}

// floatingIP is what neutron says of a floating IP.
type floatingIP struct {
	ID          string
	Address     string `json:"floating_ip_address"`
	Port        string `json:"port_id"`
	Description string
}

// image is what glance says of an image.
type image struct {
	ID     string
	Name   string
	Status string
	Size   int64
	Algo   string `json:"os_hash_algo"`
	Hash   string `json:"os_hash_value"`
	Format string `json:"disk_format"`
}

// servers lists the servers of the project.
func (c *api) servers(t *testing.T) []server {
	t.Helper()
	return list[server](t, c, compute, "/servers/detail", "servers")
}

// ports lists the ports of a server.
func (c *api) ports(t *testing.T, id string) []port {
	t.Helper()
	return list[port](t, c, network, "/v2.0/ports?device_id="+id, "ports")
}

// floatingIPs lists the floating IPs of the project.
func (c *api) floatingIPs(t *testing.T) []floatingIP {
	t.Helper()
	return list[floatingIP](t, c, network, "/v2.0/floatingips?project_id="+c.project, "floatingips")
}

// images lists the images of the project.
func (c *api) images(t *testing.T) []image {
	t.Helper()
	return list[image](t, c, images, "/v2/images?limit=1000&owner="+c.project, "images")
}

// imageNamed is the id of an image that the project sees.
func (c *api) imageNamed(t *testing.T, name string) string {
	t.Helper()
	return c.named(t, images, "/v2/images?name="+url.QueryEscape(name), "images", name)
}

// flavorNamed is the id of a flavor.
func (c *api) flavorNamed(t *testing.T, name string) string {
	t.Helper()
	return c.named(t, compute, "/flavors", "flavors", name)
}

// ownNetwork is the id of a network of the project: the administrator sees those
// of all projects, which have the same names.
func (c *api) ownNetwork(t *testing.T, name string) string {
	t.Helper()
	return c.named(t, network, "/v2.0/networks?project_id="+c.project, "networks", name)
}

// publicNetwork is the id of the external network.
func (c *api) publicNetwork(t *testing.T) string {
	t.Helper()
	return c.named(t, network, "/v2.0/networks?router:external=true", "networks", "public")
}

// has says whether the server answers at an address.
func (s *server) has(address string) bool {
	for _, network := range s.Addresses {
		for _, a := range network {
			if a.Addr == address {
				return true
			}
		}
	}
	return false
}

// batch is the name that poold gave to the create: what nova calls the server,
// without the number that it adds to each of several.
func (s *server) batch() string {
	name, _, _ := strings.Cut(s.Name, "-")
	return name
}

// imageID is the image that the server was made from.
func (s *server) imageID() string {
	var image struct{ ID string }
	_ = json.Unmarshal(s.Image, &image) // "" is a string
	return image.ID
}

// String is short, for messages.
func (s *server) String() string {
	var addresses []string
	for _, network := range s.Addresses {
		for _, a := range network {
			addresses = append(addresses, a.Addr)
		}
	}
	return fmt.Sprintf("%s (%s, %s)", s.Name, s.Status, strings.Join(addresses, " "))
}
