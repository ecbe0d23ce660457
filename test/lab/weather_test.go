//go:build lab

package lab

import (
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"poold/test/chaos"
	"poold/test/demo"
	"poold/test/proc"
)

var (
	storms = flag.Duration("storm", time.Minute, "how long TestChaos makes faults")
	plant  = flag.String("plant", "", `a bug that the judge of TestChaos must find: "record" or "server"`)
)

// stormMost is how many nodes each provider may have in the storm, and stormRate
// how many calls a second.
const (
	stormMost = 3
	stormRate = 20
)

// Three etcd and three poold over a network of their own, and clients: whatever
// dies, freezes or is cut off, also from nova, nothing is lost, doubled or left
// behind in the project, and everything goes on when it is over. The cloud itself
// is left in peace: it is that of other tests, too.
//
// Of the tests that run side by side the last ones of a package begin first. This
// one is long and mostly waits: it should not be what all wait for in the end.
func TestChaos(t *testing.T) {
	t.Parallel()
	var sockets string
	if chaos.Inside() == "" {
		sockets = t.TempDir()
		chaos.LetOut(t, sockets, labPorts(t)...)
	}
	// A test that is killed must not leave its child behind.
	limit := *storms + 3*long
	if !chaos.InNetwork(t, sockets, "-test.timeout", limit.String(), "-storm", storms.String(), "-plant="+*plant) {
		return
	}
	n := chaos.NewNetwork(t)
	ports := n.LetIn(chaos.Inside())
	w := newWeathered(t, ports)
	seed := chaos.Seed(t)
	t.Logf("seed %d: again with CHAOS_SEED=%d scripts/test-lab -run '^TestChaos$' -v -storm %v", seed, seed, *storms)
	s := chaos.NewStorm(t, n, &chaos.Options{
		Seed: seed, Poold: here(t, "../../bin/poold"),
		Askers: 3, Most: 2, Lease: 2 * time.Minute, Hold: 5 * time.Second, Patience: long,
		Services: w.services, Files: w.files, Secret: w.secret, Limits: map[string]int{"r1": stormMost, "r2": stormMost}, PerSecond: stormRate,
		Servers: w.servers, Doubled: w.doubled,
	})
	stop := s.Ask()
	s.Strike(*storms)
	switch *plant {
	case "record":
		s.PlantUser()
	case "server":
		w.plant()
	}
	stop() // everybody is answered
	s.Judge()

	s.Restart(w.nothing)
	s.Await("the cloud is as it was before", long, func() (string, bool) {
		differences := w.before.differences(w.tenant.inventory(t))
		return differences, differences == ""
	})
	s.Stop()
}

// labPorts are those of the services of both regions.
func labPorts(t *testing.T) []int {
	t.Helper()
	ports := map[int]bool{}
	for _, region := range []string{"r1", "r2"} {
		for _, address := range admin(t, region).endpoints {
			u, err := url.Parse(address)
			if err != nil {
				t.Fatal(err)
			}
			port, err := strconv.Atoi(u.Port())
			if err != nil {
				t.Fatal(err)
			}
			ports[port] = true
		}
	}
	return slices.Sorted(maps.Keys(ports))
}

// weathered is a tenant that peers reach through doors.
type weathered struct {
	t        *testing.T
	tenant   *tenant
	services map[int]string
	// secret is the password of the tenant's user: that of all others is a word
	// which stands everywhere.
	secret string
	before inventory
}

func newWeathered(t *testing.T, ports []int) *weathered {
	t.Helper()
	w := &weathered{t: t, tenant: newTenant(t, "r1", "r2"), services: map[int]string{}, secret: rand.Text()}
	for _, port := range ports {
		w.services[port] = fmt.Sprintf("127.0.0.1:%d", port)
	}
	w.tenant.regions["r1"].must(t, http.MethodPatch, identity, "/users/"+w.tenant.user, object{"user": object{"password": w.secret}}, nil)
	w.before = w.tenant.inventory(t)
	return w
}

// files are what a peer reads that reaches the cloud at an address.
func (w *weathered) files(ip string) chaos.Files {
	var providers []keys
	for _, region := range []string{"r1", "r2"} {
		providers = append(providers, provider(region, keys{"rate-group": region, "rate": 1.0 / stormRate, "cloud-images": namesOf([]string{"lab-image"})},
			pool("main", keys{"max-servers": stormMost}, label(chaos.Label, nil))))
	}
	return chaos.Files{
		Nodepool: w.text(keys{"labels": []keys{{"name": chaos.Label, "min-ready": 2}}, "providers": providers}),
		Clouds:   w.text(object{"clouds": object{"r1": w.cloud("r1", ip), "r2": w.cloud("r2", ip)}}),
	}
}

// nothing is what a peer reads that has no nodes to make.
func (w *weathered) nothing(ip string) chaos.Files {
	var providers []keys
	for _, region := range []string{"r1", "r2"} {
		providers = append(providers, provider(region, keys{"rate-group": region, "rate": 1.0 / stormRate, "cloud-images": []keys{}, "pools": nil}))
	}
	f := w.files(ip)
	f.Nodepool = w.text(keys{"labels": []keys{}, "providers": providers})
	return f
}

// cloud is an entry of clouds.yaml: the catalog has the addresses of the loopback.
func (w *weathered) cloud(region, ip string) object {
	c := w.tenant.regions[region]
	at := func(service string) string { return strings.Replace(c.endpoints[service], "127.0.0.1", ip, 1) }
	cloud := object{
		"auth": object{
			"auth_url": at(identity), "username": w.tenant.name, "password": w.secret, "project_name": w.tenant.name,
			"user_domain_name": "Default", "project_domain_name": "Default",
		},
		"region_name": c.region, "api_timeout": int(patience.Seconds()),
	}
	for key, service := range map[string]string{"compute": compute, "network": network, "image": images, "volume": volumes} {
		if c.has(service) {
			cloud[key+"_endpoint_override"] = at(service)
		}
	}
	return cloud
}

func (w *weathered) text(what any) string {
	text, err := yaml.Marshal(what)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(text)
}

// stormServer is what nova says of a server, and of what it does with it.
type stormServer struct {
	server

	Task *string `json:"OS-EXT-STS:task_state"`
}

// list asks nova for servers of the project, the deleted ones or the others. How
// long that takes is the business of the machine, and of all tests together.
func (w *weathered) list(ctx context.Context, c *api, query string) ([]stormServer, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var answer struct{ Servers []stormServer }
	if _, err := c.ask(ctx, http.MethodGet, compute, "/servers/detail"+query, nil, &answer); err != nil {
		return nil, fmt.Errorf("list servers in %s: %w", c.region, err)
	}
	return answer.Servers, nil
}

// servers are those of the project, as nova knows them.
func (w *weathered) servers(ctx context.Context) (map[string][]demo.Server, error) {
	all := map[string][]demo.Server{}
	for region, c := range w.tenant.regions {
		found, err := w.list(ctx, c, "")
		if err != nil {
			return nil, err
		}
		for i := range found {
			v := &found[i]
			d := demo.Server{ID: v.ID, Name: v.Name, Status: v.Status}
			if v.Task != nil {
				d.Task = *v.Task
			}
			for _, network := range v.Addresses {
				for _, a := range network {
					d.Addresses = append(d.Addresses, demo.Address{IP: a.Addr})
				}
			}
			all[region] = append(all[region], d)
		}
	}
	return all, nil
}

// doubled lists the names that more than one server has or had: nova numbers those
// of one create, and keeps in mind what is deleted.
func (w *weathered) doubled() []string {
	w.t.Helper()
	var problems []string
	made := 0
	for region, c := range w.tenant.regions {
		count := map[string]int{}
		for _, query := range []string{"", "?deleted=true"} {
			found, err := w.list(w.t.Context(), c, query)
			if err != nil {
				w.t.Fatal(err)
			}
			for i := range found {
				count[found[i].Name]++
			}
		}
		made += len(count)
		for name, n := range count {
			if n > 1 {
				problems = append(problems, fmt.Sprintf("%d servers in %s were called %s", n, region, name))
			}
		}
	}
	if made == 0 {
		problems = append(problems, "no server was ever made")
	}
	return problems
}

// plant makes a server once more, as a create does that is sent twice.
func (w *weathered) plant() {
	w.t.Helper()
	c := w.tenant.regions["r1"]
	var found []server
	proc.Await(w.t, "there is a server to make once more", soon, func() (string, bool) {
		found = c.servers(w.t)
		return "", len(found) > 0
	})
	c.create(w.t, compute, "/servers", "server", object{
		"name": found[0].Name, "metadata": found[0].Metadata, "imageRef": found[0].imageID(),
		"flavorRef": c.flavorNamed(w.t, "lab.tiny"), "networks": []object{{"uuid": c.ownNetwork(w.t, tenantNet)}},
	})
}
