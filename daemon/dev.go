package daemon

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	poold "poold"
	"poold/config"
	"poold/internal/sleep"
	"poold/pool"
)

const (
	// DefaultEtcdPort is etcd's own.
	DefaultEtcdPort = 2379
	// DefaultHTTPPort is where nodepool's web pages were.
	DefaultHTTPPort = 8005
	// embeddedPort is where a one-machine site's etcd listens.
	embeddedPort = DefaultEtcdPort
	// demoVariable names the demo's folder to its configuration.
	demoVariable = "NODEPOOL_DEMO_DIR"
	// demoLease is short: nobody but this process will take the demo over.
	demoLease = 5 * time.Second
	ownerOnly = 0o700
	// readyLook is how often the demo looks whether it is ready; only humans
	// wait for it.
	readyLook = 200 * time.Millisecond
)

// DevOptions is what the command line says about the demo.
type DevOptions struct {
	Options

	// EtcdPort and HTTPPort are on 127.0.0.1; 0 picks a free one.
	EtcdPort, HTTPPort int
	// DataDir is where the data goes; empty is a temporary folder that is
	// removed at the end.
	DataDir string
	// Only is "etcd" or "clouds" to run just that, or empty for everything.
	Only string
}

// Dev runs the demo until ctx ends: etcd inside the process, three simulated
// clouds over HTTP, and a peer with the repository's nodepool.yaml, or the one
// of the options. It prints where everything is, one "WHAT WHERE" a line, then
// "ready", and then what to try. The end of ctx is no error.
func Dev(ctx context.Context, o DevOptions) error {
	if err := runDev(ctx, o); ctx.Err() == nil {
		return err
	}
	return nil // asked to stop: whatever ended with it is no failure
}

func runDev(ctx context.Context, o DevOptions) error {
	if o.Only != "" && o.Only != "etcd" && o.Only != "clouds" {
		return fmt.Errorf("--only %s: it must be etcd or clouds", o.Only)
	}
	dir, cleanup, err := o.dataDir()
	if err != nil {
		return err
	}
	defer cleanup()
	err = (&demo{DevOptions: o, dir: dir}).run(ctx)
	if ctx.Err() != nil {
		return nil // asked to stop: whatever ended with it is no failure
	}
	return err
}

// run runs the demo, or the part of it that was asked for, until ctx ends.
func (d *demo) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	if d.Only != "clouds" {
		stop, err := d.startEtcd(ctx)
		if err != nil {
			return err
		}
		defer stop()
	}
	if d.Only != "etcd" {
		if err := d.startClouds(ctx, g); err != nil {
			return err
		}
	}
	if d.Only != "" {
		d.say("ready")
		<-ctx.Done()
		return g.Wait()
	}
	g.Go(func() error { return d.runPeer(ctx, g) })
	return g.Wait()
}

// demo is a running demo.
type demo struct {
	DevOptions

	dir, etcd, web string
}

// dataDir returns an absolute folder, and what to do with it in the end.
func (o *DevOptions) dataDir() (string, func(), error) {
	if o.DataDir == "" {
		dir, err := os.MkdirTemp("", "poold-dev-")
		if err != nil {
			return "", nil, fmt.Errorf("make a folder for the demo: %w", err)
		}
		return dir, func() { _ = os.RemoveAll(dir) }, nil // it is temporary in any case
	}
	dir, err := filepath.Abs(o.DataDir)
	if err == nil {
		err = os.MkdirAll(dir, ownerOnly)
	}
	if err != nil {
		return "", nil, fmt.Errorf("--data-dir %s: %w", o.DataDir, err)
	}
	return dir, func() {}, nil
}

func (d *demo) startEtcd(ctx context.Context) (func(), error) {
	endpoint, stop, err := startEtcd(ctx, d.dir, d.EtcdPort, d.Log)
	if err != nil {
		return nil, err
	}
	d.etcd = endpoint
	d.say("etcd " + endpoint)
	return stop, nil
}

// runPeer runs the peer of the demo, and says when it is ready.
func (d *demo) runPeer(ctx context.Context, g *errgroup.Group) error {
	script := filepath.Join(d.dir, "make-image")
	if err := os.WriteFile(script, poold.DemoImageScript(), ownerOnly); err != nil {
		return fmt.Errorf("write the demo's build script: %w", err)
	}
	in, err := d.configuration()
	if err != nil {
		return err
	}
	cfg, err := parseConfig(d.Out, in)
	if err != nil {
		return err
	}
	written := *cfg
	cfg.Etcd.Endpoints, cfg.Etcd.LeaseTTL = []string{d.etcd}, demoLease
	cfg.Name = cmp.Or(cfg.Name, "demo")
	listener, err := listen(ctx, net.JoinHostPort("127.0.0.1", strconv.Itoa(d.HTTPPort)))
	if err != nil {
		return err
	}
	d.web = "http://" + listener.Addr().String()
	d.say("web " + d.web)
	peer := newDaemon(cfg, d.Options)
	if d.ConfigFile != "" {
		peer.files.follow(in, written, d.configuration)
	}
	g.Go(func() error { return d.greet(ctx, peer) })
	return peer.run(ctx, listener)
}

// configuration reads the demo's configuration, with its folder filled in.
func (d *demo) configuration() (config.Input, error) {
	source := config.Source{Name: "nodepool.yaml", Data: poold.DemoConfig()}
	if d.ConfigFile != "" {
		var err error
		if source, err = readSource(d.ConfigFile); err != nil {
			return config.Input{}, err
		}
	}
	env := func(name string) (string, bool) {
		if name == demoVariable {
			return d.dir, true
		}
		return os.LookupEnv(name)
	}
	return config.Input{Main: source, Env: env}, nil
}

// greet waits until every label has its ready nodes and then tells the human
// what to do with them.
func (d *demo) greet(ctx context.Context, peer *Daemon) error {
	for !peer.floorsReached() {
		if err := sleep.For(ctx, readyLook); err != nil {
			return err
		}
	}
	d.say("ready")
	d.say(`
Nodes are ready. Try, in another terminal:

  go run ./cmd/poolctl --etcd ` + d.etcd + ` list
  go run ./cmd/poolctl --etcd ` + d.etcd + ` request create --label ubuntu-noble --wait
  curl -s ` + d.web + `/api/v1/nodes

README.md shows how a CI system asks, with nothing but etcd.`)
	return nil
}

// floorsReached tells whether there are as many ready nodes of each label as
// the configuration wants.
func (d *Daemon) floorsReached() bool {
	view := d.view.Load()
	if view == nil || !view.Synced() {
		return false
	}
	ready := map[string]int{}
	for _, n := range view.Snapshot().Nodes {
		if n.State == pool.NodeReady {
			ready[n.Label]++
		}
	}
	for _, l := range d.catalog().Labels {
		if ready[l.Name] < l.MinReady {
			return false
		}
	}
	return true
}

// say prints a line for a human or a program that started the demo.
func (d *demo) say(line string) {
	_, _ = fmt.Fprintln(d.Out, line) // whoever does not listen misses nothing else
}
