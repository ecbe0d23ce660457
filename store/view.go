package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"poold/pool"
	"poold/store/kv"
)

const (
	// probeEvery is how often a view makes sure that etcd is there and has not
	// gone back to an older revision.
	probeEvery = 5 * time.Second
	// firstPause and longestPause bound the pause before a failed list or
	// watch is begun again.
	firstPause, longestPause = 100 * time.Millisecond, 5 * time.Second
)

// errWentBack says that etcd is at an older revision than it has been, as after
// a restore from a backup.
var errWentBack = errors.New("the revision of etcd went back")

// View is a cache of all records, kept up to date by [View.Run]. It is safe
// for concurrent use.
type View struct {
	store *Store

	mu sync.Mutex
	// Guarded by mu, all of them.
	tables   tables
	revision int64
	current  *pool.Snapshot
	synced   bool
	gaps     int
	contact  time.Time
	wakes    map[chan struct{}]*subscription
	// moved is closed and replaced whenever the revision changes, back when it
	// has become smaller.
	moved, back chan struct{}
}

// subscription is one who is told of changes.
type subscription struct {
	// about tells which keys it is about; nil is all.
	about func(key string) bool
	// since is from when on the value waits that is in the channel.
	since instant
}

// View returns a view that is empty until its Run has listed the records.
func (s *Store) View() *View {
	return &View{
		store: s, current: &pool.Snapshot{},
		wakes: map[chan struct{}]*subscription{}, moved: make(chan struct{}), back: make(chan struct{}),
	}
}

// Snapshot returns all records as of the revision that the view has reached,
// the same pointer until something changes. Before the first list it is empty
// and of revision 0.
func (v *View) Snapshot() *pool.Snapshot {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.current == nil {
		v.current = v.tables.snapshot(v.revision)
	}
	return v.current
}

// Subscribe returns a channel that gets a value after every change, one for
// any number of changes that were not fetched yet, and a function that ends
// the subscription. The channel is never closed.
func (v *View) Subscribe() (changed <-chan struct{}, cancel func()) { return v.subscribe(nil) }

// SubscribePeers is Subscribe for the changes of members, drains and offers only.
func (v *View) SubscribePeers() (changed <-chan struct{}, cancel func()) {
	return v.subscribe(func(key string) bool {
		family := v.store.keys.parse(key).family
		return family == familyMember || family == familyDrain || family == familyOffer
	})
}

// subscribe is Subscribe for the changes of some keys only.
func (v *View) subscribe(about func(key string) bool) (changed chan struct{}, cancel func()) {
	wake := make(chan struct{}, 1)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.wakes[wake] = &subscription{about: about}
	return wake, func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		delete(v.wakes, wake)
	}
}

// Synced tells whether the records were ever listed.
func (v *View) Synced() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.synced
}

// Gaps tells how often all records were listed anew because etcd had forgotten what
// happened since the view last heard of it, or went back. What came and went in
// between was never seen.
func (v *View) Gaps() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.gaps
}

// LastContact returns when etcd last answered; zero if it never did. A view is
// as old as this, at most.
func (v *View) LastContact() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.contact
}

// WaitFor blocks until the view is at or beyond a revision, or returns the
// cause of the end of ctx. Wait only for a revision at which a record changed:
// an etcd that others use, too, may take minutes to tell of theirs.
func (v *View) WaitFor(ctx context.Context, revision int64) error {
	for {
		v.mu.Lock()
		reached, moved := v.revision >= revision, v.moved
		v.mu.Unlock()
		if reached {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return fmt.Errorf("wait for revision %d: %w", revision, context.Cause(ctx))
		}
	}
}

// WentBack returns a channel that is closed when etcd, as after a restore, is at
// an older revision than it has been. Whoever remembers a revision or a record
// from before must forget it.
func (v *View) WentBack() <-chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.back
}

// at returns the revision that the view has reached.
func (v *View) at() int64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.revision
}

// heard notes that etcd answered.
func (v *View) heard(now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.contact = now
}

// load lists everything and replaces what the view has.
func (v *View) load(ctx context.Context) error {
	items, revision, err := v.store.kv.List(ctx, v.store.keys.prefix)
	if err != nil {
		return translate(err)
	}
	var fresh tables
	for _, it := range items {
		v.complain(it.Key, fresh.put(v.store, it))
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if revision < v.revision {
		v.store.log.Warn("etcd went back", zap.Int64("from", v.revision), zap.Int64("to", revision))
		v.store.seen.Store(revision)
		close(v.back)
		v.back = make(chan struct{})
	}
	if v.synced {
		v.gaps++
	}
	v.tables, v.synced = fresh, true
	v.advance(revision)
	v.announce(nil)
	return nil
}

// follow takes in a batch of a watch.
func (v *View) follow(b kv.Batch) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, e := range b.Events {
		if e.Type == kv.EventDelete {
			v.tables.remove(v.store, e.Item.Key)
		} else {
			v.complain(e.Item.Key, v.tables.put(v.store, e.Item))
		}
	}
	v.advance(b.Revision)
	if len(b.Events) > 0 {
		v.announce(b.Events)
	}
}

// advance moves the view to a revision; mu is held.
func (v *View) advance(revision int64) {
	v.revision = revision
	v.store.saw(revision)
	if len(v.tables.members.pending) > 0 {
		v.store.met(v.tables.members.list())
	}
	v.current = nil
	close(v.moved)
	v.moved = make(chan struct{})
}

// announce wakes the subscribers that some of the events are about, all of
// them without events; mu is held.
func (v *View) announce(events []kv.Event) {
	for wake, s := range v.wakes {
		if s.about != nil && events != nil &&
			!slices.ContainsFunc(events, func(e kv.Event) bool { return s.about(e.Item.Key) }) {
			continue
		}
		s.wake(wake)
	}
}

// wake puts a value into the channel of the subscription, unless one waits.
func (s *subscription) wake(to chan struct{}) {
	select {
	case to <- struct{}{}:
		s.since = now()
	default:
	}
}

// nudge wakes one subscriber.
func (v *View) nudge(wake chan struct{}) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if s := v.wakes[wake]; s != nil {
		s.wake(wake)
	}
}

// waited is for how long a subscriber has left a change lie; 0 if there is none.
func (v *View) waited(wake chan struct{}) time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	if s := v.wakes[wake]; s != nil && len(wake) > 0 {
		return s.since.elapsed()
	}
	return 0
}

// complain logs a record that cannot be read.
func (v *View) complain(key string, err error) {
	if err != nil {
		v.store.log.Warn("record not readable", zap.String("key", key), zap.Error(err))
	}
}
