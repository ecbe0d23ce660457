package statsd

import (
	"slices"

	"poold/pool"
)

// The words of nodepool for what a builder does with an image.
const (
	idle      = 0
	building  = 1
	uploading = 2
	paused    = 3
)

// stand is how things stand, by the names of gauges.
type stand map[string]int64

// system tells of the whole system.
func (g stand) system(s *pool.Snapshot, c *pool.Catalog) {
	g.nodes(s, c)
	for i := range c.Providers {
		p := &c.Providers[i]
		servers := int64(0)
		for j := range p.Pools {
			of := &p.Pools[j]
			g[name("provider", p.Name, "pool", of.Name, "addressable_requests")] = addressable(s, of)
			if of.Limits.Instances < 0 || servers < 0 {
				servers = pool.Unlimited
				continue
			}
			servers += of.Limits.Instances
		}
		g.limit(name("provider", p.Name, "max_servers"), servers)
	}
	for i := range c.Tenants {
		t := &c.Tenants[i]
		tenant := word(t.Tenant)
		g.limit(name("tenant_limits", tenant, "instances"), t.Limits.Instances)
		g.limit(name("tenant_limits", tenant, "cores"), t.Limits.Cores)
		g.limit(name("tenant_limits", tenant, "ram"), t.Limits.RAMMiB)
		g.limit(name("tenant_limits", tenant, "volumes"), t.Limits.Volumes)
		g.limit(name("tenant_limits", tenant, "volume-gb"), t.Limits.VolumeGB)
	}
	all := name("image_build_requests")
	g[all] = 0
	for i := range c.Images {
		g[name("image", c.Images[i].Name, "image_build_requests")] = 0
	}
	for _, asked := range s.Commands {
		if asked.Verb == pool.VerbBuild && !asked.Done {
			g[all]++
			g[name("image", asked.Target, "image_build_requests")]++
		}
	}
}

// limit is a limit that there is: there is no word for none.
func (g stand) limit(name string, value int64) {
	if value >= 0 {
		g[name] = value
	}
}

// nodes counts the nodes by state, by provider and state, and by label and state.
// What is known has a value, so that none stays where it was last seen.
func (g stand) nodes(s *pool.Snapshot, c *pool.Catalog) {
	for _, state := range pool.NodeMachine().States() {
		if !state.Live() {
			continue
		}
		g[name("nodes", nodeState(state))] = 0
		for i := range c.Providers {
			g[name("provider", c.Providers[i].Name, "nodes", nodeState(state))] = 0
		}
		for i := range c.Labels {
			g[name("label", c.Labels[i].Name, "nodes", nodeState(state))] = 0
		}
	}
	for _, n := range s.Nodes {
		if !n.State.Live() {
			continue
		}
		g[name("nodes", nodeState(n.State))]++
		g[name("provider", n.Provider, "nodes", nodeState(n.State))]++
		g[name("label", n.Label, "nodes", nodeState(n.State))]++
	}
}

// nodeState is nodepool's word for a node's state.
func nodeState(s pool.NodeState) string {
	if s == pool.NodePending {
		return "init"
	}
	return string(s)
}

// addressable counts the requests that a pool could serve: all that there are, as
// nodepool does.
func addressable(s *pool.Snapshot, p *pool.Pool) int64 {
	has := func(label string) bool {
		return slices.ContainsFunc(p.Labels, func(l pool.LabelSpec) bool { return l.Name == label }) ||
			slices.ContainsFunc(p.Hosts, func(h pool.Host) bool { return slices.Contains(h.Labels, label) })
	}
	n := int64(0)
	for _, r := range s.Requests {
		if !slices.ContainsFunc(r.Labels, func(label string) bool { return !has(label) }) {
			n++
		}
	}
	return n
}

// builder tells what a peer does with the images of its own configuration; uploads
// tells whether it is the one that uploads to a provider.
func (g stand) builder(peer string, s *pool.Snapshot, own *pool.Catalog, uploads func(provider string) bool) {
	for i := range own.Images {
		image := &own.Images[i]
		stopped := image.Paused || s.Pause(image.Name) != nil
		builds := slices.ContainsFunc(s.Builds, func(b *pool.Build) bool {
			return b.Image == image.Name && b.Builder == peer && b.State == pool.BuildBuilding
		})
		g[name("builder", peer, "image", image.Name, "build.state")] = does(builds, building, stopped)
	}
	for i := range own.Providers {
		p := &own.Providers[i]
		for j := range p.Images {
			use := &p.Images[j]
			sends := uploads(p.Name) && slices.ContainsFunc(s.Uploads, func(u *pool.Upload) bool {
				return u.Image == use.Name && u.Provider == p.Name && u.State == pool.UploadUploading
			})
			g[name("builder", peer, "image", use.Name, "provider", p.Name, "upload.state")] = does(sends, uploading, use.Paused)
		}
	}
}

// does is what a builder does with an image, in a word.
func does(busy bool, what int64, stopped bool) int64 {
	switch {
	case busy:
		return what
	case stopped:
		return paused
	}
	return idle
}
