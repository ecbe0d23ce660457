//go:build lab

package lab

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"gopkg.in/yaml.v3"
)

// keys is a mapping of nodepool.yaml. The functions below give what most tests
// want; the keys of a test replace that, and nil takes a key away.
type keys = map[string]any

func with(usual, more keys) keys {
	maps.Copy(usual, more)
	maps.DeleteFunc(usual, func(_ string, value any) bool { return value == nil })
	return usual
}

// label is a label of a pool: a tiny server of the image that cannot boot.
// "min-ready", which belongs to the label as a whole, may be among the keys.
func label(name string, k keys) keys {
	return with(keys{"name": name, "flavor-name": "lab.tiny", "cloud-image": "lab-image"}, k)
}

// pool is a pool in the tenant's network. Nothing answers at the addresses of
// the lab's fake hypervisor, so no host keys are read.
func pool(name string, k keys, labels ...keys) keys {
	return with(keys{
		"name": name, "networks": []string{tenantNet}, "auto-floating-ip": false, "host-key-checking": false,
		"labels": labels,
	}, k)
}

// provider is a provider in a cloud of the tenant, and has its name. It may
// wait long for the lab, which shares the machine with its clients.
func provider(cloud string, k keys, pools ...keys) keys {
	return with(keys{
		"name": cloud, "cloud": cloud, "rate": 0.05, "boot-timeout": 900, "launch-timeout": 1800, "pools": pools,
	}, k)
}

// configure writes nodepool.yaml: what providers need of labels and images, and
// more.
func (s *site) configure(t *testing.T, more keys, providers ...keys) {
	t.Helper()
	s.file, s.providers = more, providers
	ready := map[string]int{}
	for _, p := range providers {
		var found []string
		for _, pl := range listOf(p["pools"]) {
			for _, l := range listOf(pl["labels"]) {
				name, _ := l["name"].(string)
				n, _ := l["min-ready"].(int)
				ready[name] = max(ready[name], n)
				delete(l, "min-ready")
				if image, ok := l["cloud-image"].(string); ok && !slices.Contains(found, image) {
					found = append(found, image)
				}
			}
		}
		if _, said := p["cloud-images"]; !said {
			p["cloud-images"] = namesOf(found)
		}
	}
	var labels []keys
	for _, name := range slices.Sorted(maps.Keys(ready)) {
		labels = append(labels, keys{"name": name, "min-ready": ready[name]})
	}
	text, err := yaml.Marshal(with(keys{
		"etcd": keys{"endpoints": []string{s.etcd.url}}, "webapp": keys{"port": s.port, "listen_address": "127.0.0.1"},
		"images-dir": filepath.Join(s.dir, "images"), "build-log-dir": filepath.Join(s.dir, "build-logs"),
		"labels": labels, "providers": providers,
	}, more))
	if err == nil {
		err = os.WriteFile(filepath.Join(s.dir, "nodepool.yaml"), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func listOf(value any) []keys {
	list, _ := value.([]keys)
	return list
}

func namesOf(names []string) []keys {
	list := []keys{}
	for _, name := range names {
		list = append(list, keys{"name": name})
	}
	return list
}
