// Package operate has done what an operator wants. It writes the command, and
// waits until the owner of the record has carried it out; a pause, which nobody
// owns, the operator carries out himself, in the same way: the effect and the
// command's result are one write. poolctl and the web pages both act through it,
// so that there is one way of doing a thing, and one trace of it.
package operate

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"poold/pool"
)

const (
	// patience bounds the wait for a command's result.
	patience = 30 * time.Second
	// look is how often a command's record is read meanwhile.
	look = 100 * time.Millisecond
	// withdrawTime bounds the withdrawal of a command that nobody carried out.
	withdrawTime = 5 * time.Second
)

// Records is what has to be done with records.
type Records interface {
	PutCommand(ctx context.Context, c *pool.Command) (revision int64, err error)
	Command(ctx context.Context, id string) (*pool.Command, error)
	// Operate writes as the operator.
	Operate(ctx context.Context, w pool.Write) (revision int64, err error)
}

// Operator has commands carried out.
type Operator struct {
	Records Records
	// Read returns all records as they are now.
	Read func(ctx context.Context) (*pool.Snapshot, error)
	Now  func() time.Time
}

// Do has a command carried out, of which the caller says what is wanted, by whom
// and why, and returns it with its result. The error is the command's own, too:
// [pool.ErrNotFound] if there is no such thing, [pool.ErrRefused] if it cannot be.
func (o *Operator) Do(ctx context.Context, c pool.Command) (*pool.Command, error) {
	switch c.Verb {
	case pool.VerbPauseImage, pool.VerbUnpauseImage, pool.VerbPauseProvider, pool.VerbUnpauseProvider:
		return o.pause(ctx, c)
	case pool.VerbFreeze, pool.VerbUnfreeze:
		return o.freeze(ctx, c)
	case pool.VerbDrainPeer, pool.VerbUndrainPeer:
		return o.drain(ctx, c)
	case pool.VerbForgetPeer:
		return o.forget(ctx, c)
	case pool.VerbDelete, pool.VerbForceDelete, pool.VerbHold, pool.VerbUnhold, pool.VerbExplain, pool.VerbRemoveLeaks,
		pool.VerbBuild, pool.VerbWithdrawBuild, pool.VerbRestoreBuild, pool.VerbDeleteBuild,
		pool.VerbWithdrawUpload, pool.VerbRestoreUpload, pool.VerbDeleteUpload, pool.VerbRetryUpload:
	case pool.VerbEraseProvider: // see Record
		return nil, fmt.Errorf("%w: nobody carries %s out", pool.ErrRefused, c.Verb)
	}
	return o.ask(ctx, c)
}

// ask has the owner of a record carry a command out.
func (o *Operator) ask(ctx context.Context, c pool.Command) (*pool.Command, error) {
	if err := o.put(ctx, &c); err != nil {
		return nil, err
	}
	done, err := o.await(ctx, c.ID)
	if err != nil {
		return nil, err
	}
	return done, result(done)
}

// put writes a new command.
func (o *Operator) put(ctx context.Context, c *pool.Command) (err error) {
	if c.ID, err = pool.NewID(rand.Reader); err != nil {
		return err
	}
	c.V, c.At = pool.RecordVersion, o.Now().UTC().Truncate(time.Millisecond)
	c.Revision, err = o.Records.PutCommand(ctx, c)
	return err
}

// await waits until the command is done.
func (o *Operator) await(ctx context.Context, id string) (*pool.Command, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience,
		errors.New("nobody carried the command out; is a poold with its role running? (poolctl peer list)"))
	defer cancel()
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		c, err := o.Records.Command(ctx, id)
		if err != nil && ctx.Err() == nil {
			return nil, err
		}
		if err == nil && c.Done {
			return c, nil
		}
		select {
		case <-ctx.Done():
			return o.withdraw(ctx, id)
		case <-tick.C:
		}
	}
}

// withdraw takes a command back that nobody carried out in time, so that it
// does not happen when nobody expects it any more. If it is too late for that,
// it returns what became of it.
func (o *Operator) withdraw(ctx context.Context, id string) (*pool.Command, error) {
	why := context.Cause(ctx)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), withdrawTime)
	defer cancel()
	for {
		c, err := o.Records.Command(ctx, id)
		switch {
		case err != nil:
			return nil, errors.Join(why, err)
		case c.Done:
			return c, nil
		}
		_, err = o.Records.Operate(ctx, pool.Write{Commands: []pool.Change[pool.Command]{pool.Remove(c)}})
		if !errors.Is(err, pool.ErrConflict) {
			return nil, errors.Join(why, err)
		}
	}
}

// result turns what a command says of itself into an error.
func result(c *pool.Command) error {
	switch {
	case c.Error == "":
		return nil
	case c.NotFound:
		return fmt.Errorf("%s: %w", c.Error, pool.ErrNotFound)
	}
	return fmt.Errorf("%w: %s", pool.ErrRefused, c.Error)
}
