package sim

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Network is a network with its only subnet.
type Network struct {
	ID, Name, SubnetID string
	External           bool
	CIDR               netip.Prefix
}

// Port is what connects a server to the network.
type Port struct {
	ID, MAC, IP, NetworkID, SubnetID, ServerID string
	Status                                     string
	Created, Updated                           time.Time

	floating *FloatingIP
}

// FloatingIP is an address that can be given to a port.
type FloatingIP struct {
	ID          string    `json:"id"`
	IP          string    `json:"ip"`
	PortID      string    `json:"port_id"`
	FixedIP     string    `json:"fixed_ip"`
	ServerID    string    `json:"server_id"`
	Description string    `json:"description"`
	Tags        []string  `json:"tags"`
	Created     time.Time `json:"created"`
	Updated     time.Time `json:"updated"`
}

// SecurityGroup is a security group without rules.
type SecurityGroup struct{ ID, Name string }

// ServerGroup says how servers are to be spread over hosts.
type ServerGroup struct{ ID, Name string }

// KeyPair is a key that servers could be made with.
type KeyPair struct{ Name, PublicKey string }

// addressPool hands out the addresses of a network, those given back last.
type addressPool struct {
	prefix netip.Prefix
	next   netip.Addr
	back   []netip.Addr
	left   int64
}

func newAddressPool(p netip.Prefix) *addressPool {
	a := &addressPool{prefix: p}
	if p.IsValid() {
		a.next = p.Masked().Addr().Next().Next()
		a.left = 1<<min(40, p.Addr().BitLen()-p.Bits()) - 3
	}
	return a
}

func (a *addressPool) free() int64 { return a.left }

func (a *addressPool) get() netip.Addr {
	a.left--
	// New addresses first: one that is used again at once hides mistakes.
	if a.prefix.Contains(a.next.Next()) {
		ip := a.next
		a.next = ip.Next()
		return ip
	}
	ip := a.back[0]
	a.back = a.back[1:]
	return ip
}

func (a *addressPool) put(ip string) {
	a.left++
	a.back = append(a.back, netip.MustParseAddr(ip))
}

// Networks returns the networks there are.
func (c *Cloud) Networks() []Network {
	c.mu.Lock()
	defer c.mu.Unlock()
	nets := []Network{{
		ID: c.networkID, Name: c.cfg.Network, SubnetID: c.subnetID,
		External: !c.cfg.Floating.IsValid(), CIDR: c.cfg.Fixed,
	}}
	if c.cfg.Floating.IsValid() {
		nets = append(nets, Network{
			ID: c.externalID, Name: c.cfg.External, SubnetID: c.externSubnet, External: true, CIDR: c.cfg.Floating,
		})
	}
	return nets
}

// SecurityGroups returns the security groups there are.
func (c *Cloud) SecurityGroups() []SecurityGroup {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.groups)
}

// ServerGroups returns the server groups there are.
func (c *Cloud) ServerGroups() []ServerGroup {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.together)
}

// Ports returns the ports of one server, or all if it is "", by id.
func (c *Cloud) Ports(now time.Time, serverID string) []Port {
	c.lock(now)
	defer c.mu.Unlock()
	if serverID != "" {
		if p := c.portOf[serverID]; p != nil {
			return []Port{*p}
		}
		return nil
	}
	all := make([]Port, 0, len(c.ports))
	for _, p := range c.ports {
		all = append(all, *p)
	}
	slices.SortFunc(all, func(a, b Port) int { return strings.Compare(a.ID, b.ID) })
	return all
}

// DeletePort deletes a port.
func (c *Cloud) DeletePort(now time.Time, id string) error {
	c.lock(now)
	defer c.mu.Unlock()
	p := c.ports[id]
	if p == nil {
		return neutronf(statusNotFound, "PortNotFound", "Port %s could not be found.", id)
	}
	s := c.servers[p.ServerID]
	c.dropPort(p)
	// The server keeps its place on a host and loses its addresses.
	s.addrs = nil
	c.reachable(s)
	return nil
}

func (c *Cloud) addPort(s *server) {
	p := &Port{
		ID: c.uuid(), IP: c.fixedPool.get().String(), NetworkID: c.networkID, SubnetID: c.subnetID,
		ServerID: s.id, Status: "DOWN", Created: c.now, Updated: c.now,
		MAC: "fa:16:3e:" + hexBytes(c.randomBytes(3)...),
	}
	c.ports[p.ID], c.portOf[s.id], s.port = p, p, p
	s.addrs = []Address{{Network: c.cfg.Network, IP: p.IP, MAC: p.MAC}}
}

func (c *Cloud) dropPort(p *Port) {
	if c.ports[p.ID] == nil {
		return
	}
	delete(c.ports, p.ID)
	delete(c.portOf, p.ServerID)
	c.fixedPool.put(p.IP)
	if f := p.floating; f != nil {
		f.PortID, f.FixedIP, f.ServerID, f.Updated = "", "", "", c.now
	}
}

// FloatingIPs returns the floating IPs, the oldest first.
func (c *Cloud) FloatingIPs(now time.Time) []FloatingIP {
	c.lock(now)
	defer c.mu.Unlock()
	all := make([]FloatingIP, 0, len(c.floating))
	for _, f := range c.floating {
		all = append(all, *f)
	}
	slices.SortFunc(all, func(a, b FloatingIP) int {
		return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.ID, b.ID))
	})
	return all
}

// CreateFloatingIP makes a floating IP, for a port unless that is "".
func (c *Cloud) CreateFloatingIP(now time.Time, networkID, portID, description string) (FloatingIP, error) {
	c.lock(now)
	defer c.mu.Unlock()
	switch q := c.cfg.Quota.FloatingIPs; {
	case !c.cfg.Floating.IsValid() || networkID != c.externalID:
		return FloatingIP{}, neutronf(statusNotFound, "NetworkNotFound", "Network %s could not be found.", networkID)
	case q >= 0 && int64(len(c.floating)) >= q:
		return FloatingIP{}, neutronf(statusConflict, "OverQuota", "Quota exceeded for resources: ['floatingip'].")
	case c.floatPool.free() <= 0:
		return FloatingIP{}, neutronf(statusConflict, "IpAddressGenerationFailure",
			"No more IP addresses available on network %s.", networkID)
	}
	f := &FloatingIP{
		ID: c.uuid(), IP: c.floatPool.get().String(), Description: description, Tags: []string{},
		Created: c.now, Updated: c.now,
	}
	if err := c.attach(f, portID); err != nil {
		c.floatPool.put(f.IP)
		return FloatingIP{}, err
	}
	c.floating[f.ID] = f
	return *f, nil
}

// FloatingIPChange is what to change of a floating IP; nil leaves it.
type FloatingIPChange struct {
	// PortID gives it to a port; "" takes it away.
	PortID      *string
	Description *string
	Tags        *[]string
}

// UpdateFloatingIP changes a floating IP.
func (c *Cloud) UpdateFloatingIP(now time.Time, id string, change FloatingIPChange) (FloatingIP, error) {
	c.lock(now)
	defer c.mu.Unlock()
	f := c.floating[id]
	if f == nil {
		return FloatingIP{}, noFloatingIP(id)
	}
	if change.PortID != nil {
		if err := c.attach(f, *change.PortID); err != nil {
			return FloatingIP{}, err
		}
	}
	if change.Description != nil {
		f.Description = *change.Description
	}
	if change.Tags != nil {
		f.Tags = *change.Tags
	}
	f.Updated = c.now
	return *f, nil
}

// FloatingIP looks at one floating IP.
func (c *Cloud) FloatingIP(now time.Time, id string) (FloatingIP, error) {
	c.lock(now)
	defer c.mu.Unlock()
	if f := c.floating[id]; f != nil {
		return *f, nil
	}
	return FloatingIP{}, noFloatingIP(id)
}

// DeleteFloatingIP deletes a floating IP, also one that is in use.
func (c *Cloud) DeleteFloatingIP(now time.Time, id string) error {
	c.lock(now)
	defer c.mu.Unlock()
	f := c.floating[id]
	if f == nil {
		return noFloatingIP(id)
	}
	c.detach(f)
	delete(c.floating, id)
	c.floatPool.put(f.IP)
	return nil
}

func noFloatingIP(id string) *CallError {
	return neutronf(statusNotFound, "FloatingIPNotFound", "Floating IP %s could not be found", id)
}

// attach gives a floating IP to a port, or to none.
func (c *Cloud) attach(f *FloatingIP, portID string) error {
	if portID == "" {
		c.detach(f)
		return nil
	}
	p := c.ports[portID]
	if p == nil {
		return neutronf(statusNotFound, "PortNotFound", "Port %s could not be found.", portID)
	}
	if f.PortID == portID {
		return nil
	}
	s := c.servers[p.ServerID]
	if len(s.addrs) > 1 {
		return neutronf(statusConflict, "FloatingIPPortAlreadyAssociated", "Cannot associate floating IP %s (%s) with port "+
			"%s using fixed IP %s, as that fixed IP already has a floating IP on external network %s.",
			f.IP, f.ID, p.ID, p.IP, c.externalID)
	}
	c.detach(f)
	f.PortID, f.FixedIP, f.ServerID, p.floating = p.ID, p.IP, s.id, f
	// A new slice: the old one was handed out.
	s.addrs = []Address{s.addrs[0], {Network: c.cfg.Network, IP: f.IP, MAC: p.MAC, Floating: true}}
	c.reachable(s)
	return nil
}

func (c *Cloud) detach(f *FloatingIP) {
	if p := c.ports[f.PortID]; p != nil {
		p.floating = nil
	}
	if s := c.servers[f.ServerID]; s != nil && len(s.addrs) > 1 {
		s.addrs = s.addrs[:1:1]
		c.reachable(s)
	}
	f.PortID, f.FixedIP, f.ServerID = "", "", ""
}
