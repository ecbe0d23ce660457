package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"poold/operate"
	"poold/pool"
)

// command has an operator's command carried out.
func (e *env) command(ctx context.Context, c pool.Command) error {
	_, err := e.carriedOut(ctx, c)
	return err
}

// carriedOut is a command with its result; the error is the command's own, too.
func (e *env) carriedOut(ctx context.Context, c pool.Command) (done *pool.Command, err error) {
	c.By = who()
	err = e.open(ctx, func(at *conn) error {
		done, err = at.operator(e.now).Do(ctx, c)
		return err
	})
	return done, err
}

// operator does what operators want.
func (c *conn) operator(now func() time.Time) *operate.Operator {
	return &operate.Operator{Records: c.Store, Read: c.Read, Now: now}
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
