package launcher

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"poold/pool"
)

// lines are the requests without an answer, by label, each as often as it asks
// for the label and whoever is served first in front.
type lines map[string][]*pool.Request

// lines makes them, without those whom a building node is meant for, if any
// label's servers say whom they were launched for.
func (v *view) lines() lines {
	wanted := slices.ContainsFunc(v.provider.Pools, func(p pool.Pool) bool {
		return slices.ContainsFunc(p.Labels, func(l pool.LabelSpec) bool { return len(l.DynamicProperties) > 0 })
	})
	if !wanted || v.snap == nil {
		return nil
	}
	all := lines{}
	for _, r := range slices.SortedFunc(slices.Values(unanswered(v.snap)), sooner) {
		for _, label := range r.Labels {
			all[label] = append(all[label], r)
		}
	}
	for _, t := range v.nodes {
		if t.node.State == pool.NodeBuilding {
			meantFor(t.node, all)
		}
	}
	return all
}

func sooner(a, b *pool.Request) int {
	return cmp.Or(cmp.Compare(a.EffectivePriority(), b.EffectivePriority()),
		cmp.Compare(a.RelativePriority, b.RelativePriority), cmp.Compare(a.CreateRevision, b.CreateRevision))
}

// meantFor takes the request that a node is meant for out of its line: the one
// of its set, else the first that wants a single node; nil if nobody waits for
// it. Which request gets the node is decided when it is ready.
func meantFor(n *pool.Node, all lines) *pool.Request {
	line := all[n.Label]
	k := slices.IndexFunc(line, func(r *pool.Request) bool {
		if n.ForSet != nil {
			return r.Ref() == *n.ForSet
		}
		return len(r.Labels) == 1
	})
	if k < 0 {
		return nil
	}
	r := line[k]
	all[n.Label] = slices.Delete(slices.Clone(line), k, k+1)
	return r
}

// properties are what the servers of a pending node say about whom they were
// launched for.
func (v *view) properties(n *pool.Node, all lines) map[string]string {
	texts := v.provider.Pool(n.Pool).Label(n.Label).DynamicProperties
	if len(texts) == 0 {
		return nil
	}
	r := meantFor(n, all)
	if r == nil {
		return nil
	}
	made := map[string]string{}
	for key, text := range texts {
		// The configuration was checked; a request can still be too long.
		if value, err := pool.ExpandRequest(text, r); err == nil && len(value) <= maxProperty {
			made[key] = value
		}
	}
	return made
}

// together joins the properties of a label with those of its nodes, which go
// first.
func together(label, nodes map[string]string) map[string]string {
	if len(nodes) == 0 {
		return label
	}
	all := maps.Clone(nodes)
	for key, value := range label {
		if _, said := all[key]; !said {
			all[key] = value
		}
	}
	return all
}

// maxProperty is how long metadata may be.
const maxProperty = 255

// inOrder writes properties as one text that is the same for the same.
func inOrder(properties map[string]string) string {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(properties)) {
		b.WriteString(key + "\x00" + properties[key] + "\x00")
	}
	return b.String()
}
