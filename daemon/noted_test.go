package daemon

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"poold/config"
	"poold/store/kv"
	"poold/store/kv/memkv"
	"poold/test/proc"
)

// A change that etcd does not take shows until one is taken, and not for ever
// where none is tried again.
func TestRefusedChangesShow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memkv.New(time.Now())
		n := &noted{KV: mem}
		put := func() {
			_, _, err := n.Commit(t.Context(), kv.Txn{Then: []kv.Op{kv.Put("k", nil)}})
			if got := n.refused(time.Now()); !errors.Is(got, err) {
				t.Errorf("after %v it shows %v", err, got)
			}
		}
		put()
		mem.Down()
		put()
		mem.Up()
		put()
		mem.Down()
		put()
		time.Sleep(refusalLasts + 1)
		if got := n.refused(time.Now()); got != nil {
			t.Errorf("a minute later it shows %v", got)
		}
	})
}

// A peer that has not reached etcd yet says so on its pages.
func TestPagesBeforeEtcdIsReached(t *testing.T) {
	for what, etcd := range map[string]config.Etcd{
		"without a login": {Endpoints: []string{"http://127.0.0.1:1"}, LeaseTTL: ttl},
		"with a login":    {Endpoints: []string{"http://127.0.0.1:1"}, LeaseTTL: ttl, Username: "poold", Password: config.NewSecret("geheim")},
	} {
		d := newDaemon(&config.Config{Etcd: etcd}, Options{Log: zap.NewNop()})
		listener := freePort(t)
		ended := make(chan error, 1)
		go func() { ended <- d.run(t.Context(), listener) }()
		at := "http://" + listener.Addr().String()
		proc.Await(t, "it says that etcd is away, "+what, time.Minute, func() (string, bool) {
			status, body := get(t, at+"/readyz")
			if strings.Contains(body, "geheim") {
				t.Fatalf("the password is in %s", body)
			}
			return body, status == http.StatusServiceUnavailable && strings.Contains(body, "nothing is launched or deleted: ")
		})
		if status, body := get(t, at+"/healthz"); status != http.StatusOK {
			t.Errorf("/healthz: %d %s", status, body)
		}
		select {
		case err := <-ended:
			t.Errorf("it ended with %v", err)
		default:
		}
	}
}
