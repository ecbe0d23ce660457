package daemon

import (
	"os"
	"slices"

	"go.uber.org/zap"

	"poold/pool"
	"poold/statsd"
)

// newStats makes what tells a statsd server.
func (d *Daemon) newStats() (*statsd.Teller, error) {
	return statsd.New(statsd.Config{
		Host: d.cfg.Statsd.Host, Port: d.cfg.Statsd.Port, Getenv: os.Getenv,
		Peer: d.name, Builds: slices.Contains(d.cfg.Roles, pool.RoleBuilder),
		Snapshot: d.view.Load().Snapshot, Catalog: d.united, Own: d.catalog,
		Does: d.pulse.does, Leaks: d.leaks,
		Registerer: d.registry.duty("statsd"), Log: d.log,
	})
}

// leaks counts the leaks whose removal this peer asked for, as its metrics do.
func (d *Daemon) leaks() map[statsd.Leak]int64 {
	families, err := d.registry.of("provider/").Gather()
	if err != nil {
		d.log.Warn("metrics not gathered", zap.Error(err))
	}
	all := map[statsd.Leak]int64{}
	for _, f := range families {
		if f.GetName() != "poold_launcher_leaks_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			all[statsd.Leak{Provider: labels["provider"], Kind: labels["kind"]}] = int64(m.GetCounter().GetValue())
		}
	}
	return all
}

// tell tells whoever wants to hear of it what a write did.
func (d *Daemon) tell(w *pool.Write) {
	d.teller.Tell(d.installation, w)
	d.stats.Tell(w)
}
