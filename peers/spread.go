package peers

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"
	"sync"
	"time"

	"poold/pool"
)

const (
	// Deference is how long a duty is left to the peer that it belongs to before
	// another takes it.
	Deference = 3 * time.Second
	// Settled is how long a duty must belong to another before it is handed
	// over, and the least time between two that are: peers come and go, and each
	// handover is a pause.
	Settled = 30 * time.Second
	// Grudge is how long a peer that did not take a duty of its own is not
	// offered it again.
	Grudge = 10 * time.Minute
)

// Spread says which peer a duty belongs to. Every peer works it out from the
// members and the drains alone, by rendezvous hashing: they agree, and when a
// peer comes or goes only its own duties move. It is safe for concurrent use.
type Spread struct {
	peer string
	now  func() time.Time

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

// NewSpread returns what a peer of this name goes by, with the clock of its
// machine.
func NewSpread(peer string, now func() time.Time) *Spread {
	return &Spread{peer: peer, now: now, changed: make(chan struct{}), spurned: map[string]spurn{}}
}

// Follow takes over who there is until ctx ends.
func (s *Spread) Follow(ctx context.Context, view View) error {
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

func (s *Spread) take(snap *pool.Snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.members, s.drains, s.built = snap.Members, snap.Drains, lastBuilt(snap.Builds)
	close(s.changed)
	s.changed = make(chan struct{})
}

// look takes over who built what, which nobody is told of.
func (s *Spread) look(snap *pool.Snapshot) {
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
func (s *Spread) home(key string) (life, <-chan struct{}) {
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
func (s *Spread) before(a, b *pool.Member, key string) bool {
	if x, y := s.drained(a.Name), s.drained(b.Name); x != y {
		return y
	}
	if x, y := s.built[a.Name], s.built[b.Name]; stays(key) && !x.Equal(y) {
		return x.After(y)
	}
	return cmp.Or(cmp.Compare(Rank(b.Name, key), Rank(a.Name, key)), cmp.Compare(a.Name, b.Name)) < 0
}

func (s *Spread) drained(peer string) bool {
	return slices.ContainsFunc(s.drains, func(d *pool.Drain) bool { return d.Peer == peer })
}

// Rank is how much a peer is meant for a duty. Images are built and sent by one
// peer, for only who built them has the files.
func Rank(peer, key string) uint64 {
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

// Await waits until this peer should try to take a duty, as the records are now:
// at once if it belongs to it, else after the one that it belongs to had time to.
// The error is the cause of the end of ctx.
func (s *Spread) Await(ctx context.Context, key string, now *pool.Snapshot) error {
	s.look(now)
	timer := time.NewTimer(Deference)
	defer timer.Stop()
	for {
		home, changed := s.home(key)
		if home.name == "" || home.name == s.peer {
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

// Took notes that this peer has taken a duty. One that belongs to another did
// not want it.
func (s *Spread) Took(key string) {
	home, _ := s.home(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.spurned, key)
	if home.name != "" && home.name != s.peer {
		s.spurned[key] = spurn{home, s.now()}
	}
}

// AwaitOther returns true when a duty of this peer is to be handed over, and
// false when ctx ends.
func (s *Spread) AwaitOther(ctx context.Context, key string) bool {
	since, last := s.now(), life{}
	for {
		home, changed := s.home(key)
		if home != last {
			since, last = s.now(), home
		}
		wait, ever := s.handover(key, home, since, s.now())
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
func (s *Spread) handover(key string, home life, since, now time.Time) (wait time.Duration, ever bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if home.name == "" || home.name == s.peer {
		return 0, false
	}
	if refused := s.spurned[key]; home == refused.by && now.Before(refused.at.Add(Grudge)) {
		return refused.at.Add(Grudge).Sub(now), true
	}
	if s.drained(s.peer) {
		return 0, true
	}
	if stays(key) {
		return 0, false
	}
	due := since.Add(Settled)
	if next := s.moved.Add(Settled); next.After(due) {
		due = next
	}
	if due.After(now) {
		return due.Sub(now), true
	}
	s.moved = now
	return 0, true
}
