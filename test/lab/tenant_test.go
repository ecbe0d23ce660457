//go:build lab

package lab

import (
	"crypto/rand"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"poold/test/proc"
)

// A tenant has a user, and in each of its regions a network behind a router, a
// security group and a keypair, of these names.
const (
	tenantNet  = "net"
	tenantCIDR = "10.20.0.0/16"
	tenantSG   = "sg"
	tenantKey  = "key"
	password   = "lab"
)

// tenant is a project of its own in the cloud, with a user of its own: what is
// in it the test has made, or poold has.
type tenant struct {
	id, user, name string
	// regions are by the name of the cloud in file, the administrator's way
	// into the project.
	regions map[string]*api
	// file is the clouds.yaml of the tenant's user.
	file string
}

// newTenant makes a tenant in regions ("r1", "r2"), and removes it with all
// that is in it when the test ends. The cloud "limited" is r1 behind a limit of
// requests.
func newTenant(t *testing.T, regions ...string) *tenant {
	t.Helper()
	known := accounts(t)
	a := known["admin-r1"]
	boss := login(t, a)
	n := &tenant{name: "test-" + strings.ToLower(rand.Text()[:8]), regions: map[string]*api{}}
	n.id = boss.create(t, identity, "/projects", "project", object{"name": n.name, "domain_id": "default"})
	t.Cleanup(func() { boss.remove(t, identity, "/projects/"+n.id) })
	n.user = boss.create(t, identity, "/users", "user",
		object{"name": n.name, "password": password, "domain_id": "default"})
	t.Cleanup(func() { boss.remove(t, identity, "/users/"+n.user) })
	roles := func(name string) string { return boss.named(t, identity, "/roles", "roles", name) }
	me := boss.named(t, identity, "/users?name="+a.Auth.User, "users", a.Auth.User)
	boss.put(t, identity, "/projects/"+n.id+"/users/"+n.user+"/roles/"+roles("member"), nil)
	boss.put(t, identity, "/projects/"+n.id+"/users/"+me+"/roles/"+roles("admin"), nil)

	clouds := object{}
	for _, cloud := range regions {
		base := cloud
		if cloud == "limited" {
			base = "r1"
		}
		a := known["admin-"+base]
		a.Auth.Project = n.name
		n.regions[cloud] = login(t, a)
		clouds[cloud] = n.cloud(known, cloud)
		t.Cleanup(func() { n.purge(t, n.regions[cloud]) })
		n.furnish(t, n.regions[cloud])
	}
	n.file = filepath.Join(t.TempDir(), "clouds.yaml")
	text, err := yaml.Marshal(object{"clouds": clouds})
	if err == nil {
		err = os.WriteFile(n.file, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// cloud is the tenant's entry of clouds.yaml for a region.
func (n *tenant) cloud(known map[string]account, name string) account {
	a := known["ci-"+name]
	a.Auth.User, a.Auth.Password, a.Auth.Project = n.name, password, n.name
	a.Timeout = int(patience.Seconds())
	return a
}

// furnish makes what servers need.
func (n *tenant) furnish(t *testing.T, c *api) {
	t.Helper()
	id := n.newNetwork(t, c, tenantNet, tenantCIDR)
	router := c.create(t, network, "/v2.0/routers", "router", object{
		"name": "router", "external_gateway_info": object{"network_id": c.publicNetwork(t)},
	})
	for _, s := range list[struct{ ID string }](t, c, network, "/v2.0/subnets?network_id="+id, "subnets") {
		c.put(t, network, "/v2.0/routers/"+router+"/add_router_interface", object{"subnet_id": s.ID})
	}
	c.create(t, network, "/v2.0/security-groups", "security_group", object{"name": tenantSG})
	c.must(t, http.MethodPost, compute, "/os-keypairs", object{"keypair": object{
		"name": tenantKey, "type": "ssh", "public_key": publicKey(t), "user_id": n.user,
	}}, nil)
}

// publicKey is the lab's SSH key.
func publicKey(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(labDir(), "lab-key.pub"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// newNetwork makes a network with a subnet.
func (n *tenant) newNetwork(t *testing.T, c *api, name, cidr string) string {
	t.Helper()
	id := c.create(t, network, "/v2.0/networks", "network", object{"name": name})
	n.newSubnet(t, c, id, cidr)
	return id
}

// newSubnet adds a subnet to a network, of IPv4 or IPv6.
func (*tenant) newSubnet(t *testing.T, c *api, id, cidr string) {
	t.Helper()
	version := 4
	if strings.Contains(cidr, ":") {
		version = 6
	}
	c.create(t, network, "/v2.0/subnets", "subnet", object{
		"network_id": id, "ip_version": version, "cidr": cidr, "enable_dhcp": false,
	})
}

// newServer makes a server that is not poold's, and waits until it is up.
func (n *tenant) newServer(t *testing.T, cloud, name string, more object) server {
	t.Helper()
	c := n.regions[cloud]
	what := object{
		"name": name, "flavorRef": c.flavorNamed(t, "lab.tiny"), "imageRef": c.imageNamed(t, "lab-image"),
		"networks": []object{{"uuid": c.ownNetwork(t, tenantNet)}},
	}
	maps.Copy(what, more)
	id := c.create(t, compute, "/servers", "server", what)
	var answer struct{ Server server }
	proc.Await(t, "the server "+name+" is up", 5*time.Minute, func() (string, bool) {
		c.get(t, compute, "/servers/"+id, &answer)
		return answer.Server.String(), answer.Server.Status == "ACTIVE"
	})
	return answer.Server
}

// newFloatingIP makes a floating IP that is not poold's, on no port.
func (n *tenant) newFloatingIP(t *testing.T, cloud, description string) string {
	t.Helper()
	c := n.regions[cloud]
	return c.create(t, network, "/v2.0/floatingips", "floatingip", object{
		"floating_network_id": c.publicNetwork(t), "description": description, "project_id": n.id,
	})
}

// purge removes everything, also what a failed test or poold has left.
func (n *tenant) purge(t *testing.T, c *api) {
	t.Helper()
	for _, s := range c.servers(t) {
		c.discard(t, compute, "/servers/"+s.ID)
	}
	limit := time.NewTimer(long)
	defer limit.Stop()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for len(c.servers(t)) > 0 {
		select {
		case <-limit.C:
			t.Fatalf("clean up: servers stay: %s", describe(c.servers(t)))
		case <-tick.C:
		}
	}
	for _, ip := range c.floatingIPs(t) {
		c.discard(t, network, "/v2.0/floatingips/"+ip.ID)
	}
	for _, i := range c.images(t) {
		c.discard(t, images, "/v2/images/"+i.ID)
	}
	if c.has(volumes) {
		for _, v := range list[struct{ ID string }](t, c, volumes, "/volumes", "volumes") {
			c.discard(t, volumes, "/volumes/"+v.ID)
		}
	}
	for _, k := range n.keypairs(t, c) {
		c.discard(t, compute, "/os-keypairs/"+k+"?user_id="+n.user)
	}
	n.purgeNetwork(t, c)
}

// keypairs are the names of the tenant's keypairs.
func (n *tenant) keypairs(t *testing.T, c *api) []string {
	t.Helper()
	var names []string
	for _, k := range list[struct{ Keypair struct{ Name string } }](t, c, compute, "/os-keypairs?user_id="+n.user, "keypairs") {
		names = append(names, k.Keypair.Name)
	}
	return names
}

// purgeNetwork takes the network apart in the order that neutron wants.
func (n *tenant) purgeNetwork(t *testing.T, c *api) {
	t.Helper()
	own := "?project_id=" + n.id
	routers := list[struct{ ID string }](t, c, network, "/v2.0/routers"+own, "routers")
	for _, p := range list[port](t, c, network, "/v2.0/ports"+own, "ports") {
		if slices.ContainsFunc(routers, func(r struct{ ID string }) bool { return r.ID == p.Device }) {
			c.put(t, network, "/v2.0/routers/"+p.Device+"/remove_router_interface", object{"port_id": p.ID})
			continue
		}
		c.discard(t, network, "/v2.0/ports/"+p.ID)
	}
	for _, r := range routers {
		c.discard(t, network, "/v2.0/routers/"+r.ID)
	}
	for _, kind := range []string{"network", "security-group"} {
		key := strings.ReplaceAll(kind, "-", "_") + "s"
		for _, it := range list[struct{ ID string }](t, c, network, "/v2.0/"+kind+"s"+own, key) {
			c.discard(t, network, "/v2.0/"+kind+"s/"+it.ID)
		}
	}
}

// limit sets quotas of the tenant: of nova, neutron or cinder.
func (n *tenant) limit(t *testing.T, cloud, service string, limits object) {
	t.Helper()
	c := n.regions[cloud]
	switch service {
	case network:
		c.put(t, network, "/v2.0/quotas/"+n.id, object{"quota": limits})
	case compute, volumes:
		c.put(t, service, "/os-quota-sets/"+n.id, object{"quota_set": limits})
	default:
		t.Fatal(fmt.Errorf("%s has no quotas", service))
	}
}
