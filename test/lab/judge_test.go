//go:build lab

package lab

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// kind is a kind of thing that a project can hold, and what is read of each:
// fields that change only if somebody touches it.
type kind struct {
	name, service, path, key string
	id                       string
	fields                   []string
}

// kinds are all that poold makes or could make. "{project}" and "{user}" in a
// path stand for the tenant's.
var kinds = []kind{
	{"server", compute, "/servers/detail", "servers", "id", []string{
		"name", "status", "metadata", "addresses", "tags", "image", "key_name", "OS-EXT-STS:task_state",
	}},
	{"server group", compute, "/os-server-groups", "server_groups", "id", []string{"name", "policy", "members"}},
	{"keypair", compute, "/os-keypairs?user_id={user}", "keypairs", "name", []string{"fingerprint"}},
	{"port", network, "/v2.0/ports?project_id={project}", "ports", "id", []string{
		"name", "description", "device_id", "fixed_ips", "network_id", "security_groups", "tags",
	}},
	{"floating IP", network, "/v2.0/floatingips?project_id={project}", "floatingips", "id", []string{
		"floating_ip_address", "port_id", "description", "tags",
	}},
	{"image", images, "/v2/images?limit=1000&owner={project}", "images", "id", []string{"name", "status", "size", "tags"}},
	{"volume", volumes, "/volumes/detail", "volumes", "id", []string{"name", "status", "size", "attachments", "metadata"}},
	{"volume snapshot", volumes, "/snapshots/detail", "snapshots", "id", []string{"name", "status"}},
}

// inventory is everything that a tenant holds, as the services describe it, by
// region, kind and id.
type inventory map[string]string

// inventory asks the services.
func (n *tenant) inventory(t *testing.T) inventory {
	t.Helper()
	found := inventory{}
	for cloud, c := range n.regions {
		for _, k := range kinds {
			if !c.has(k.service) {
				continue
			}
			path := strings.NewReplacer("{project}", n.id, "{user}", n.user).Replace(k.path)
			for _, it := range list[object](t, c, k.service, path, k.key) {
				if inner, ok := it["keypair"].(object); ok {
					it = inner
				}
				found[fmt.Sprintf("%s %s %v", cloud, k.name, it[k.id])] = k.describe(t, it)
			}
		}
	}
	return found
}

func (k *kind) describe(t *testing.T, it object) string {
	t.Helper()
	kept := object{}
	for _, field := range k.fields {
		if value, ok := it[field]; ok {
			kept[field] = value
		}
	}
	text, err := json.Marshal(kept)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// differences says what another inventory has more, has no longer, or has
// changed; "" is none.
func (i inventory) differences(now inventory) string {
	var all []string
	for _, key := range slices.Sorted(maps.Keys(i)) {
		switch after, ok := now[key]; {
		case !ok:
			all = append(all, "gone: "+key+" "+i[key])
		case after != i[key]:
			all = append(all, "changed: "+key+" from "+i[key]+" to "+after)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(now)) {
		if _, ok := i[key]; !ok {
			all = append(all, "left: "+key+" "+now[key])
		}
	}
	return strings.Join(all, "\n")
}
