package openstack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"poold/cloud"
	"poold/pool"
)

// Which address is public, which is private, which to connect to, and whether
// a floating IP is needed, are decided as openstacksdk does it, so that a
// clouds.yaml means the same to poold. Where several addresses are as good,
// the SDK tries which one answers; here the first is taken.

// addressing is what clouds.yaml says about addresses.
type addressing struct {
	// private says that servers are reached by their private addresses.
	private bool
	// forceIPv4 says that IPv6 addresses are of no use; six that they can be
	// reached from here.
	forceIPv4, six bool
	// noFloatingIP says that there are none.
	noFloatingIP bool
	networks     []networkRole
}

// networkRole is what clouds.yaml says a network is for. A network that it
// names without a word on where it leads is internal.
type networkRole struct {
	name                                string
	external                            bool
	natDestination, natSource, standard bool
}

func (s *settings) addressing() addressing {
	a := addressing{private: s.Private, forceIPv4: s.ForceIPv4, noFloatingIP: s.noFloatingIP()}
	for _, n := range s.Networks {
		a.networks = append(a.networks, networkRole{
			name: n.Name, external: n.RoutesIPv4, natDestination: n.NATDestination, natSource: n.NATSource, standard: n.Default,
		})
	}
	return a
}

// network is what is read of a network.
type network struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	External bool   `json:"router:external"`
	// Physical is only shown to administrators.
	Physical string `json:"provider:physical_network"`
}

// is tells whether a name of the configuration means the network.
func (n *network) is(name string) bool { return name == n.Name || name == n.ID }

// topology is what the networks of a cloud are for, by clouds.yaml and by what
// neutron says of them.
type topology struct {
	// external and internal are names, in neutron's order.
	external, internal []string
	// standard is the network of the addresses to connect to, "" for none.
	standard string
	// nat is the id of the network that floating IPs are to lead to, "" if
	// clouds.yaml does not say.
	nat string
	// sources are the ids of the networks that floating IPs may come from.
	sources []string
	// order are the ids of all networks, names their names by id.
	order []string
	names map[string]string
}

// arrange gives each network its part. What clouds.yaml names must be there.
func (a *addressing) arrange(all []network) (*topology, error) {
	t := &topology{names: map[string]string{}}
	missing := slices.Clone(a.networks)
	sourceSaid := slices.ContainsFunc(a.networks, func(r networkRole) bool { return r.natSource })
	for i := range all {
		n := &all[i]
		t.order, t.names[n.ID] = append(t.order, n.ID), n.Name
		said := networkRole{external: n.External || n.Physical != ""}
		for _, r := range a.networks {
			if n.is(r.name) {
				said = r
			}
		}
		missing = slices.DeleteFunc(missing, func(r networkRole) bool { return n.is(r.name) })
		if err := t.add(n, said); err != nil {
			return nil, err
		}
		if said.natSource || !sourceSaid && n.External {
			t.sources = append(t.sources, n.ID)
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("clouds.yaml names the network %q, which the cloud does not have", missing[0].name)
	}
	return t, nil
}

func (t *topology) add(n *network, r networkRole) error {
	if r.external {
		t.external = append(t.external, n.Name)
	} else {
		t.internal = append(t.internal, n.Name)
	}
	if r.natDestination && t.nat != "" || r.standard && t.standard != "" {
		return fmt.Errorf("there are several networks %q, to which clouds.yaml gives a part that only one can have: use an id", r.name)
	}
	if r.natDestination {
		t.nat = n.ID
	}
	if r.standard {
		t.standard = n.Name
	}
	return nil
}

// pick says which addresses are wanted; what is zero is any.
type pick struct {
	network, mac string
	version      int
	fixed        bool
}

// of returns the first address that is wanted, floating ones before others.
func (p pick) of(all []pool.Address) string {
	best := ""
	for _, a := range all {
		switch {
		case p.network != "" && a.Network != p.network, p.mac != "" && a.MAC != p.mac,
			a.Version != p.version, p.fixed && a.Floating:
		case a.Floating:
			return a.IP
		case best == "":
			best = a.IP
		}
	}
	return best
}

// publicIPv4 is the IPv4 address that can be reached from everywhere.
func (t *topology) publicIPv4(i *cloud.Instance) string {
	if i.AccessIPv4 != "" {
		return i.AccessIPv4
	}
	for _, name := range t.external {
		if ip := (pick{network: name, version: 4}).of(i.Addresses); ip != "" {
			return ip
		}
	}
	for _, a := range i.Addresses {
		if a.Floating && a.Version == 4 {
			return a.IP
		}
	}
	if ip := (pick{network: "public", version: 4}).of(i.Addresses); ip != "" {
		return ip
	}
	for _, a := range i.Addresses {
		if ip, err := netip.ParseAddr(a.IP); err == nil && ip.Is4() && !reserved(ip) {
			return a.IP
		}
	}
	return ""
}

// publicIPv6 is the first IPv6 address: they count as public.
func (*topology) publicIPv6(a *addressing, i *cloud.Instance) string {
	switch {
	case a.forceIPv4:
		return ""
	case i.AccessIPv6 != "":
		return i.AccessIPv6
	}
	return pick{version: 6}.of(i.Addresses)
}

// privateIPv4 is the IPv4 address within the cloud: the one that the floating
// IP leads to, if there is one.
func (t *topology) privateIPv4(i *cloud.Instance) string {
	mac := ""
	for _, a := range i.Addresses {
		if a.Floating && a.Version == 4 {
			mac = a.MAC
			break
		}
	}
	// Old clouds do not say which addresses are fixed.
	for _, fixed := range []bool{true, false} {
		for _, name := range t.internal {
			if ip := (pick{network: name, mac: mac, version: 4, fixed: fixed}).of(i.Addresses); ip != "" {
				return ip
			}
		}
	}
	if ip := (pick{network: "private", mac: mac, version: 4, fixed: true}).of(i.Addresses); ip != "" {
		return ip
	}
	return pick{network: "private", version: 4}.of(i.Addresses)
}

// connect is the address to connect to, "" where the SDK finds none.
func (t *topology) connect(a *addressing, i *cloud.Instance) string {
	six := a.six && !a.forceIPv4
	if t.standard != "" {
		if ip := (pick{network: t.standard, version: 6}).of(i.Addresses); ip != "" && six {
			return ip
		}
		if ip := (pick{network: t.standard, version: 4}).of(i.Addresses); ip != "" {
			return ip
		}
	}
	if a.private {
		if ip := t.privateIPv4(i); ip != "" {
			return ip
		}
	}
	if ip := t.publicIPv6(a, i); ip != "" && six {
		return ip
	}
	return t.publicIPv4(i)
}

// lacksPublic tells whether a server has a private IPv4 address and no public
// one.
func (t *topology) lacksPublic(i *cloud.Instance) bool {
	floats := slices.ContainsFunc(i.Addresses, func(a pool.Address) bool { return a.Floating })
	four := slices.ContainsFunc(i.Addresses, func(a pool.Address) bool { return a.Version == 4 })
	return four && !floats && t.publicIPv4(i) == ""
}

// reserved tells the IPv4 addresses that are not for the public network, as
// Python's ipaddress does: those that operators share with their customers
// (100.64.0.0/10) are not among them.
func reserved(ip netip.Addr) bool {
	for _, block := range []string{
		"0.0.0.0/8", "10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/29", "192.0.0.170/31",
		"192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
	} {
		if netip.MustParsePrefix(block).Contains(ip) {
			return true
		}
	}
	return false
}

// InterfaceIP chooses the address to connect to.
func (d *Driver) InterfaceIP(ctx context.Context, i cloud.Instance) (string, error) {
	t, err := d.topology(ctx)
	if err != nil {
		return "", named("choose an address", err)
	}
	a := d.access().settings.addressing()
	a.six = d.six()
	return t.connect(&a, &i), nil
}

// NeedsFloatingIP tells whether a server can only be reached through one. That
// needs a source of floating IPs, and a network service, without which one
// could not be marked as ours.
func (d *Driver) NeedsFloatingIP(ctx context.Context, i cloud.Instance) (bool, error) {
	a := d.access().settings.addressing()
	if a.noFloatingIP || a.private {
		return false, nil
	}
	if ok, err := d.has(ctx, cloud.Network); !ok || err != nil {
		return false, err
	}
	t, err := d.topology(ctx)
	if err != nil || !t.lacksPublic(&i) {
		return false, err
	}
	source, err := d.source(ctx, t)
	return source != "", err
}

// reachesIPv6 tells whether this machine has a way to the IPv6 internet.
// Nothing is sent.
func reachesIPv6() bool {
	conn, err := net.DialUDP("udp6", nil, net.UDPAddrFromAddrPort(netip.MustParseAddrPort("[2001:db8::1]:9")))
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// ordered are the addresses of a server as nova reports them, by network, in
// nova's order, which the choice of an address depends on.
type ordered []pool.Address

// UnmarshalJSON keeps the order of the networks.
func (o *ordered) UnmarshalJSON(b []byte) error {
	*o = nil
	dec := json.NewDecoder(bytes.NewReader(b))
	if start, err := dec.Token(); err != nil || start != json.Delim('{') {
		if start == nil {
			return err // null, or nothing that can be read
		}
		return errors.New("addresses are not by network")
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return fmt.Errorf("addresses: %w", err)
		}
		var list []struct {
			Addr    string `json:"addr"`
			Version int    `json:"version"`
			Type    string `json:"OS-EXT-IPS:type"`
			MAC     string `json:"OS-EXT-IPS-MAC:mac_addr"`
		}
		if err := dec.Decode(&list); err != nil {
			return fmt.Errorf("addresses: %w", err)
		}
		for _, a := range list {
			*o = append(*o, pool.Address{
				IP: a.Addr, Version: a.Version, Floating: a.Type == "floating", Network: fmt.Sprint(name), MAC: a.MAC,
			})
		}
	}
	return nil
}
