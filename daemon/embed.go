package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

const (
	// etcdStart bounds the start of the embedded etcd.
	etcdStart = time.Minute
	// compactionAge is how much history etcd keeps: enough for a watch to
	// resume after a pause, little enough to stay small.
	compactionAge = "5m"
	// backendBytes is the size at which etcd stops taking writes.
	backendBytes = 8 << 30
)

// startEtcd runs a single-member etcd inside the process, its data in dir, its
// clients on 127.0.0.1 at port (0 picks a free one). It returns its endpoint
// and a function that stops it.
func startEtcd(ctx context.Context, dir string, port int, log *zap.Logger) (string, func(), error) {
	client, err := freeURL(ctx, port)
	if err != nil {
		return "", nil, err
	}
	peer, err := freeURL(ctx, 0)
	if err != nil {
		return "", nil, err
	}
	cfg := embed.NewConfig()
	cfg.Name = "poold"
	cfg.Dir = etcdDir(dir)
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	cfg.AutoCompactionMode, cfg.AutoCompactionRetention = embed.CompactorModePeriodic, compactionAge
	cfg.QuotaBackendBytes = backendBytes
	cfg.EnableGRPCGateway = true
	level := zap.NewAtomicLevelAt(zap.ErrorLevel)
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(log.Named("etcd").WithOptions(zap.IncreaseLevel(level)))
	server, err := embed.StartEtcd(cfg)
	if err != nil {
		return "", nil, fmt.Errorf("start etcd in %s at %s: %w", cfg.Dir, client.String(), err)
	}
	ctx, cancel := context.WithTimeout(ctx, etcdStart)
	defer cancel()
	select {
	case <-server.Server.ReadyNotify():
		return client.String(), func() {
			level.SetLevel(zap.FatalLevel) // it reports each closed listener as an error
			stopEtcd(server)
		}, nil
	case err = <-server.Err():
	case <-server.Server.StopNotify():
		err = errors.New("it stopped")
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	stopEtcd(server)
	return "", nil, fmt.Errorf("start etcd in %s: %w", cfg.Dir, err)
}

// stopEtcd closes a server with its connections. It waits without an end for a
// client that is connected and has said nothing yet, as a spare connection of an
// HTTP client: then the data is closed, and the connection ends with the process.
func stopEtcd(server *embed.Etcd) {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		server.Close()
	}()
	timer := time.NewTimer(closeTime)
	defer timer.Stop()
	select {
	case <-closed:
	case <-timer.C:
		server.Server.Stop()
	}
}

// etcdDir is where the embedded etcd keeps its data below dir.
func etcdDir(dir string) string { return filepath.Join(dir, "etcd") }

// freeURL returns a loopback URL whose port is free now.
func freeURL(ctx context.Context, port int) (url.URL, error) {
	listener, err := listen(ctx, net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return url.URL{}, err
	}
	defer func() { _ = listener.Close() }() // it was only asked for its address
	return url.URL{Scheme: "http", Host: listener.Addr().String()}, nil
}

func listen(ctx context.Context, address string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s (another poold or etcd may be running; --etcd-port and --http-port move it): %w", address, err)
	}
	return l, nil
}
