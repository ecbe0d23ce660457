package openstack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"poold/cloud"
	"poold/pool"
)

// externalNetworks is where floating IPs can come from.
type externalNetworks struct {
	// ids are the external networks' ids by name.
	ids map[string]string
	// gateway is the one that floating IPs are taken from, "" if there is
	// none.
	gateway string
}

// externals asks for the external networks and for the routers that lead to
// them, once.
func (d *Driver) externals(ctx context.Context) (*externalNetworks, error) {
	return remembered(ctx, &d.memory, "external networks", d.askExternals)
}

func (d *Driver) askExternals(ctx context.Context) (*externalNetworks, error) {
	if ok, err := d.has(ctx, cloud.Network); !ok || err != nil {
		return &externalNetworks{}, err
	}
	var nets struct {
		Networks []struct {
			ID   string `json:"id"`
			Name string `json:"name"`
		} `json:"networks"`
	}
	err := d.call(ctx, request{
		service: cloud.Network, method: http.MethodGet, path: "/v2.0/networks", what: "list external networks",
		query: url.Values{"router:external": {"true"}, "fields": {"id", "name"}},
	}, &nets)
	if err != nil {
		return nil, err
	}
	var routers struct {
		Routers []router `json:"routers"`
	}
	err = d.call(ctx, request{
		service: cloud.Network, method: http.MethodGet, path: "/v2.0/routers", what: "list routers",
		query: url.Values{"fields": {"external_gateway_info"}},
	}, &routers)
	if err != nil {
		return nil, err
	}
	found := &externalNetworks{ids: map[string]string{}}
	for _, n := range nets.Networks {
		found.ids[n.Name] = n.ID
	}
	found.gateway = d.settings.gateway(found.ids, routers.Routers)
	return found, nil
}

type router struct {
	Gateway struct {
		NetworkID string `json:"network_id"`
	} `json:"external_gateway_info"`
}

// gateway chooses the network of floating IPs: the first by name that a router
// leads to and that clouds.yaml does not call internal. Where clouds.yaml
// insists on floating IPs, routers that cannot be seen do not count.
func (s *settings) gateway(external map[string]string, routers []router) string {
	for _, name := range slices.Sorted(maps.Keys(external)) {
		id := external[name]
		if said := s.network(name).RoutesExternally; said != nil && !*said {
			continue
		}
		leads := slices.ContainsFunc(routers, func(r router) bool { return r.Gateway.NetworkID == id })
		if leads || s.wantFloatingIP {
			return id
		}
	}
	return ""
}

// NeedsFloatingIP tells whether a server has a private IPv4 address and no
// public one, in a cloud where floating IPs can be had.
func (d *Driver) NeedsFloatingIP(ctx context.Context, i cloud.Instance) (bool, error) {
	if d.settings.noFloatingIP {
		return false, nil
	}
	v4 := slices.DeleteFunc(slices.Clone(i.Addresses), func(a pool.Address) bool { return a.Version != 4 })
	if len(v4) == 0 || slices.ContainsFunc(v4, func(a pool.Address) bool { return a.Floating }) {
		return false, nil
	}
	known, err := d.externals(ctx)
	if err != nil {
		return false, err
	}
	reachable := slices.ContainsFunc(v4, func(a pool.Address) bool { return d.settings.public(a, known.ids) })
	return !reachable && known.gateway != "", nil
}

// floatingIP is what is read of a floating IP.
type floatingIP struct {
	ID          string    `json:"id"`
	Address     string    `json:"floating_ip_address"`
	PortID      string    `json:"port_id"`
	Description string    `json:"description"`
	Created     time.Time `json:"created_at"`
	Port        struct {
		DeviceID string `json:"device_id"`
	} `json:"port_details"`
}

func (f *floatingIP) address() pool.Address {
	return pool.Address{IP: f.Address, Version: 4, Floating: true}
}

// Expose makes a floating IP on the port of a server. It makes no second one:
// asked again, it looks for the node's first.
func (d *Driver) Expose(ctx context.Context, spec cloud.ExposeSpec) (pool.Address, error) {
	const what = "expose server"
	if spec.Mark.Installation != d.installation || spec.Mark.Node == "" {
		return pool.Address{}, &cloud.Error{
			Kind: cloud.Invalid, Op: what, Err: errors.New("a floating IP needs our mark, with a node"),
		}
	}
	known, err := d.externals(ctx)
	if err != nil {
		return pool.Address{}, named(what, err)
	}
	if known.gateway == "" {
		return pool.Address{}, &cloud.Error{
			Kind: cloud.Invalid, Op: what, Err: errors.New("no external network that a router leads to"),
		}
	}
	port, err := d.natPort(ctx, spec.InstanceID)
	if err != nil {
		return pool.Address{}, named(what, err)
	}
	if spec.Again {
		found, err := d.exposed(ctx, spec.Mark)
		switch {
		case err != nil:
			return pool.Address{}, named(what, err)
		case found == nil:
		case found.PortID == port:
			return found.address(), nil
		default:
			return d.putFloatingIP(ctx, http.MethodPut, found.ID, map[string]any{"port_id": port})
		}
	}
	return d.putFloatingIP(ctx, http.MethodPost, "", map[string]any{
		"floating_network_id": known.gateway, "port_id": port, "description": spec.Mark.Line(),
	})
}

// putFloatingIP makes a floating IP, or moves one that is there to a port.
func (d *Driver) putFloatingIP(ctx context.Context, method, id string, body map[string]any) (pool.Address, error) {
	r := request{
		service: cloud.Network, method: method, path: "/v2.0/floatingips", what: "expose server",
		in: map[string]any{"floatingip": body}, changes: true,
	}
	if id != "" {
		r.path, r.id = r.path+"/{id}", id
	}
	var answer struct {
		FloatingIP floatingIP `json:"floatingip"`
	}
	if err := d.call(ctx, r, &answer); err != nil {
		return pool.Address{}, err
	}
	return answer.FloatingIP.address(), nil
}

// natPort returns the port of a server that a floating IP belongs on: the one
// in the network that clouds.yaml names for it, else the first with an IPv4
// address by id.
func (d *Driver) natPort(ctx context.Context, serverID string) (string, error) {
	if !validID(serverID) {
		return "", &cloud.Error{Kind: cloud.Invalid, Op: "list ports", Err: fmt.Errorf("%q is not an id", serverID)}
	}
	wanted := ""
	for _, n := range d.settings.networks {
		if n.NATDestination {
			id, err := d.networkID(ctx, n.Name)
			if err != nil {
				return "", err
			}
			wanted = id
		}
	}
	var answer struct {
		Ports []port `json:"ports"`
	}
	r := request{
		service: cloud.Network, method: http.MethodGet, path: "/v2.0/ports", what: "list ports",
		query: url.Values{
			"device_id": {serverID}, "fields": {"id", "network_id", "fixed_ips"}, "sort_key": {"id"}, "sort_dir": {"asc"},
		},
	}
	if err := d.call(ctx, r, &answer); err != nil {
		return "", err
	}
	for _, p := range answer.Ports {
		if (wanted == "" || p.NetworkID == wanted) && p.hasIPv4() {
			return p.ID, nil
		}
	}
	return "", r.fail(cloud.Conflict, errors.New("the server has no port with an IPv4 address that a floating IP could lead to"))
}

type port struct {
	ID        string `json:"id"`
	NetworkID string `json:"network_id"`
	FixedIPs  []struct {
		Address string `json:"ip_address"`
	} `json:"fixed_ips"`
}

func (p *port) hasIPv4() bool {
	for _, f := range p.FixedIPs {
		if len(f.Address) <= len("255.255.255.255") && !slices.Contains([]byte(f.Address), ':') {
			return true
		}
	}
	return false
}

// exposed finds the floating IP of a node, or nil.
func (d *Driver) exposed(ctx context.Context, m cloud.Mark) (*floatingIP, error) {
	var found *floatingIP
	err := d.eachFloatingIP(ctx, func(f *floatingIP) {
		if have := cloud.MarkIn(f.Description); have.Installation == m.Installation && have.Node == m.Node {
			found = f
		}
	})
	return found, err
}

// eachFloatingIP shows all floating IPs of the project.
func (d *Driver) eachFloatingIP(ctx context.Context, show func(*floatingIP)) error {
	r := request{
		service: cloud.Network, method: http.MethodGet, path: "/v2.0/floatingips", what: "list floating ips",
		query: url.Values{"fields": {"id", "floating_ip_address", "port_id", "description", "created_at", "port_details"}},
	}
	return d.pages(ctx, r, func(body io.Reader) (string, error) {
		var page struct {
			FloatingIPs []floatingIP `json:"floatingips"`
			Links       []link       `json:"floatingips_links"`
		}
		if err := json.NewDecoder(io.LimitReader(body, maxAnswer)).Decode(&page); err != nil {
			return "", err
		}
		for i := range page.FloatingIPs {
			show(&page.FloatingIPs[i])
		}
		return nextLink(page.Links), nil
	})
}
