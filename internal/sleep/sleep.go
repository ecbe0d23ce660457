// Package sleep waits as long as a context lets it. It reads no clock but the
// runtime's, so that tests in a synctest bubble take no time.
package sleep

import (
	"context"
	"time"
)

// For waits for d and returns nil, or returns the cause of ctx when it ends
// before.
func For(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
