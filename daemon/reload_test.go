package daemon

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"poold/config"
	"poold/pool"
	"poold/store/kv/memkv"
)

// changing is a driver whose looks come to what a test says, in order.
type changing struct {
	results []any // true, false or an error
	looks   atomic.Int64
}

func (c *changing) Reload(context.Context) (bool, error) {
	c.looks.Add(1)
	if len(c.results) == 0 {
		return false, nil
	}
	next := c.results[0]
	c.results = c.results[1:]
	if err, ok := next.(error); ok {
		return false, err
	}
	return next == true, nil
}

// A change of clouds.yaml is looked for every few seconds and told in the log
// and the metrics; a change that is of no use ends nothing.
func TestReloader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.InfoLevel)
		reg := prometheus.NewPedanticRegistry()
		d := &changing{results: []any{false, errors.New("clouds.yaml:7: broken"), false, true, true}}
		r := &reloader{driver: d, pause: reloadPause, metrics: newReloadMetrics(reg, "p"), log: zap.New(core)}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.run(ctx) }()
		for i, want := range []struct{ failed, failures, taken float64 }{
			{0, 0, 0}, {1, 1, 0}, {1, 1, 0}, {0, 1, 1}, {0, 1, 2}, {0, 1, 2},
		} {
			time.Sleep(reloadPause)
			synctest.Wait()
			failed := value(t, reg, "poold_cloud_reload_failed", "")
			failures, taken := value(t, reg, "poold_cloud_reloads_total", "failed"), value(t, reg, "poold_cloud_reloads_total", "taken")
			if failed != want.failed || failures != want.failures || taken != want.taken || d.looks.Load() != int64(i+1) {
				t.Errorf("after look %d of %d: got %v, %v, %v, want %v", d.looks.Load(), i+1, failed, failures, taken, want)
			}
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
		if failures := logs.FilterMessage("clouds.yaml not taken over").All(); len(failures) != 1 ||
			failures[0].ContextMap()["error"] != "clouds.yaml:7: broken" || logs.FilterMessage("clouds.yaml taken over").Len() != 2 {
			t.Errorf("log: %v", logs.All())
		}
	})
}

// A running peer follows clouds.yaml, and goes on with what it had when that
// is of no use.
func TestCloudsAreFollowed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clouds.yaml")
	t.Setenv("OS_CLIENT_CONFIG_FILE", path)
	const good = "clouds: {c: {auth: {auth_url: 'http://127.0.0.1:1/v3', user_id: u, password: p}}}"
	if err := os.WriteFile(path, []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	d := newDaemon(&config.Config{
		Name: "one", Etcd: config.Etcd{LeaseTTL: ttl},
		Catalog: pool.Catalog{Providers: []pool.Provider{{Name: "p", Cloud: "c"}}},
	}, Options{Log: zap.NewNop()})
	d.lookPause = 10 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	listener := freePort(t)
	ended := make(chan error, 1)
	go func() { ended <- d.workOn(ctx, memkv.New(time.Now()), listener) }()
	page := "http://" + listener.Addr().String() + "/metrics"
	for _, step := range []struct{ text, want string }{
		{"", `poold_cloud_reload_failed{provider="p"} 0`}, // as it is: poold may be reading it
		{"clouds: {c: [", `poold_cloud_reload_failed{provider="p"} 1`},
		{good, `poold_cloud_reload_failed{provider="p"} 0`},
	} {
		if step.text != "" {
			if err := os.WriteFile(path, []byte(step.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		shows(t, page, func(body string) bool { return strings.Contains(body, step.want) })
	}
	cancel()
	if err := <-ended; err == nil || ctx.Err() == nil {
		t.Errorf("ended with %v", err)
	}
}

// value returns a metric of the provider, by its outcome if it has one; 0 if
// it is not there.
func value(t *testing.T, g prometheus.Gatherer, name, outcome string) float64 {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if has(m, "provider", "p") && (outcome == "" || has(m, "outcome", outcome)) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return 0
}

func has(m *dto.Metric, label, want string) bool {
	for _, l := range m.GetLabel() {
		if l.GetName() == label {
			return l.GetValue() == want
		}
	}
	return false
}
