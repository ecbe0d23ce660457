package operate

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"poold/pool"
)

// carryOut does what the operator does himself: the effect of a command and its
// result are one write. The command is there to tell who did it and why, of which
// nothing else may be left.
//
// An operator who dies between the two writes leaves a command that nobody carries
// out, and that goes with its lease.
func (o *Operator) carryOut(ctx context.Context, c pool.Command, effect func(*pool.Command) pool.Write) (*pool.Command, error) {
	if err := o.put(ctx, &c); err != nil {
		return nil, err
	}
	w := effect(&c)
	done, err := o.finish(ctx, &c, w, "")
	if errors.Is(err, pool.ErrConflict) {
		done, err = o.finish(ctx, &c, pool.Write{}, "somebody else did something about it at the same moment")
	}
	if err != nil {
		return nil, err
	}
	return done, result(done)
}

// finish writes the result of a command with something else.
func (o *Operator) finish(ctx context.Context, c *pool.Command, w pool.Write, problem string) (*pool.Command, error) {
	done := *c
	done.Done, done.Error = true, problem
	w.Commands = []pool.Change[pool.Command]{pool.Update(c, &done)}
	var err error
	done.Revision, err = o.Records.Operate(ctx, w)
	return &done, err
}

// Record has a command tell of something that the caller does in several writes. Of
// one that fails half-way it tells why, and of a caller who dies that nobody knows
// what became of it.
func (o *Operator) Record(ctx context.Context, c pool.Command, do func() error) error {
	if err := o.put(ctx, &c); err != nil {
		return err
	}
	problem, err := "", do()
	if err != nil {
		problem = err.Error()
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), withdrawTime)
	defer cancel()
	_, noted := o.finish(bounded, &c, pool.Write{}, problem)
	return errors.Join(err, noted)
}

// freeze stops all launching, or lets it go on.
func (o *Operator) freeze(ctx context.Context, c pool.Command) (*pool.Command, error) {
	s, err := o.Read(ctx)
	if err != nil {
		return nil, err
	}
	is := s.Freeze
	switch {
	case c.Verb == pool.VerbFreeze && is != nil:
		return nil, fmt.Errorf("%w: %s", pool.ErrRefused, is.Text())
	case c.Verb == pool.VerbUnfreeze && is == nil:
		return nil, fmt.Errorf("%w: launching is not frozen", pool.ErrNotFound)
	}
	return o.carryOut(ctx, c, func(c *pool.Command) pool.Write {
		if is != nil {
			return pool.Write{Freezes: []pool.Change[pool.Freeze]{pool.Remove(is)}}
		}
		wanted := &pool.Freeze{V: pool.RecordVersion, By: c.By, Reason: c.Reason, At: c.At}
		return pool.Write{Freezes: []pool.Change[pool.Freeze]{pool.Create(wanted)}}
	})
}

// drain drains a peer, or ends that. It is a state: the peer need not run for it to
// hold.
func (o *Operator) drain(ctx context.Context, c pool.Command) (*pool.Command, error) {
	s, err := o.Read(ctx)
	if err != nil {
		return nil, err
	}
	is := s.Drain(c.Target)
	if is == nil && !s.Runs(c.Target) {
		return nil, fmt.Errorf("no such peer runs: %w", pool.ErrNotFound)
	}
	return o.carryOut(ctx, c, func(c *pool.Command) pool.Write {
		switch wanted := c.Verb == pool.VerbDrainPeer; {
		case wanted == (is != nil):
			return pool.Write{} // as it is wanted
		case wanted:
			drain := &pool.Drain{V: pool.RecordVersion, Peer: c.Target, By: c.By, Reason: c.Reason, At: c.At}
			return pool.Write{Drains: []pool.Change[pool.Drain]{pool.Create(drain)}}
		}
		return pool.Write{Drains: []pool.Change[pool.Drain]{pool.Remove(is)}}
	})
}

// forget removes what a peer had that does not run.
func (o *Operator) forget(ctx context.Context, c pool.Command) (*pool.Command, error) {
	s, err := o.Read(ctx)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(s.Offers, func(offer *pool.Offer) bool { return offer.Peer == c.Target })
	switch {
	case s.Runs(c.Target):
		return nil, fmt.Errorf("it runs: %w", pool.ErrConflict)
	case i < 0:
		return nil, fmt.Errorf("no such peer has run: %w", pool.ErrNotFound)
	}
	return o.carryOut(ctx, c, func(*pool.Command) pool.Write {
		return pool.Write{Offers: []pool.Change[pool.Offer]{pool.Remove(s.Offers[i])}}
	})
}
