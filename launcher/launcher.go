package launcher

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"

	"poold/cloud"
	"poold/pool"
)

// Store is what the launcher needs of the records. It is safe for concurrent
// use.
type Store interface {
	// Snapshot returns the newest complete picture, never nil.
	Snapshot() *pool.Snapshot
	// Changed returns a channel that is closed, or receives, when there is a
	// newer snapshot than when Changed was called.
	Changed() <-chan struct{}
	// Apply writes as the owner of the provider and returns the revision it
	// made. Its errors are those of package pool.
	Apply(ctx context.Context, w pool.Write) (int64, error)
	// Read returns the nodes of the provider and what its sweeps found, and
	// perhaps more, read linearizably.
	Read(ctx context.Context) (*pool.Snapshot, error)
}

// Config is what a launcher is made of. Reach, Run and Now may be nil for the
// defaults, and Registerer may be nil for no metrics; everything else is
// required. No two launchers may share a registry.
type Config struct {
	// Provider is the provider as configured.
	Provider pool.Provider
	// Installation is the id that marks everything of ours in every cloud.
	Installation string
	Store        Store
	// Driver launches in the provider. Its optional abilities [cloud.Console],
	// [cloud.Exposer] and [cloud.Sweeper] are used if it has them.
	Driver cloud.Driver
	// Reach waits until an instance answers.
	Reach Reach
	// Run runs the ready-command of a label.
	Run Run
	// Now is the time that the peers agree on; the default is this machine's.
	Now func() time.Time
	// Random is what ids are minted from.
	Random     io.Reader
	Log        *zap.Logger
	Registerer prometheus.Registerer
}

// Launcher launches and deletes the nodes of one provider.
type Launcher struct {
	provider     pool.Provider
	installation string
	store        Store
	driver       cloud.Driver
	console      cloud.Console   // nil if the driver cannot
	keyPairer    cloud.KeyPairer // nil if the driver cannot
	addresser    cloud.Addresser // nil if the driver cannot
	prover       cloud.Prover    // nil if the driver cannot
	exposer      cloud.Exposer   // nil if the driver cannot
	sweeper      cloud.Sweeper   // nil if the driver cannot
	cleaner      cloud.Cleaner   // nil if the driver cannot
	doubter      cloud.Doubter   // nil if the driver remembers nothing
	reacher      Reach
	runner       Run
	clock        func() time.Time // nil is this machine's
	consoles     *semaphore.Weighted
	random       io.Reader
	log          *zap.Logger
	metrics      *metrics
}

// New returns a launcher, or an error that says what the configuration lacks.
func New(cfg Config) (*Launcher, error) {
	switch {
	case cfg.Provider.Name == "":
		return nil, errors.New("a launcher needs a provider")
	case cfg.Installation == "":
		return nil, errors.New("a launcher needs the id of the installation")
	case cfg.Store == nil, cfg.Driver == nil, cfg.Random == nil, cfg.Log == nil:
		return nil, errors.New("a launcher needs a store, a driver, randomness and a log")
	}
	l := &Launcher{
		provider: cfg.Provider, installation: cfg.Installation, store: cfg.Store, driver: cfg.Driver,
		reacher: cfg.Reach, runner: cfg.Run, clock: cfg.Now, consoles: semaphore.NewWeighted(consolesMax), random: cfg.Random, metrics: newMetrics(cfg.Registerer),
		log: cfg.Log.With(zap.String("provider", cfg.Provider.Name)),
	}
	l.console, _ = cfg.Driver.(cloud.Console)
	l.keyPairer, _ = cfg.Driver.(cloud.KeyPairer)
	l.addresser, _ = cfg.Driver.(cloud.Addresser)
	l.prover, _ = cfg.Driver.(cloud.Prover)
	l.exposer, _ = cfg.Driver.(cloud.Exposer)
	l.sweeper, _ = cfg.Driver.(cloud.Sweeper)
	l.cleaner, _ = cfg.Driver.(cloud.Cleaner)
	l.doubter, _ = cfg.Driver.(cloud.Doubter)
	d := newDialer()
	if l.reacher == nil {
		l.reacher = d.reach
	}
	if l.runner == nil {
		l.runner = d.run
	}
	return l, nil
}

// callBound ends a call that the cloud, or the queue for its rate limit, never
// lets through. It is generous because waiting for one's turn is normal, and
// longer than a cloud may make us pause.
const callBound = 15 * time.Minute

// call bounds one call to the cloud and gives it its lane.
func call(ctx context.Context, lane cloud.Lane) (context.Context, context.CancelFunc) {
	return context.WithTimeout(cloud.WithLane(ctx, lane), callBound)
}

// ours tells whether a mark is of this installation and provider.
func (l *Launcher) ours(m cloud.Mark) bool {
	return m.Installation == l.installation && m.Provider == l.provider.Name
}

// labelSpec returns how the node's pool makes its label, or nil if neither is
// configured any more.
func (l *Launcher) labelSpec(n *pool.Node) *pool.LabelSpec {
	p := l.provider.Pool(n.Pool)
	if p == nil {
		return nil
	}
	return p.Label(n.Label)
}
