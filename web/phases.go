package web

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"poold/event"
	"poold/pool"
	"poold/web/model"
)

// phases counts how long the phases of nodes' lives take. A phase is counted
// when the records show its end for the first time, whoever moved the node: what
// ended before this process began was counted by those before it, and a duty that
// changes hands changes nothing.
type phases struct {
	seconds *prometheus.HistogramVec

	// mu guards providers, those that have series.
	mu        sync.Mutex
	providers map[string]bool
}

func newPhases() *phases {
	return &phases{
		providers: map[string]bool{},
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "poold_node_phase_seconds",
			Help: "How long the phases of nodes' lives took that are over, failed launches left out.",
			// From a port that answers at once to a node that is kept for a day.
			Buckets: []float64{.5, 2, 5, 15, 30, 60, 120, 300, 900, 3600, 14400, 86400},
		}, []string{"provider", "phase"}),
	}
}

// note counts the phases that ended from one look to the next.
func (p *phases) note(before, after *pool.Snapshot) {
	event.EndedBetween(before, after, func(n *pool.Node, ended event.Phase) {
		if ended.Cut {
			return
		}
		p.seconds.WithLabelValues(n.Provider, ended.Name).Observe(ended.End.Sub(ended.Begin).Seconds())
		p.mu.Lock()
		defer p.mu.Unlock()
		p.providers[n.Provider] = true
	})
}

// keep has every provider of a site begin at zero, and forgets those that it has no
// more.
func (p *phases) keep(site *model.Site) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range site.Providers {
		name := site.Providers[i].Name
		if p.providers[name] {
			continue
		}
		p.providers[name] = true
		for _, phase := range event.PhaseNames() {
			p.seconds.WithLabelValues(name, phase)
		}
	}
	for name := range p.providers {
		if site.Provider(name) == nil {
			p.seconds.DeletePartialMatch(prometheus.Labels{"provider": name})
			delete(p.providers, name)
		}
	}
}
