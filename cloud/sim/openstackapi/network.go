package openstackapi

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"poold/cloud/sim"
)

const routerID = "5e57e4c0-5e57-4e57-8e57-5e57e4c05e57"

func networkOperations() map[string]func(*request) (answer, error) {
	return map[string]func(*request) (answer, error){
		"GET/networks":              listNetworks,
		"GET/subnets":               listSubnets,
		"GET/routers":               listRouters,
		"GET/ports":                 listPorts,
		"DELETE/ports/{id}":         deletePort,
		"GET/floatingips":           listFloatingIPs,
		"POST/floatingips":          createFloatingIP,
		"GET/floatingips/{id}":      showFloatingIP,
		"PUT/floatingips/{id}":      updateFloatingIP,
		"PUT/floatingips/{id}/tags": tagFloatingIP,
		"DELETE/floatingips/{id}":   deleteFloatingIP,
		"GET/security-groups":       listSecurityGroups,
		"GET/quotas/{id}":           showQuota,
		"GET/quotas/{id}/details":   showQuotaDetails,
	}
}

// list answers with what of a collection the query asks for: filters by
// equality, fields.
func list(r *request, name string, all []map[string]any) (answer, error) {
	values := r.URL.Query()
	kept := []map[string]any{}
	for _, item := range all {
		if !matches(item, values) {
			continue
		}
		if fields := values["fields"]; len(fields) > 0 {
			cut := map[string]any{}
			for _, f := range fields {
				cut[f] = item[f]
			}
			item = cut
		}
		kept = append(kept, item)
	}
	return ok(map[string]any{name: kept})
}

// matches tells whether an item has what every filter asks for. What an item
// does not have is not asked for.
func matches(item map[string]any, values url.Values) bool {
	for key, want := range values {
		if have, there := item[key]; there && !equals(have, want) {
			return false
		}
	}
	return true
}

func equals(have any, want []string) bool {
	switch have := have.(type) {
	case string:
		return slices.Contains(want, have)
	case *string:
		return have != nil && slices.Contains(want, *have)
	case bool:
		asked, err := strconv.ParseBool(want[0])
		return err != nil || asked == have
	case []string:
		return slices.Contains(have, want[0])
	}
	return true
}

func listNetworks(r *request) (answer, error) {
	var all []map[string]any
	for _, n := range r.region.cloud.Networks() {
		all = append(all, map[string]any{
			"id": n.ID, "name": n.Name, "tenant_id": r.region.cloud.ProjectID(), "project_id": r.region.cloud.ProjectID(),
			"admin_state_up": true, "mtu": 1500, "status": "ACTIVE", "subnets": []string{n.SubnetID}, "shared": n.External,
			"router:external": n.External, "port_security_enabled": true, "description": "", "tags": []string{},
		})
	}
	return list(r, "networks", all)
}

func listSubnets(r *request) (answer, error) {
	var all []map[string]any
	for _, n := range r.region.cloud.Networks() {
		version := 4
		if n.CIDR.Addr().Is6() {
			version = 6
		}
		all = append(all, map[string]any{
			"id": n.SubnetID, "name": n.Name, "network_id": n.ID, "ip_version": version, "cidr": n.CIDR.String(),
			"gateway_ip": n.CIDR.Masked().Addr().Next().String(), "enable_dhcp": true, "tenant_id": r.region.cloud.ProjectID(),
		})
	}
	return list(r, "subnets", all)
}

// listRouters shows the router that leads from the network to the external
// one, where there are two.
func listRouters(r *request) (answer, error) {
	all := []map[string]any{}
	if networks := r.region.cloud.Networks(); len(networks) > 1 {
		all = append(all, map[string]any{
			"id": routerID, "name": "router", "admin_state_up": true, "status": "ACTIVE", "tenant_id": r.region.cloud.ProjectID(),
			"external_gateway_info": map[string]any{"network_id": networks[1].ID, "enable_snat": true},
		})
	}
	return list(r, "routers", all)
}

func listPorts(r *request) (answer, error) {
	var all []map[string]any
	server := ""
	if asked := r.URL.Query()["device_id"]; len(asked) == 1 {
		server = asked[0]
	}
	for _, p := range r.region.cloud.Ports(r.now, server) {
		all = append(all, map[string]any{
			"id": p.ID, "name": "", "network_id": p.NetworkID, "tenant_id": r.region.cloud.ProjectID(),
			"project_id": r.region.cloud.ProjectID(), "mac_address": p.MAC, "admin_state_up": true, "status": p.Status,
			"device_id": p.ServerID, "device_owner": "compute:nova", "description": "", "tags": []string{},
			"fixed_ips":  []map[string]string{{"subnet_id": p.SubnetID, "ip_address": p.IP}},
			"created_at": p.Created.Format(second), "updated_at": p.Updated.Format(second),
		})
	}
	return list(r, "ports", all)
}

func deletePort(r *request) (answer, error) {
	return answer{status: http.StatusNoContent}, r.region.cloud.DeletePort(r.now, r.path[1])
}

func (r *request) floatingIP(f *sim.FloatingIP) map[string]any {
	b := map[string]any{
		"id": f.ID, "tenant_id": r.region.cloud.ProjectID(), "project_id": r.region.cloud.ProjectID(),
		"floating_ip_address": f.IP, "floating_network_id": r.externalID(), "router_id": nil, "port_id": optional(f.PortID),
		"fixed_ip_address": optional(f.FixedIP), "status": "DOWN", "description": f.Description, "port_details": nil, "tags": f.Tags,
		"created_at": f.Created.Format(second), "updated_at": f.Updated.Format(second),
	}
	if f.PortID != "" {
		b["port_details"] = map[string]any{"device_id": f.ServerID, "device_owner": "compute:nova", "admin_state_up": true}
		b["status"], b["router_id"] = "ACTIVE", routerID
	}
	return b
}

func (r *request) externalID() string {
	networks := r.region.cloud.Networks()
	return networks[len(networks)-1].ID
}

func listFloatingIPs(r *request) (answer, error) {
	var all []map[string]any
	for _, f := range r.region.cloud.FloatingIPs(r.now) {
		all = append(all, r.floatingIP(&f))
	}
	return list(r, "floatingips", all)
}

// floatingIPRequest is the body of a change to a floating IP.
type floatingIPRequest struct {
	FloatingIP struct {
		NetworkID   string   `json:"floating_network_id"`
		PortID      presence `json:"port_id"`
		Description *string  `json:"description"`
	} `json:"floatingip"`
}

// presence tells a null from a field that is not there.
type presence struct {
	text  string
	there bool
}

// UnmarshalJSON takes a text or null.
func (p *presence) UnmarshalJSON(b []byte) error {
	p.there = true
	if string(b) == "null" {
		return nil
	}
	text, err := strconv.Unquote(string(b))
	p.text = text
	return err
}

func createFloatingIP(r *request) (answer, error) {
	var body floatingIPRequest
	if err := r.decode(&body); err != nil {
		return answer{}, err
	}
	asked, description := &body.FloatingIP, ""
	if asked.Description != nil {
		description = *asked.Description
	}
	f, err := r.region.cloud.CreateFloatingIP(r.now, asked.NetworkID, asked.PortID.text, description)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusCreated, body: map[string]any{"floatingip": r.floatingIP(&f)}}, nil
}

func showFloatingIP(r *request) (answer, error) {
	f, err := r.region.cloud.FloatingIP(r.now, r.path[1])
	if err != nil {
		return answer{}, err
	}
	return ok(map[string]any{"floatingip": r.floatingIP(&f)})
}

func updateFloatingIP(r *request) (answer, error) {
	var body floatingIPRequest
	if err := r.decode(&body); err != nil {
		return answer{}, err
	}
	change := sim.FloatingIPChange{Description: body.FloatingIP.Description}
	if body.FloatingIP.PortID.there {
		change.PortID = &body.FloatingIP.PortID.text
	}
	f, err := r.region.cloud.UpdateFloatingIP(r.now, r.path[1], change)
	if err != nil {
		return answer{}, err
	}
	return ok(map[string]any{"floatingip": r.floatingIP(&f)})
}

func tagFloatingIP(r *request) (answer, error) {
	var body struct {
		Tags []string `json:"tags"`
	}
	if err := r.decode(&body); err != nil {
		return answer{}, err
	}
	if _, err := r.region.cloud.UpdateFloatingIP(r.now, r.path[1], sim.FloatingIPChange{Tags: &body.Tags}); err != nil {
		return answer{}, err
	}
	return ok(body)
}

func deleteFloatingIP(r *request) (answer, error) {
	return answer{status: http.StatusNoContent}, r.region.cloud.DeleteFloatingIP(r.now, r.path[1])
}

func listSecurityGroups(r *request) (answer, error) {
	var all []map[string]any
	for _, g := range r.region.cloud.SecurityGroups() {
		all = append(all, map[string]any{
			"id": g.ID, "name": g.Name, "stateful": true, "tenant_id": r.region.cloud.ProjectID(),
			"project_id": r.region.cloud.ProjectID(), "description": "", "shared": false, "security_group_rules": []any{}, "tags": []string{},
		})
	}
	return list(r, "security_groups", all)
}

func showQuota(r *request) (answer, error) {
	q := r.region.cloud.Facts(r.now).Limits
	return ok(map[string]any{"quota": map[string]int64{
		"network": 100, "subnet": 100, "port": q.Ports, "router": 50, "floatingip": q.FloatingIPs, "security_group": 100,
	}})
}

func showQuotaDetails(r *request) (answer, error) {
	f := r.region.cloud.Facts(r.now)
	detail := func(limit, used int64) map[string]int64 {
		return map[string]int64{"limit": limit, "used": used, "reserved": 0}
	}
	return ok(map[string]any{"quota": map[string]any{
		"network": detail(100, 1), "subnet": detail(100, 1), "port": detail(f.Limits.Ports, f.Used.Ports),
		"floatingip": detail(f.Limits.FloatingIPs, f.Used.FloatingIPs), "security_group": detail(100, 1),
	}})
}
