package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"poold/pool"
)

func freeze(e *env) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "freeze [--reason TEXT]", Short: "Stop all launching everywhere, until unfreeze", Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.setFreeze(cmd.Context(), func(is *pool.Freeze) (pool.Change[pool.Freeze], error) {
				if is != nil {
					return pool.Change[pool.Freeze]{}, fmt.Errorf("%w: %s", pool.ErrRefused, is.Text())
				}
				return pool.Create(&pool.Freeze{V: pool.RecordVersion, By: who(), Reason: reason, At: e.now().UTC()}), nil
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for whoever wonders")
	return cmd
}

func unfreeze(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "unfreeze", Short: "Let launching go on", Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.setFreeze(cmd.Context(), func(is *pool.Freeze) (pool.Change[pool.Freeze], error) {
				if is == nil {
					return pool.Change[pool.Freeze]{}, fmt.Errorf("%w: launching is not frozen", pool.ErrNotFound)
				}
				return pool.Remove(is), nil
			})
		},
	}
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

// setFreeze changes whether launching is frozen. It is a state and no command:
// there need not be anybody who runs for it to hold.
func (e *env) setFreeze(ctx context.Context, change func(is *pool.Freeze) (pool.Change[pool.Freeze], error)) error {
	return e.open(ctx, func(at *conn) error {
		s, err := at.Read(ctx)
		if err != nil {
			return err
		}
		c, err := change(s.Freeze)
		if err != nil {
			return err
		}
		_, err = at.Operate(ctx, pool.Write{Freezes: []pool.Change[pool.Freeze]{c}})
		return err
	})
}
