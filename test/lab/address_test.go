//go:build lab

package lab

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"poold/test/protocol"
)

// A pool with floating IPs gives each node one, a pool without does not, and a
// floating IP goes with its server.
func TestFloatingIP(t *testing.T) {
	t.Parallel()
	s := start(t, provider("r2", nil,
		pool("with", keys{"auto-floating-ip": true}, label("with", nil)),
		pool("without", keys{"auto-floating-ip": false}, label("without", nil)),
	))
	c := s.tenant.regions["r2"]
	without := s.ask(t, "without")
	within(t, without.served(t)[0], tenantCIDR)
	if ips := c.floatingIPs(t); len(ips) > 0 {
		t.Errorf("nobody needs the floating IPs %+v", ips)
	}
	with := s.ask(t, "with")
	given := with.served(t)[0]
	within(t, given, "172.24.0.0/16")
	v := s.server(t, given)
	ips := c.floatingIPs(t)
	if len(ips) != 1 || ips[0].Address != given.InterfaceIP || !strings.Contains(ips[0].Description, given.ID) {
		t.Fatalf("the floating IPs are %+v; want one at %s that names node %s", ips, given.InterfaceIP, given.ID)
	}
	if !slices.ContainsFunc(c.ports(t, v.ID), func(p port) bool { return p.ID == ips[0].Port }) {
		t.Errorf("the floating IP %+v is on no port of %s", ips[0], v.String())
	}
	with.release(t)
	without.release(t)
	s.retire(t)
}

// A node in a network of both protocols has both addresses; one in a network of
// IPv6 alone is reached by that.
func TestIPv6(t *testing.T) {
	t.Parallel()
	n := newTenant(t, "r2")
	c := n.regions["r2"]
	n.newSubnet(t, c, c.ownNetwork(t, tenantNet), "fd20::/64")
	n.newNetwork(t, c, "six", "fd26::/64")
	s := newSite(t, n)
	s.run(t, nil, provider("r2", nil,
		pool("both", nil, label("both", nil)),
		pool("six", keys{"networks": []string{"six"}}, label("six", nil)),
	))
	both, six := s.ask(t, "both"), s.ask(t, "six")
	for _, r := range []*request{both, six} {
		given := r.served(t)[0]
		var want []string
		for _, p := range c.ports(t, s.server(t, given).ID) {
			for _, f := range p.Fixed {
				want = append(want, f.Address)
			}
		}
		var got []string
		for _, a := range given.Addresses {
			got = append(got, a.IP)
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) || !slices.Contains(got, given.InterfaceIP) {
			t.Errorf("the node has %v and is reached by %s; neutron says %v", got, given.InterfaceIP, want)
		}
	}
	within(t, six.served(t)[0], "fd26::/64")
	both.release(t)
	six.release(t)
	s.retire(t)
}

// within checks where a node is reached.
func within(t *testing.T, n protocol.Node, cidr string) {
	t.Helper()
	ip, err := netip.ParseAddr(n.InterfaceIP)
	if err != nil || !netip.MustParsePrefix(cidr).Contains(ip) {
		t.Errorf("node %s is reached at %q, want an address of %s", n.ID, n.InterfaceIP, cidr)
	}
}
