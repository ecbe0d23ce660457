package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"poold/pool"
)

func freeze(e *env) *cobra.Command {
	return freezeCommand(e, pool.VerbFreeze, &cobra.Command{
		Use: "freeze [--reason TEXT]", Short: "Stop all launching everywhere, until unfreeze",
	})
}

func unfreeze(e *env) *cobra.Command {
	return freezeCommand(e, pool.VerbUnfreeze, &cobra.Command{
		Use: "unfreeze [--reason TEXT]", Short: "Let launching go on",
	})
}

func freezeCommand(e *env, verb pool.Verb, cmd *cobra.Command) *cobra.Command {
	var reason string
	cmd.Args = exactly(0)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return e.command(cmd.Context(), pool.Command{Verb: verb, Reason: reason})
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for whoever wonders")
	return cmd
}

// noteFreeze says below a table that nothing is launched, and why. Other formats
// are for programs.
func (e *env) noteFreeze(w io.Writer, f *pool.Freeze) error {
	if f == nil || e.output != formatTable && e.output != formatWide {
		return nil
	}
	_, err := fmt.Fprintf(w, "\n%s (%s ago)\n", f.Text(), ago(e.now(), f.At))
	return err
}
