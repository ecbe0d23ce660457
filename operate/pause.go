package operate

import (
	"context"
	"fmt"
	"slices"

	"poold/pool"
)

// pause makes a pause or ends one. It is a state: there need not be anybody who
// builds the image or launches in the provider for it to hold.
func (o *Operator) pause(ctx context.Context, c pool.Command) (*pool.Command, error) {
	s, err := o.Read(ctx)
	if err != nil {
		return nil, err
	}
	image := c.Verb == pool.VerbPauseImage || c.Verb == pool.VerbUnpauseImage
	if image && isBuild(s, c.Target) {
		return o.ask(ctx, ofBuild(c))
	}
	is, known := s.ProviderPause(c.Target), s.HasProvider(c.Target)
	if image {
		is, known = s.Pause(c.Target), s.HasImage(c.Target)
	}
	if !known {
		return nil, fmt.Errorf("no such %s: %w", what(c.Verb), pool.ErrNotFound)
	}
	return o.carryOut(ctx, c, func(c *pool.Command) pool.Write { return pool.Write{Pauses: change(is, c)} })
}

func what(verb pool.Verb) string {
	if verb == pool.VerbPauseProvider || verb == pool.VerbUnpauseProvider {
		return "provider"
	}
	return "image"
}

// ofBuild is the command for a build instead of an image.
func ofBuild(c pool.Command) pool.Command {
	if c.Verb == pool.VerbPauseImage {
		c.Verb = pool.VerbWithdrawBuild
	} else {
		c.Verb = pool.VerbRestoreBuild
	}
	return c
}

// change is what a command does to the pause that is, or nil if it is as it is
// wanted already.
func change(is *pool.Pause, c *pool.Command) []pool.Change[pool.Pause] {
	wanted := &pool.Pause{V: pool.RecordVersion, By: c.By, Reason: c.Reason, At: c.At}
	switch c.Verb { //nolint:exhaustive // the verbs of pauses
	case pool.VerbPauseImage:
		wanted.Image = c.Target
	case pool.VerbPauseProvider:
		wanted.Provider = c.Target
	default:
		wanted = nil
	}
	switch {
	case (wanted == nil) == (is == nil):
		return nil
	case wanted == nil:
		return []pool.Change[pool.Pause]{pool.Remove(is)}
	}
	return []pool.Change[pool.Pause]{pool.Create(wanted)}
}

// isBuild tells whether a name is IMAGE/BUILD of a build that there is.
func isBuild(s *pool.Snapshot, name string) bool {
	return slices.ContainsFunc(s.Builds, func(b *pool.Build) bool { return b.Image+"/"+b.ID == name })
}
