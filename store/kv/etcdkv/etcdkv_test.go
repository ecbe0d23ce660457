package etcdkv_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"pgregory.net/rapid"

	"poold/store/kv"
	"poold/store/kv/etcdkv"
	"poold/store/kv/kvtest"
	"poold/store/kv/memkv"
	"poold/test/etcd"
)

func open(t *testing.T, endpoint string) *etcdkv.KV {
	t.Helper()
	k, err := etcdkv.Open(t.Context(), etcdkv.Config{Endpoints: []string{endpoint}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	})
	return k
}

func TestConformance(t *testing.T) {
	endpoint := etcd.Start(t)
	conform(t, endpoint)
}

// Debian's etcd is older than the client; what is installed must do, too.
func TestConformanceOfInstalledEtcd(t *testing.T) {
	path, err := exec.LookPath("etcd")
	if err != nil {
		t.Skip("no etcd is installed")
	}
	client, peer := "http://"+freeAddress(t), "http://"+freeAddress(t)
	cmd := exec.CommandContext(t.Context(), path, "--data-dir", t.TempDir(), "--unsafe-no-fsync",
		"--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	k := open(t, client)
	for t.Context().Err() == nil {
		if _, err := k.Get(t.Context(), "k"); errors.Is(err, kv.ErrNotFound) {
			break // it serves
		}
	}
	conform(t, client)
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func conform(t *testing.T, endpoint string) {
	t.Helper()
	k := open(t, endpoint)
	raw, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = raw.Close() }()
	kvtest.Run(t, kvtest.Harness{
		Open: func(*testing.T) kv.KV { return k },
		Compact: func(t *testing.T, _ kv.KV, revision int64) {
			t.Helper()
			if _, err := raw.Compact(t.Context(), revision); err != nil {
				t.Fatal(err)
			}
		},
	})
}

// The model is worth what it has in common with etcd.
func TestModelAgreesWithEtcd(t *testing.T) {
	endpoint := etcd.Start(t)
	k := open(t, endpoint)
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		kvtest.Compare(t, memkv.New(time.Unix(0, 0)), k, fmt.Sprintf("/model/%d/", n))
	})
}

// A call that found no server was not done; saying "unknown" would make the
// caller repeat it for nothing.
func TestNobodyThereIsUnavailable(t *testing.T) {
	k := open(t, freeAddress(t))
	_, _, err := k.Commit(t.Context(), kv.Txn{Then: []kv.Op{kv.Put("k", nil)}})
	if !errors.Is(err, kv.ErrUnavailable) || errors.Is(err, kv.ErrUnknown) {
		t.Errorf("commit: %v, want unavailable", err)
	}
	if _, err := k.Renew(t.Context(), 1); errors.Is(err, kv.ErrNotFound) || err == nil {
		t.Errorf("renew: %v, want anything but a dead lease", err)
	}
}

// A server that takes a call and never answers may have done it.
func TestNoAnswerIsUnknown(t *testing.T) {
	endpoint := etcd.Start(t)
	front, stop := tunnel(t, endpoint)
	k := open(t, front)
	if _, err := k.Get(t.Context(), "k"); !errors.Is(err, kv.ErrNotFound) {
		t.Fatal(err)
	}
	stop()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, _, err := k.Commit(ctx, kv.Txn{Then: []kv.Op{kv.Put("k", nil)}})
	if !errors.Is(err, kv.ErrUnknown) {
		t.Errorf("commit: %v, want unknown", err)
	}
	if _, err := k.Get(ctx, "k"); !errors.Is(err, kv.ErrUnavailable) {
		t.Errorf("get: %v, want unavailable", err)
	}
}

// tunnel is a way to etcd that stop makes swallow what is sent from then on.
func tunnel(t *testing.T, endpoint string) (front string, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	stopped := make(chan struct{})
	pump := func(dst, src net.Conn) {
		defer func() { _ = dst.Close() }()
		buf := make([]byte, 32<<10)
		for {
			n, err := src.Read(buf)
			if err != nil {
				return
			}
			select {
			case <-stopped:
				continue
			default:
			}
			if _, err := dst.Write(buf[:n]); err != nil {
				return
			}
		}
	}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", endpoint)
			if err != nil {
				_ = in.Close()
				return
			}
			go pump(in, out)
			go pump(out, in)
		}
	}()
	return l.Addr().String(), func() { close(stopped) }
}
