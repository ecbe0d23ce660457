package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"poold/event"
	"poold/pool"
	"poold/store"
)

const (
	// contactEvery is how often it is looked whether etcd still answers, and
	// silence how long it may be silent without a word about it: it is asked every
	// five seconds.
	contactEvery = time.Second
	silence      = 15 * time.Second
)

func eventFollow(e *env) *cobra.Command {
	var f eventFilter
	cmd := &cobra.Command{
		Use: "follow", Short: "Print what happens, as it happens, until interrupted", Args: exactly(0),
		Long: `Print what happens, as it happens, until interrupted: a line for each event, with -o json
an object in a line.

An etcd that does not answer is waited for, which is said on standard error. What
happened meanwhile is told then. If etcd has forgotten some of it, that is said, too: what
came and went is missing then, and the timelines of nodes, builds and uploads tell the rest.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			return e.open(cmd.Context(), func(at *conn) error {
				view, changed, stop := at.follow(cmd.Context())
				defer stop()
				return (&follower{
					view: view, filter: f, now: e.now, notes: cmd.ErrOrStderr(),
					tell: func(what event.Event) error { return printEvent(cmd.OutOrStdout(), e.output, what) },
				}).run(cmd.Context(), changed)
			})
		},
	}
	f.flags(cmd)
	cmd.Flags().DurationVar(&f.since, "since", 0, "begin with those of so long, such as 10m, as far as the records tell")
	return cmd
}

// follow follows all records until stop is called, which waits until nothing of it
// runs any more.
func (c *conn) follow(ctx context.Context) (view *store.View, changed <-chan struct{}, stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	view = c.View()
	changed, unsubscribe := view.Subscribe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = view.Run(ctx) // ends with ctx
	}()
	return view, changed, func() {
		cancel()
		unsubscribe()
		<-ended
	}
}

// follower tells of events as poold itself derives them: from one look at the
// records to the next.
type follower struct {
	view   *store.View
	filter eventFilter
	now    func() time.Time
	tell   func(event.Event) error
	// notes is where it is said what may be missing.
	notes io.Writer

	// seen are the records as they were at the last look, nil before the first.
	seen *pool.Snapshot
	gaps int
	// began is when it began, silent whether it was said that etcd is.
	began  time.Time
	silent bool
}

// run tells until ctx ends, which is how it is meant to end.
func (f *follower) run(ctx context.Context, changed <-chan struct{}) error {
	tick := time.NewTicker(contactEvery)
	defer tick.Stop()
	f.began = time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-tick.C:
		}
		if err := f.listen(time.Now()); err != nil {
			return err
		}
		if err := f.look(); err != nil {
			return err
		}
	}
}

// listen says when etcd falls silent, and when it answers again.
func (f *follower) listen(now time.Time) error {
	last := f.view.LastContact()
	if last.IsZero() {
		last = f.began
	}
	was := f.silent
	f.silent = now.Sub(last) > silence
	text := "etcd answers again"
	switch {
	case f.silent == was:
		return nil
	case f.silent:
		text = "etcd does not answer"
	}
	return f.note(text)
}

// look tells what happened since the last look.
func (f *follower) look() error {
	if !f.view.Synced() {
		return nil
	}
	s, gaps, now := f.view.Snapshot(), f.view.Gaps(), f.now()
	if s == f.seen {
		return nil
	}
	if gaps != f.gaps {
		if err := f.note("etcd has forgotten some of what happened: something may be missing"); err != nil {
			return err
		}
	}
	before := f.seen
	f.seen, f.gaps = s, gaps
	var happened []event.Event
	switch {
	case before != nil:
		happened = event.Between(before, s, now)
	case f.filter.since > 0:
		happened = f.filter.past(s, now)
	}
	for _, e := range happened {
		if !f.filter.Wants(&e) {
			continue
		}
		if err := f.tell(e); err != nil {
			return err
		}
	}
	return nil
}

// note says something about what is told.
func (f *follower) note(text string) error {
	_, err := fmt.Fprintf(f.notes, "poolctl: %s %s\n", time.Now().UTC().Format(time.RFC3339), text)
	return err
}
