package model

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"poold/pool"
)

// Waiting is a request that is not answered.
type Waiting struct {
	Client, ID string
	Labels     []string
	Priority   int
	Tenant     string
	// Since is when poold first saw it; zero if it has not yet.
	Since time.Time
	// Reasons is why, by provider.
	Reasons []pool.Reason
}

// Want is how many nodes of a label are asked for.
type Want struct {
	Label string
	Count int
}

// Wants are the labels, each once, in the order in which they are asked for.
func Wants(labels []string) []Want {
	var wants []Want
	for _, l := range labels {
		if w := find(wants, func(w *Want) bool { return w.Label == l }); w != nil {
			w.Count++
		} else {
			wants = append(wants, Want{l, 1})
		}
	}
	return wants
}

// Why is the reasons in short: each class once, with where, as far as those are few.
func (w *Waiting) Why() string {
	var order []string
	where := map[string][]string{}
	for i := range w.Reasons {
		r := &w.Reasons[i]
		if where[r.Class] == nil {
			order = append(order, r.Class)
		}
		where[r.Class] = append(where[r.Class], r.Provider)
	}
	for i, class := range order {
		order[i] = class + " in " + some(where[class])
	}
	return strings.Join(order, "; ")
}

// some names the first few of many.
func some(names []string) string {
	const few = 3
	if more := len(names) - few; more > 1 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), more)
	}
	return strings.Join(names, ", ")
}

// queue lists who waits, in the order in which they are served.
func queue(in *Input) []Waiting {
	answers := in.Records.Answers()
	type entry struct {
		Waiting
		relative int
		revision int64
	}
	var found []entry
	for _, r := range in.Records.Requests {
		a := answers[r.Ref()]
		if a != nil && a.State != pool.AllocationWaiting {
			continue
		}
		e := entry{
			Waiting: Waiting{
				Client: r.Client, ID: r.ID, Labels: r.Labels, Priority: r.EffectivePriority(), Tenant: r.Tenant,
			},
			relative: r.RelativePriority, revision: r.CreateRevision,
		}
		if a != nil {
			e.Since, e.Reasons = a.Created, a.Reasons
		}
		found = append(found, e)
	}
	slices.SortFunc(found, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.relative, b.relative), cmp.Compare(a.revision, b.revision))
	})
	waiting := make([]Waiting, len(found))
	for i := range found {
		waiting[i] = found[i].Waiting
	}
	return waiting
}

// Failure is the nodes on record that failed alike in a provider.
type Failure struct {
	Kind     pool.Kind
	Provider string
	Count    int
	// Last is the newest of them.
	Last   pool.NodeID
	At     time.Time
	Reason string
}

// failures counts those on record, most first: a record lasts for an hour after
// its node.
func failures(in *Input) []Failure {
	type key struct {
		kind     pool.Kind
		provider string
	}
	at := map[key]int{}
	var rows []Failure
	for _, n := range in.Records.Nodes {
		if n.Failure == "" {
			continue
		}
		k := key{n.Failure, n.Provider}
		i, known := at[k]
		if !known {
			i = len(rows)
			at[k] = i
			rows = append(rows, Failure{Kind: k.kind, Provider: k.provider})
		}
		f := &rows[i]
		f.Count++
		if when, why := failed(n); f.Last == "" || when.After(f.At) {
			f.Last, f.At, f.Reason = n.ID, when, why
		}
	}
	slices.SortFunc(rows, func(a, b Failure) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Provider, b.Provider))
	})
	return rows
}

// failed is when and why a node failed.
func failed(n *pool.Node) (time.Time, string) {
	for _, st := range n.Timeline {
		if st.State == pool.NodeFailed {
			return st.At, st.Reason
		}
	}
	return n.Since, n.Reason
}
