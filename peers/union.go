package peers

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"poold/pool"
)

const (
	// RestartGrace is how long a peer may be missed before its providers count
	// as away: it may be restarting, or its lease may have ended and its next
	// one not begun.
	RestartGrace = 30 * time.Second
	// AwayGrace is how long a peer may be missed before requests that only its
	// providers could serve fail.
	AwayGrace = 5 * time.Minute
	// StartGrace is how long after its first look at the records a peer does not conclude
	// that what no peer is known to have is nowhere: all may have been started
	// at once.
	StartGrace = 10 * time.Second
	// OfferGrace is how long what a peer had is kept, if it can go at all.
	OfferGrace = time.Hour
)

// Union is what the files of all peers have together, as this peer sees it. It
// goes by the clock of this machine alone: a peer is missed since it was seen to
// be missing. It is safe for concurrent use.
type Union struct {
	peer string
	now  func() time.Time

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

// NewUnion returns what the peer of this name sees, by the clock of its machine.
func NewUnion(peer string, now func() time.Time) *Union {
	return &Union{peer: peer, now: now, missed: map[string]time.Time{}}
}

// Catalog is the union of this peer's own file and of those of the others. It is
// the same pointer until it changes.
func (u *Union) Catalog(own *pool.Catalog, s *pool.Snapshot) *pool.Catalog {
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

// Follow notes who comes and goes until ctx ends: whoever becomes the allocator
// knows for how long a peer has been missed.
func (u *Union) Follow(ctx context.Context, view View) error {
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
func (u *Union) miss(s *pool.Snapshot) {
	if u.began.IsZero() && s.Revision > 0 {
		u.began = u.now()
	}
	missed := map[string]time.Time{}
	for _, o := range s.Offers {
		if o.Peer == u.peer || runs(s, o.Peer) {
			continue
		}
		since, known := u.missed[o.Peer]
		if !known {
			since = u.now()
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
func (u *Union) presence(peer string) pool.Presence {
	since, missed := u.missed[peer]
	switch {
	case !missed || u.now().Sub(since) < RestartGrace:
		return pool.Present
	case u.now().Sub(since) < AwayGrace:
		return pool.Away
	}
	return pool.Gone
}

// withOwn is all offers, with what this peer's own file says now for its own.
func (u *Union) withOwn(own *pool.Catalog, offers []*pool.Offer) []*pool.Offer {
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
func (u *Union) mayBeMore(s *pool.Snapshot) string {
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
	if u.began.IsZero() || u.now().Sub(u.began) < StartGrace {
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

// Stale are the offers of peers that are gone for long and that have no provider
// of their own.
func (u *Union) Stale(s *pool.Snapshot) []*pool.Offer {
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
		if missed && u.now().Sub(since) >= OfferGrace && !needed {
			stale = append(stale, o)
		}
	}
	return stale
}
