// Poolctl shows what poold does and asks it for things: nodes, requests,
// images, uploads, providers, labels, peers and events. It talks to etcd only, as poold itself does: what
// it lists are the records, and what it wants done it writes as a command that
// the owner of the record carries out.
//
// Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done in part, 4 not found,
// 5 refused.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"poold/internal/manual"
	"poold/pool"
)

// The exit codes.
const (
	exitFailed   = 1
	exitUsage    = 2
	exitPartly   = 3
	exitNotFound = 4
	exitRefused  = 5
)

// The errors that have exit codes of their own.
var (
	errUsage  = errors.New("wrong usage")
	errPartly = errors.New("done in part")
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	err := command(time.Now).ExecuteContext(ctx)
	if err == nil {
		return
	}
	stop()
	_, _ = fmt.Fprintln(tame{os.Stderr}, "poolctl:", err) // there is nowhere else to say it
	os.Exit(exitCode(err))
}

func exitCode(err error) int {
	switch {
	case errors.Is(err, errPartly):
		return exitPartly
	case errors.Is(err, pool.ErrNotFound):
		return exitNotFound
	case errors.Is(err, pool.ErrRefused), errors.Is(err, pool.ErrConflict):
		return exitRefused
	case errors.Is(err, errUsage):
		return exitUsage
	}
	return exitFailed
}

// command is the whole command line; now is the clock that ages are told by.
func command(now func() time.Time) *cobra.Command {
	e := env{now: now}
	root := &cobra.Command{
		Use:           "poolctl",
		Short:         "See and steer poold's pools of virtual machines",
		Version:       built(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          usage(cobra.NoArgs),
		RunE:          help,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			cmd.Root().SetOut(tame{cmd.OutOrStdout()})
			cmd.Root().SetErr(tame{cmd.ErrOrStderr()})
			return e.check(cmd)
		},
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return fmt.Errorf("%w: %w", errUsage, err) })
	e.flags(root)
	list, remove := nodeList(&e), nodeDelete(&e)
	list.Short, remove.Short = "List nodes (node list)", "Delete nodes (node delete)"
	root.AddCommand(list, remove, node(&e), request(&e), image(&e), upload(&e), provider(&e), label(&e), leak(&e),
		peer(&e), events(&e), top(&e), freeze(&e), unfreeze(&e), records(&e), configuration(&e), versionOf(), manual.Command())
	root.AddCommand(nodepool(&e)...)
	if err := errors.Join(oldFlags(&e, list, remove), oldGlobals(root)); err != nil {
		panic(err) // a flag that is not there
	}
	e.completions(root)
	return root
}

// release is the version of a package; the linker sets it.
var release string //nolint:gochecknoglobals // the linker sets nothing else

// versionOf says what the program was built from.
func versionOf() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "poolctl", built())
			return err
		},
	}
}

// built is the version that the program was built from.
func built() string {
	version := "devel"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		version = info.Main.Version
	}
	return cmp.Or(release, version)
}

// noun groups verbs.
func noun(name, short string, verbs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: name, Short: short, Args: usage(cobra.NoArgs), RunE: help}
	cmd.AddCommand(verbs...)
	return cmd
}

// help is what a command without a verb does.
func help(cmd *cobra.Command, _ []string) error { return cmd.Help() }

// exactly is cobra's ExactArgs as an error of usage.
func exactly(n int) cobra.PositionalArgs { return usage(cobra.ExactArgs(n)) }

// some is one argument or more.
func some() cobra.PositionalArgs { return usage(cobra.MinimumNArgs(1)) }

func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return fmt.Errorf("%w: %w; %s", errUsage, err, cmd.UseLine())
		}
		return nil
	}
}
