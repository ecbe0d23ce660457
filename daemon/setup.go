package daemon

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"poold/cloud"
	"poold/cloud/guard"
	"poold/cloud/openstack"
	"poold/config"
	"poold/pool"
)

// setup is all that follows from one configuration. It is replaced as a whole
// when the files change.
type setup struct {
	cfg *config.Config
	// leaving are providers that left the configuration and have nodes yet.
	leaving []pool.Provider
	// kept are images that nobody builds any more, and that have builds yet.
	kept []string
	// clouds is the access to each provider that could be opened.
	clouds map[string]*access
	// duties are what this peer may do.
	duties []duty
	// loaded is when the files were taken over.
	loaded time.Time
}

// providers are those that the peer works for.
func (s *setup) providers() []*pool.Provider {
	var all []*pool.Provider
	for i := range s.cfg.Catalog.Providers {
		all = append(all, &s.cfg.Catalog.Providers[i])
	}
	for i := range s.leaving {
		all = append(all, &s.leaving[i])
	}
	return all
}

// closed names the providers whose clouds could not be opened.
func (s *setup) closed() []string {
	var names []string
	for _, p := range s.providers() {
		if !p.Static() && s.clouds[p.Name] == nil {
			names = append(names, p.Name)
		}
	}
	return names
}

// newest is the setup that is in force, and tells when there is a newer one.
type newest struct {
	mu sync.Mutex // guards what follows
	is *setup
	// changed is closed when there is a newer one.
	changed chan struct{}
}

func newNewest(s *setup) *newest { return &newest{is: s, changed: make(chan struct{})} }

func (n *newest) get() (*setup, <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.is, n.changed
}

func (n *newest) set(s *setup) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.is = s
	close(n.changed)
	n.changed = make(chan struct{})
}

// setup is the one that is in force.
func (d *Daemon) setup() *setup {
	s, _ := d.newest.get()
	return s
}

func (d *Daemon) catalog() *pool.Catalog { return &d.setup().cfg.Catalog }

// arrange makes the setup of a configuration, and takes over what is as it was
// before: access to clouds with their tokens, and limits with all that was
// learned. The error says which providers cannot be opened; the setup is without
// them then.
func (d *Daemon) arrange(cfg *config.Config, leaving []pool.Provider, kept []string, before *setup) (*setup, error) {
	own := *cfg // that of another setup may be being read
	own.Catalog.Images = slices.Clone(cfg.Catalog.Images)
	s := &setup{cfg: &own, leaving: leaving, kept: kept, loaded: before.loaded}
	err := d.openClouds(s, before)
	s.duties = d.configuredDuties(s)
	return s, err
}

// openClouds opens the access to every provider of a setup. One that cannot be
// opened is left out: the others must not wait for it.
//
// An image is built in the formats that its clouds want, besides those that
// the configuration asks for.
func (d *Daemon) openClouds(s, before *setup) error {
	s.clouds = map[string]*access{}
	var left []error
	groups := d.rateGroups(s.providers(), d.suggestion(openstack.RateGroup))
	for _, p := range s.providers() {
		if p.Static() {
			continue // there is no cloud to be reached
		}
		reach, err := d.reach(p, groups[p.Name], before.clouds[p.Name])
		if err != nil {
			left = append(left, fmt.Errorf("provider %s: %w", p.Name, err))
			continue
		}
		s.clouds[p.Name] = reach
		for _, use := range p.Images {
			i := s.cfg.Catalog.Image(use.Name)
			if format := reach.driver.ImageFormat(); i != nil && !slices.Contains(i.Formats, format) {
				i.Formats = append(slices.Clip(i.Formats), format)
			}
		}
	}
	return errors.Join(left...)
}

// reach opens the access to a provider's cloud, unless it had one to the same.
func (d *Daemon) reach(p *pool.Provider, group *rateGroup, had *access) (*access, error) {
	at := place{Cloud: p.Cloud, Region: p.Region, Group: group.name, Trace: p.DebugHTTP}
	if had != nil && had.place == at {
		again := *had
		again.group = group
		return &again, nil
	}
	registerer, log := prometheus.NewRegistry(), d.log.Named("openstack").With(zap.String("provider", p.Name))
	gate := guard.New(guard.Config{
		Provider: p.Name, Limits: group.launching, ImageLimits: group.uploading, Leased: leased, Log: d.log, Registerer: registerer,
	})
	driver, err := openstack.Open(openstack.Config{
		Cloud: p.Cloud, Region: p.Region, Installation: d.installation,
		Version: d.version, Trace: p.DebugHTTP, Gate: crashingGate(gate), Log: log,
	})
	if err != nil {
		return nil, err
	}
	return &access{
		place: at, driver: driver, group: group, metrics: registerer,
		reloader: &reloader{driver: driver, pause: d.lookPause, metrics: newReloadMetrics(registerer, p.Name), log: log},
	}, nil
}

// suggestion is the group that a cloud suggested at first, for ever: that of a
// provider that does not change must not change under it.
func (d *Daemon) suggestion(suggest func(name, region string) (string, error)) func(name, region string) (string, error) {
	return func(name, region string) (string, error) {
		key := [2]string{name, region}
		if known, ok := d.suggested[key]; ok {
			return known, nil
		}
		group, err := suggest(name, region)
		if err == nil {
			d.suggested[key] = group
		}
		return group, err
	}
}

// limitsOf are the limits of a group's calls of a kind. They live as long as the
// process: what a cloud taught outlasts every configuration.
func (d *Daemon) limitsOf(name string, interval time.Duration) *guard.Limits {
	limits, ok := d.limits[name]
	if !ok {
		limits = guard.NewLimits(name, interval, d.log, cloud.Identity, cloud.ImageService)
		d.limits[name] = limits
	}
	return limits
}

// enforce puts a setup in force.
func (d *Daemon) enforce(s *setup) {
	before := d.setup()
	for name, reach := range s.clouds {
		reach.group.enforce()
		if had := before.clouds[name]; had != nil && reach.place.moved(had.place) {
			reach.group.inherit(had.group, d.view.Load().Snapshot())
		}
		d.registry.put("cloud/"+name, reach.metrics)
	}
	for name := range before.clouds {
		if s.clouds[name] == nil {
			d.registry.drop("cloud/" + name)
		}
	}
	d.newest.set(s)
}

// printOf is the fingerprint of what a component is made from.
func printOf(parts ...any) string {
	text, err := json.Marshal(parts)
	if err != nil {
		return err.Error() // there is nothing in them that cannot be written
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// leavers are the providers in which no peer launches by its configuration, whether it
// runs or is away, and of which there are nodes yet: those are let go of through their
// records. A builder that has a provider for its images does nothing for nodes. had is
// what this peer knows of providers besides.
func leavers(snap *pool.Snapshot, peer string, catalog *pool.Catalog, had map[string]*pool.Provider) []pool.Provider {
	known, offered := map[string]bool{}, map[string]bool{peer: true}
	launched := func(c *pool.Catalog) {
		for i := range c.Providers {
			known[c.Providers[i].Name] = known[c.Providers[i].Name] || c.Providers[i].Launches()
		}
	}
	launched(catalog)
	for _, o := range snap.Offers {
		if o.Peer != peer {
			offered[o.Peer] = true
			launched(&o.Catalog)
		}
	}
	for _, m := range snap.Members {
		if offered[m.Name] {
			continue
		}
		for _, p := range m.Providers {
			known[p] = true
		}
	}
	var all []pool.Provider
	for _, n := range snap.Nodes {
		if !known[n.Provider] && n.State.Live() {
			known[n.Provider] = true
			all = append(all, leaver(n, had))
		}
	}
	slices.SortFunc(all, func(a, b pool.Provider) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// The settings of a provider that no configuration tells any more.
const (
	leaverRate    = time.Second
	leaverTimeout = time.Hour
)

// leaver is a provider as its node's record tells, and as it was configured if
// this is known: nothing is launched there.
func leaver(n *pool.Node, had map[string]*pool.Provider) pool.Provider {
	if p := had[n.Provider]; p != nil {
		left := *p
		left.Pools, left.Images, left.CloudImages = nil, nil, nil
		return left
	}
	left := pool.Provider{
		Name: n.Provider, Driver: pool.DriverOpenStack, Cloud: n.Cloud, Region: n.Region,
		Rate: leaverRate, BootTimeout: leaverTimeout, LaunchTimeout: leaverTimeout,
	}
	if n.Slot != nil {
		left.Driver = pool.DriverStatic
	}
	return left
}
