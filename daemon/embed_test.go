package daemon

import (
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
)

// An etcd stops though somebody is connected who says nothing, and its data is
// closed: it can be opened again.
func TestEtcdStopsBesideTheSilent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	endpoint, stop, err := startEtcd(t.Context(), dir, 0, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(endpoint, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		stop()
	}()
	select {
	case <-stopped:
	case <-time.After(2 * time.Minute):
		t.Fatal("it does not stop")
	}
	_, stop, err = startEtcd(t.Context(), dir, 0, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	stop()
}
