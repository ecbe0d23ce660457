package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"poold/store"
)

const (
	// stallLimit is how long a component may go without looking at its records
	// before its duty is given up: another peer may do better.
	stallLimit = time.Minute
	// stallLook is how often that is looked at, and nudgeAfter how long a
	// component may have nothing to do before it is nudged.
	stallLook  = 5 * time.Second
	nudgeAfter = 30 * time.Second
)

var (
	// errStalled ends a duty whose component makes no progress.
	errStalled = errors.New("it has made no progress for " + stallLimit.String())
	// ErrStuck ends the process: a component did not end when it had to, and
	// nobody knows what it does yet. Its ownership is gone, and its context.
	ErrStuck = errors.New("a component does not end")
)

// watched runs the component of a duty, and gives the duty up when the component
// stalls: others would wait for ever for an owner that lives and does nothing. It
// is nudged now and then, so that one that has nothing to do is told from one that
// can do nothing.
func watched(ctx context.Context, duty duty, records *store.Owned) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ended := make(chan error, 1)
	go func() { ended <- duty.run(ctx, records) }()
	ticker := time.NewTicker(stallLook)
	defer ticker.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case <-ticker.C:
		}
		if unseen := records.Unseen(); ctx.Err() == nil && unseen < stallLimit {
			if unseen >= nudgeAfter {
				records.Nudge()
			}
			continue
		}
		if ctx.Err() == nil {
			cancel(errStalled)
		}
		return awaitEnd(ctx, duty, ended)
	}
}

// awaitEnd waits for a component whose time is over, but not for ever.
func awaitEnd(ctx context.Context, duty duty, ended <-chan error) error {
	timer := time.NewTimer(stallLimit)
	defer timer.Stop()
	select {
	case err := <-ended:
		if errors.Is(context.Cause(ctx), errStalled) {
			return errStalled
		}
		return err
	case <-timer.C:
		return fmt.Errorf("%s: %w", duty.key, ErrStuck)
	}
}
