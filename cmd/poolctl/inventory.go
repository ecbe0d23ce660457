package main

import (
	"io"
	"regexp"

	"gopkg.in/yaml.v3"

	"poold/pool"
)

// hosts is one group of an Ansible inventory in YAML.
type hosts struct {
	Hosts map[pool.NodeID]map[string]any `yaml:"hosts"`
}

// notGroup is what Ansible does not want in the names of groups.
var notGroup = regexp.MustCompile(`[^A-Za-z0-9_]`)

// inventory writes nodes as an Ansible inventory, a group for each label. Nodes
// without an address are not in it: nothing can be run on them.
func inventory(w io.Writer, nodes []*pool.Node) error {
	groups := map[string]hosts{}
	for _, n := range nodes {
		if n.InterfaceIP == "" {
			continue
		}
		group := notGroup.ReplaceAllString(n.Label, "_")
		if groups[group].Hosts == nil {
			groups[group] = hosts{Hosts: map[pool.NodeID]map[string]any{}}
		}
		groups[group].Hosts[n.ID] = hostVars(n)
	}
	return yaml.NewEncoder(w).Encode(map[string]any{"all": map[string]any{"children": groups}})
}

// hostVars are the variables of one host: how it is reached, in Ansible's words,
// and what it is, in ours.
func hostVars(n *pool.Node) map[string]any {
	vars := map[string]any{
		"ansible_host": n.InterfaceIP, "poold_label": n.Label, "poold_provider": n.Provider, "poold_state": string(n.State),
	}
	set := func(name, value string) {
		if value != "" {
			vars[name] = value
		}
	}
	set("ansible_connection", n.Type)
	set("ansible_user", n.Username)
	set("ansible_shell_type", n.ShellType)
	if n.PythonPath != "auto" { // which is how Ansible looks by itself
		set("ansible_python_interpreter", n.PythonPath)
	}
	set("poold_request", requestName(n.AllocatedTo))
	if n.Port != 0 {
		vars["ansible_port"] = n.Port
	}
	return vars
}
