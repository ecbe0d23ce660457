// Package etcd runs a single real etcd inside the process of a test, on a free
// port of the loopback, without logs and without waiting for the disk.
package etcd

import (
	"net/url"
	"testing"

	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"

	"poold/store/kv/etcdkv"
)

// Start runs an etcd until the test ends, and returns where it listens, as
// host:port.
func Start(tb testing.TB) (endpoint string) {
	tb.Helper()
	return start(tb, config(tb.TempDir(), "http"))
}

// StartTLS is Start for an etcd that has a certificate and wants one of its
// clients.
func StartTLS(tb testing.TB, files etcdkv.TLSFiles) (endpoint string) {
	tb.Helper()
	cfg := config(tb.TempDir(), "https")
	cfg.ClientTLSInfo.CertFile, cfg.ClientTLSInfo.KeyFile = files.Cert, files.Key
	cfg.ClientTLSInfo.TrustedCAFile, cfg.ClientTLSInfo.ClientCertAuth = files.CA, true
	return start(tb, cfg)
}

// Serve is Start for a TestMain: the data is in dir, and the caller stops it.
func Serve(dir string) (endpoint string, stop func(), err error) {
	return serve(config(dir, "http"))
}

func start(tb testing.TB, cfg *embed.Config) string {
	tb.Helper()
	endpoint, stop, err := serve(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(stop)
	return endpoint
}

// config is for an etcd that keeps its data in dir and speaks scheme to its
// clients.
func config(dir, scheme string) *embed.Config {
	cfg := embed.NewConfig()
	cfg.Dir = dir
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	cfg.UnsafeNoFsync = true
	client, peer := url.URL{Scheme: scheme, Host: "127.0.0.1:0"}, url.URL{Scheme: "http", Host: "127.0.0.1:0"}
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	return cfg
}

func serve(cfg *embed.Config) (string, func(), error) {
	server, err := embed.StartEtcd(cfg)
	if err != nil {
		return "", nil, err
	}
	<-server.Server.ReadyNotify()
	return server.Clients[0].Addr().String(), server.Close, nil
}
