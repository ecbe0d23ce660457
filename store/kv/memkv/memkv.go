// Package memkv is a deterministic model of etcd in memory: revisions,
// conditional transactions, leases, watches with history and compaction. It
// passes the same suite as kv/etcdkv (see kv/kvtest), and is what tests and
// the simulator run on.
//
// Nothing in it reads a clock: leases die when [KV.Advance] says that it is
// late enough, or while [KV.Run] follows the wall clock, which inside a
// testing/synctest bubble is the bubble's. Faults are values that are queued
// with [KV.FailCommits], or states such as [KV.Down].
package memkv

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"poold/store/kv"
)

// minTTL is the shortest lease, as etcd's is with its default election
// time-out.
const minTTL = 2 * time.Second

// errDown is the cause of every failure while the store is down.
var errDown = errors.New("the model is down")

type lease struct {
	ttl     time.Duration
	expires time.Time
}

// KV is the model. Make one with [New]; it is safe for concurrent use.
type KV struct {
	mu sync.Mutex
	// Guarded by mu, all of them.
	now       time.Time
	revision  int64
	compacted int64
	items     map[string]kv.Item
	history   []kv.Event
	leases    map[kv.LeaseID]*lease
	lastLease kv.LeaseID
	faults    []Fault
	down      bool
	commits   int
	// broken counts how often the watches were broken.
	broken int
	// changed is closed and replaced whenever a watch may have news.
	changed chan struct{}
}

var _ kv.KV = (*KV)(nil)

// New returns an empty store at revision 1, as etcd starts, whose clock stands
// at now.
func New(now time.Time) *KV {
	return &KV{
		now: now, revision: 1, items: map[string]kv.Item{}, leases: map[kv.LeaseID]*lease{},
		changed: make(chan struct{}),
	}
}

// Advance sets the clock, never back, and lets the leases die whose time is
// over: the earliest first, each in a revision of its own.
func (k *KV) Advance(now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if now.Before(k.now) {
		return
	}
	k.now = now
	if k.down {
		return // etcd without a quorum ends no lease
	}
	dead := slices.DeleteFunc(slices.Collect(maps.Keys(k.leases)), func(id kv.LeaseID) bool {
		return k.leases[id].expires.After(now)
	})
	slices.SortFunc(dead, func(a, b kv.LeaseID) int {
		return cmp.Or(k.leases[a].expires.Compare(k.leases[b].expires), cmp.Compare(a, b))
	})
	for _, id := range dead {
		k.revoke(id)
	}
}

// Compact forgets the history up to and including a revision.
func (k *KV) Compact(revision int64) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if revision > k.revision {
		return fmt.Errorf("revision %d is in the future", revision)
	}
	if revision <= k.compacted {
		return kv.ErrCompacted
	}
	k.compacted = revision
	k.history = slices.Clone(k.history[k.after(revision):])
	k.signal()
	return nil
}

// Revision returns the store's current revision.
func (k *KV) Revision() int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.revision
}

// Get implements kv.KV.
func (k *KV) Get(ctx context.Context, key string) (kv.Item, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.reachable(ctx); err != nil {
		return kv.Item{}, fmt.Errorf("get %s: %w", key, err)
	}
	it, ok := k.items[key]
	if !ok {
		return kv.Item{}, fmt.Errorf("get %s: %w", key, kv.ErrNotFound)
	}
	return it, nil
}

// List implements kv.KV.
func (k *KV) List(ctx context.Context, prefix string) ([]kv.Item, int64, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.reachable(ctx); err != nil {
		return nil, 0, fmt.Errorf("list %s: %w", prefix, err)
	}
	var items []kv.Item
	for key, it := range k.items {
		if strings.HasPrefix(key, prefix) {
			items = append(items, it)
		}
	}
	slices.SortFunc(items, func(a, b kv.Item) int { return cmp.Compare(a.Key, b.Key) })
	return items, k.revision, nil
}

// Commit implements kv.KV.
func (k *KV) Commit(ctx context.Context, txn kv.Txn) (int64, bool, error) {
	if err := txn.Validate(); err != nil {
		return 0, false, fmt.Errorf("commit: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.reachable(ctx); err != nil {
		return 0, false, fmt.Errorf("commit: %w", err)
	}
	k.commits++
	fault := k.nextFault()
	switch fault {
	case CommitUnavailable:
		return 0, false, fmt.Errorf("commit: %w", kv.ErrUnavailable)
	case CommitDropped:
		return 0, false, fmt.Errorf("commit: %w", kv.ErrUnknown)
	case NoFault, CommitReplyLost:
	}
	revision, done, err := k.commit(txn)
	if fault == CommitReplyLost {
		return 0, false, fmt.Errorf("commit: %w", kv.ErrUnknown)
	}
	return revision, done, err
}

func (k *KV) commit(txn kv.Txn) (int64, bool, error) {
	for _, c := range txn.If {
		if !k.holds(c) {
			return k.revision, false, nil
		}
	}
	for _, op := range txn.Then {
		_, exists := k.items[op.Key]
		if op.Lease != 0 && k.leases[op.Lease] == nil || op.KeepLease && !exists {
			return 0, false, fmt.Errorf("commit: put %s: %w", op.Key, kv.ErrNotFound)
		}
	}
	next := k.revision + 1
	var events []kv.Event
	for _, op := range txn.Then {
		events = append(events, k.apply(op, next)...)
	}
	k.record(events)
	return k.revision, true, nil
}

func (k *KV) holds(c kv.Cond) bool {
	it := k.items[c.Key] // an absent key has 0 in both fields
	switch c.Field {
	case kv.CreateRevision:
		return it.CreateRevision == c.Value
	case kv.ModRevision:
		return it.ModRevision == c.Value
	}
	return false
}

// apply changes one key and returns what happened, if anything did.
func (k *KV) apply(op kv.Op, revision int64) []kv.Event {
	old, exists := k.items[op.Key]
	if op.Delete {
		if !exists {
			return nil
		}
		delete(k.items, op.Key)
		return []kv.Event{{Type: kv.EventDelete, Item: kv.Item{Key: op.Key, ModRevision: revision}}}
	}
	it := kv.Item{
		Key: op.Key, Value: bytes.Clone(op.Value), Lease: op.Lease,
		CreateRevision: revision, ModRevision: revision,
	}
	if exists {
		it.CreateRevision = old.CreateRevision
	}
	if op.KeepLease {
		it.Lease = old.Lease
	}
	k.items[op.Key] = it
	return []kv.Event{{Type: kv.EventPut, Item: it}}
}

// record appends the events of one new revision, if there are any.
func (k *KV) record(events []kv.Event) {
	if len(events) == 0 {
		return
	}
	k.revision++
	k.history = append(k.history, events...)
	k.signal()
}

// reachable returns an error if a call cannot be served.
func (k *KV) reachable(ctx context.Context) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", kv.ErrUnavailable, context.Cause(ctx))
	}
	if k.down {
		return fmt.Errorf("%w: %w", kv.ErrUnavailable, errDown)
	}
	return nil
}

// after returns the index of the first event of history after a revision.
func (k *KV) after(revision int64) int {
	i, _ := slices.BinarySearchFunc(k.history, revision+1, func(e kv.Event, r int64) int {
		return cmp.Compare(e.Item.ModRevision, r)
	})
	return i
}

func (k *KV) signal() {
	close(k.changed)
	k.changed = make(chan struct{})
}
