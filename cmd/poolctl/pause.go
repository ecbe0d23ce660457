package main

import (
	"github.com/spf13/cobra"

	"poold/pool"
)

func imagePause(e *env) *cobra.Command {
	return pauseCommand(e, pool.VerbPauseImage, "image", &cobra.Command{
		Use:   "pause IMAGE[/BUILD]... [--reason TEXT]",
		Short: "Stop the builds of images, or take builds out of service: the ones before serve",
	})
}

func imageUnpause(e *env) *cobra.Command {
	return pauseCommand(e, pool.VerbUnpauseImage, "image", &cobra.Command{
		Use:   "unpause IMAGE[/BUILD]... [--reason TEXT]",
		Short: "Let builds of images go on, or put builds back into service",
	})
}

func providerPause(e *env) *cobra.Command {
	return pauseCommand(e, pool.VerbPauseProvider, "provider", &cobra.Command{
		Use:   "pause PROVIDER... [--reason TEXT]",
		Short: "Launch nothing in providers: what is ready there is given out, and images are brought there",
	})
}

func providerUnpause(e *env) *cobra.Command {
	return pauseCommand(e, pool.VerbUnpauseProvider, "provider", &cobra.Command{
		Use:   "unpause PROVIDER... [--reason TEXT]",
		Short: "Let launching in providers go on",
	})
}

// pauseCommand gives one command per name.
func pauseCommand(e *env, verb pool.Verb, what string, cmd *cobra.Command) *cobra.Command {
	var reason string
	cmd.Args = some()
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return each(cmd, what, args, func(name string) error {
			return e.command(cmd.Context(), pool.Command{Verb: verb, Target: name, Reason: reason})
		})
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for whoever wonders")
	return cmd
}
