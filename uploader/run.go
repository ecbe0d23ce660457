package uploader

import (
	"context"
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"poold/cloud"
	"poold/pool"
)

// The pace of the loop.
const (
	// passGap is the least time between two passes, however much changes: what
	// changed is seldom alone.
	passGap = 50 * time.Millisecond
	// passMax is the longest time between two passes.
	passMax = 30 * time.Second
	// patrolEvery is how often what is in the cloud is compared with the
	// records; a leak must be seen by two patrols.
	patrolEvery = 10 * time.Minute
	// patrolSoon is the least time between two when the cloud refused a launch.
	patrolSoon = 30 * time.Second
)

// Store is what an uploader needs of the store. Writes are made as the owner
// of the provider's uploads. It is safe for concurrent use.
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

// Config is what an uploader works with. All fields but Limits, Shelf, Now and
// Registerer are required. No two uploaders may share a registry.
type Config struct {
	Provider pool.Provider
	// Peer is the name of this peer, Installation the id of the installation.
	Peer, Installation string
	// Images are the recipes of the configuration; their properties are set
	// on uploads.
	Images []pool.Image
	// Driver talks to the provider. If it is a [cloud.Sweeper] too, leaked
	// images are removed.
	Driver cloud.ImageDriver
	// Limits are shared by the uploaders of a peer; nil is no limits.
	Limits *Limits
	// Shelf is where clouds fetch files; nil if they cannot.
	Shelf *Shelf
	Store Store
	// Now is the time that the peers agree on; nil is this machine's.
	Now        func() time.Time
	Random     io.Reader
	Log        *zap.Logger
	Registerer prometheus.Registerer
}

// Uploader keeps the images of one provider. It is used by one Run at a time.
type Uploader struct {
	provider     pool.Provider
	peer         string
	installation string
	images       []pool.Image
	driver       cloud.ImageDriver
	limits       *Limits
	shelf        *Shelf
	clock        func() time.Time // nil is this machine's
	store        Store
	random       io.Reader
	log          *zap.Logger
	metrics      metrics

	// The rest belongs to Run; goroutines report through results.

	// jobs are the goroutines that move a record, by record.
	jobs    map[key]*job
	results chan result
	// began is when Run did.
	began time.Time
	// retry says which records must wait after a failed attempt.
	retry map[key]pause
	// after is the revision that a snapshot must have to decide on it.
	after int64
	// patrolAt is when the next patrol is due, patrolBegan when the last began.
	patrolAt, patrolBegan time.Time
	patrolled             chan patrolReport
	// suspects are images that no record named at a time, objects the objects
	// that none needed.
	suspects, objects map[string]time.Time
	// patrolling says that a patrol is on its way.
	patrolling bool
}

// New makes an uploader.
func New(c Config) *Uploader {
	return &Uploader{
		provider: c.Provider, peer: c.Peer, installation: c.Installation, images: c.Images,
		driver: c.Driver, limits: c.Limits, shelf: c.Shelf, clock: c.Now, store: c.Store, random: c.Random,
		log:     c.Log.Named("uploader").With(zap.String("provider", c.Provider.Name)),
		metrics: newMetrics(c.Registerer),
		jobs:    make(map[key]*job), results: make(chan result), retry: make(map[key]pause),
		patrolled: make(chan patrolReport), suspects: make(map[string]time.Time),
	}
}

// Run keeps the provider's images until ctx ends, and returns its cause, or
// until a write returns [pool.ErrNotOwner]. Data that is being sent then is
// not; the records say how to go on.
func (u *Uploader) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(cloud.WithLane(ctx, cloud.LaneImage))
	defer u.drain()
	defer cancel()
	u.began = u.now()
	for {
		changed := u.store.Changed()
		next, err := u.step(ctx, u.now())
		if err != nil {
			return err
		}
		if err := u.wait(ctx, changed, next); err != nil {
			return err
		}
	}
}

func (u *Uploader) now() time.Time {
	if u.clock == nil {
		return time.Now()
	}
	return u.clock()
}

// drain waits for all goroutines of a run that is over.
func (u *Uploader) drain() {
	for len(u.jobs) > 0 {
		delete(u.jobs, (<-u.results).key)
	}
	if u.patrolling {
		<-u.patrolled
	}
}

// wait returns when the next pass is worth while, or with the cause of ctx or
// the error that ended a job for good.
func (u *Uploader) wait(ctx context.Context, changed <-chan struct{}, next time.Time) error {
	d := passMax
	if !next.IsZero() {
		d = min(passMax, max(passGap, next.Sub(u.now())))
	}
	err := u.listen(ctx, changed, d)
	if err != nil {
		return err
	}
	return u.listen(ctx, nil, passGap)
}

// listen waits for one thing to happen, at most for d.
func (u *Uploader) listen(ctx context.Context, changed <-chan struct{}, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case r := <-u.results:
		return u.finished(r, u.now())
	case r := <-u.patrolled:
		u.patrolling, u.suspects, u.objects = false, r.suspects, r.objects
		return u.report(ctx, r, u.now())
	case <-changed:
	case <-timer.C:
	}
	return nil
}

// move returns the record of a transfer in another state, as of now.
func (t *transfer) move(to pool.UploadState) *pool.Upload { return t.record.Moved(to, t.now()) }
