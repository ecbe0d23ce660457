package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"poold/pool"
)

func imagePause(e *env) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "pause IMAGE[/BUILD]... [--reason TEXT]",
		Short: "Stop the builds of images, or take builds out of service: the ones before serve",
		Args:  some(),
		RunE: func(cmd *cobra.Command, args []string) error {
			return each(cmd, "image", args, func(name string) error {
				return e.pauseImage(cmd.Context(), name, pool.Command{Verb: pool.VerbWithdrawBuild, Target: name, Reason: reason})
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for whoever wonders")
	return cmd
}

func imageUnpause(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "unpause IMAGE[/BUILD]...", Short: "Let builds of images go on, or put builds back into service", Args: some(),
		RunE: func(cmd *cobra.Command, args []string) error {
			return each(cmd, "image", args, func(name string) error {
				return e.pauseImage(cmd.Context(), name, pool.Command{Verb: pool.VerbRestoreBuild, Target: name})
			})
		},
	}
}

// pauseImage gives the command if the name is a build's. The pause of an image
// is a state and no command: there need not be anybody who builds it for it to
// hold.
func (e *env) pauseImage(ctx context.Context, name string, c pool.Command) error {
	s, err := e.snapshot(ctx)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(s.Builds, func(b *pool.Build) bool { return buildName(b) == name }) {
		return e.command(ctx, c)
	}
	if !imageExists(s, name) {
		return fmt.Errorf("no such image: %w", pool.ErrNotFound)
	}
	var wanted *pool.Pause
	if c.Verb == pool.VerbWithdrawBuild {
		wanted = &pool.Pause{Image: name, Reason: c.Reason}
	}
	return e.setPause(ctx, s.Pause(name), wanted)
}

// setPause makes a pause or removes the one that is; nil is none. One that is
// wanted and is there stays as it is.
func (e *env) setPause(ctx context.Context, is, wanted *pool.Pause) error {
	var change pool.Change[pool.Pause]
	switch {
	case (wanted == nil) == (is == nil):
		return nil
	case wanted == nil:
		change = pool.Remove(is)
	default:
		wanted.V, wanted.By, wanted.At = pool.RecordVersion, who(), e.now().UTC()
		change = pool.Create(wanted)
	}
	return e.open(ctx, func(at *conn) error {
		_, err := at.Apply(ctx, nil, pool.Write{By: pool.Operator, Pauses: []pool.Change[pool.Pause]{change}})
		return err
	})
}

func providerPause(e *env) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "pause PROVIDER... [--reason TEXT]",
		Short: "Launch nothing in providers: what is ready there is given out, and images are brought there",
		Args:  some(),
		RunE: func(cmd *cobra.Command, args []string) error {
			return each(cmd, "provider", args, func(name string) error {
				return e.pauseProvider(cmd.Context(), name, &pool.Pause{Provider: name, Reason: reason})
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for whoever wonders")
	return cmd
}

func providerUnpause(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "unpause PROVIDER...", Short: "Let launching in providers go on", Args: some(),
		RunE: func(cmd *cobra.Command, args []string) error {
			return each(cmd, "provider", args, func(name string) error { return e.pauseProvider(cmd.Context(), name, nil) })
		},
	}
}

// pauseProvider sees to it that a provider is paused, or that it is not: nil.
func (e *env) pauseProvider(ctx context.Context, name string, wanted *pool.Pause) error {
	s, err := e.snapshot(ctx)
	if err != nil {
		return err
	}
	if providers(s)[name] == nil {
		return fmt.Errorf("no such provider: %w", pool.ErrNotFound)
	}
	return e.setPause(ctx, s.ProviderPause(name), wanted)
}

// imageExists tells whether a running peer knows an image, or there is a record
// of it.
func imageExists(s *pool.Snapshot, name string) bool {
	return s.Pause(name) != nil ||
		slices.ContainsFunc(s.Builds, func(b *pool.Build) bool { return b.Image == name }) ||
		slices.ContainsFunc(s.Members, func(m *pool.Member) bool { return slices.Contains(m.Images, name) })
}
