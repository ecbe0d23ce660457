package openstack

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"poold/pool"
)

// serverAddress is an address as nova reports it, by network.
type serverAddress struct {
	Addr    string `json:"addr"`
	Version int    `json:"version"`
	Type    string `json:"OS-EXT-IPS:type"`
}

// addresses puts the addresses of a server in a fixed order: those of the
// network that clouds.yaml calls the default interface first, then by name of
// the network, in the order of the cloud within it.
func (d *Driver) addresses(byNetwork map[string][]serverAddress) []pool.Address {
	var all []pool.Address
	for _, network := range slices.Sorted(maps.Keys(byNetwork)) {
		for _, a := range byNetwork[network] {
			all = append(all, pool.Address{
				IP: a.Addr, Version: a.Version, Floating: a.Type == "floating", Network: network,
			})
		}
	}
	rank := func(a pool.Address) int {
		if d.settings.network(a.Network).DefaultInterface {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(all, func(a, b pool.Address) int { return cmp.Compare(rank(a), rank(b)) })
	return all
}

// public tells whether an address can be reached from everywhere. External
// are the names of the cloud's external networks.
func (s *settings) public(a pool.Address, external map[string]string) bool {
	if a.Floating {
		return true
	}
	if said := s.network(a.Network).RoutesExternally; said != nil {
		return *said
	}
	if _, ok := external[a.Network]; ok {
		return true
	}
	ip, err := netip.ParseAddr(a.IP)
	return err == nil && ip.IsGlobalUnicast() && !ip.IsPrivate() && !carrierGrade(ip)
}

// carrierGrade tells the addresses of 100.64.0.0/10, which are shared between
// a network's operator and its customers.
func carrierGrade(ip netip.Addr) bool {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64, 0, 0}), 10).Contains(ip)
}
