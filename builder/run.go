package builder

import (
	"context"
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

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

// Config is what a builder works with. All fields but Registerer, Export and Now
// are required.
// No two builders may share a registry.
type Config struct {
	Image pool.Image
	// Peer is the name of this peer.
	Peer string
	Dirs Dirs
	// Shop is the same for all builders of the process.
	Shop       *Shop
	Store      Store
	Random     io.Reader
	Log        *zap.Logger
	Registerer prometheus.Registerer
	// Export takes images out of the provider that the image is a snapshot of.
	Export *export.Exporter
	// Now is the time that the peers agree on; nil is this machine's.
	Now func() time.Time
}

// Builder builds one image. It is used by one Run at a time.
type Builder struct {
	image   pool.Image
	peer    string
	dirs    Dirs
	shop    *Shop
	store   Store
	random  io.Reader
	log     *zap.Logger
	metrics metrics
	grace   time.Duration
	fetch   *fetch.Client
	export  *export.Exporter
	clock   func() time.Time

	// The rest belongs to Run.

	// work is the build that was started here and whose outcome is not yet on
	// record, nil if there is none.
	work *work
	// ended is its outcome once there is one.
	ended *outcome
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
		image: c.Image, peer: c.Peer, dirs: c.Dirs, shop: c.Shop, store: c.Store, random: c.Random,
		log:     c.Log.Named("builder").With(zap.String("image", c.Image.Name)),
		metrics: newMetrics(c.Registerer), grace: killGrace, fetch: fetch.New(), export: c.Export, clock: c.Now,
		swept: "-",
	}
}

func (b *Builder) now() time.Time {
	if b.clock == nil {
		return time.Now()
	}
	return b.clock()
}

// Run builds the image whenever it is due, until ctx ends, and returns the cause.
// It returns [pool.ErrNotOwner] when a write says so. A build that is under way
// then is left to the shop, and Run goes on with one that it finds there.
func (b *Builder) Run(ctx context.Context) error {
	b.resume()
	for {
		changed := b.store.Changed()
		next, err := b.step(ctx, b.now())
		if err != nil {
			return err
		}
		if err := b.wait(ctx, changed, next); err != nil {
			return err
		}
	}
}

// resume goes on with the build that an earlier builder of the image left, or ends
// it: its outcome is recorded in either case, if it is not over by its record.
func (b *Builder) resume() {
	b.work = b.shop.of(b.image.Name)
	if b.work == nil {
		return
	}
	switch {
	case !goesOn(find(b.store.Snapshot().BuildsOf(b.image.Name), b.work.build)):
		b.work.end(errOver)
	case b.work.recipe != RecipeHash(&b.image), b.work.dirs != b.dirs:
		b.work.end(errAnother)
	default:
		b.log.Info("going on with a build", buildField(b.work.build))
	}
}

// running is the build that was started and whose outcome is not yet on record,
// "" if there is none.
func (b *Builder) running() string {
	if b.work == nil {
		return ""
	}
	return b.work.build
}

// outcome is closed when there is an outcome that nobody has taken; it is nil while
// none is to be expected.
func (b *Builder) outcome() <-chan struct{} {
	if b.work == nil || b.ended != nil {
		return nil
	}
	return b.work.done
}

// forget forgets the build whose outcome is on record.
func (b *Builder) forget() {
	b.shop.put(b.image.Name, nil)
	b.work, b.ended = nil, nil
}

// wait returns when the next pass is worth while, or with the cause of ctx.
func (b *Builder) wait(ctx context.Context, changed <-chan struct{}, next time.Time) error {
	now := b.now()
	latest := time.NewTimer(min(passMax, max(passGap, next.Sub(now))))
	defer latest.Stop()
	if next.IsZero() {
		latest.Reset(passMax)
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-b.outcome():
		b.ended = &b.work.outcome
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
	case <-b.outcome():
		b.ended = &b.work.outcome
	case <-gap.C:
	}
	return nil
}
