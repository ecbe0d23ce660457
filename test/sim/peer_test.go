package sim

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"poold/allocator"
	"poold/launcher"
	"poold/pool"
	"poold/store"
)

const (
	leaseTTL = 15 * time.Second
	// dutyPause is as in package daemon.
	dutyPause = 5 * time.Second
	// closeTime bounds an orderly stop.
	closeTime = 10 * time.Second
)

// peer is a place where a daemon runs, over several lives.
type peer struct {
	w      *world
	name   string
	offset time.Duration
	// old says that it has an old configuration.
	old   bool
	lives int
	life  *life
}

// life is one process of a peer. What package daemon wires is wired here: its
// seams are not the simulator's.
type life struct {
	*peer
	proc   *process
	link   *link
	store  *store.Store
	view   *store.View
	cancel context.CancelFunc
	// done is closed when every goroutine of it has ended.
	done chan struct{}
}

// duty is something that one peer at a time does.
type duty struct {
	key string
	run func(ctx context.Context, l *life, records *store.Owned) error
}

// start begins a new life.
func (p *peer) start(ctx context.Context) {
	p.lives++
	align(p.w.seed.dice("start", p.name, strconv.Itoa(p.lives)))
	l := &life{peer: p, proc: &process{}, done: make(chan struct{})}
	who := p.name + "." + strconv.Itoa(p.lives)
	l.link = &link{w: p.w, who: who, proc: l.proc, offset: p.offset, faulty: true}
	l.link.die = func() { p.w.judge.struckPeer(who, FaultKill); l.kill() }
	l.store = store.New(l.link, "", p.w.log)
	l.view = l.store.View()
	ctx, l.cancel = context.WithCancel(ctx)
	p.life = l
	go func() {
		defer close(l.done)
		g, ctx := errgroup.WithContext(ctx)
		g.Go(func() error { return l.view.Run(ctx) })
		g.Go(func() error { return l.sessions(ctx) })
		_ = g.Wait() // that it ended is all there is to know
	}()
}

// kill ends the life at once: nothing more is heard of it.
func (l *life) kill() {
	l.proc.kill()
	l.cancel()
}

// stop ends the life in order: it hands over.
func (l *life) stop() {
	l.cancel()
	<-l.done
	l.proc.kill()
}

func (l *life) sessions(ctx context.Context) error {
	for n := 1; ctx.Err() == nil; n++ {
		_ = l.inSession(ctx) // the next one begins anew
		align(l.w.seed.dice("session", l.link.who, strconv.Itoa(n)))
		wait(ctx, 2*time.Second)
	}
	return context.Cause(ctx)
}

func (l *life) inSession(ctx context.Context) error {
	session, err := store.OpenSession(ctx, l.link, leaseTTL, l.w.log)
	if err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return session.Run(gctx) })
	for _, d := range l.w.duties() {
		g.Go(func() error {
			// Whoever comes first has it: the draw spreads the duties.
			r := l.w.seed.dice("hold", l.name, strconv.Itoa(l.lives), d.key)
			wait(gctx, r.between(time.Millisecond, time.Second))
			return l.hold(gctx, session, d)
		})
	}
	err = g.Wait()
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
	defer cancel()
	return errors.Join(err, session.Close(closing))
}

// hold does one duty whenever it can be had.
func (l *life) hold(ctx context.Context, session *store.Session, d duty) error {
	for {
		if l.w.bug.neverTakesOver && time.Since(l.w.start) > time.Minute {
			<-ctx.Done()
			return context.Cause(ctx)
		}
		own, err := l.store.Acquire(ctx, session, d.key, l.link.who)
		if err != nil {
			return err
		}
		err = l.perform(ctx, own, d)
		if !settled(ctx) {
			return context.Cause(ctx)
		}
		if err := l.release(ctx, own); err != nil {
			return err
		}
		l.w.note("%s: %s ended: %v", l.link.who, d.key, err)
		wait(ctx, dutyPause)
	}
}

func (*life) release(ctx context.Context, own *store.Ownership) error {
	for {
		err := own.Release(ctx)
		away := errors.Is(err, pool.ErrUnavailable) || errors.Is(err, pool.ErrUnknown)
		if !away || !wait(ctx, 2*time.Second) {
			return err
		}
	}
}

func (l *life) perform(ctx context.Context, own *store.Ownership, d duty) error {
	ctx, cancel := own.Context(ctx)
	defer cancel()
	if err := l.view.WaitFor(ctx, own.CreateRevision()); err != nil {
		return err
	}
	records := l.records(own, d)
	defer records.Close()
	return d.run(ctx, l, records)
}

// records is the store as poold gives it to the component of a duty.
func (l *life) records(own *store.Ownership, d duty) *store.Owned {
	if provider, ok := strings.CutPrefix(d.key, "provider/"); ok {
		return l.store.OwnedProvider(l.view, own, provider)
	}
	return l.store.Owned(l.view, own)
}

// duties are what there is to do in a world.
func (w *world) duties() []duty {
	list := []duty{{key: "allocator", run: func(ctx context.Context, l *life, records *store.Owned) error {
		return allocator.New(allocator.Config{
			Store: &probe{Owned: records, w: w}, Catalog: func() *pool.Catalog { return w.catalog },
			Random: w.seed.reader("allocator", l.link.who, w.ids.next(l.link.who)), Log: w.log,
		}).Run(ctx)
	}}}
	for _, s := range w.sites {
		list = append(list, duty{key: "provider/" + s.conf.Name, run: func(ctx context.Context, l *life, records *store.Owned) error {
			d, _ := s.driver(l.link.who, l.proc)
			own, err := launcher.New(launcher.Config{
				Provider: l.configuration(s), Installation: installation, Store: &launcherStore{records, w}, Driver: d, Reach: d.reach(),
				Random: w.seed.reader("launcher", s.conf.Name, l.link.who, w.ids.next(l.link.who+s.conf.Name)), Log: w.log,
			})
			if err != nil {
				return err
			}
			return own.Run(ctx)
		}})
	}
	return list
}

// launcherStore lets a planted bug change what a launcher writes.
type launcherStore struct {
	*store.Owned
	w *world
}

// Snapshot implements launcher.Store.
func (s *launcherStore) Snapshot() *pool.Snapshot {
	shake()
	return s.Owned.Snapshot()
}

// Changed implements launcher.Store.
func (s *launcherStore) Changed() <-chan struct{} {
	shake()
	return s.Owned.Changed()
}

// Apply implements launcher.Store.
func (s *launcherStore) Apply(ctx context.Context, write pool.Write) (int64, error) {
	if s.w.bug.write != nil {
		s.w.bug.write(&write)
	}
	shake()
	defer shake()
	return s.Owned.Apply(ctx, write)
}

// probe stands between the allocator and its records: it counts decisions and
// judges what is booked by what was known when it was decided.
type probe struct {
	*store.Owned
	w       *world
	written int64
	counted int64
	snap    *pool.Snapshot
	booked  map[string]pool.Resources
	// launched are the new nodes that are booked: a write that lost a race is
	// tried again in parts.
	launched map[pool.NodeID]bool
}

// Snapshot implements allocator.Store.
func (p *probe) Snapshot() *pool.Snapshot {
	shake()
	s := p.Owned.Snapshot()
	p.w.judge.mu.Lock()
	defer p.w.judge.mu.Unlock()
	if s.Revision >= p.written {
		p.snap, p.booked, p.launched = s, nil, nil
		if s.Revision > p.counted {
			p.counted = s.Revision
			p.w.judge.decision(s)
		}
	}
	if p.w.bug.snapshot != nil {
		return p.w.bug.snapshot(s)
	}
	return s
}

// Apply implements allocator.Store.
func (p *probe) Apply(ctx context.Context, write pool.Write) (int64, error) {
	if bug := p.w.bug.write; bug != nil {
		bug(&write)
	}
	if p.w.bug.drop != nil && p.w.bug.drop(&write) {
		return p.snap.Revision, nil
	}
	p.judge(&write)
	shake()
	defer shake()
	revision, err := p.Owned.Apply(ctx, write)
	if err == nil {
		p.w.judge.mu.Lock()
		defer p.w.judge.mu.Unlock()
		p.written = max(p.written, revision)
	}
	return revision, err
}

// judge is I5: what is booked fits into what is believed and into the pool.
func (p *probe) judge(write *pool.Write) {
	p.w.judge.mu.Lock()
	defer p.w.judge.mu.Unlock()
	for _, c := range write.Nodes {
		if c.Before != nil || p.launched[c.After.ID] {
			continue
		}
		if p.booked == nil {
			p.booked, p.launched = booked(p.snap), map[pool.NodeID]bool{}
		}
		n := c.After
		p.launched[n.ID] = true
		at := n.Provider + "/" + n.Pool
		p.booked[n.Provider] = p.booked[n.Provider].Add(n.Resources)
		p.booked[at] = p.booked[at].Add(n.Resources)
		conf := p.w.catalog.Provider(n.Provider).Pool(n.Pool)
		// What a node does not need may be short: a quota can sink below its use.
		if over := conf.Limits.Short(p.booked[at].Sub(n.Resources), n.Resources); over != "" {
			p.w.judge.broken("I5", "pool %s: %s of %+v with %+v booked", at, over, conf.Limits, p.booked[at])
		}
		q := p.snap.Quota(n.Provider)
		if q == nil {
			p.w.judge.broken("I5", "%s: a launch though no quota is known", n.Provider)
			continue
		}
		for _, l := range []*pool.Limits{&q.Limits, q.Lowered} {
			if l == nil {
				continue
			}
			if over := l.Short(q.Foreign.Add(p.booked[n.Provider]).Sub(n.Resources), n.Resources); over != "" {
				p.w.judge.broken("I5", "%s: %s of %+v with %+v of others and %+v booked", n.Provider, over, *l, q.Foreign, p.booked[n.Provider])
			}
		}
	}
}

func booked(s *pool.Snapshot) map[string]pool.Resources {
	sums := map[string]pool.Resources{}
	for _, n := range s.Nodes {
		if n.State.Live() {
			at := n.Provider + "/" + n.Pool
			sums[n.Provider] = sums[n.Provider].Add(n.Resources)
			sums[at] = sums[at].Add(n.Resources)
		}
	}
	return sums
}
