package daemon

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	dto "github.com/prometheus/client_model/go"
)

// registry gathers the metrics of components that come and go with the duties
// of the peer. Each component registers into a registry of its own, which goes
// with the duty: what is counted starts from zero when it is taken on again, as
// after a restart, and nothing is told of what another peer does now.
type registry struct {
	process *prometheus.Registry

	// mu guards duties.
	mu     sync.Mutex
	duties map[string]*prometheus.Registry
}

var _ prometheus.Gatherer = (*registry)(nil)

func newRegistry() *registry {
	process := prometheus.NewRegistry()
	process.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return &registry{process: process, duties: map[string]*prometheus.Registry{}}
}

// duty returns a fresh registerer for the component of a duty. Components of
// the same kind tell their metrics apart by a label of their own.
func (r *registry) duty(key string) prometheus.Registerer {
	fresh := prometheus.NewRegistry()
	r.put(key, fresh)
	return fresh
}

// put gathers the metrics of something under a key.
func (r *registry) put(key string, metrics *prometheus.Registry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.duties[key] = metrics
}

// drop forgets the metrics of a duty.
func (r *registry) drop(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.duties, key)
}

// of are the metrics of the duties whose keys begin so.
func (r *registry) of(prefix string) prometheus.Gatherers {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all prometheus.Gatherers
	for key, metrics := range r.duties {
		if strings.HasPrefix(key, prefix) {
			all = append(all, metrics)
		}
	}
	return all
}

// Gather is part of prometheus.Gatherer.
func (r *registry) Gather() ([]*dto.MetricFamily, error) {
	r.mu.Lock()
	all := prometheus.Gatherers{r.process}
	for _, key := range slices.Sorted(maps.Keys(r.duties)) {
		all = append(all, r.duties[key])
	}
	r.mu.Unlock()
	return all.Gather()
}
