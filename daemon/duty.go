package daemon

import (
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

// sessions keeps a session with etcd, and in each does the duties that can be
// had, until ctx ends.
func (d *Daemon) sessions(ctx context.Context) error {
	for {
		err := d.inSession(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
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
	g.Go(func() error { return d.spread.follow(gctx, d.view.Load()) })
	g.Go(func() error { return d.union.follow(gctx, d.view.Load()) })
	for _, duty := range d.duties {
		g.Go(func() error { return d.hold(gctx, session, duty, owned) })
	}
	err = g.Wait()
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
	defer cancel()
	return errors.Join(err, session.Close(closing))
}

// hold does one duty whenever it can be had, until ctx ends.
func (d *Daemon) hold(ctx context.Context, session *store.Session, duty duty, owned *ownedKeys) error {
	log := d.log.With(zap.String("duty", duty.key))
	for {
		ownership, err := d.store.AcquireInTurn(ctx, session, duty.key, d.name, d.turn(duty.key))
		if err != nil {
			return err
		}
		log.Info("duty taken")
		d.spread.took(duty.key)
		if duty.limits == nil { // what a group is held for is shown itself
			owned.add(duty.key)
		}
		performing, stop := d.untilOthers(ctx, duty.key)
		err = d.perform(performing, session, ownership, duty, owned)
		stop()
		owned.remove(duty.key)
		d.registry.drop(duty.key)
		if ctx.Err() != nil {
			if session.Left() > 0 && !errors.Is(context.Cause(ctx), context.Canceled) {
				d.letGo(ctx, ownership)
			}
			return context.Cause(ctx)
		}
		pause := afterDuty(log, context.Cause(performing), err)
		if err := insist(ctx, func() error { return ownership.Release(ctx) }); err != nil {
			return err
		}
		if err := sleep.For(ctx, pause); err != nil {
			return err
		}
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
	// A component decides on records that are at least as new as its duty.
	if err := d.view.Load().WaitFor(ctx, ownership.CreateRevision()); err != nil {
		return err
	}
	records := d.records(ownership, duty)
	defer records.Close()
	if duty.limits != nil {
		return d.performGroup(ctx, session, duty, owned, records)
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

// member shows the peer and what it owns among the members, until ctx ends.
func (d *Daemon) member(ctx context.Context, session *store.Session, owned *ownedKeys) error {
	if err := d.offer(ctx); err != nil {
		return err
	}
	m := &pool.Member{
		Name: d.name, Roles: d.cfg.Roles, Version: d.version, Started: time.Now().UTC().Truncate(time.Millisecond),
	}
	var err error
	if m.Prints, err = d.cfg.Catalog.Prints(); err != nil {
		return err
	}
	m.Uploads = map[string][]string{}
	for i := range d.cfg.Catalog.Providers {
		p := &d.cfg.Catalog.Providers[i]
		m.Providers = append(m.Providers, p.Name)
		for _, use := range p.Images {
			m.Uploads[p.Name] = append(m.Uploads[p.Name], use.Name)
		}
	}
	for _, l := range d.cfg.Catalog.Labels {
		m.Labels = append(m.Labels, l.Name)
	}
	for i := range d.cfg.Catalog.Images {
		m.Images = append(m.Images, d.cfg.Catalog.Images[i].Name)
	}
	for _, duty := range d.duties {
		m.Duties = append(m.Duties, duty.key)
	}
	for {
		owns, changed := owned.watch()
		m.Owns = owns
		if err := insist(ctx, func() error { return d.store.PutMember(ctx, session, m) }); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-changed:
		}
	}
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
	o.edit(func() { o.keys = append(o.keys, key) })
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
