package daemon

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"poold/cloud/guard"
	"poold/internal/sleep"
	"poold/pool"
	"poold/store"
)

// dutyPause is how long to wait before a component that failed is run again.
const dutyPause = 5 * time.Second

// duty is something that one peer at a time does, and the component that does
// it.
type duty struct {
	// key is the owner's key below owners/.
	key string
	// provider is the only provider whose nodes the component has to hear of;
	// empty is everything.
	provider string
	// uploads says that the component has to hear of builds, uploads and commands
	// only.
	uploads bool
	// print is of all that the component is made from. It is made anew when
	// there is another.
	print string
	// steady says that the component looks at its records whenever they change:
	// one that does not has stalled.
	steady bool
	// run is the component. ctx ends before the ownership can.
	run func(ctx context.Context, records *store.Owned) error
	// limits and members are instead of run: duties that are done only while
	// this one is, and the limits of their calls.
	limits  *guard.Limits
	members []duty
}

// errWentBack ends the session when etcd was restored from a copy, so that all
// duties begin anew.
var errWentBack = errors.New("etcd is back at an older state")

// The ends of a duty, or of its component, because of the configuration.
var (
	errLeft    = errors.New("it is no longer configured")
	errAnother = errors.New("it is configured differently")
)

// find returns the duty of a key.
func find(duties []duty, key string) (duty, bool) {
	i := slices.IndexFunc(duties, func(other duty) bool { return other.key == key })
	if i < 0 {
		return duty{}, false
	}
	return duties[i], true
}

// sessions keeps a session with etcd, and in each does the duties that can be
// had, until ctx ends.
func (d *Daemon) sessions(ctx context.Context) error {
	for {
		err := d.inSession(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if errors.Is(err, ErrStuck) {
			return err
		}
		d.away.Store(&err)
		d.log.Warn("session with etcd lost", zap.Error(err))
		if err := sleep.For(ctx, etcdPause); err != nil {
			return err
		}
	}
}

// inSession opens a session and does duties until it ends, then hands over at
// once what it still owns.
func (d *Daemon) inSession(ctx context.Context) error {
	// From before the peer shows itself: the others tell it the time then. Of what
	// they said while it was away nobody knows how long ago it was: it is later.
	told, from, err := d.store.Clock(ctx)
	if err != nil {
		return err
	}
	if changed := d.clock.NotBefore(told); changed != 0 {
		d.log.Warn("clock set by what was told before; keep the machines' clocks right", zap.Duration("by", changed))
	}
	session, err := store.OpenSession(ctx, d.kv, d.cfg.Etcd.LeaseTTL, d.log)
	if err != nil {
		return err
	}
	d.session.Store(true)
	owned := &ownedKeys{}
	g, gctx := errgroup.WithContext(ctx)
	back := d.view.Load().WentBack()
	g.Go(func() error {
		// What was owned is given back after that, which may take long: etcd
		// may be silent.
		defer d.session.Store(false)
		return session.Run(gctx)
	})
	g.Go(func() error {
		// What the duties have written and wait to see will never come.
		select {
		case <-back:
			return errWentBack
		case <-gctx.Done():
			return context.Cause(gctx)
		}
	})
	g.Go(func() error { return d.member(gctx, session, owned) })
	g.Go(func() error { return d.spread.Follow(gctx, d.view.Load()) })
	g.Go(func() error { return d.union.Follow(gctx, d.view.Load()) })
	g.Go(func() error { return d.followClock(gctx, from) })
	g.Go(func() error {
		return d.holdAll(gctx, session, owned, func(s *setup) []duty { return s.duties })
	})
	err = g.Wait()
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
	defer cancel()
	return errors.Join(err, session.Close(closing))
}

// holdAll does the duties that the newest setup lists, each whenever it can be
// had, until ctx ends.
func (d *Daemon) holdAll(ctx context.Context, session *store.Session, owned *ownedKeys, list func(*setup) []duty) error {
	g, gctx := errgroup.WithContext(ctx)
	held := map[string]context.CancelCauseFunc{}
	for {
		s, changed := d.newest.get()
		duties := list(s)
		for key, end := range held {
			if _, there := find(duties, key); !there {
				end(errLeft)
				delete(held, key)
			}
		}
		for _, duty := range duties {
			if held[duty.key] != nil {
				continue
			}
			one, end := context.WithCancelCause(gctx)
			held[duty.key] = end
			h := &holding{Daemon: d, session: session, owned: owned, key: duty.key, list: list}
			g.Go(func() error {
				err := h.run(one)
				if gctx.Err() == nil && errors.Is(context.Cause(one), errLeft) {
					return nil
				}
				return err
			})
		}
		select {
		case <-changed:
		case <-gctx.Done():
			for _, end := range held {
				end(context.Canceled) // they have ended with gctx
			}
			return cmp.Or(g.Wait(), context.Cause(ctx))
		}
	}
}

// holding is the doing of one duty.
type holding struct {
	*Daemon

	session *store.Session
	owned   *ownedKeys
	key     string
	// list lists the duties that this one is among.
	list func(*setup) []duty
}

// run does the duty whenever it can be had, until ctx ends.
func (h *holding) run(ctx context.Context) error {
	log := h.log.With(zap.String("duty", h.key))
	for {
		ownership, err := h.store.AcquireInTurn(ctx, h.session, h.key, h.name, h.turn(h.key))
		if err != nil {
			h.letGoUnseen(ctx)
			return err
		}
		log.Info("duty taken")
		h.spread.Took(h.key)
		cause, err := h.own(ctx, ownership)
		if errors.Is(err, ErrStuck) {
			return err
		}
		if ctx.Err() != nil {
			if h.goesBack(ctx) {
				h.letGo(ctx, ownership)
			}
			return context.Cause(ctx)
		}
		pause := afterDuty(log, cause, err)
		if err := insist(ctx, func() error { return ownership.Release(ctx) }); err != nil {
			return err
		}
		if err := sleep.For(ctx, pause); err != nil {
			return err
		}
	}
}

// own does the duty while it is owned, with each new configuration anew. It
// returns why that ended, and how the component did.
func (h *holding) own(ctx context.Context, ownership *store.Ownership) (cause, err error) {
	defer h.owned.remove(h.key)
	for {
		s, changed := h.newest.get()
		duty, there := find(h.list(s), h.key)
		if !there {
			select {
			case <-changed:
				continue
			case <-ctx.Done():
				return context.Cause(ctx), context.Cause(ctx)
			}
		}
		if duty.limits == nil { // what a group is held for is shown itself
			h.owned.add(h.key)
		}
		performing, stop := h.untilOthers(ctx, h.key)
		performing, stopToo := h.untilAnother(performing, duty, changed)
		err = h.perform(performing, h.session, ownership, duty, h.owned)
		stopToo()
		cause = context.Cause(performing)
		stop()
		h.registry.drop(h.key)
		if ctx.Err() != nil || !errors.Is(cause, errAnother) {
			return cause, err
		}
		h.log.Info("duty begun anew with the new configuration", zap.String("duty", h.key))
	}
}

// untilAnother returns a context that ends with errAnother when a duty is
// configured differently. Changed is closed when that may be so.
func (h *holding) untilAnother(ctx context.Context, duty duty, changed <-chan struct{}) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		for {
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
			var s *setup
			s, changed = h.newest.get()
			if now, there := find(h.list(s), h.key); there && now.print != duty.print {
				cancel(errAnother)
				return
			}
		}
	}()
	return ctx, func() { cancel(context.Canceled) }
}

// goesBack tells whether a duty that ended with ctx is to be given back by
// itself: the session goes on without it.
func (h *holding) goesBack(ctx context.Context) bool {
	return h.session.Left() > 0 && !errors.Is(context.Cause(ctx), context.Canceled)
}

// letGoUnseen gives a duty back that was perhaps taken, by an attempt whose
// answer nobody waited for. Without that nobody would have it for as long as
// the session lives.
func (h *holding) letGoUnseen(ctx context.Context) {
	if ctx.Err() == nil || !h.goesBack(ctx) {
		return
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
	defer cancel()
	ownership, err := h.store.TryAcquire(bounded, h.session, h.key, h.name)
	if err == nil {
		h.letGo(ctx, ownership)
	} else if !errors.Is(err, pool.ErrConflict) {
		h.log.Warn("it is not known whether a duty was taken", zap.String("duty", h.key), zap.Error(err))
	}
}

// afterDuty says how a duty ended, and returns how long to wait before it is
// tried to have it again.
func afterDuty(log *zap.Logger, cause, err error) time.Duration {
	switch {
	case errors.Is(cause, errOthers):
		log.Info("duty handed over")
		return 0
	case errors.Is(err, pool.ErrNotOwner):
		log.Warn("duty lost")
	default:
		log.Error("duty failed", zap.Error(err))
	}
	return dutyPause
}

// perform runs the component for as long as the ownership lasts.
func (d *Daemon) perform(ctx context.Context, session *store.Session, ownership *store.Ownership, duty duty, owned *ownedKeys) error {
	ctx, cancel := ownership.Context(ctx)
	defer cancel()
	ctx = withOwnership(ctx, ownership)
	// A component decides on records that are at least as new as its duty.
	if err := d.view.Load().WaitFor(ctx, ownership.CreateRevision()); err != nil {
		return err
	}
	records := d.records(ownership, duty)
	defer records.Close()
	if d.teller != nil || d.stats != nil {
		records.Tell(d.tell)
	}
	if duty.limits != nil {
		return d.performGroup(ctx, session, duty, owned, records)
	}
	defer d.pulse.begin(duty.key, records)()
	if duty.steady {
		return watched(ctx, duty, records)
	}
	return duty.run(ctx, records)
}

// records is the store as the component of a duty sees it.
func (d *Daemon) records(ownership *store.Ownership, duty duty) *store.Owned {
	if duty.uploads {
		return d.store.OwnedUploads(d.view.Load(), ownership)
	}
	if duty.provider != "" {
		return d.store.OwnedProvider(d.view.Load(), ownership, duty.provider)
	}
	return d.store.Owned(d.view.Load(), ownership)
}

// member shows the peer, its configuration and what it owns among the members,
// until ctx ends.
func (d *Daemon) member(ctx context.Context, session *store.Session, owned *ownedKeys) error {
	started := time.Now().UTC().Truncate(time.Millisecond)
	offered := d.setup().cfg
	if err := d.offer(ctx, &offered.Catalog); err != nil {
		return err
	}
	for {
		s, reconfigured := d.newest.get()
		if s.cfg != offered {
			offered = s.cfg
			if err := d.putOffer(ctx, &offered.Catalog); err != nil {
				return err
			}
		}
		owns, changed := owned.watch()
		m, err := d.memberOf(s)
		if err != nil {
			return err
		}
		m.Started, m.Owns = started, owns
		if err := insist(ctx, func() error { return d.store.PutMember(ctx, session, m) }); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-changed:
		case <-reconfigured:
		}
	}
}

// memberOf is what a peer with a setup shows of itself.
func (d *Daemon) memberOf(s *setup) (*pool.Member, error) {
	m := &pool.Member{Name: d.name, Roles: d.cfg.Roles, Version: d.version, Records: pool.RecordVersion, Configured: s.loaded}
	catalog := &s.cfg.Catalog
	var err error
	if m.Prints, err = catalog.Prints(); err != nil {
		return nil, err
	}
	m.Uploads = map[string][]string{}
	for i := range catalog.Providers {
		p := &catalog.Providers[i]
		m.Providers = append(m.Providers, p.Name)
		for _, use := range p.Images {
			m.Uploads[p.Name] = append(m.Uploads[p.Name], use.Name)
		}
	}
	for i := range catalog.Labels {
		m.Labels = append(m.Labels, catalog.Labels[i].Name)
	}
	for i := range catalog.Images {
		m.Images = append(m.Images, catalog.Images[i].Name)
	}
	m.Builds = d.buildable(catalog)
	for _, duty := range s.duties {
		m.Duties = append(m.Duties, duty.key)
	}
	return m, nil
}

// insist repeats a write that may be repeated while etcd is away: as long as
// the session lives through that, so do the duties.
func insist(ctx context.Context, write func() error) error {
	for {
		err := write()
		away := errors.Is(err, pool.ErrUnavailable) || errors.Is(err, pool.ErrUnknown)
		if !away || sleep.For(ctx, etcdPause) != nil {
			return err
		}
	}
}

// ownedKeys is the set of duties that the peer does now.
type ownedKeys struct {
	// mu guards everything below.
	mu      sync.Mutex
	keys    []string
	changed chan struct{}
}

func (o *ownedKeys) add(key string) {
	o.edit(func() {
		if !slices.Contains(o.keys, key) {
			o.keys = append(o.keys, key)
		}
	})
}

func (o *ownedKeys) remove(key string) {
	o.edit(func() { o.keys = slices.DeleteFunc(o.keys, func(k string) bool { return k == key }) })
}

func (o *ownedKeys) edit(change func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	change()
	if o.changed != nil {
		close(o.changed)
		o.changed = nil
	}
}

// watch returns the duties, sorted, and a channel that is closed when they
// change.
func (o *ownedKeys) watch() ([]string, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.changed == nil {
		o.changed = make(chan struct{})
	}
	return slices.Sorted(slices.Values(o.keys)), o.changed
}
