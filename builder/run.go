package builder

import (
	"context"
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"

	"poold/builder/export"
	"poold/builder/fetch"
	"poold/pool"
)

// The pace of the loop.
const (
	// passGap is the least time between two passes, however much changes.
	passGap = time.Second
	// passMax is the longest time between two passes.
	passMax = time.Minute
)

// Store is what a builder needs of the store. Writes are made as the owner of
// the image.
type Store interface {
	// Snapshot returns all records as of one revision.
	Snapshot() *pool.Snapshot
	// Changed returns a channel that is closed, or sent to, when the snapshot
	// changes after the call.
	Changed() <-chan struct{}
	// Apply makes a write and returns its revision. It fails with
	// [pool.ErrConflict], [pool.ErrNotOwner], [pool.ErrUnavailable] or
	// [pool.ErrUnknown].
	Apply(ctx context.Context, w pool.Write) (int64, error)
}

// Config is what a builder works with. All fields but Registerer and Export are
// required.
// No two builders may share a registry.
type Config struct {
	Image pool.Image
	// Peer is the name of this peer.
	Peer string
	Dirs Dirs
	// Slots bounds how many commands the builders of the process run at once.
	Slots      *semaphore.Weighted
	Store      Store
	Random     io.Reader
	Log        *zap.Logger
	Registerer prometheus.Registerer
	// Export takes images out of the provider that the image is a snapshot of.
	Export *export.Exporter
}

// Builder builds one image. It is used by one Run at a time.
type Builder struct {
	image   pool.Image
	peer    string
	dirs    Dirs
	slots   *semaphore.Weighted
	store   Store
	random  io.Reader
	log     *zap.Logger
	metrics metrics
	grace   time.Duration
	fetch   *fetch.Client
	export  *export.Exporter

	// The rest belongs to Run.

	// running is the build whose command was started and whose outcome is not
	// yet on record, "" if there is none.
	running string
	// ended is the outcome of running once there is one.
	ended *outcome
	// outcomes brings it.
	outcomes chan outcome
	// after is the revision that a snapshot must have to decide on it.
	after int64
	// swept is the set of builds whose files were kept by the last sweep.
	swept string
	// sweepAt is when a sweep that failed may be tried again.
	sweepAt time.Time
}

// New makes a builder.
func New(c Config) *Builder {
	return &Builder{
		image: c.Image, peer: c.Peer, dirs: c.Dirs, slots: c.Slots, store: c.Store, random: c.Random,
		log:     c.Log.Named("builder").With(zap.String("image", c.Image.Name)),
		metrics: newMetrics(c.Registerer), grace: killGrace, fetch: fetch.New(), export: c.Export,
		outcomes: make(chan outcome, 1), swept: "-",
	}
}

// Run builds the image whenever it is due, until ctx ends: then the command,
// if one runs, is killed, and Run returns the cause of ctx. It returns
// [pool.ErrNotOwner] when a write says so.
func (b *Builder) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		if b.running != "" && b.ended == nil {
			<-b.outcomes
		}
	}()
	for {
		changed := b.store.Changed()
		next, err := b.step(ctx, time.Now())
		if err != nil {
			return err
		}
		if err := b.wait(ctx, changed, next); err != nil {
			return err
		}
	}
}

// wait returns when the next pass is worth while, or with the cause of ctx.
func (b *Builder) wait(ctx context.Context, changed <-chan struct{}, next time.Time) error {
	now := time.Now()
	latest := time.NewTimer(min(passMax, max(passGap, next.Sub(now))))
	defer latest.Stop()
	if next.IsZero() {
		latest.Reset(passMax)
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case o := <-b.outcomes:
		b.ended = &o
		return nil
	case <-latest.C:
		return nil
	case <-changed:
	}
	gap := time.NewTimer(passGap)
	defer gap.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case o := <-b.outcomes:
		b.ended = &o
	case <-gap.C:
	}
	return nil
}
