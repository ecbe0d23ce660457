package web

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/zap"

	"poold/event"
	"poold/pool"
)

// However many nodes there are, the series are those of the configuration.
func TestSeriesAreBounded(t *testing.T) {
	count := func(nodes int) (series int) {
		r := prometheus.NewPedanticRegistry()
		r.MustRegister(crowded(t, nodes).Collector())
		families, err := r.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				series++
				if h := m.GetHistogram(); h != nil {
					series += len(h.GetBucket()) + 2 // the one for all above, and the sum
				}
			}
		}
		return series
	}
	few, many := count(100), count(10_000)
	const most = 5000 // of 100 labels, 20 providers and an image
	if many > most || many > few+few/10 {
		t.Errorf("%d series with 100 nodes, %d with 10,000", few, many)
	}
	t.Logf("%d series", many)
}

// gather returns the metrics of a server of a name, by the value of a label.
func gather(t *testing.T, s *Server, name, label string) map[string]*dto.Metric {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(s.Collector())
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]*dto.Metric{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() == name && l.GetName() == label {
					all[l.GetValue()] = m
				}
			}
		}
	}
	return all
}

// watching is a server of records that change.
type watching struct {
	*Server

	records *pool.Snapshot
	catalog *pool.Catalog
}

func watch() *watching {
	w := &watching{records: &pool.Snapshot{}, catalog: &pool.Catalog{Providers: []pool.Provider{{Name: "p"}}}}
	w.Server = New(Config{
		Snapshot: func() *pool.Snapshot { return w.records }, Catalog: func() *pool.Catalog { return w.catalog },
		Gatherer: prometheus.NewRegistry(), Log: zap.NewNop(),
	})
	return w
}

// see has the server see records.
func (w *watching) see(revision int64, nodes ...*pool.Node) {
	w.records = &pool.Snapshot{Revision: revision, Nodes: nodes}
	w.note(time.Now())
}

// Each phase of a node's life is counted once by each process that saw it end:
// what ended before a process began is not counted by it, and neither looks that
// come late nor ones that show the same again count twice.
func TestPhasesAreCountedOnce(t *testing.T) {
	at := time.Now().Add(-time.Hour)
	seen := at.Add(20 * time.Second)
	building := (&pool.Node{ID: "n", Provider: "p", Created: at}).Moved(pool.NodeBuilding, pool.Launcher, "", at.Add(10*time.Second))
	ready := building.Moved(pool.NodeReady, pool.Launcher, "", at.Add(30*time.Second))
	ready.Active, ready.Addressed, ready.Reachable = &seen, &seen, &seen
	used := ready.Moved(pool.NodeInUse, pool.Allocator, "", at.Add(40*time.Second)).Moved(pool.NodeUsed, pool.Allocator, "", at.Add(100*time.Second))
	gone := used.Moved(pool.NodeDeleting, pool.Launcher, "", at.Add(101*time.Second)).Moved(pool.NodeDeleted, pool.Launcher, "", at.Add(110*time.Second))

	one, late, restarted, failing := watch(), watch(), watch(), watch()
	one.see(1)
	for i, n := range []*pool.Node{building, ready, used, gone} {
		one.see(int64(2+i), n)
		again := *n
		one.see(int64(10+i), &again)
	}
	one.see(20)
	late.see(1)
	late.see(5, gone) // all at once
	restarted.see(4, used)
	restarted.see(5, gone)
	failing.see(1)
	failing.see(2, building.Moved(pool.NodeFailed, pool.Launcher, "", at.Add(time.Minute)))
	for what, c := range map[string]struct {
		server *watching
		want   map[string]uint64
	}{
		"one that saw all":       {one, map[string]uint64{"queued": 1, "asked": 1, "active": 1, "addressed": 1, "reachable": 1, "idle": 1, "handed-out": 1, "released": 1}},
		"one that looked late":   {late, map[string]uint64{"queued": 1, "asked": 1, "active": 1, "addressed": 1, "reachable": 1, "idle": 1, "handed-out": 1, "released": 1}},
		"one that was restarted": {restarted, map[string]uint64{"released": 1}},
		"one that saw a failure": {failing, map[string]uint64{"queued": 1}},
	} {
		counted := gather(t, c.server.Server, "poold_node_phase_seconds", "phase")
		for _, phase := range event.PhaseNames() {
			if got := counted[phase].GetHistogram().GetSampleCount(); got != c.want[phase] {
				t.Errorf("%s: %s was counted %d times, want %d", what, phase, got, c.want[phase])
			}
		}
		if sum := counted["released"].GetHistogram().GetSampleSum(); sum != float64(10*c.want["released"]) {
			t.Errorf("%s: released took %v s, want 10", what, sum)
		}
	}
	one.catalog, one.site.current = &pool.Catalog{}, nil
	if left := gather(t, one.Server, "poold_node_phase_seconds", "phase"); len(left) != 0 {
		t.Errorf("%d series of a provider that is gone", len(left))
	}
}

// What is on its way tells for how long.
func TestProgressOfImages(t *testing.T) {
	now := time.Now()
	w := watch()
	w.catalog.Images = []pool.Image{{Name: "i"}}
	w.catalog.Providers[0].Images = []pool.ProviderImage{{Name: "i"}}
	build := func(id string, age time.Duration, state pool.BuildState, why string) *pool.Build {
		b := &pool.Build{Image: "i", ID: id, Created: now.Add(-age), State: pool.BuildBuilding, Error: why}
		if state != pool.BuildBuilding {
			b = b.Moved(state, b.Created.Add(time.Minute))
		}
		return b
	}
	w.records = &pool.Snapshot{Revision: 1, Builds: []*pool.Build{
		build("1", 4*time.Hour, pool.BuildReady, ""), build("2", 3*time.Hour, pool.BuildFailed, "disk full"),
		build("3", 2*time.Hour, pool.BuildFailed, "disk full"), build("4", time.Hour, pool.BuildBuilding, ""),
	}, Uploads: []*pool.Upload{{Image: "i", Build: "1", Provider: "p", State: pool.UploadPending, Created: now.Add(-time.Hour)}}}
	for name, want := range map[string][2]float64{
		"poold_image_build_running_seconds": {3600, 7200}, "poold_image_last_build_seconds": {59, 61}, "poold_image_failed_builds": {2, 2},
		"poold_upload_running_seconds": {3600, 7200},
	} {
		m := gather(t, w.Server, name, "image")["i"]
		if got := m.GetGauge().GetValue(); m == nil || got < want[0] || got > want[1] {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}
