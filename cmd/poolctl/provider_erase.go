package main

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"poold/pool"
)

// erasedAtOnce bounds the records of one transaction.
const erasedAtOnce = 50

// erasure is what there is on record of a provider that nobody has any more.
type erasure struct {
	nodes   []*pool.Node
	uploads []*pool.Upload
	quota   *pool.Quota
	health  *pool.Health
	pause   *pool.Pause
}

// count is how many records that are.
func (x *erasure) count() int {
	n := len(x.nodes) + len(x.uploads)
	for _, there := range []bool{x.quota != nil, x.health != nil, x.pause != nil} {
		if there {
			n++
		}
	}
	return n
}

func providerErase(e *env) *cobra.Command {
	var dryRun bool
	var confirm int
	cmd := &cobra.Command{
		Use: "erase PROVIDER [--dry-run | --confirm N]", Short: "Forget all records of a provider that is gone for good", Args: exactly(1),
		Long: `Forget all records of a provider that is gone for good.

A provider that leaves the configuration is drained: its nodes are deleted in the
cloud, and its records go by themselves. This is for a cloud that cannot be asked any
more. It is refused while a peer has the provider, and while nodes of it are in use or
held. Its nodes count as deleted from then on, in whatever state their servers are: if
the cloud is back one day, take the provider into the configuration again, and what
carries our mark there is removed as leaks.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.erase(cmd, args[0], func(x *erasure) (bool, error) {
				show := func() error { return x.print(cmd.OutOrStdout(), e) }
				if dryRun {
					return false, show()
				}
				return confirmed(cmd.ErrOrStderr(), confirm, x.count(), show)
			})
		},
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only show what would be forgotten")
	cmd.Flags().IntVar(&confirm, "confirm", 0, "how many records there are; without it they are only shown")
	return cmd
}

// erase forgets a provider, if agree says so to what there is.
func (e *env) erase(cmd *cobra.Command, name string, agree func(*erasure) (bool, error)) error {
	ctx := cmd.Context()
	return e.open(ctx, func(at *conn) error {
		s, err := at.Read(ctx)
		if err != nil {
			return err
		}
		x, err := erasable(s, name)
		if err != nil {
			return fmt.Errorf("provider %s: %w", name, err)
		}
		if yes, err := agree(x); !yes || err != nil {
			return err
		}
		done := pool.Command{Verb: pool.VerbEraseProvider, Target: name, By: who()}
		if err := at.operator(e.now).Record(ctx, done, func() error { return e.forget(ctx, at, x) }); err != nil {
			return fmt.Errorf("provider %s: not all is forgotten, do it again: %w", name, err)
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), name)
		return err
	})
}

// erasable is what there is of a provider, unless somebody may need it.
func erasable(s *pool.Snapshot, name string) (*erasure, error) {
	x, given := left(s, name)
	switch who, away := hasProvider(s, name); {
	case who != "" && away:
		return nil, fmt.Errorf("%w: peer %s has it, and does not run; if it will not come back: poolctl peer forget %s", pool.ErrRefused, who, who)
	case who != "":
		return nil, fmt.Errorf("%w: peer %s has it in its configuration; take it out there, and its nodes are deleted", pool.ErrRefused, who)
	case len(s.Unreadable) > 0:
		return nil, fmt.Errorf("%w: there are records that only a newer poolctl can read", pool.ErrRefused)
	case given > 0:
		return nil, fmt.Errorf("%w: %d of its nodes are in use or held; end that first: poolctl node delete --provider %s --force", pool.ErrRefused, given, name)
	case x.count() == 0:
		return nil, pool.ErrNotFound
	}
	return x, nil
}

// left is what there is of a provider, and how many of its nodes somebody has.
func left(s *pool.Snapshot, name string) (*erasure, int) {
	x := &erasure{quota: s.Quota(name), health: s.Health(name), pause: s.ProviderPause(name)}
	given := 0
	for _, n := range s.NodesOf(name) {
		if n.State == pool.NodeInUse || n.State == pool.NodeHold || n.State == pool.NodeReady && n.AllocatedTo != nil {
			given++
		}
		if n.State.Live() {
			x.nodes = append(x.nodes, n)
		}
	}
	for _, u := range s.Uploads {
		if u.Provider == name {
			x.uploads = append(x.uploads, u)
		}
	}
	return x, given
}

// hasProvider finds a peer that has a provider, one that runs first.
func hasProvider(s *pool.Snapshot, name string) (peer string, away bool) {
	for _, m := range s.Members {
		if slices.Contains(m.Providers, name) {
			return m.Name, false
		}
	}
	for _, o := range s.Offers {
		if o.Catalog.Provider(name) != nil {
			return o.Peer, !s.Runs(o.Peer)
		}
	}
	return "", false
}

// print shows what there is.
func (x *erasure) print(w io.Writer, e *env) error {
	if encoded(e.output) {
		return encode(w, e.output, map[string]any{
			"nodes": append([]*pool.Node{}, x.nodes...), "uploads": append([]*pool.Upload{}, x.uploads...),
			"quota": x.quota, "health": x.health, "pause": x.pause,
		})
	}
	if err := nodeTable(e.now()).print(w, e.output, x.nodes); err != nil || e.output == formatName {
		return err
	}
	if len(x.uploads) > 0 {
		if _, err := fmt.Fprintln(w); err != nil {
			return err
		}
		return uploadTable(e.now()).print(w, e.output, x.uploads)
	}
	return nil
}

// forget does it, in an order in which what is left can be forgotten by doing it
// again. Every record is compared: a node that was given to somebody meanwhile
// ends it.
func (e *env) forget(ctx context.Context, at *conn, x *erasure) error {
	why := "erased by " + who() + ": its provider is gone"
	for chunk := range slices.Chunk(x.nodes, erasedAtOnce) {
		w := pool.Write{By: pool.Operator}
		for _, n := range chunk {
			w.Nodes = append(w.Nodes, pool.Update(n, n.Moved(pool.NodeDeleted, pool.Operator, why, e.now().UTC())))
		}
		if _, err := at.Apply(ctx, nil, w); err != nil {
			return err
		}
	}
	for chunk := range slices.Chunk(x.uploads, erasedAtOnce) {
		if err := e.forgetUploads(ctx, at, chunk, why); err != nil {
			return err
		}
	}
	w := pool.Write{By: pool.Operator}
	if x.quota != nil {
		w.Quotas = []pool.Change[pool.Quota]{pool.Remove(x.quota)}
	}
	if x.health != nil {
		w.Healths = []pool.Change[pool.Health]{pool.Remove(x.health)}
	}
	if x.pause != nil {
		w.Pauses = []pool.Change[pool.Pause]{pool.Remove(x.pause)}
	}
	if len(w.Quotas)+len(w.Healths)+len(w.Pauses) == 0 {
		return nil
	}
	_, err := at.Apply(ctx, nil, w)
	return err
}

// forgetUploads moves uploads to the end of their lives, and removes their
// records: nobody else would.
func (e *env) forgetUploads(ctx context.Context, at *conn, uploads []*pool.Upload, why string) error {
	end, remove := pool.Write{By: pool.Operator}, pool.Write{By: pool.Operator}
	var moved []*pool.Upload
	for _, u := range uploads {
		if u.State == pool.UploadDeleted {
			remove.Uploads = append(remove.Uploads, pool.Remove(u))
			continue
		}
		gone := u.Moved(pool.UploadDeleted, e.now().UTC()).Because(why)
		end.Uploads, moved = append(end.Uploads, pool.Update(u, gone)), append(moved, gone)
	}
	if len(moved) > 0 {
		revision, err := at.Apply(ctx, nil, end)
		if err != nil {
			return err
		}
		for _, gone := range moved {
			gone.Revision = revision
			remove.Uploads = append(remove.Uploads, pool.Remove(gone))
		}
	}
	_, err := at.Apply(ctx, nil, remove)
	return err
}

// oldErase is nodepool's erase, which --force keeps from asking.
func oldErase(e *env) *cobra.Command {
	var force bool
	cmd := providerErase(e)
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !force {
			return run(cmd, args)
		}
		return e.erase(cmd, args[0], func(*erasure) (bool, error) { return true, nil })
	}
	cmd.Flags().BoolVar(&force, "force", false, "forget however many records there are")
	cmd.Use = "erase PROVIDER [--force]"
	return cmd
}
