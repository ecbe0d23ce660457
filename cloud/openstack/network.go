package openstack

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"poold/cloud"
	"poold/pool"
)

// The keys in memory of what decides on addresses.
const (
	topologyKey = "topology"
	sourceKey   = "floating ip source"
	gatewaysKey = "gateways"
)

// topology asks for all networks, once. A cloud may have a network service in
// its catalog that does not answer, and work without: then there are none.
func (d *Driver) topology(ctx context.Context) (*topology, error) {
	return remembered(ctx, &d.memory, topologyKey, func(ctx context.Context) (*topology, error) {
		a := d.access().settings.addressing()
		if ok, err := d.has(ctx, cloud.Network); !ok || err != nil {
			return &topology{}, err
		}
		var all []network
		r := request{
			service: cloud.Network, method: http.MethodGet, path: "/v2.0/networks", what: "list networks",
			query: url.Values{"fields": {"id", "name", "router:external", "provider:physical_network"}},
		}
		err := d.pages(ctx, r, func(body io.Reader) (string, error) {
			var page struct {
				Networks []network `json:"networks"`
				Links    []link    `json:"networks_links"`
			}
			err := json.NewDecoder(io.LimitReader(body, maxAnswer)).Decode(&page)
			all = append(all, page.Networks...)
			return nextLink(page.Links), err
		})
		if refused, ok := errors.AsType[*statusError](err); ok && refused.isElsewhere() {
			return &topology{}, nil
		}
		if err != nil {
			return nil, err
		}
		t, err := a.arrange(all)
		if err != nil {
			return nil, r.fail(cloud.Invalid, err)
		}
		return t, nil
	})
}

// isElsewhere tells an answer that comes from no network service that we could
// use.
func (e *statusError) isElsewhere() bool {
	switch e.status {
	case http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusGone:
		return true
	}
	return false
}

// source is the network that floating IPs are taken from, "" if there is none:
// the one that there is; of several the first that a router of ours leads to,
// since from others nothing could be reached, else the first; and where none
// is external, one that a router leads to all the same.
func (d *Driver) source(ctx context.Context, t *topology) (string, error) {
	if len(t.sources) == 1 {
		return t.sources[0], nil
	}
	return remembered(ctx, &d.memory, sourceKey, func(ctx context.Context) (string, error) {
		var routers struct {
			Routers []router `json:"routers"`
		}
		err := d.call(ctx, request{
			service: cloud.Network, method: http.MethodGet, path: "/v2.0/routers", what: "list routers",
			query: url.Values{"fields": {"admin_state_up", "external_gateway_info"}},
		}, &routers)
		if err != nil {
			return "", err
		}
		return choose(t.sources, routers.Routers), nil
	})
}

type router struct {
	Up      bool `json:"admin_state_up"`
	Gateway struct {
		NetworkID string `json:"network_id"`
	} `json:"external_gateway_info"`
}

func choose(sources []string, routers []router) string {
	var led string
	for _, r := range routers {
		if r.Up && r.Gateway.NetworkID != "" {
			led = r.Gateway.NetworkID
		}
	}
	for _, id := range sources {
		if slices.ContainsFunc(routers, func(r router) bool { return r.Gateway.NetworkID == id }) {
			return id
		}
	}
	if len(sources) > 0 {
		return sources[0]
	}
	return led
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

// Expose makes a floating IP on the port of a server. It makes no second one:
// asked again, it looks for the node's first.
func (d *Driver) Expose(ctx context.Context, spec cloud.ExposeSpec) (pool.Address, error) {
	const what = "expose server"
	if spec.Mark.Installation != d.installation || spec.Mark.Node == "" {
		return pool.Address{}, &cloud.Error{
			Kind: cloud.Invalid, Op: what, Err: errors.New("a floating IP needs our mark, with a node"),
		}
	}
	t, err := d.topology(ctx)
	if err != nil {
		return pool.Address{}, named(what, err)
	}
	source, err := d.source(ctx, t)
	if err == nil && source == "" {
		err = &cloud.Error{Kind: cloud.Invalid, Op: what, Err: errors.New("there is no network that floating IPs come from")}
	}
	if err != nil {
		return pool.Address{}, named(what, err)
	}
	p, err := d.natPort(ctx, t, spec.InstanceID)
	if err != nil {
		return pool.Address{}, named(what, err)
	}
	f, err := d.attach(ctx, spec, source, p.ID)
	if err != nil {
		return pool.Address{}, named(what, err)
	}
	return pool.Address{IP: f.Address, Version: 4, Floating: true, Network: t.names[p.NetworkID], MAC: p.MAC}, nil
}

// attach makes a floating IP on a port, or takes the one that the node has: it
// may have lost its port. Others are never taken: whoever made them may be
// about to delete them.
func (d *Driver) attach(ctx context.Context, spec cloud.ExposeSpec, source, port string) (*floatingIP, error) {
	if spec.Again {
		found, err := d.exposed(ctx, spec.Mark)
		switch {
		case err != nil:
			return nil, err
		case found == nil:
		case found.PortID == port:
			return found, nil
		default:
			return d.putFloatingIP(ctx, http.MethodPut, found.ID, floatingIPBody{PortID: port})
		}
	}
	return d.putFloatingIP(ctx, http.MethodPost, "", floatingIPBody{
		PortID: port, NetworkID: source, Description: spec.Mark.Line(),
	})
}

// floatingIPBody is what is said of a floating IP.
type floatingIPBody struct {
	PortID      string `json:"port_id"`
	NetworkID   string `json:"floating_network_id,omitempty"`
	Description string `json:"description,omitempty"`
}

// putFloatingIP makes a floating IP, or moves one that is there to a port, and
// makes sure that it is there.
func (d *Driver) putFloatingIP(ctx context.Context, method, id string, body floatingIPBody) (*floatingIP, error) {
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
		if kind := cloud.KindOf(err); kind == cloud.NotFound || kind == cloud.Invalid {
			// The network may be gone.
			d.memory.forget(topologyKey, sourceKey, gatewaysKey)
		}
		return nil, err
	}
	f := &answer.FloatingIP
	if f.PortID != body.PortID || f.Address == "" {
		return nil, r.fail(cloud.Conflict, fmt.Errorf("the floating IP %q is not on the server's port", f.Address))
	}
	return f, nil
}

// natPort returns the port of a server that a floating IP belongs on. Of
// several it is the newest with an IPv4 address in the network that clouds.yaml
// names for it, or else in the last one that has a gateway.
func (d *Driver) natPort(ctx context.Context, t *topology, serverID string) (*port, error) {
	fail := func(kind cloud.Kind, why string) error {
		return &cloud.Error{Kind: kind, Op: "choose a port", Err: errors.New(why)}
	}
	if !validID(serverID) {
		return nil, fail(cloud.Invalid, fmt.Sprintf("%q is not an id", serverID))
	}
	all, err := d.portsOf(ctx, serverID)
	if err != nil {
		return nil, err
	}
	four := slices.DeleteFunc(slices.Clone(all), func(p port) bool { return !p.hasIPv4() })
	if len(four) == 0 {
		// It may get one.
		return nil, fail(cloud.Conflict, "the server has no port with an IPv4 address that a floating IP could lead to")
	}
	if len(all) > 1 {
		nat, err := d.natNetwork(ctx, t, four)
		if err != nil {
			return nil, err
		}
		four = slices.DeleteFunc(four, func(p port) bool { return p.NetworkID != nat })
		if len(four) == 0 {
			return nil, fail(cloud.Invalid, "the server has several ports, and none in a network that floating IPs lead to: "+
				"name one with nat_destination in clouds.yaml")
		}
	}
	newest := slices.MaxFunc(four, func(a, b port) int {
		return cmp.Or(strings.Compare(a.Created, b.Created), strings.Compare(b.ID, a.ID))
	})
	return &newest, nil
}

// natNetwork is the id of the network that floating IPs lead to, for a server
// with several ports.
func (d *Driver) natNetwork(ctx context.Context, t *topology, ports []port) (string, error) {
	if t.nat != "" {
		return t.nat, nil
	}
	gated, err := remembered(ctx, &d.memory, gatewaysKey, func(ctx context.Context) (map[string]bool, error) {
		var answer struct {
			Subnets []struct {
				NetworkID string `json:"network_id"`
				Gateway   string `json:"gateway_ip"`
			} `json:"subnets"`
		}
		err := d.call(ctx, request{
			service: cloud.Network, method: http.MethodGet, path: "/v2.0/subnets", what: "list subnets",
			query: url.Values{"fields": {"network_id", "gateway_ip"}},
		}, &answer)
		found := map[string]bool{}
		for _, s := range answer.Subnets {
			found[s.NetworkID] = found[s.NetworkID] || s.Gateway != ""
		}
		return found, err
	})
	if err != nil {
		return "", err
	}
	for _, id := range slices.Backward(t.order) {
		if gated[id] && slices.ContainsFunc(ports, func(p port) bool { return p.NetworkID == id }) {
			return id, nil
		}
	}
	return "", nil
}

type port struct {
	ID        string `json:"id"`
	ServerID  string `json:"device_id"`
	NetworkID string `json:"network_id"`
	MAC       string `json:"mac_address"`
	Created   string `json:"created_at"`
	FixedIPs  []struct {
		Address string `json:"ip_address"`
	} `json:"fixed_ips"`
}

func (p *port) hasIPv4() bool {
	for _, f := range p.FixedIPs {
		if ip, err := netip.ParseAddr(f.Address); err == nil && ip.Is4() {
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
