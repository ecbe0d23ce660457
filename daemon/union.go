package daemon

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"poold/internal/sleep"
	"poold/pool"
	"poold/store"
)

const (
	// restartGrace is how long a peer may be missed before its providers count
	// as away: it may be restarting, or its lease may have ended and its next
	// one not begun.
	restartGrace = 30 * time.Second
	// awayGrace is how long a peer may be missed before requests that only its
	// providers could serve fail.
	awayGrace = 5 * time.Minute
	// startGrace is how long after its first look at the records a peer does not conclude
	// that what no peer is known to have is nowhere: all may have been started
	// at once.
	startGrace = 10 * time.Second
	// offerGrace is how long what a peer had is kept, if it can go at all.
	offerGrace = time.Hour
	// offersLook is how often it is looked whether it can.
	offersLook = time.Minute
)

// union is what the files of all peers have together, as this peer sees it. It
// goes by the clock of this machine alone: a peer is missed since it was seen to
// be missing.
type union struct {
	peer string

	mu sync.Mutex // guards what follows
	// began is when the records were looked at first.
	began time.Time
	// missed says since when the peers that have an offer do not run.
	missed map[string]time.Time
	// built is the last union, of those records, in that state of the peers.
	built   *pool.Catalog
	own     *pool.Catalog
	offers  []*pool.Offer
	members []*pool.Member
	state   []pool.Presence
	partial string
}

func newUnion(peer string) *union {
	return &union{peer: peer, missed: map[string]time.Time{}}
}

// catalog is the union of this peer's own file and of those of the others. It is
// the same pointer until it changes.
func (u *union) catalog(own *pool.Catalog, s *pool.Snapshot) *pool.Catalog {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.miss(s)
	state := make([]pool.Presence, len(s.Offers))
	for i, o := range s.Offers {
		state[i] = u.presence(o.Peer)
	}
	partial := u.mayBeMore(s)
	if u.built != nil && u.own == own && slices.Equal(u.offers, s.Offers) && slices.Equal(u.members, s.Members) &&
		slices.Equal(u.state, state) && u.partial == partial {
		return u.built
	}
	u.own, u.offers, u.members, u.state, u.partial = own, s.Offers, s.Members, state, partial
	u.built = pool.Union(u.withOwn(own, s.Offers), u.presence, ownersOf(s.Members))
	u.built.Images, u.built.Partial = own.Images, partial
	return u.built
}

// follow notes who comes and goes until ctx ends: whoever becomes the allocator
// knows for how long a peer has been missed.
func (u *union) follow(ctx context.Context, view *store.View) error {
	changed, cancel := view.SubscribePeers()
	defer cancel()
	for {
		u.mu.Lock()
		u.miss(view.Snapshot())
		u.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// miss notes who runs. A peer whose record a newer version has written runs, too.
// mu is held.
func (u *union) miss(s *pool.Snapshot) {
	if u.began.IsZero() && s.Revision > 0 {
		u.began = time.Now()
	}
	missed := map[string]time.Time{}
	for _, o := range s.Offers {
		if o.Peer == u.peer || runs(s, o.Peer) {
			continue
		}
		since, known := u.missed[o.Peer]
		if !known {
			since = time.Now()
		}
		missed[o.Peer] = since
	}
	u.missed = missed
}

func runs(s *pool.Snapshot, peer string) bool {
	return slices.ContainsFunc(s.Members, func(m *pool.Member) bool { return m.Name == peer }) ||
		slices.ContainsFunc(s.Unreadable, func(key string) bool { return strings.HasSuffix(key, "/members/"+peer) })
}

// presence is how much of a peer there is; mu is held.
func (u *union) presence(peer string) pool.Presence {
	since, missed := u.missed[peer]
	switch {
	case !missed || time.Since(since) < restartGrace:
		return pool.Present
	case time.Since(since) < awayGrace:
		return pool.Away
	}
	return pool.Gone
}

// withOwn is all offers, with what this peer's own file says now for its own.
func (u *union) withOwn(own *pool.Catalog, offers []*pool.Offer) []*pool.Offer {
	mine := &pool.Offer{Peer: u.peer, Catalog: own.Offered()}
	i := slices.IndexFunc(offers, func(o *pool.Offer) bool { return o.Peer == u.peer })
	if i < 0 {
		return append(slices.Clone(offers), mine)
	}
	all := slices.Clone(offers)
	all[i] = mine
	return all
}

// mayBeMore says why peers may have what is not known of, or "".
func (u *union) mayBeMore(s *pool.Snapshot) string {
	for _, m := range s.Members {
		if m.Name != u.peer && !slices.ContainsFunc(s.Offers, func(o *pool.Offer) bool { return o.Peer == m.Name }) {
			return "peer " + m.Name + ", of version " + m.Version + ", does not say what its providers are"
		}
	}
	for _, key := range s.Unreadable {
		if strings.Contains(key, "/members/") || strings.Contains(key, "/offers/") {
			return "what a peer of a newer version has is not known"
		}
	}
	if u.began.IsZero() || time.Since(u.began) < startGrace {
		return "this peer has just begun, and others may have, too"
	}
	return ""
}

// ownersOf says which peer launches in each provider.
func ownersOf(members []*pool.Member) map[string]string {
	owners := map[string]string{}
	for _, m := range members {
		for _, key := range m.Owns {
			if name, ok := strings.CutPrefix(key, "provider/"); ok {
				owners[name] = m.Name
			}
		}
	}
	return owners
}

// united is what all peers have together.
func (d *Daemon) united() *pool.Catalog {
	return d.union.catalog(d.catalog(), d.view.Load().Snapshot())
}

// offer shows the others what this peer's file has, if that is not what etcd
// says already.
func (d *Daemon) offer(ctx context.Context, own *pool.Catalog) error {
	view := d.view.Load()
	if err := view.WaitFor(ctx, 1); err != nil {
		return err
	}
	mine := &pool.Offer{Peer: d.name, Catalog: own.Offered()}
	for _, o := range view.Snapshot().Offers {
		if o.Peer == d.name {
			if same, err := mine.Same(o); err != nil || same {
				return err
			}
		}
	}
	return d.putOffer(ctx, own)
}

// putOffer shows the others what this peer's file has.
func (d *Daemon) putOffer(ctx context.Context, own *pool.Catalog) error {
	mine := &pool.Offer{Peer: d.name, Catalog: own.Offered()}
	err := insist(ctx, func() error { return d.store.PutOffer(ctx, mine) })
	if err == nil || ctx.Err() != nil {
		return err
	}
	d.log.Error("the other peers do not know what this one has: they cannot plan with it", zap.Error(err))
	return nil
}

// forgetOffers removes, as the allocator, what peers had that are gone for long,
// unless it is all that is known of a provider.
func (d *Daemon) forgetOffers(ctx context.Context, records *store.Owned) error {
	for {
		if err := sleep.For(ctx, offersLook); err != nil {
			return err
		}
		// Not the records of the duty: by these it is seen whether its own loop turns.
		for _, o := range d.union.stale(d.view.Load().Snapshot()) {
			w := pool.Write{By: pool.Allocator, Offers: []pool.Change[pool.Offer]{pool.Remove(o)}}
			if _, err := records.Apply(ctx, w); err != nil {
				d.log.Warn("what a peer had is not forgotten", zap.String("peer", o.Peer), zap.Error(err))
				continue
			}
			d.log.Info("what a peer had is forgotten: it is gone, and others have it", zap.String("peer", o.Peer))
		}
	}
}

// stale are the offers of peers that are gone for long and that have no provider
// of their own.
func (u *union) stale(s *pool.Snapshot) []*pool.Offer {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.miss(s)
	held := map[string]bool{}
	for _, o := range s.Offers {
		if _, missed := u.missed[o.Peer]; missed {
			continue
		}
		for i := range o.Catalog.Providers {
			held[o.Catalog.Providers[i].Name] = held[o.Catalog.Providers[i].Name] || o.Catalog.Providers[i].Launches()
		}
	}
	var stale []*pool.Offer
	for _, o := range s.Offers {
		since, missed := u.missed[o.Peer]
		needed := slices.ContainsFunc(o.Catalog.Providers, func(p pool.Provider) bool {
			return p.Launches() && !held[p.Name]
		})
		if missed && time.Since(since) >= offerGrace && !needed {
			stale = append(stale, o)
		}
	}
	return stale
}
