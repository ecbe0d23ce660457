package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"poold/pool"
)

// bulk chooses the nodes of a command: by id, or by filters. What filters choose
// is shown first, and done only by who says how many that are, so that a slip
// of the filter is noticed before and not after.
type bulk struct {
	nodeFilter

	dryRun  bool
	confirm int
}

func (b *bulk) flags(cmd *cobra.Command) {
	b.choice(cmd)
	fs := cmd.Flags()
	fs.BoolVar(&b.dryRun, "dry-run", false, "only show which nodes that would be")
	fs.IntVar(&b.confirm, "confirm", 0, "how many nodes the filters choose; without it they are only shown")
}

// choose returns the ids of the nodes. It returns none, and no error, if they
// were only to be shown. fits tells which of those that the filters allow the
// command can be given to.
func (b *bulk) choose(e *env, cmd *cobra.Command, args []string, fits func(*pool.Node) bool) ([]string, error) {
	switch named := len(args) > 0; {
	case named && b.chooses():
		return nil, fmt.Errorf("%w: name nodes or filter them, not both", errUsage)
	case named && !b.dryRun:
		return args, nil
	case !named && !b.chooses():
		return nil, fmt.Errorf("%w: name nodes, or choose them by --state, --provider, --label or --older-than", errUsage)
	}
	chosen, err := b.among(e, cmd, args, fits)
	if err != nil {
		return nil, err
	}
	show := func() error { return nodeTable(e.now()).print(cmd.OutOrStdout(), e.output, chosen) }
	if b.dryRun || len(chosen) == 0 {
		return nil, show()
	}
	yes, err := confirmed(cmd.ErrOrStderr(), b.confirm, len(chosen), show)
	if !yes {
		return nil, err
	}
	return called(chosen, func(n *pool.Node) string { return string(n.ID) }), err
}

// among finds the nodes that are named, or else those that the filters choose.
func (b *bulk) among(e *env, cmd *cobra.Command, args []string, fits func(*pool.Node) bool) ([]*pool.Node, error) {
	if err := b.check(); err != nil {
		return nil, err
	}
	s, err := e.snapshot(cmd.Context())
	if err != nil {
		return nil, err
	}
	var chosen []*pool.Node
	for _, id := range args {
		n, err := findNode(s, id)
		if err != nil {
			return nil, err
		}
		chosen = append(chosen, n)
	}
	if len(args) > 0 {
		return chosen, nil
	}
	for _, n := range s.Nodes {
		if b.wants(n, e.now()) && fits(n) {
			chosen = append(chosen, n)
		}
	}
	return chosen, nil
}

// confirmed tells whether the number of what is chosen is the one that was said.
// If none was said it is only shown.
func confirmed(w io.Writer, said, chosen int, show func() error) (bool, error) {
	switch said {
	case chosen:
		return true, nil
	case 0:
		if err := show(); err != nil {
			return false, err
		}
		_, err := fmt.Fprintf(w, "\nNothing was done. For these: --confirm %d\n", chosen)
		return false, err
	}
	return false, fmt.Errorf("%w: --confirm %d, but it is %d now; look again with --dry-run", pool.ErrRefused, said, chosen)
}
