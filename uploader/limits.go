package uploader

import (
	"context"
	"io"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"
)

// Limits bound what the uploaders of one peer do together. Nil is no bounds.
// They are safe for concurrent use.
type Limits struct {
	// Nil is no bound.
	uploads   *semaphore.Weighted
	bandwidth *rate.Limiter
}

// The bounds of how much is sent at once under a bandwidth: a tenth of a
// second's, as far as that makes sense for a connection.
const (
	leastBurst = 16 << 10
	mostBurst  = 1 << 20
)

// NewLimits makes limits of so many uploads at once and so many bytes a second;
// zero or less does not limit.
func NewLimits(uploads int, bytesPerSecond int64) *Limits {
	l := &Limits{}
	if uploads > 0 {
		l.uploads = semaphore.NewWeighted(int64(uploads))
	}
	if bytesPerSecond > 0 {
		burst := min(max(bytesPerSecond/10, leastBurst), mostBurst)
		l.bandwidth = rate.NewLimiter(rate.Limit(bytesPerSecond), int(burst))
	}
	return l
}

// enter waits for the turn of an upload, which ends with leave, in the order of
// asking. Its error is the cause of ctx.
func (l *Limits) enter(ctx context.Context) (leave func(), err error) {
	if l == nil || l.uploads == nil {
		return func() {}, nil
	}
	if l.uploads.Acquire(ctx, 1) != nil {
		return nil, context.Cause(ctx)
	}
	return func() { l.uploads.Release(1) }, nil
}

// slow returns what reads no faster than the limits allow. Without a limit it
// is r itself: a file that net/http sees as such is sent by the kernel.
func (l *Limits) slow(ctx context.Context, r io.Reader) io.Reader {
	if l == nil || l.bandwidth == nil {
		return r
	}
	return reading(func(p []byte) (int, error) {
		n, err := r.Read(p[:min(len(p), l.bandwidth.Burst())])
		if l.bandwidth.WaitN(ctx, n) != nil {
			return n, context.Cause(ctx)
		}
		return n, err
	})
}

// reading is a function that reads.
type reading func(p []byte) (int, error)

// Read reads.
func (f reading) Read(p []byte) (int, error) { return f(p) }
