package daemon

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"poold/pool"
	"poold/store"
)

const (
	// deference is how long a duty is left to the peer that it belongs to before
	// another takes it.
	deference = 3 * time.Second
	// settled is how long a duty must belong to another before it is handed
	// over, and the least time between two that are: peers come and go, and each
	// handover is a pause.
	settled = 30 * time.Second
	// grudge is how long a peer that did not take a duty of its own is not
	// offered it again.
	grudge = 10 * time.Minute
)

// errOthers ends a duty that belongs to another peer.
var errOthers = errors.New("it belongs to another peer")

// spread says which peer a duty belongs to. Every peer works it out from the
// members and the drains alone, by rendezvous hashing: they agree, and when a
// peer comes or goes only its own duties move.
type spread struct {
	peer string

	mu sync.Mutex // guards what follows
	// members and drains are those of the last snapshot; changed is closed when
	// there are others.
	members []*pool.Member
	drains  []*pool.Drain
	changed chan struct{}
	// built is when each peer began the newest of its builds that are under way or
	// ready: it has their files.
	built map[string]time.Time
	// moved is when the last duty was handed over.
	moved time.Time
	// spurned says who did not take a duty of his, and when.
	spurned map[string]spurn
}

type spurn struct {
	by life
	at time.Time
}

// life is a peer from one start to the next.
type life struct {
	name    string
	started time.Time
}

func lifeOf(m *pool.Member) life {
	if m == nil {
		return life{}
	}
	return life{m.Name, m.Started}
}

func newSpread(peer string) *spread {
	return &spread{peer: peer, changed: make(chan struct{}), spurned: map[string]spurn{}}
}

// follow takes over who there is until ctx ends.
func (s *spread) follow(ctx context.Context, view *store.View) error {
	changed, cancel := view.SubscribePeers()
	defer cancel()
	for {
		s.take(view.Snapshot())
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (s *spread) take(snap *pool.Snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.members, s.drains, s.built = snap.Members, snap.Drains, lastBuilt(snap.Builds)
	close(s.changed)
	s.changed = make(chan struct{})
}

// look takes over who built what, which nobody is told of.
func (s *spread) look(snap *pool.Snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.built = lastBuilt(snap.Builds)
}

// lastBuilt is when each peer began the newest of the builds that are of use.
func lastBuilt(builds []*pool.Build) map[string]time.Time {
	last := map[string]time.Time{}
	for _, b := range builds {
		if (b.State == pool.BuildBuilding || b.State == pool.BuildReady) && b.Created.After(last[b.Builder]) {
			last[b.Builder] = b.Created
		}
	}
	return last
}

// home is the life of the peer that a duty belongs to, the zero life if none
// that runs can do it, and a channel that is closed when that may have changed.
// Peers that are drained come last.
func (s *spread) home(key string) (life, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var best *pool.Member
	for _, m := range s.members {
		if slices.Contains(m.Duties, key) && (best == nil || s.before(m, best, key)) {
			best = m
		}
	}
	return lifeOf(best), s.changed
}

// before orders peers for a duty. What has to do with files belongs to who made the
// newest ones.
func (s *spread) before(a, b *pool.Member, key string) bool {
	if x, y := s.drained(a.Name), s.drained(b.Name); x != y {
		return y
	}
	if x, y := s.built[a.Name], s.built[b.Name]; stays(key) && !x.Equal(y) {
		return x.After(y)
	}
	return cmp.Or(cmp.Compare(rank(b.Name, key), rank(a.Name, key)), cmp.Compare(a.Name, b.Name)) < 0
}

func (s *spread) drained(peer string) bool {
	return slices.ContainsFunc(s.drains, func(d *pool.Drain) bool { return d.Peer == peer })
}

// rank is how much a peer is meant for a duty. Images are built and sent by one
// peer, for only who built them has the files.
func rank(peer, key string) uint64 {
	if stays(key) {
		key = "images"
	}
	sum := sha256.Sum256([]byte(peer + "\x00" + key))
	return binary.BigEndian.Uint64(sum[:])
}

// stays tells whether a duty stays with who has it, and its files.
func stays(key string) bool {
	return strings.HasPrefix(key, "image/") || strings.HasPrefix(key, "uploading/")
}

// turn waits until this peer should try to take a duty: at once if it belongs
// to it, else after the one that it belongs to had time to.
func (d *Daemon) turn(key string) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		d.spread.look(d.view.Load().Snapshot())
		timer := time.NewTimer(deference)
		defer timer.Stop()
		for {
			home, changed := d.spread.home(key)
			if home.name == "" || home.name == d.name {
				return nil
			}
			select {
			case <-changed:
			case <-timer.C:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
}

// took notes that this peer has taken a duty. One that belongs to another did
// not want it.
func (s *spread) took(key string) {
	home, _ := s.home(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.spurned, key)
	if home.name != "" && home.name != s.peer {
		s.spurned[key] = spurn{home, time.Now()}
	}
}

// untilOthers returns a context that ends with errOthers when a duty of this
// peer is to be handed over.
func (d *Daemon) untilOthers(ctx context.Context, key string) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		if d.spread.awaitOther(ctx, key) {
			cancel(errOthers)
		}
	}()
	return ctx, func() { cancel(context.Canceled) }
}

// awaitOther returns true when a duty is to be handed over, and false when ctx
// ends.
func (s *spread) awaitOther(ctx context.Context, key string) bool {
	since, last := time.Now(), life{}
	for {
		home, changed := s.home(key)
		if home != last {
			since, last = time.Now(), home
		}
		wait, ever := s.handover(key, home, since, time.Now())
		if ever && wait <= 0 {
			return true
		}
		timer := time.NewTimer(wait)
		if !ever {
			timer.Stop()
		}
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return false
		}
		timer.Stop()
	}
}

// handover tells how long it is yet until a duty is handed over to the peer
// that it has belonged to since a time, and whether it ever is as things are.
// With 0 it is to be done now.
func (s *spread) handover(key string, home life, since, now time.Time) (wait time.Duration, ever bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if home.name == "" || home.name == s.peer {
		return 0, false
	}
	if refused := s.spurned[key]; home == refused.by && now.Before(refused.at.Add(grudge)) {
		return refused.at.Add(grudge).Sub(now), true
	}
	if s.drained(s.peer) {
		return 0, true
	}
	if stays(key) {
		return 0, false
	}
	due := since.Add(settled)
	if next := s.moved.Add(settled); next.After(due) {
		due = next
	}
	if due.After(now) {
		return due.Sub(now), true
	}
	s.moved = now
	return 0, true
}
