//go:build lab

package lab

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"poold/test/proc"
)

// A project that poold shares with nodepool, with another poold and with
// people: all of theirs is the same afterwards, also what is named and marked
// much like ours, and it is theirs also to the sweep.
func TestSharedProject(t *testing.T) {
	t.Parallel()
	n := newTenant(t, "r1")
	n.strangers(t, "r1")
	s := newSite(t, n)
	began := time.Now()
	s.run(t, nil, provider("r1", nil, pool("main", keys{"auto-floating-ip": true}, label("small", keys{"min-ready": 1}))))
	theirs := s.before
	r := s.ask(t, "small")
	r.served(t)
	r.release(t)
	s.stays(t, "strangers are left alone", sweeps-time.Since(began), func(now inventory) string {
		return theirs.missing(now)
	})
	s.retire(t)
}

// strangers makes what others could have in a project.
func (n *tenant) strangers(t *testing.T, cloud string) {
	t.Helper()
	c := n.regions[cloud]
	nodepool := n.newServer(t, cloud, "np0001234567", object{"metadata": object{
		"groups": "np-provider,ubuntu-jammy,np-label", "nodepool_node_id": "0001234567",
		"nodepool_provider_name": "np-provider", "nodepool_pool_name": "main", "nodepool_request_id": "200-0000000001",
	}})
	other := n.newServer(t, cloud, "p0123456789ab", object{"metadata": object{
		"poold_installation": "another", "poold_batch": "p0123456789ab", "poold_provider": cloud, "poold_revision": "7",
	}, "tags": []string{"poold"}})
	n.newFloatingIP(t, cloud, "")
	taken := n.newFloatingIP(t, cloud, "poold installation=another node=n1 provider="+cloud+" revision=7")
	c.put(t, network, "/v2.0/floatingips/"+taken, object{"floatingip": object{"port_id": c.ports(t, other.ID)[0].ID}})
	var seen struct{ Server server }
	proc.Await(t, "nova shows the floating IP", long, func() (string, bool) { // some time after it is there
		seen.Server = server{}
		c.get(t, compute, "/servers/"+other.ID, &seen)
		return seen.Server.String(), len(slices.Concat(slices.Collect(maps.Values(seen.Server.Addresses))...)) == 2
	})
	lost := c.create(t, network, "/v2.0/ports", "port", object{
		"network_id": c.ownNetwork(t, tenantNet), "name": "nodepool-port", "device_id": nodepool.ID,
	})
	c.create(t, network, "/v2.0/ports", "port", object{
		"network_id": c.ownNetwork(t, tenantNet), "description": "poold installation=another node=n2 after " + lost,
	})
	if c.has(volumes) {
		c.create(t, volumes, "/volumes", "volume", object{"size": 1, "name": "", "metadata": object{"poold_installation": "another"}})
	}
	c.must(t, http.MethodPost, images, "/v2/images", object{
		"name": "ubuntu-jammy-1234567890", "disk_format": "raw", "container_format": "bare",
		"nodepool_build_id": "1", "nodepool_upload_id": "1", "poold_installation": "another",
	}, nil)
	c.create(t, compute, "/os-server-groups", "server_group", object{"name": "poold", "policy": "soft-anti-affinity"})
}

// missing says what of an inventory is gone or changed; more is no matter.
func (i inventory) missing(now inventory) string {
	lines := strings.Split(i.differences(now), "\n")
	return strings.Join(slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, "left: ") }), "\n")
}
