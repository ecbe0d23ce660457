package allocator

import (
	"fmt"
	"testing"
	"time"

	"poold/pool"
)

// crowd is a system of 50 providers with 10,000 nodes, most of them in use,
// and 1,000 requests that wait, of several shapes.
func crowd() (*pool.Snapshot, *pool.Catalog) {
	c := &pool.Catalog{}
	s := &pool.Snapshot{Revision: 1}
	var specs []pool.LabelSpec
	for l := range 20 {
		name := fmt.Sprintf("label-%02d", l)
		c.Labels = append(c.Labels, pool.Label{Name: name, MinReady: 5})
		specs = append(specs, pool.LabelSpec{Name: name, CloudImage: "noble", FlavorName: "s2"})
	}
	for p := range 50 {
		name := fmt.Sprintf("provider-%02d", p)
		c.Providers = append(c.Providers, pool.Provider{
			Name: name, MaxConcurrency: 20,
			Pools: []pool.Pool{{Name: "main", Limits: pool.NoLimits(), AZs: []string{"az1", "az2", "az3"}, Labels: specs}},
		})
		s.Quotas = append(s.Quotas, &pool.Quota{
			Provider: name, Limits: cores(420), CloudImages: map[string]string{"noble": "img"},
			Flavors: []pool.Flavor{{ID: "f", Name: "s2", Cores: 2, RAMMiB: 2048}}, Zones: []string{"az1", "az2", "az3"},
		})
	}
	for n := range 10_000 {
		node := &pool.Node{
			ID: pool.NodeID(fmt.Sprintf("n%05d", n)), Provider: fmt.Sprintf("provider-%02d", n%50), Pool: "main",
			Label: fmt.Sprintf("label-%02d", n%20), AZ: fmt.Sprintf("az%d", n%3+1), ImageID: "img", FlavorID: "f",
			State: pool.NodeReady, Created: start, Since: start, Resources: pool.Resources{Instances: 1, Cores: 2, Ports: 1},
			Timeline: []pool.Stamp{{State: pool.NodePending}, {State: pool.NodeBuilding}, {State: pool.NodeReady, At: start}},
		}
		switch {
		case n%20 < 16:
			node.State = pool.NodeInUse
			node.AllocatedTo = &pool.RequestRef{Client: "ci", ID: fmt.Sprintf("u%05d", n), CreateRevision: 1}
			a := &pool.Allocation{State: pool.AllocationFulfilled, RequestRevision: 1, Client: "ci", ID: node.AllocatedTo.ID, Created: start, Since: start}
			shown := revealed(node)
			a.Nodes = []pool.AllocatedNode{shown}
			s.Allocations = append(s.Allocations, a)
			s.Requests = append(s.Requests, &pool.Request{Client: "ci", ID: a.ID, CreateRevision: 1, Labels: []string{node.Label}, Leased: true})
		case n%20 == 16:
			node.State, node.Failure = pool.NodeFailed, pool.KindTimeout
			node.Timeline[2].State = pool.NodeFailed
		case n%20 == 17:
			node.State = pool.NodeBuilding
		}
		s.Nodes = append(s.Nodes, node)
	}
	for r := range 1000 {
		labels := []string{fmt.Sprintf("label-%02d", r%20)}
		if r%4 == 0 {
			labels = append(labels, fmt.Sprintf("label-%02d", r%7), labels[0])
		}
		s.Requests = append(s.Requests, &pool.Request{
			Client: "ci", ID: fmt.Sprintf("w%04d", r), CreateRevision: int64(r + 2), Labels: labels, Leased: true,
		})
	}
	return s, c
}

func BenchmarkDecide(b *testing.B) {
	s, c := crowd()
	plan := Decide(s, c, start.Add(time.Minute))
	b.Log(plan.Summary())
	for b.Loop() {
		Decide(s, c, start.Add(time.Minute))
	}
}

// The worst hour: nothing fits, nobody is served, all have waited for long.
func BenchmarkDecideAtQuota(b *testing.B) {
	s, c := crowd()
	for _, q := range s.Quotas {
		q.Limits = cores(300)
	}
	for _, r := range s.Requests {
		if r.CreateRevision > 1 {
			r.Labels = append(r.Labels, "label-03", "label-05", "label-19")
			s.Allocations = append(s.Allocations, &pool.Allocation{
				State: pool.AllocationWaiting, RequestRevision: r.CreateRevision, Client: r.Client, ID: r.ID, Created: start, Since: start,
			})
		}
	}
	plan := Decide(s, c, start.Add(time.Hour))
	b.Log(plan.Summary())
	for b.Loop() {
		Decide(s, c, start.Add(time.Hour))
	}
}
