package web

import (
	"poold/pool"
)

// lists are what can be listed, with the fields that can be chosen by.
func (s *Server) lists() []listing {
	return []listing{
		listOf("nodes", nodes, map[string]func(*pool.Node) string{
			"state": func(n *pool.Node) string { return string(n.State) }, "provider": func(n *pool.Node) string { return n.Provider },
			"pool": func(n *pool.Node) string { return n.Pool }, "label": func(n *pool.Node) string { return n.Label },
			"image": func(n *pool.Node) string { return n.Image }, "id": func(n *pool.Node) string { return string(n.ID) },
		}),
		listOf("requests", requests, map[string]func(request) string{
			"state": func(r request) string { return string(r.State) }, "client": func(r request) string { return r.Client },
			"tenant": func(r request) string { return r.Tenant }, "id": func(r request) string { return r.ID },
		}),
		listOf("images", func(n *pool.Snapshot) []*pool.Build { return n.Builds }, map[string]func(*pool.Build) string{
			"state": func(b *pool.Build) string { return string(b.State) }, "image": func(b *pool.Build) string { return b.Image },
		}),
		listOf("uploads", func(n *pool.Snapshot) []*pool.Upload { return n.Uploads }, map[string]func(*pool.Upload) string{
			"state": func(u *pool.Upload) string { return string(u.State) }, "image": func(u *pool.Upload) string { return u.Image },
			"provider": func(u *pool.Upload) string { return u.Provider },
		}),
		listOf("providers", func(n *pool.Snapshot) []provider { return providers(n, s.Catalog()) }, map[string]func(provider) string{
			"name": func(p provider) string { return p.Name },
		}),
		listOf("labels", func(n *pool.Snapshot) []label { return labels(n, s.Catalog()) }, map[string]func(label) string{
			"name": func(l label) string { return l.Name },
		}),
		listOf("peers", func(n *pool.Snapshot) []*pool.Member { return n.Members }, map[string]func(*pool.Member) string{
			"name": func(m *pool.Member) string { return m.Name },
		}),
		s.eventList(),
	}
}

// nodes hides how to reach a node unless somebody may be using it.
func nodes(s *pool.Snapshot) []*pool.Node {
	all := make([]*pool.Node, 0, len(s.Nodes))
	for _, n := range s.Nodes {
		all = append(all, shown(n))
	}
	return all
}

// shown is a node without what would tell how to reach it, unless somebody may
// be using it.
func shown(n *pool.Node) *pool.Node {
	if n.State == pool.NodeInUse || n.State == pool.NodeHold {
		return n
	}
	n = n.Clone()
	n.Addresses, n.InterfaceIP, n.HostKeys = nil, "", nil
	return n
}

// request is a request with its answer.
type request struct {
	Client string   `json:"client"`
	ID     string   `json:"id"`
	Labels []string `json:"labels"`
	// Priority is the effective one.
	Priority int                  `json:"priority"`
	Tenant   string               `json:"tenant,omitempty"`
	State    pool.AllocationState `json:"state"`
	Reasons  []pool.Reason        `json:"reasons,omitempty"`
	Error    string               `json:"error,omitempty"`
	Nodes    []pool.NodeID        `json:"nodes,omitempty"`
}

func requests(s *pool.Snapshot) []request {
	answers := s.Answers()
	shown := make([]request, 0, len(s.Requests))
	for _, r := range s.Requests {
		view := request{
			Client: r.Client, ID: r.ID, Labels: r.Labels, Priority: r.EffectivePriority(), Tenant: r.Tenant,
			State: pool.AllocationWaiting,
		}
		if a := answers[r.Ref()]; a != nil {
			view.State, view.Reasons, view.Error = a.State, a.Reasons, a.Error
			for _, n := range a.Nodes {
				view.Nodes = append(view.Nodes, n.ID)
			}
		}
		shown = append(shown, view)
	}
	return shown
}

// counts is how many nodes there are by state.
type counts map[pool.NodeState]int

func count(s *pool.Snapshot, of func(*pool.Node) string) map[string]counts {
	found := map[string]counts{}
	for _, n := range s.Nodes {
		if found[of(n)] == nil {
			found[of(n)] = counts{}
		}
		found[of(n)][n.State]++
	}
	return found
}

// provider is a provider of the configuration with what is known of it.
type provider struct {
	Name   string      `json:"name"`
	Cloud  string      `json:"cloud"`
	Region string      `json:"region,omitempty"`
	Nodes  counts      `json:"nodes,omitempty"`
	Quota  *pool.Quota `json:"quota,omitempty"`
}

func providers(s *pool.Snapshot, c *pool.Catalog) []provider {
	nodes := count(s, func(n *pool.Node) string { return n.Provider })
	shown := make([]provider, 0, len(c.Providers))
	for i := range c.Providers {
		p := &c.Providers[i]
		shown = append(shown, provider{
			Name: p.Name, Cloud: p.Cloud, Region: p.Region, Nodes: nodes[p.Name], Quota: s.Quota(p.Name),
		})
	}
	return shown
}

// label is a label of the configuration with what there is of it.
type label struct {
	Name     string `json:"name"`
	MinReady int    `json:"min_ready"`
	Nodes    counts `json:"nodes,omitempty"`
}

func labels(s *pool.Snapshot, c *pool.Catalog) []label {
	nodes := count(s, func(n *pool.Node) string { return n.Label })
	shown := make([]label, 0, len(c.Labels))
	for _, l := range c.Labels {
		shown = append(shown, label{Name: l.Name, MinReady: l.MinReady, Nodes: nodes[l.Name]})
	}
	return shown
}
