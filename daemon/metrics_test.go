package daemon

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/zap"

	"poold/allocator"
	"poold/builder"
	"poold/cloud"
	"poold/cloud/guard"
	"poold/internal/golden"
	"poold/launcher"
	"poold/pool"
	"poold/statsd"
	"poold/trace"
	"poold/uploader"
	"poold/web"
)

const (
	metricsFile = "../docs/metrics.md"
	metricsHead = `<!-- Made by go test ./daemon -update from what the components register. Do not edit. -->

# Metrics

` + "`/metrics`" + ` shows these, and what client_golang tells of every Go program (` + "`go_*`, `process_*`" + `). A component's
metrics are there while the peer does its duty, and begin at zero when it takes the duty on; those of calls to clouds
(` + "`poold_cloud_*`" + `) and of the configuration (` + "`poold_config_*`" + `) begin with the process.

| name | type | labels | meaning |
|---|---|---|---|
`
)

// recorder is a registry that remembers what was put into it.
type recorder struct {
	*prometheus.Registry

	made []prometheus.Collector
}

// MustRegister is part of prometheus.Registerer.
func (r *recorder) MustRegister(made ...prometheus.Collector) {
	r.Registry.MustRegister(made...)
	r.made = append(r.made, made...)
}

// touch makes every metric that has labels appear once.
func (r *recorder) touch(t *testing.T) {
	t.Helper()
	for _, c := range r.made {
		get := byLabels(c)
		if _, plain := c.(prometheus.Metric); plain {
			continue
		} else if get == nil {
			t.Fatalf("a collector of another type: %T", c)
		}
		labels := 1
		for get(make([]string, labels)...) != nil {
			if labels++; labels > 10 {
				t.Fatal("no number of labels fits a metric")
			}
		}
	}
}

// byLabels returns what makes a metric of a collector that has labels; nil for
// one that has none.
func byLabels(c prometheus.Collector) func(...string) error {
	if v, ok := c.(*prometheus.CounterVec); ok {
		return func(l ...string) error { _, err := v.GetMetricWithLabelValues(l...); return err }
	}
	if v, ok := c.(*prometheus.GaugeVec); ok {
		return func(l ...string) error { _, err := v.GetMetricWithLabelValues(l...); return err }
	}
	if v, ok := c.(*prometheus.HistogramVec); ok {
		return func(l ...string) error { _, err := v.GetMetricWithLabelValues(l...); return err }
	}
	return nil
}

// everything returns all metrics of all components.
func everything(t *testing.T) []*dto.MetricFamily {
	t.Helper()
	r := &recorder{Registry: prometheus.NewPedanticRegistry()}
	log := zap.NewNop()
	guard.New(guard.Config{Provider: "p", Registerer: r, Log: log})
	newReloadMetrics(r, "p")
	newPace(r)
	newFileMetrics(r)
	if _, err := trace.New(trace.Config{Endpoint: "http://127.0.0.1:4318", Registerer: r, Log: log}); err != nil {
		t.Fatal(err)
	}
	if _, err := statsd.New(statsd.Config{Host: "127.0.0.1", Registerer: r, Log: log}); err != nil {
		t.Fatal(err)
	}
	allocator.New(allocator.Config{Registerer: r, Log: log})
	builder.New(builder.Config{Registerer: r, Log: log})
	uploader.New(uploader.Config{Registerer: r, Log: log, Driver: struct{ cloud.ImageDriver }{}})
	_, err := launcher.New(launcher.Config{
		Provider: pool.Provider{Name: "p"}, Installation: "i", Store: struct{ launcher.Store }{},
		Driver: struct{ cloud.Driver }{}, Random: rand.Reader, Registerer: r, Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	r.touch(t)
	r.Registry.MustRegister(troubled().Collector())
	p := newPulse()
	t.Cleanup(p.begin("provider/p", new(silent)))
	r.Registry.MustRegister(newLoopMetrics(p))
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// troubled is a server of pages whose metrics all have a value.
func troubled() *web.Server {
	limits := pool.NoLimits()
	limits.Instances = 1
	records := &pool.Snapshot{
		Quotas:  []*pool.Quota{{Provider: "p", Limits: limits, Trouble: "credentials refused"}},
		Healths: []*pool.Health{{Provider: "p"}},
		Builds: []*pool.Build{
			{Image: "i", ID: "1", State: pool.BuildReady, Timeline: []pool.Entry[pool.BuildState]{{State: pool.BuildReady}}}, {Image: "i", ID: "2", State: pool.BuildReady, Created: time.Unix(1, 0)},
		},
		Uploads: []*pool.Upload{
			{Image: "i", Build: "1", Provider: "p", State: pool.UploadReady},
			{Image: "i", Build: "2", Provider: "p", State: pool.UploadUploading, Bytes: 1},
		},
	}
	catalog := &pool.Catalog{
		Labels: []pool.Label{{Name: "l"}}, Images: []pool.Image{{Name: "i"}},
		Providers: []pool.Provider{{Name: "p", Images: []pool.ProviderImage{{Name: "i"}}}},
	}
	return web.New(web.Config{
		Snapshot: func() *pool.Snapshot { return records },
		Catalog:  func() *pool.Catalog { return catalog },
		Etcd:     func() (time.Time, time.Duration) { return time.Now(), 0 },
		Gatherer: prometheus.NewRegistry(), Log: zap.NewNop(),
	})
}

func TestMetricsAreClean(t *testing.T) {
	families := everything(t)
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	// As many values as the configuration has names, or the code has words.
	bounded := []string{
		"class", "duty", "image", "kind", "label", "lane", "operation", "outcome", "phase", "provider", "resource", "service",
		"severity", "state", "status", "verb",
	}
	for _, f := range families {
		for _, l := range f.GetMetric()[0].GetLabel() {
			if !slices.Contains(bounded, l.GetName()) {
				t.Errorf("%s: are there bounds to %s?", f.GetName(), l.GetName())
			}
		}
		if !strings.HasPrefix(f.GetName(), "poold_") || !strings.HasSuffix(f.GetHelp(), ".") {
			t.Errorf("%s: a metric of ours is called poold_*, and its help is a sentence: %q", f.GetName(), f.GetHelp())
		}
	}
}

// docs/metrics.md is what the components register.
func TestMetricsReference(t *testing.T) {
	var b strings.Builder
	b.WriteString(metricsHead)
	for _, f := range everything(t) {
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, "`"+l.GetName()+"`")
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n",
			f.GetName(), strings.ToLower(f.GetType().String()), strings.Join(labels, " "), f.GetHelp())
	}
	golden.Equal(t, metricsFile, b.String())
}

// A duty that is taken on again has new metrics at the place of the old ones.
func TestDutyTwice(t *testing.T) {
	r := newRegistry()
	for i := range 3 {
		for _, key := range []string{"provider/a", "provider/b"} {
			c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "poold_things_total", Help: "Things."}, []string{"provider"})
			r.duty(key).MustRegister(c)
			c.WithLabelValues(key).Add(float64(i + 1))
		}
	}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	others := 0
	for _, f := range families {
		if f.GetName() != "poold_things_total" {
			others++
			continue
		}
		if len(f.GetMetric()) != 2 || f.GetMetric()[0].GetCounter().GetValue() != 3 || f.GetMetric()[1].GetCounter().GetValue() != 3 {
			t.Errorf("got %v", f)
		}
	}
	if others == 0 {
		t.Error("the metrics of the process are missing")
	}
	r.drop("provider/a")
	r.drop("provider/b")
	if families, err = r.Gather(); err != nil || len(families) != others {
		t.Errorf("%d metrics are left, want %d, %v", len(families), others, err)
	}
}
