package sim

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"poold/pool"
	"poold/store"
	"poold/store/kv"
	"poold/store/kv/memkv"
)

// size is how large a world is.
type size struct {
	peers, sites, quota, customers int
	// storm is how long faults go on, calm the bound within which all must be
	// well after that.
	storm, calm time.Duration
	// afterglow is how long the world goes on when all is well.
	afterglow time.Duration
}

// drawSize draws one. A storm is short, so that what is long over does not
// weigh on every decision; some worlds go on until all of it is forgotten.
func drawSize(s seed) size {
	d := s.dice("size")
	z := size{
		peers: 2 + d.below(2), sites: 4, quota: 24 + d.below(8), customers: 30 + d.below(10),
		storm: time.Duration(5+d.below(4)) * time.Minute, calm: time.Hour,
	}
	if d.chance(12) {
		z.storm = 15 * time.Minute
	}
	if d.chance(12) {
		z.afterglow = 75 * time.Minute
	}
	return z
}

// odd keeps what happens at round times apart from the ticks of the store.
const odd = 7 * time.Microsecond

// odds are how often faults strike, once in so many times; never for 0.
type odds struct {
	link            map[Fault]int
	die, createLate int
	freeze          int
	// pause is the longest time between two faults of one cloud, or of the
	// peers.
	pause time.Duration
}

// world is one run.
type world struct {
	t       *testing.T
	seed    seed
	size    size
	odds    odds
	bug     bug
	start   time.Time
	log     *zap.Logger
	kv      *memkv.KV
	store   *store.Store // without faults, for the operator
	judge   *judge
	catalog *pool.Catalog
	sites   []*site
	peers   []*peer
	ids     counter

	// stop ends everything; finish tells customers to come to an end.
	stop    context.CancelFunc
	calm    chan struct{}
	mu      sync.Mutex
	wishes  map[string]*wish
	recent  []string
	delayed sync.WaitGroup
	offsets map[string]time.Duration
	old     map[string]bool
	// keepTrace keeps every change, to compare runs.
	keepTrace bool
}

// outcome is what became of a run.
type outcome struct {
	verdict *verdict
	stats   stats
	digest  uint64
	recent  []string
	trace   []string
}

// live runs a world of a seed, in a bubble of its own.
func live(t *testing.T, s seed, b bug, tab *table) outcome {
	t.Helper()
	var o outcome
	synctest.Test(t, func(t *testing.T) { o = newWorld(t, s, b, tab).run() })
	return o
}

func newWorld(t *testing.T, s seed, b bug, tab *table) *world {
	t.Helper()
	w := &world{
		t: t, seed: s, size: drawSize(s), bug: b, start: time.Now(), calm: make(chan struct{}),
		wishes: map[string]*wish{}, offsets: map[string]time.Duration{}, old: map[string]bool{}, keepTrace: *traceFlag,
	}
	w.log = w.logger()
	w.odds = w.drawOdds()
	w.kv = memkv.New(w.start)
	w.judge = newJudge(w, tab)
	tab.fresh()
	w.store = store.New(w.kv, "", w.log)
	for i := range w.size.sites {
		w.sites = append(w.sites, newSite(w, i))
	}
	w.catalog = w.newCatalog()
	for i := range w.size.peers {
		p := &peer{w: w, name: "peer-" + string(rune('a'+i))}
		if d := s.dice("clock", p.name); d.chance(4) {
			p.offset = time.Duration(d.below(41)-20) * time.Second
		}
		if w.offsets[p.name] = p.offset; p.offset != 0 {
			tab.strike(FaultClock)
		}
		p.old = s.dice("old", p.name).chance(4)
		if w.old[p.name] = p.old; p.old {
			tab.strike(FaultConfig)
		}
		w.peers = append(w.peers, p)
	}
	return w
}

// drawOdds makes some worlds stormier than others.
func (w *world) drawOdds() odds {
	d := w.seed.dice("odds")
	scale := []int{1, 1, 2, 4}[d.below(4)]
	return odds{
		link: map[Fault]int{
			FaultUnavailable: 150 * scale, FaultCommitDropped: 150 * scale, FaultCommitLate: 200 * scale,
			FaultReplyLost: 150 * scale, FaultSlow: 300 * scale, FaultWatchBroken: 700 * scale,
		},
		die: 6000 * scale, createLate: 40 * scale, freeze: 400 * scale, pause: time.Duration(20*scale) * time.Second,
	}
}

func (w *world) newCatalog() *pool.Catalog {
	c := &pool.Catalog{
		Labels: []pool.Label{
			{Name: "small", MinReady: 6},
			{Name: "medium", MinReady: 3},
			{Name: "large"},
			{Name: "only"},
			{Name: "kept", MinReady: 2, MaxReadyAge: 3 * time.Minute},
		},
		MaxHoldAge: 5 * time.Minute,
	}
	for tenant, limits := range w.tenants() {
		c.Tenants = append(c.Tenants, pool.TenantLimit{Tenant: tenant, Limits: limits})
	}
	for _, s := range w.sites {
		c.Providers = append(c.Providers, s.conf)
	}
	return c
}

func (*world) tenants() map[string]pool.Limits {
	l := pool.NoLimits()
	l.Cores = 10
	return map[string]pool.Limits{"acme": l}
}

// run lives through the storm and the calm after it.
func (w *world) run() outcome {
	ctx, stop := context.WithCancel(w.t.Context())
	w.stop = stop
	var all sync.WaitGroup
	all.Go(func() { _ = w.kv.Run(ctx) })
	all.Go(func() { w.judge.follow(ctx) })
	all.Go(func() { w.custodian(ctx) })
	for _, p := range w.peers {
		p.start(ctx)
	}
	var busy sync.WaitGroup
	for i := range w.size.customers {
		c := &customer{w, "ci-" + strconv.Itoa(i)}
		busy.Go(func() { c.run(ctx) })
	}
	busy.Go(func() { w.operator(ctx) })
	busy.Go(func() { w.inquirer(ctx) })
	busy.Go(func() { w.etcdWeather(ctx) })
	for _, p := range w.peers {
		busy.Go(func() { p.fate(ctx) })
	}
	for _, s := range w.sites {
		for front := range 2 {
			busy.Go(func() { s.storm(ctx, front) })
		}
	}
	wait(ctx, w.size.storm+odd)
	close(w.calm)
	calmed := time.Now()
	w.settle(ctx, &busy, calmed)
	w.judge.close()
	stop()
	busy.Wait()
	for _, p := range w.peers {
		p.life.proc.kill()
		<-p.life.done
	}
	w.delayed.Wait()
	all.Wait()
	w.judge.stats.virtual = time.Since(w.start)
	return outcome{w.judge.verdict, w.judge.stats, w.judge.digest, w.recent, w.judge.trace}
}

// storm tells whether faults happen.
func (w *world) storm() bool {
	select {
	case <-w.calm:
		return false
	default:
		return true
	}
}

// open tells whether new requests are made.
func (w *world) open(ctx context.Context) bool { return ctx.Err() == nil && w.storm() }

// work takes a time, but less when the world comes to an end.
func (w *world) work(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-w.calm:
	case <-ctx.Done():
	}
}

// later does something in a while, whoever asked for it.
func (w *world) later(d time.Duration, do func()) {
	w.delayed.Go(func() {
		time.Sleep(d)
		do()
	})
}

func (w *world) wants(name string, v *wish) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wishes[name] = v
}

// asked returns the wish behind a request.
func (w *world) asked(name string, _ int64) *wish {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.wishes[name]
}

func (w *world) site(name string) *site {
	return w.sites[slices.IndexFunc(w.sites, func(s *site) bool { return s.conf.Name == name })]
}

// offsetOf returns how much the clock of a process is off.
func (w *world) offsetOf(who string) time.Duration {
	if len(who) < len("peer-a") {
		return 0
	}
	return w.offsets[who[:len("peer-a")]]
}

// isOld tells whether a process has an old configuration.
func (w *world) isOld(who string) bool {
	return len(who) >= len("peer-a") && w.old[who[:len("peer-a")]]
}

// configuration is a provider as a peer's configuration has it: an old one lacks
// a label that the others have.
func (p *peer) configuration(s *site) pool.Provider {
	conf := s.conf
	if !p.old {
		return conf
	}
	conf.Pools = slices.Clone(conf.Pools)
	conf.Pools[0].Labels = slices.DeleteFunc(slices.Clone(conf.Pools[0].Labels), func(l pool.LabelSpec) bool {
		return l.Name == "kept"
	})
	return conf
}

// note keeps the last things that happened, for whoever reads of a failure.
func (w *world) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.recent = append(w.recent, fmt.Sprintf("%9.3fs ", time.Since(w.start).Seconds())+fmt.Sprintf(format, args...))
	if len(w.recent) > 400 {
		w.recent = slices.Clone(w.recent[200:])
	}
}

// settle waits until all is well after the storm, and judges that it is in
// time.
func (w *world) settle(ctx context.Context, busy *sync.WaitGroup, calmed time.Time) {
	for _, s := range w.sites {
		s.clear()
	}
	quiet := make(chan struct{})
	go func() {
		defer close(quiet)
		busy.Wait()
	}()
	wrong := "customers wait"
	for ctx.Err() == nil && wrong != "" {
		wait(ctx, 15*time.Second+odd)
		select {
		case <-quiet:
			wrong = w.judge.amiss()
		default:
		}
		if time.Since(calmed) > w.size.calm/4 {
			if late := w.judge.overdue(); late != "" {
				w.judge.fail(invariantOf(late), "not well %v after the last fault: %s", time.Since(calmed), late)
			}
		}
		if time.Since(calmed) > w.size.calm {
			break
		}
	}
	if ctx.Err() == nil && wrong != "" {
		w.judge.fail(invariantOf(wrong), "not well %v after the last fault: %s", w.size.calm, w.judge.unsettled(wrong))
	}
	if ctx.Err() == nil && w.size.afterglow > 0 {
		wait(ctx, w.size.afterglow+odd)
	}
	if ctx.Err() == nil {
		w.judge.strangers()
	}
	<-quietOr(ctx, quiet)
}

// quietOr ends with either.
func quietOr(ctx context.Context, quiet <-chan struct{}) <-chan struct{} {
	if ctx.Err() != nil {
		return ctx.Done()
	}
	return quiet
}

// leaseOf returns the last lease of a peer.
func (l *link) leaseOf() kv.LeaseID { return kv.LeaseID(l.lease.Load()) }

func sortedKeys[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }
