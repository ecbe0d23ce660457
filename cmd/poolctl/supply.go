package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"poold/pool"
)

func provider(e *env) *cobra.Command {
	return noun("provider", "Providers: list, show, pause, unpause, erase",
		providerList(e), providerShow(e), providerPause(e), providerUnpause(e), providerErase(e))
}

func label(e *env) *cobra.Command {
	return noun("label", "Labels: list", labelList(e))
}

// stock is what there is of a provider or a label. What exists is known from
// the peers that are running and from the nodes that are there, so a provider
// that left the configuration is shown until its last node is gone.
type stock struct {
	Name string `json:"name"`
	// Peer is who owns the provider.
	Peer string `json:"peer,omitempty"`
	// Nodes counts the nodes by state.
	Nodes map[pool.NodeState]int `json:"nodes,omitempty"`
	// Waiting is how many requests wait for the label.
	Waiting int         `json:"waiting,omitempty"`
	Quota   *pool.Quota `json:"quota,omitempty"`
	// Pause is there if an operator lets nothing be launched in the provider.
	Pause *pool.Pause `json:"pause,omitempty"`
	// Vanished is how many nodes seem to have vanished, which holds the
	// provider.
	Vanished int `json:"vanished,omitempty"`
}

// stocks is everything of one kind, by name.
type stocks map[string]*stock

func (all stocks) of(name string) *stock {
	if all[name] == nil {
		all[name] = &stock{Name: name, Nodes: map[pool.NodeState]int{}}
	}
	return all[name]
}

// count counts the live nodes under what name says of them.
func (all stocks) count(nodes []*pool.Node, name func(*pool.Node) string) {
	for _, n := range nodes {
		if n.State.Live() {
			all.of(name(n)).Nodes[n.State]++
		}
	}
}

func (all stocks) sorted() []*stock {
	return slices.SortedFunc(maps.Values(all), func(a, b *stock) int { return cmp.Compare(a.Name, b.Name) })
}

// states shows the nodes in some states.
func states(title string, which ...pool.NodeState) column[*stock] {
	return column[*stock]{title: title, value: func(s *stock) string {
		sum := 0
		for _, state := range which {
			sum += s.Nodes[state]
		}
		return fmt.Sprint(sum)
	}}
}

// stockColumns are those that providers and labels have in common, and then
// their own.
func stockColumns(own []column[*stock]) []column[*stock] {
	return append([]column[*stock]{
		{title: "NAME", value: func(s *stock) string { return s.Name }},
		states("READY", pool.NodeReady),
		states("BUILDING", pool.NodePending, pool.NodeBuilding),
		states("IN USE", pool.NodeInUse),
		states("HELD", pool.NodeHold),
		states("LEAVING", pool.NodeUsed, pool.NodeFailed, pool.NodeDeleting),
	}, own...)
}

func providerList(e *env) *cobra.Command {
	return listing(e, "List the providers, what they have and whether they work", providers,
		column[*stock]{title: "INSTANCES", value: instances},
		column[*stock]{title: "PEER", value: func(s *stock) string { return s.Peer }},
		column[*stock]{title: "TROUBLE", value: trouble})
}

func trouble(s *stock) string {
	switch {
	case s.Vanished > 0:
		return fmt.Sprintf("%d nodes seem to have vanished: see leak list", s.Vanished)
	case s.Pause != nil:
		return s.Pause.Text()
	case s.Quota == nil:
		return "its limits are not known yet"
	}
	return s.Quota.Trouble
}

func labelList(e *env) *cobra.Command {
	return listing(e, "List the labels, what there is of them and how many requests wait", labels,
		column[*stock]{title: "WAITING", value: func(s *stock) string { return fmt.Sprint(s.Waiting) }})
}

func listing(e *env, short string, gather func(*pool.Snapshot) stocks, own ...column[*stock]) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: short, Args: exactly(0)}
	return e.shows(cmd, nil, func(w io.Writer, s *pool.Snapshot) error {
		err := table[*stock]{
			name:    func(s *stock) string { return s.Name },
			columns: stockColumns(own),
		}.print(w, e.output, gather(s).sorted())
		return errors.Join(err, e.noteFreeze(w, s.Freeze))
	})
}

// instances shows how much of the quota the project uses, others included.
func instances(s *stock) string {
	if s.Quota == nil {
		return ""
	}
	used := s.Quota.Foreign.Instances
	for _, n := range s.Nodes {
		used += int64(n)
	}
	if s.Quota.Limits.Instances == pool.Unlimited {
		return fmt.Sprint(used)
	}
	return fmt.Sprintf("%d of %d", used, s.Quota.Limits.Instances)
}

func providers(s *pool.Snapshot) stocks {
	all := stocks{}
	all.count(s.Nodes, func(n *pool.Node) string { return n.Provider })
	for _, u := range s.Uploads {
		if u.State != pool.UploadDeleted {
			all.of(u.Provider)
		}
	}
	for _, q := range s.Quotas {
		all.of(q.Provider).Quota = q
	}
	for _, p := range s.Pauses {
		if p.Provider != "" {
			all.of(p.Provider).Pause = p
		}
	}
	for _, h := range s.Healths {
		if n := len(h.Vanished); n > 0 {
			all.of(h.Provider).Vanished = n
		}
	}
	for _, m := range s.Members {
		for _, name := range m.Providers {
			all.of(name)
		}
		for _, owned := range m.Owns {
			if name, ok := strings.CutPrefix(owned, "provider/"); ok {
				all.of(name).Peer = m.Name
			}
		}
	}
	return all
}

func labels(s *pool.Snapshot) stocks {
	all := stocks{}
	all.count(s.Nodes, func(n *pool.Node) string { return n.Label })
	for _, m := range s.Members {
		for _, name := range m.Labels {
			all.of(name)
		}
	}
	answers := s.Answers()
	for _, r := range s.Requests {
		if a := answers[r.Ref()]; a != nil && a.State != pool.AllocationWaiting {
			continue
		}
		for _, name := range slices.Compact(slices.Sorted(slices.Values(r.Labels))) {
			all.of(name).Waiting++
		}
	}
	return all
}
