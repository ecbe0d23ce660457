//go:build lab

package lab

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"testing"
	"time"

	"gopkg.in/yaml.v3"
)

// region is one region of the cloud, asked without poold's driver and without
// the library under it.
type region struct {
	t         *testing.T
	client    *http.Client
	token     string
	endpoints map[string]string // by service type
}

// server, port, floatingIP and image are the parts that the tests look at.
type server struct {
	ID        string            `json:"id"`
	Status    string            `json:"status"`
	Metadata  map[string]string `json:"metadata"`
	Addresses map[string][]struct {
		Addr string `json:"addr"`
	} `json:"addresses"`
}

type port struct {
	ID     string `json:"id"`
	Device string `json:"device_id"`
}

type floatingIP struct {
	ID          string `json:"id"`
	Address     string `json:"floating_ip_address"`
	Port        string `json:"port_id"`
	Description string `json:"description"`
}

type image struct {
	Name   string `json:"name"`
	Status string `json:"status"`
	Size   int64  `json:"size"`
	Algo   string `json:"os_hash_algo"`
	Hash   string `json:"os_hash_value"`
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
	Region string `yaml:"region_name"`
}

// connect gets a token for a cloud of clouds.yaml.
func connect(t *testing.T, cloud string) *region {
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
	r := &region{t: t, client: &http.Client{Timeout: time.Minute}, endpoints: map[string]string{}}
	r.authenticate(file.Clouds[cloud])
	return r
}

// authenticate asks keystone for a token and the services' addresses.
func (r *region) authenticate(a account) {
	r.t.Helper()
	type object = map[string]any
	body, err := json.Marshal(object{"auth": object{
		"identity": object{"methods": []string{"password"}, "password": object{"user": object{
			"name": a.Auth.User, "password": a.Auth.Password, "domain": object{"name": a.Auth.UserDomain},
		}}},
		"scope": object{"project": object{"name": a.Auth.Project, "domain": object{"name": a.Auth.ProjectDomain}}},
	}})
	if err != nil {
		r.t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, a.Auth.URL+"/auth/tokens", bytes.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	var answer struct {
		Token struct {
			Catalog []struct {
				Type      string `json:"type"`
				Endpoints []struct{ Interface, Region, URL string }
			} `json:"catalog"`
		} `json:"token"`
	}
	r.token = r.do(request, &answer).Get("X-Subject-Token")
	for _, service := range answer.Token.Catalog {
		for _, e := range service.Endpoints {
			if e.Interface == "public" && e.Region == a.Region {
				r.endpoints[service.Type] = e.URL
			}
		}
	}
}

// servers lists the project's servers, ours and others'.
func (r *region) servers() []server {
	r.t.Helper()
	var list struct{ Servers []server }
	r.get("compute", "/servers/detail", &list)
	return list.Servers
}

// ports lists the project's ports.
func (r *region) ports() []port {
	r.t.Helper()
	var list struct{ Ports []port }
	r.get("network", "/v2.0/ports", &list)
	return list.Ports
}

// floatingIPs lists the project's floating IPs.
func (r *region) floatingIPs() []floatingIP {
	r.t.Helper()
	var list struct {
		FloatingIPs []floatingIP `json:"floatingips"`
	}
	r.get("network", "/v2.0/floatingips", &list)
	return list.FloatingIPs
}

// images lists the images that the project sees.
func (r *region) images() []image {
	r.t.Helper()
	var list struct{ Images []image }
	r.get("image", "/v2/images?limit=1000", &list)
	return list.Images
}

// get asks one of the region's services.
func (r *region) get(service, path string, into any) {
	r.t.Helper()
	request, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, r.endpoints[service]+path, http.NoBody)
	if err != nil {
		r.t.Fatal(err)
	}
	request.Header.Set("X-Auth-Token", r.token)
	r.do(request, into)
}

// do sends a request and decodes the answer; anything but success is fatal.
func (r *region) do(request *http.Request, into any) http.Header {
	r.t.Helper()
	answer, err := r.client.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }() // it was read to its end
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode >= http.StatusMultipleChoices {
		err = fmt.Errorf("%s: %s", answer.Status, body)
	}
	if err == nil {
		err = json.Unmarshal(body, into)
	}
	if err != nil {
		r.t.Fatalf("%s %s: %v", request.Method, request.URL, err)
	}
	return answer.Header
}

// has says whether the server answers at an address.
func (s server) has(address string) bool {
	for _, network := range s.Addresses {
		for _, a := range network {
			if a.Addr == address {
				return true
			}
		}
	}
	return false
}

// ids are the servers' ids, sorted.
func ids(servers []server) []string {
	var found []string
	for _, s := range servers {
		found = append(found, s.ID)
	}
	slices.Sort(found)
	return found
}
