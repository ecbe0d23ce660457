package web

import (
	"poold/pool"
)

// lists maps each kind to the function that lists it. An empty list is [],
// never null.
func (s *Server) lists() map[string]func(*pool.Snapshot) any {
	return map[string]func(*pool.Snapshot) any{
		"nodes":     func(n *pool.Snapshot) any { return nodes(n) },
		"requests":  func(n *pool.Snapshot) any { return requests(n) },
		"images":    func(n *pool.Snapshot) any { return append([]*pool.Build{}, n.Builds...) },
		"uploads":   func(n *pool.Snapshot) any { return append([]*pool.Upload{}, n.Uploads...) },
		"providers": func(n *pool.Snapshot) any { return providers(n, s.Catalog()) },
		"labels":    func(n *pool.Snapshot) any { return labels(n, s.Catalog()) },
		"peers":     func(n *pool.Snapshot) any { return append([]*pool.Member{}, n.Members...) },
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
