package sim

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"poold/cloud"
	"poold/cloud/guard"
	"poold/cloud/sim"
	"poold/launcher"
	"poold/pool"
)

// installation is the id of the peers of every world, secret the password of
// every cloud.
const (
	installation = "thisinstallation"
	secret       = "hunter2-is-the-secret"
)

// site is one provider: its cloud, and what is known about it that poold has
// to find out.
type site struct {
	w     *world
	conf  pool.Provider
	cloud *sim.Cloud
	// offset is how much the cloud's clock is ahead.
	offset time.Duration

	mu sync.Mutex
	// posted is how often each batch was asked for.
	posted map[string]int
	// levels is how full the bucket of each service would be that let
	// everything through that left the limiters.
	levels map[cloud.Service]*level
	// answered are the servers that answered, and at which address.
	answered map[string]string
	// foreign are the servers that are not ours.
	foreign []string
	weather map[int]sim.Fault
	calls   int
}

type level struct {
	calls float64
	at    time.Time
}

func (s *site) now() time.Time { return time.Now().Add(s.offset) }

// gate counts what leaves a limiter.
type gate struct {
	*site
	who   string
	proc  *process
	next  cloud.Gate
	draws counter
}

// Enter implements cloud.Gate.
func (g *gate) Enter(ctx context.Context, call cloud.Call) (func(cloud.Outcome), error) {
	next := g.next
	if g.w.bug.openGate {
		next = cloud.Open{}
	}
	name, _ := ctx.Value(nameKey{}).(string)
	op := name + " " + call.Operation
	r := g.w.seed.dice("gate", g.conf.Name, g.who, op, g.draws.next(op))
	leave, err := g.turn(ctx, r, next, call)
	if err != nil {
		return nil, err
	}
	g.count(call)
	// Calls that were let through together still go one after the other.
	wait(ctx, r.between(time.Microsecond, time.Millisecond))
	return leave, nil
}

// turn waits for the call's turn. One that comes while the process is frozen,
// whose timers would not run, is let go by for the next.
func (g *gate) turn(ctx context.Context, r *dice, next cloud.Gate, call cloud.Call) (func(cloud.Outcome), error) {
	for {
		leave, err := next.Enter(ctx, call)
		if err != nil || !g.proc.frozen() {
			return leave, err
		}
		leave(cloud.Outcome{Status: 200})
		if !g.proc.alive(r) || ctx.Err() != nil {
			return nil, context.Canceled
		}
	}
}

// nameKey is under what a context keeps the name of a call.
type nameKey struct{}

// count is I6: a bucket of the size of the burst that leaks at the rate never
// overflows.
func (s *site) count(call cloud.Call) {
	burst := max(1, float64(time.Second/s.conf.Rate))
	if at := s.fill(call); at > burst+0.001 {
		s.w.judge.fail("I6", "%s %s: %.2f calls at once, the burst is %.0f", s.conf.Name, call.Service, at, burst)
	}
}

func (s *site) fill(call cloud.Call) float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	l := s.levels[call.Service]
	if l == nil {
		l = &level{at: time.Now()}
		s.levels[call.Service] = l
	}
	l.calls = max(0, l.calls-float64(time.Since(l.at))/float64(s.conf.Rate)) + 1
	l.at = time.Now()
	return l.calls
}

// driver is a peer's access to a site. It lets no two calls happen at the same
// instant, and looks at what is asked.
type driver struct {
	*sim.Driver
	site  *site
	who   string
	proc  *process
	draws counter
}

func (s *site) driver(who string, proc *process) (*driver, *guard.Guard) {
	g := guard.New(guard.Config{Provider: s.conf.Name, Interval: s.conf.Rate, Log: s.w.log})
	return &driver{
		Driver: sim.NewDriver(s.cloud, s.now, &gate{site: s, who: who, proc: proc, next: g}, installation),
		site:   s, who: who, proc: proc,
	}, g
}

// enter takes a moment of its own for a call.
func (d *driver) enter(ctx context.Context, name string) (context.Context, error) {
	if !settled(ctx) {
		return ctx, &cloud.Error{Kind: cloud.Transient, Op: name, Err: context.Canceled}
	}
	ctx = context.WithValue(ctx, nameKey{}, name)
	r := d.site.w.seed.dice("driver", d.site.conf.Name, d.who, name, d.draws.next(name))
	if !d.proc.alive(r) || !wait(ctx, r.between(time.Microsecond, time.Millisecond)) || !d.proc.alive(r) {
		return ctx, &cloud.Error{Kind: cloud.Transient, Op: name, Err: context.Canceled}
	}
	return ctx, nil
}

// Create implements cloud.Driver.
func (d *driver) Create(ctx context.Context, spec cloud.BatchSpec) error {
	ctx, err := d.enter(ctx, "create "+spec.Name)
	if err != nil {
		return err
	}
	d.site.post(spec.Name)
	if d.site.late(ctx, d, spec) {
		return &cloud.Error{Kind: cloud.Ambiguous, Op: "create servers", Err: errLost}
	}
	err = d.Driver.Create(ctx, spec)
	if d.site.w.bug.postTwice {
		d.site.post(spec.Name)
		err = errors.Join(err, d.Driver.Create(ctx, spec))
	}
	return d.over(err)
}

// late has a create, now and then, lost in the cloud's own queue and done when
// nobody expects it any more.
func (s *site) late(ctx context.Context, d *driver, spec cloud.BatchSpec) bool {
	r := s.w.seed.dice("late", s.conf.Name, spec.Name)
	if !s.w.storm() || !r.chance(s.w.odds.createLate) {
		return false
	}
	s.w.judge.table.strike(FaultCreateLate, "cloud "+s.conf.Name)
	ctx = context.WithoutCancel(ctx)
	s.w.later(r.between(time.Second, 5*time.Minute), func() {
		_ = d.Driver.Create(ctx, spec) // nobody hears of it
	})
	return true
}

// over is what the process hears of an answer: nothing if it died meanwhile.
func (d *driver) over(err error) error {
	if !d.proc.lives() {
		return &cloud.Error{Kind: cloud.Ambiguous, Op: "dead", Err: context.Canceled}
	}
	return err
}

// post is I7: a batch is asked for once.
func (s *site) post(batch string) {
	s.mu.Lock()
	s.posted[batch]++
	n := s.posted[batch]
	s.mu.Unlock()
	if n > 1 {
		s.w.judge.fail("I7", "%s: batch %s was asked for %d times", s.conf.Name, batch, n)
	}
}

// Instances implements cloud.Driver.
func (d *driver) Instances(ctx context.Context, since cloud.ListMark) (cloud.Listing, error) {
	sweep := cloud.LaneOf(ctx) == cloud.LaneSweep
	ctx, err := d.enter(ctx, fmt.Sprint("list ", sweep))
	if err != nil {
		return cloud.Listing{}, err
	}
	listing, err := d.Driver.Instances(ctx, since)
	if bug := d.site.w.bug.swept; bug != nil && err == nil && sweep {
		bug(d.site, &listing)
	}
	return listing, d.over(err)
}

// Instance implements cloud.Driver.
func (d *driver) Instance(ctx context.Context, id string) (cloud.Instance, error) {
	ctx, err := d.enter(ctx, "look "+id)
	if err != nil {
		return cloud.Instance{}, err
	}
	i, err := d.Driver.Instance(ctx, id)
	return i, d.over(err)
}

// Delete implements cloud.Driver.
func (d *driver) Delete(ctx context.Context, id string) error {
	ctx, err := d.enter(ctx, "delete "+id)
	if err != nil {
		return err
	}
	d.site.mine(id)
	if d.site.w.bug.deleteNothing {
		return &cloud.Error{Kind: cloud.NotFound, Op: "delete server"}
	}
	return d.over(d.Driver.Delete(ctx, id))
}

// mine is I4: only what carries our mark is touched.
func (s *site) mine(id string) {
	if slices.Contains(s.foreign, id) {
		s.w.judge.fail("I4", "%s: %s is not ours and was to be deleted", s.conf.Name, id)
	}
}

// Facts implements cloud.Driver.
func (d *driver) Facts(ctx context.Context) (cloud.Facts, error) {
	ctx, err := d.enter(ctx, "facts")
	if err != nil {
		return cloud.Facts{}, err
	}
	if d.site.w.bug.logsSecret {
		d.site.w.log.Info("logged in", zap.String("password", secret))
	}
	f, err := d.Driver.Facts(ctx)
	return f, d.over(err)
}

// FindImage implements cloud.Driver.
func (d *driver) FindImage(ctx context.Context, name string) (string, error) {
	ctx, err := d.enter(ctx, "image "+name)
	if err != nil {
		return "", err
	}
	id, err := d.Driver.FindImage(ctx, name)
	return id, d.over(err)
}

// NeedsFloatingIP implements cloud.Exposer.
func (d *driver) NeedsFloatingIP(ctx context.Context, i cloud.Instance) (bool, error) {
	ctx, err := d.enter(ctx, "needs "+i.ID)
	if err != nil {
		return false, err
	}
	return d.Driver.NeedsFloatingIP(ctx, i)
}

// Expose implements cloud.Exposer.
func (d *driver) Expose(ctx context.Context, spec cloud.ExposeSpec) (pool.Address, error) {
	ctx, err := d.enter(ctx, "expose "+spec.InstanceID)
	if err != nil {
		return pool.Address{}, err
	}
	a, err := d.Driver.Expose(ctx, spec)
	return a, d.over(err)
}

// Resources implements cloud.Sweeper.
func (d *driver) Resources(ctx context.Context, kind cloud.ResourceKind) ([]cloud.Resource, error) {
	ctx, err := d.enter(ctx, fmt.Sprint("resources ", kind, cloud.LaneOf(ctx)))
	if err != nil {
		return nil, err
	}
	found, err := d.Driver.Resources(ctx, kind)
	return found, d.over(err)
}

// Remove implements cloud.Sweeper.
func (d *driver) Remove(ctx context.Context, kind cloud.ResourceKind, id string) error {
	ctx, err := d.enter(ctx, "remove "+id)
	if err != nil {
		return err
	}
	d.site.mine(id)
	return d.over(d.Driver.Remove(ctx, kind, id))
}

// Console implements cloud.Console.
func (d *driver) Console(ctx context.Context, id string, lines int) (string, error) {
	ctx, err := d.enter(ctx, "console "+id)
	if err != nil {
		return "", err
	}
	text, err := d.Driver.Console(ctx, id, lines)
	return text, d.over(err)
}

// reach is how a peer reaches the servers of a site: it looks whether one
// answers at the address.
func (d *driver) reach() launcher.Reach {
	return func(ctx context.Context, t launcher.Target) ([]string, error) {
		for {
			if _, err := d.enter(ctx, "reach "+t.IP); err != nil {
				return nil, context.Cause(ctx)
			}
			if id := d.site.answering(t.IP); id != "" || d.site.w.bug.reachLies {
				return []string{"ssh-ed25519 " + id}, nil
			}
			if !wait(ctx, 2*time.Second) {
				return nil, context.Cause(ctx)
			}
		}
	}
}

// answering returns the server that answers at an address, or "".
func (s *site) answering(ip string) string {
	for _, v := range s.cloud.Truth(s.now()) {
		for _, a := range v.Addresses {
			if a.IP == ip && v.Booted {
				s.mu.Lock()
				s.answered[v.ID] = ip
				s.mu.Unlock()
				return v.ID
			}
		}
	}
	return ""
}

// reached returns the address at which a server has answered.
func (s *site) reached(id string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.answered[id]
}

// strangers puts servers into the cloud that are not ours: of nobody, of
// another installation, and one of nodepool that is called like one of ours.
func (s *site) strangers() {
	cfg := s.cloud.Config()
	image := s.cloud.Images(s.now())[0].ID
	for i, meta := range []map[string]string{
		nil,
		{cloud.KeyInstallation: "another", cloud.KeyProvider: s.conf.Name, cloud.KeyBatch: "p123456789"},
		{"nodepool_provider_name": s.conf.Name, "nodepool_node_id": "0000000001"},
	} {
		made, err := s.cloud.CreateServers(s.now(), sim.ServerSpec{
			Name: fmt.Sprintf("p12345678%d", i), Max: 1, Flavor: cfg.Flavors[0].ID, ImageID: image, Metadata: meta,
		})
		if err != nil {
			s.w.t.Fatal(err)
		}
		s.foreign = append(s.foreign, made[0].ID)
	}
}

// newSite makes the i-th provider of a world.
func newSite(w *world, i int) *site {
	d := w.seed.dice("site", fmt.Sprint(i))
	name := fmt.Sprintf("cloud-%d", i)
	s := &site{
		w: w, posted: map[string]int{}, levels: map[cloud.Service]*level{}, answered: map[string]string{},
		weather: map[int]sim.Fault{},
	}
	if d.chance(3) {
		s.offset = time.Duration(d.below(61)-30) * time.Second
	}
	quota := pool.NoLimits()
	quota.Instances = int64(w.size.quota + d.below(w.size.quota/3+1))
	quota.Cores = quota.Instances * 2
	cfg := sim.Config{
		Name: name, Region: "r1", Seed: uint64(w.seed), Password: secret, Quota: quota,
		Build:   sim.Dist{Min: 3 * time.Second, Mean: 9 * time.Second, Max: 40 * time.Second},
		Boot:    sim.Dist{Min: time.Second, Mean: 4 * time.Second, Max: 20 * time.Second},
		Delete:  sim.Dist{Min: 500 * time.Millisecond, Mean: 2 * time.Second, Max: 10 * time.Second},
		Latency: sim.Dist{Min: 20 * time.Millisecond, Mean: 80 * time.Millisecond, Max: time.Second},
		Images:  []string{"noble"}, Zones: []string{"az1", "az2"}, Cells: 2,
		Fixed:  netip.MustParsePrefix(fmt.Sprintf("10.%d.0.0/16", i+1)),
		Struck: func(f sim.Fault) { w.judge.table.strike(kindOf(f), "cloud "+name) },
	}
	s.conf = pool.Provider{
		Name: name, Cloud: name, Region: "r1", Rate: time.Duration(40+d.below(80)) * time.Millisecond,
		BootTimeout: time.Minute, LaunchTimeout: 3 * time.Minute, Priority: d.below(2),
		CloudImages: []pool.CloudImage{{Name: "noble", Connection: pool.Connection{Type: "ssh", Port: 22, Username: "zuul"}}},
	}
	main := pool.Pool{Name: "main", Limits: pool.NoLimits(), Labels: labelSpecs("small", "medium", "large", "kept")}
	switch i {
	case 0:
		main.AZs = []string{"az1", "az2"}
		cfg.NoChangesSince = true
	case 1:
		main.AutoFloatingIP = true
		cfg.Floating = netip.MustParsePrefix("172.16.0.0/20")
		cfg.Quota.FloatingIPs = quota.Instances
	case 2:
		main.Limits.Instances = quota.Instances * 3 / 4
		cfg.Rate, cfg.Burst = 1/s.conf.Rate.Seconds()*0.9, 20
		cfg.PageLimit = 20
	case 3:
		s.conf.MaxConcurrency = 5
		cfg.Capacity = int(quota.Instances) - 2
		main.Labels = append(main.Labels, labelSpecs("only")...)
	}
	for k := range main.Labels {
		main.Labels[k].ConsoleLog = d.chance(2)
	}
	s.conf.Pools = []pool.Pool{main, {Name: "side", Priority: 5, Limits: side(), Labels: labelSpecs("small")}}
	s.cloud = sim.New(cfg, s.now())
	s.strangers()
	return s
}

func side() pool.Limits {
	l := pool.NoLimits()
	l.Instances = 4
	return l
}

func labelSpecs(names ...string) []pool.LabelSpec {
	specs := make([]pool.LabelSpec, 0, len(names))
	for _, name := range names {
		l := pool.LabelSpec{Name: name, CloudImage: "noble", FlavorName: "small", HostKeyChecking: true}
		if name == "medium" || name == "large" {
			l.FlavorName = name
		}
		specs = append(specs, l)
	}
	return specs
}
