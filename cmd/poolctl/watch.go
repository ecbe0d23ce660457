package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"poold/pool"
)

const (
	// watchLeast is the least time between two views of what is watched.
	watchLeast = time.Second
	// watchMost is the longest: ages change by themselves.
	watchMost = 5 * time.Second
	// wipe makes a terminal empty.
	wipe = "\x1b[H\x1b[2J"
)

// view is how a command shows records.
type view func(w io.Writer, s *pool.Snapshot) error

// shows has a command show something of the records, once, or with --watch again
// whenever they change. check refuses flags before anything is read; it may be nil.
func (e *env) shows(cmd *cobra.Command, check func() error, show view) *cobra.Command {
	watch := cmd.Flags().Bool("watch", false, "show it again whenever it changes, until interrupted")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if check != nil {
			if err := check(); err != nil {
				return err
			}
		}
		if *watch {
			return e.watch(cmd.Context(), cmd.OutOrStdout(), show)
		}
		s, err := e.snapshot(cmd.Context())
		if err != nil {
			return err
		}
		return show(cmd.OutOrStdout(), s)
	}
	return cmd
}

// watch shows the records again whenever they change, until ctx ends, which is
// how it is meant to end.
func (e *env) watch(ctx context.Context, w io.Writer, show view) error {
	return e.open(ctx, func(at *conn) error {
		view, changed, stop := at.follow(ctx)
		defer stop()
		if err := view.WaitFor(ctx, 1); err != nil {
			return nil // interrupted
		}
		for ctx.Err() == nil {
			if err := screen(w, view.Snapshot(), show); err != nil {
				return err
			}
			rest(ctx, changed)
		}
		return nil
	})
}

// screen shows a snapshot in place of what a terminal shows, or below what was
// written before.
func screen(w io.Writer, s *pool.Snapshot, show view) error {
	var b bytes.Buffer
	if err := show(&b, s); err != nil {
		return err
	}
	if p, ok := w.(tame); ok && terminal(p.to) {
		// This alone is meant for the terminal.
		if _, err := io.WriteString(p.to, wipe); err != nil {
			return err
		}
	} else {
		b.WriteByte('\n')
	}
	_, err := w.Write(b.Bytes())
	return err
}

func terminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// rest waits until something changes, but neither shorter nor longer than it
// should, or until ctx ends.
func rest(ctx context.Context, changed <-chan struct{}) {
	timer := time.NewTimer(watchLeast)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return
	case <-timer.C:
	}
	timer.Reset(watchMost - watchLeast)
	select {
	case <-ctx.Done():
	case <-changed:
	case <-timer.C:
	}
}
