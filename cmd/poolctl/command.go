package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"poold/pool"
	"poold/store"
)

const (
	// commandTime bounds the wait for a command's result.
	commandTime = 30 * time.Second
	// commandLook is how often a command's record is read meanwhile.
	commandLook = 100 * time.Millisecond
)

// command writes an operator's command and waits until the owner of the record
// has carried it out.
func (e *env) command(ctx context.Context, c pool.Command) error {
	_, err := e.carriedOut(ctx, c)
	return err
}

// carriedOut is a command with its result; the error is the command's own, too.
func (e *env) carriedOut(ctx context.Context, c pool.Command) (done *pool.Command, err error) {
	err = e.open(ctx, func(at *conn) (err error) {
		if c.ID, err = pool.NewID(rand.Reader); err != nil {
			return err
		}
		c.V, c.By, c.At = pool.RecordVersion, who(), e.now().UTC().Truncate(time.Millisecond)
		if _, err := at.PutCommand(ctx, &c); err != nil {
			return err
		}
		if done, err = await(ctx, at.Store, c.ID); err != nil {
			return err
		}
		return result(done)
	})
	return done, err
}

// await waits until the command is done.
func await(ctx context.Context, records *store.Store, id string) (*pool.Command, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, commandTime,
		errors.New("nobody carried the command out; is a poold with its role running? (poolctl peer list)"))
	defer cancel()
	tick := time.NewTicker(commandLook)
	defer tick.Stop()
	for {
		c, err := records.Command(ctx, id)
		if err != nil && ctx.Err() == nil {
			return nil, err
		}
		if err == nil && c.Done {
			return c, nil
		}
		select {
		case <-ctx.Done():
			return withdraw(ctx, records, id)
		case <-tick.C:
		}
	}
}

// withdraw takes a command back that nobody carried out in time, so that it
// does not happen when nobody expects it any more. If it is too late for that,
// it returns what became of it.
func withdraw(ctx context.Context, records *store.Store, id string) (*pool.Command, error) {
	why := context.Cause(ctx)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
	defer cancel()
	for {
		c, err := records.Command(ctx, id)
		switch {
		case err != nil:
			return nil, errors.Join(why, err)
		case c.Done:
			return c, nil
		}
		_, err = records.Apply(ctx, nil, pool.Write{
			By: pool.Operator, Commands: []pool.Change[pool.Command]{pool.Remove(c)},
		})
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
	return fmt.Errorf("%w: %s", errRefused, c.Error)
}

// each does something with every name, and prints those that it was done with.
func each(cmd *cobra.Command, what string, names []string, do func(name string) error) error {
	var failed []error
	for _, name := range names {
		if err := do(name); err != nil {
			failed = append(failed, fmt.Errorf("%s %s: %w", what, name, err))
			continue
		}
		if _, err := fmt.Fprintln(cmd.OutOrStdout(), name); err != nil {
			return err
		}
	}
	switch len(failed) {
	case 0:
		return nil
	case len(names):
		return errors.Join(failed...)
	}
	return fmt.Errorf("%w: %w", errPartly, errors.Join(failed...))
}
