package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"poold/pool"
)

func node(e *env) *cobra.Command {
	return noun("node", "Nodes: list, show, hold, unhold, delete",
		nodeList(e), nodeShow(e), nodeHold(e), nodeUnhold(e), nodeDelete(e))
}

// nodeTable shows nodes.
func nodeTable(now time.Time) table[*pool.Node] {
	return table[*pool.Node]{
		name: func(n *pool.Node) string { return string(n.ID) },
		columns: []column[*pool.Node]{
			{title: "ID", value: func(n *pool.Node) string { return string(n.ID) }},
			{title: "LABEL", value: func(n *pool.Node) string { return n.Label }},
			{title: "PROVIDER", value: func(n *pool.Node) string { return n.Provider }},
			{title: "STATE", value: func(n *pool.Node) string { return string(n.State) }},
			{title: "FOR", value: func(n *pool.Node) string { return ago(now, n.Since) }},
			{title: "ADDRESS", value: func(n *pool.Node) string { return n.InterfaceIP }},
			{title: "REQUEST", value: func(n *pool.Node) string { return requestName(n.AllocatedTo) }},
			{title: "POOL", wide: true, value: func(n *pool.Node) string { return n.Pool }},
			{title: "AZ", wide: true, value: func(n *pool.Node) string { return n.AZ }},
			{title: "FLAVOR", wide: true, value: func(n *pool.Node) string { return n.Flavor }},
			{title: "IMAGE", wide: true, value: func(n *pool.Node) string { return n.Image }},
			{title: "INSTANCE", wide: true, value: func(n *pool.Node) string { return n.InstanceID }},
			{title: "NAME", wide: true, value: (*pool.Node).Name},
			{title: "REASON", wide: true, value: func(n *pool.Node) string { return n.Reason }},
		},
	}
}

func requestName(r *pool.RequestRef) string {
	if r == nil {
		return ""
	}
	return r.Client + "/" + r.ID
}

// nodeFilter says which nodes are wanted; what it does not name may be anything.
type nodeFilter struct {
	all                    bool
	state, provider, label string
	olderThan              time.Duration
}

func (f *nodeFilter) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.all, "all", false, "also those that were deleted within the last hour")
	f.choice(cmd)
}

// choice are the flags of what nodes are.
func (f *nodeFilter) choice(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&f.state, "state", "", "only those in this state")
	fs.StringVar(&f.provider, "provider", "", "only those of this provider")
	fs.StringVar(&f.label, "label", "", "only those of this label")
	fs.DurationVar(&f.olderThan, "older-than", 0, "only those that are in their state for longer than this")
}

// chooses tells whether any is left out.
func (f *nodeFilter) chooses() bool {
	return f.state != "" || f.provider != "" || f.label != "" || f.olderThan != 0
}

// check refuses a state that no node is ever in.
func (f *nodeFilter) check() error {
	return known("--state", f.state, pool.NodeMachine().States())
}

func (f *nodeFilter) wants(n *pool.Node, now time.Time) bool {
	fits := func(want, is string) bool { return want == "" || want == is }
	return (f.all || n.State != pool.NodeDeleted || f.state == string(pool.NodeDeleted)) &&
		fits(f.state, string(n.State)) && fits(f.provider, n.Provider) && fits(f.label, n.Label) &&
		(f.olderThan == 0 || now.Sub(n.Since) > f.olderThan)
}

func nodeList(e *env) *cobra.Command {
	var f nodeFilter
	cmd := &cobra.Command{Use: "list", Short: "List nodes", Args: exactly(0)}
	f.flags(cmd)
	cmd.Annotations = map[string]string{formatAnsible: ""}
	return e.shows(cmd, f.check, func(w io.Writer, s *pool.Snapshot) error {
		nodes := slices.DeleteFunc(slices.Clone(s.Nodes), func(n *pool.Node) bool {
			return !f.wants(n, e.now())
		})
		if e.output == formatAnsible {
			return inventory(w, nodes)
		}
		return nodeTable(e.now()).print(w, e.output, nodes)
	})
}

func nodeShow(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show a node and where its time went", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := e.snapshot(cmd.Context())
			if err != nil {
				return err
			}
			n, err := findNode(s, args[0])
			if err != nil {
				return err
			}
			if encoded(e.output) {
				return encode(cmd.OutOrStdout(), e.output, n)
			}
			return printNode(cmd.OutOrStdout(), n, e.now())
		},
	}
}

func findNode(s *pool.Snapshot, id string) (*pool.Node, error) {
	for _, n := range s.Nodes {
		if string(n.ID) == id {
			return n, nil
		}
	}
	return nil, fmt.Errorf("node %s: %w", id, pool.ErrNotFound)
}

// printNode prints what is known of a node and its timeline.
func printNode(w io.Writer, n *pool.Node, now time.Time) error {
	var b strings.Builder
	field := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-12s %s\n", name, value)
		}
	}
	field("id", string(n.ID))
	field("label", n.Label)
	field("state", string(n.State)+", "+n.Reason)
	field("failure", string(n.Failure))
	field("provider", n.Provider+", pool "+n.Pool)
	field("az", n.AZ)
	field("flavor", n.Flavor)
	field("image", strings.TrimSpace(n.Image+" "+n.Build))
	field("instance", strings.TrimSpace(n.Name()+" "+n.InstanceID))
	field("address", n.InterfaceIP)
	if n.Port != 0 {
		field("connect", n.Type+" port "+strconv.Itoa(n.Port)+" as "+n.Username)
	}
	for _, key := range n.HostKeys {
		field("host key", key)
	}
	field("request", requestName(n.AllocatedTo))
	field("held", n.HoldReason)
	b.WriteString("\ntimeline\n")
	for i, st := range n.Timeline {
		until := now
		if i+1 < len(n.Timeline) {
			until = n.Timeline[i+1].At
		}
		fmt.Fprintf(&b, "  %s  %-9s %10s  %s: %s\n", st.At.Format(time.RFC3339), st.State,
			until.Sub(st.At).Round(time.Millisecond), st.By, st.Reason)
	}
	if n.Evidence != "" {
		fmt.Fprintf(&b, "\nevidence\n%s\n", n.Evidence)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func nodeDelete(e *env) *cobra.Command {
	var force bool
	var b bulk
	cmd := &cobra.Command{
		Use: "delete ID... | FILTERS --confirm N", Short: "Delete nodes", Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			verb := pool.VerbDelete
			if force {
				verb = pool.VerbForceDelete
			}
			ids, err := b.choose(e, cmd, args, verb.Suits)
			if err != nil {
				return err
			}
			return e.eachNode(cmd, ids, pool.Command{Verb: verb, Reason: "deleted by hand"})
		},
	}
	b.flags(cmd)
	cmd.Flags().BoolVar(&force, "force", false, "also those in use or held")
	return cmd
}

func nodeHold(e *env) *cobra.Command {
	var reason string
	var ttl time.Duration
	var b bulk
	cmd := &cobra.Command{
		Use: "hold ID... | FILTERS --confirm N", Short: "Keep nodes for a human", Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			c := pool.Command{Verb: pool.VerbHold, Reason: reason}
			if ttl > 0 {
				c.TTL = ttl.String()
			}
			ids, err := b.choose(e, cmd, args, pool.VerbHold.Suits)
			if err != nil {
				return err
			}
			return e.eachNode(cmd, ids, c)
		},
	}
	b.flags(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "why, for whoever finds it")
	cmd.Flags().DurationVar(&ttl, "ttl", 0, "for how long; as long as allowed, if not said")
	return cmd
}

func nodeUnhold(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "unhold ID...", Short: "End a hold: the node is deleted", Args: some(),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.eachNode(cmd, args, pool.Command{Verb: pool.VerbUnhold})
		},
	}
}

// eachNode gives one command per node.
func (e *env) eachNode(cmd *cobra.Command, ids []string, c pool.Command) error {
	return each(cmd, "node", ids, func(id string) error {
		c.Node = pool.NodeID(id)
		return e.command(cmd.Context(), c)
	})
}
