package main

import (
	"fmt"
	"io"
	"time"

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
	if err := b.check(); err != nil {
		return nil, err
	}
	s, err := e.snapshot(cmd.Context())
	if err != nil {
		return nil, err
	}
	chosen, err := b.among(s, args, e.now(), fits)
	if err != nil {
		return nil, err
	}
	show := func() error { return nodeTable(e.now()).print(cmd.OutOrStdout(), e.output, chosen) }
	if b.dryRun || len(chosen) == 0 {
		return nil, show()
	}
	return b.confirmed(cmd.ErrOrStderr(), chosen, show)
}

// among finds the nodes that are named, or else those that the filters choose.
func (b *bulk) among(s *pool.Snapshot, args []string, now time.Time, fits func(*pool.Node) bool) ([]*pool.Node, error) {
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
		if b.wants(n, now) && fits(n) {
			chosen = append(chosen, n)
		}
	}
	return chosen, nil
}

// confirmed returns the ids if their number is the one that was said.
func (b *bulk) confirmed(w io.Writer, chosen []*pool.Node, show func() error) ([]string, error) {
	switch b.confirm {
	case len(chosen):
		var ids []string
		for _, n := range chosen {
			ids = append(ids, string(n.ID))
		}
		return ids, nil
	case 0:
		if err := show(); err != nil {
			return nil, err
		}
		_, err := fmt.Fprintf(w, "\nNothing was done. For these: --confirm %d\n", len(chosen))
		return nil, err
	}
	return nil, fmt.Errorf("%w: --confirm %d, but it is %d now; look again with --dry-run", errRefused, b.confirm, len(chosen))
}
