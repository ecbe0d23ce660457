package store

import (
	"context"
	"strings"
	"sync"
	"time"

	"poold/pool"
)

// Owned is the store as a component sees it that owns something: all records,
// and writes that count only while it is the owner. It is safe for concurrent
// use.
type Owned struct {
	store *Store
	view  *View
	own   *Ownership
	// provider is what Read is limited to, "" for nothing.
	provider string
	changed  chan struct{}
	cancel   func()
	tell     func(w *pool.Write)

	mu sync.Mutex // guards seen
	// seen is when the records were looked at last.
	seen instant
}

func newOwned(s *Store, view *View, own *Ownership, about func(key string) bool) *Owned {
	changed, cancel := view.subscribe(about)
	return &Owned{store: s, view: view, own: own, changed: changed, cancel: cancel, seen: now()}
}

// Owned returns a handle of what own permits. Close it.
func (s *Store) Owned(view *View, own *Ownership) *Owned {
	return newOwned(s, view, own, nil)
}

// OwnedProvider is Owned for who launches and deletes in a provider: Changed
// does not tell of the nodes of others, nor of requests and their answers, and
// Read does not read them. In a large system nearly all records are of those.
func (s *Store) OwnedProvider(view *View, own *Ownership, provider string) *Owned {
	nodes := s.keys.nodes(provider)
	o := newOwned(s, view, own, func(key string) bool {
		switch s.keys.parse(key).family {
		case familyNode:
			return strings.HasPrefix(key, nodes)
		case familyRequest, familyAllocation:
			return false
		case familyNone, familyBuild, familyUpload, familyCommand, familyQuota, familyHealth, familyMember, familyPenalty, familyFreeze, familyPause, familyDrain, familyOffer,
			familyOther:
		}
		return true
	})
	o.provider = provider
	return o
}

// OwnedUploads is Owned for who moves images: Changed tells of builds, uploads and
// commands alone.
func (s *Store) OwnedUploads(view *View, own *Ownership) *Owned {
	return newOwned(s, view, own, func(key string) bool {
		family := s.keys.parse(key).family
		return family == familyBuild || family == familyUpload || family == familyCommand
	})
}

// Snapshot returns all records as of some revision; compare its Revision with
// what Apply returned before deciding again on the same records.
func (o *Owned) Snapshot() *pool.Snapshot {
	o.mu.Lock()
	o.seen = now()
	o.mu.Unlock()
	return o.view.Snapshot()
}

// Unseen is for how long nobody has called Snapshot, suspension of the machine
// included.
func (o *Owned) Unseen() time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.seen.elapsed()
}

// Nudge is a change without one: whoever waits for it looks again.
func (o *Owned) Nudge() { o.view.nudge(o.changed) }

// Lag is for how long there has been a change that the reader of Changed has not
// fetched; 0 if there is none.
func (o *Owned) Lag() time.Duration { return o.view.waited(o.changed) }

// Changed gets a value after changes; see [View.Subscribe]. It has one reader.
func (o *Owned) Changed() <-chan struct{} { return o.changed }

// Apply writes as the owner; see [Store.Apply].
func (o *Owned) Apply(ctx context.Context, w pool.Write) (int64, error) {
	revision, err := o.store.Apply(ctx, o.own, w)
	if err == nil && o.tell != nil {
		o.tell(&w)
	}
	return revision, err
}

// Tell has a function be told of every write that is known to have happened, by
// whoever makes it. Call it before the first one.
func (o *Owned) Tell(tell func(w *pool.Write)) { o.tell = tell }

// Read returns all records, linearizably, or those of [Store.ReadProvider].
func (o *Owned) Read(ctx context.Context) (*pool.Snapshot, error) {
	if o.provider != "" {
		return o.store.ReadProvider(ctx, o.provider)
	}
	return o.store.Read(ctx)
}

// Close ends the subscription, not the ownership.
func (o *Owned) Close() { o.cancel() }
