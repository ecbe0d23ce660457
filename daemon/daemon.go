package daemon

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"poold/builder"
	"poold/cloud/guard"
	"poold/config"
	"poold/internal/sleep"
	"poold/peers"
	"poold/pool"
	"poold/statsd"
	"poold/store"
	"poold/store/kv"
	"poold/store/kv/etcdkv"
	"poold/trace"
	"poold/uploader"
	"poold/web"
)

const (
	// etcdPause is how long to wait before trying etcd again.
	etcdPause = 2 * time.Second
	// closeTime bounds each step of an orderly stop.
	closeTime = 10 * time.Second
)

// Daemon is one peer.
type Daemon struct {
	cfg      *config.Config
	name     string
	version  string
	log      *zap.Logger
	registry *registry
	shop     *builder.Shop
	uploads  *uploader.Limits
	shelf    *uploader.Shelf
	// lookPause is the time between two looks at clouds.yaml.
	lookPause time.Duration
	// newest is what follows from the configuration in force; cfg is the one that
	// the process began with.
	newest *newest
	// suggested is what group the clouds suggested, limits those of the groups.
	suggested map[[2]string]string
	limits    map[string]*guard.Limits
	// files follows the files of the configuration.
	files  *fileReload
	spread *peers.Spread
	union  *peers.Union
	pulse  *pulse
	clock  *peers.Clock
	kv     kv.KV
	store  *store.Store
	// pace is how fast etcd is.
	pace *pace
	// view is set once etcd was reached.
	view atomic.Pointer[store.View]
	// installation marks everything of ours in every cloud.
	installation string
	// session tells whether there is one with etcd, for readiness, and away why
	// there is none.
	session atomic.Bool
	away    atomic.Pointer[error]
	// open is what the web port serves once etcd was reached.
	open atomic.Pointer[web.Server]
	// teller tells of traces; nil if nobody wants to hear.
	teller *trace.Teller
	// stats tells a statsd server; nil if there is none.
	stats *statsd.Teller
	// writes tells whether etcd takes changes.
	writes *noted
}

// Run reads the configuration and runs the peer until ctx ends or it cannot go
// on.
func Run(ctx context.Context, o Options) error {
	in, err := o.readInput()
	if err != nil {
		return err
	}
	cfg, err := parseConfig(o.Out, in)
	if err != nil {
		return err
	}
	written := *cfg
	if cfg.Etcd.Embedded == "" && len(cfg.Etcd.Endpoints) == 0 {
		return fmt.Errorf("%s: it does not say where etcd is; add etcd: {endpoints: [\"http://HOST:2379\"]}, "+
			"or etcd: {embedded: DIR} for a site with one machine", o.ConfigFile)
	}
	if cfg.Etcd.Embedded != "" {
		endpoint, stop, err := startEtcd(ctx, cfg.Etcd.Embedded, embeddedPort, o.Log)
		if err != nil {
			return err
		}
		defer stop()
		cfg.Etcd.Endpoints = []string{endpoint}
	}
	listener, err := listen(ctx, net.JoinHostPort(cfg.Web.ListenAddress, strconv.Itoa(cfg.Web.Port)))
	if err != nil {
		return err
	}
	if cfg.Name == "" {
		if cfg.Name, err = os.Hostname(); err != nil {
			return fmt.Errorf("name this peer: %w", errors.Join(err, listener.Close()))
		}
	}
	d := newDaemon(cfg, o)
	d.files.follow(in, written, o.readInput)
	return d.run(ctx, listener)
}

func newDaemon(cfg *config.Config, o Options) *Daemon {
	d := &Daemon{
		cfg: cfg, name: cfg.Name, version: o.Version, log: o.Log, registry: newRegistry(),
		shop: builder.NewShop(max(1, cfg.Builder.MaxBuilds)), uploads: uploader.NewLimits(cfg.Uploads.Max, cfg.Uploads.BytesPerSecond),
		lookPause: reloadPause, spread: peers.NewSpread(cfg.Name, time.Now), union: peers.NewUnion(cfg.Name, time.Now), writes: &noted{},
		newest:    newNewest(&setup{cfg: cfg, loaded: time.Now().UTC().Truncate(time.Millisecond)}),
		suggested: map[[2]string]string{}, limits: map[string]*guard.Limits{},
		pulse: newPulse(), clock: &peers.Clock{Own: time.Now},
	}
	d.registry.duty("loops").MustRegister(newLoopMetrics(d.pulse))
	d.files = newFileReload(d, o.Reload)
	if cfg.Web.ImageURL != "" {
		d.shelf = uploader.NewShelf(cfg.Web.ImageURL, rand.Reader, d.uploads)
	}
	return d
}

// imageFiles opens what clouds may fetch; nil if they may not.
func (d *Daemon) imageFiles() func(context.Context, string) (io.ReadCloser, int64, error) {
	if d.shelf == nil {
		return nil
	}
	return d.shelf.Open
}

// run reaches etcd, however long that takes, and works until ctx ends, which
// is no error, or it cannot go on. Its pages say meanwhile what it waits for.
func (d *Daemon) run(ctx context.Context, listener net.Listener) error {
	defer func() { _ = listener.Close() }() // serving closes it, too
	err := d.serving(ctx, listener, func(ctx context.Context) error {
		db, err := d.connect(ctx)
		if err != nil {
			return err
		}
		return errors.Join(d.work(ctx, db, listener.Addr()), db.Close())
	})
	d.log.Info("stopped")
	if ctx.Err() != nil {
		return nil // asked to stop: whatever ended with it is no failure
	}
	return err
}

// serving works with the web pages beside it, until one of them ends.
func (d *Daemon) serving(ctx context.Context, listener net.Listener, work func(context.Context) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.serveWeb(ctx, listener) })
	g.Go(func() error { return work(ctx) })
	return g.Wait()
}

// connect makes the connection to etcd.
func (d *Daemon) connect(ctx context.Context) (*etcdkv.KV, error) {
	tlsConfig, err := etcdkv.TLSFiles(d.cfg.Etcd.TLS).Load()
	if err != nil {
		return nil, err
	}
	for {
		db, err := etcdkv.Open(ctx, etcdkv.Config{
			Endpoints: d.cfg.Etcd.Endpoints, TLS: tlsConfig, Log: d.log,
			Username: d.cfg.Etcd.Username, Password: d.cfg.Etcd.Password.Reveal(),
		})
		if err == nil {
			return db, nil
		}
		if !d.etcdAway(ctx, err) {
			return nil, context.Cause(ctx)
		}
	}
}

// work runs the peer on its records, with its pages at an address, until ctx
// ends or it cannot go on.
func (d *Daemon) work(ctx context.Context, db kv.KV, address net.Addr) error {
	d.pace = newPace(d.registry.duty("etcd"))
	d.writes.KV = crashing(paced{db, d.pace})
	d.kv = d.writes
	d.store = store.New(d.kv, d.cfg.Etcd.Prefix, d.log)
	if err := d.join(ctx); err != nil {
		return err
	}
	began, err := d.arrange(d.cfg, nil, nil, d.setup())
	if err != nil {
		d.log.Error("providers left out", zap.Error(err))
	}
	d.enforce(began)
	return d.serve(ctx, address)
}

// join learns the installation.
func (d *Daemon) join(ctx context.Context) error {
	for {
		var err error
		d.installation, err = d.store.Installation(ctx, func() (string, error) { return pool.NewID(rand.Reader) })
		if err == nil {
			d.view.Store(d.store.View())
			return nil
		}
		if !d.etcdAway(ctx, err) {
			return context.Cause(ctx)
		}
	}
}

// etcdAway says that etcd was not reached, and waits before it is tried again;
// false says that ctx ended.
func (d *Daemon) etcdAway(ctx context.Context, err error) bool {
	d.away.Store(&err)
	d.log.Warn("etcd not reached", zap.Strings("endpoints", d.cfg.Etcd.Endpoints), zap.Error(err))
	return sleep.For(ctx, etcdPause) == nil
}

// serve runs everything until ctx ends or something cannot go on.
func (d *Daemon) serve(ctx context.Context, address net.Addr) error {
	pages, err := d.pages()
	if err != nil {
		return err
	}
	defer d.shop.Close() // builds go on without an owner, but not without us
	if d.teller, err = d.newTeller(); err != nil {
		return err
	}
	if d.stats, err = d.newStats(); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	view := d.view.Load()
	d.open.Store(pages)
	g.Go(func() error { return pages.Run(ctx) })
	g.Go(func() error { return d.teller.Run(ctx) })
	g.Go(func() error { return d.stats.Run(ctx) })
	g.Go(func() error { return view.Run(ctx) })
	g.Go(func() error { return d.sessions(ctx) })
	g.Go(func() error { return d.followClouds(ctx) })
	g.Go(func() error { return d.files.run(ctx) })
	if slices.Contains(d.cfg.Roles, pool.RoleBuilder) {
		g.Go(func() error { return d.tidy(ctx) })
	}
	g.Go(func() error {
		giveBack(ctx)
		return nil
	})
	g.Go(func() error {
		watchdog(ctx, d.log, d.alive(ctx))
		return nil
	})
	g.Go(func() error {
		if err := view.WaitFor(ctx, 1); err != nil {
			return err
		}
		d.log.Info("started", zap.String("peer", d.name), zap.String("version", d.version),
			zap.String("installation", d.installation), zap.Stringer("web", address))
		notify(d.log, daemon.SdNotifyReady)
		<-ctx.Done()
		notify(d.log, daemon.SdNotifyStopping)
		return context.Cause(ctx)
	})
	return g.Wait()
}

// newTeller makes what tells of traces.
func (d *Daemon) newTeller() (*trace.Teller, error) {
	return trace.New(trace.Config{
		Endpoint: d.cfg.Tracing, Getenv: os.Getenv, Version: d.version, Peer: d.name,
		Registerer: d.registry.duty("trace"), Log: d.log,
	})
}

// serveWeb serves the web port until ctx ends.
func (d *Daemon) serveWeb(ctx context.Context, listener net.Listener) error {
	server := &http.Server{
		Handler: http.HandlerFunc(d.front), ReadHeaderTimeout: closeTime, IdleTimeout: idleTime, MaxHeaderBytes: mostHeader,
		ConnState: (&connections{}).note,
	}
	stopped := context.AfterFunc(ctx, func() { _ = server.Close() }) // ends Serve, which reports it
	defer stopped()
	serve := server.Serve
	if d.cfg.Web.TLS != (config.TLS{}) {
		var err error
		if server.TLSConfig, err = webTLS(d.cfg.Web.TLS, d.log); err != nil {
			return err
		}
		serve = func(l net.Listener) error { return server.ServeTLS(l, "", "") }
	}
	if err := serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the web pages: %w", err)
	}
	return context.Cause(ctx)
}
