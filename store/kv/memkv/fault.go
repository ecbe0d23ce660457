package memkv

import (
	"maps"
	"slices"

	"poold/store/kv"
)

// Fault is what goes wrong with one commit.
type Fault int

// The faults of a commit.
const (
	// NoFault lets the commit pass; it is there to hit a later one.
	NoFault Fault = iota
	// CommitUnavailable fails with kv.ErrUnavailable: nothing was done.
	CommitUnavailable
	// CommitReplyLost does the transaction and fails with kv.ErrUnknown.
	CommitReplyLost
	// CommitDropped fails with kv.ErrUnknown and does nothing.
	CommitDropped
)

// FailCommits queues faults for the next commits, one for each.
func (k *KV) FailCommits(faults ...Fault) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.faults = append(k.faults, faults...)
}

// Commits returns how many commits reached the store, faulty ones included.
func (k *KV) Commits() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.commits
}

func (k *KV) nextFault() Fault {
	if len(k.faults) == 0 {
		return NoFault
	}
	f := k.faults[0]
	k.faults = k.faults[1:]
	return f
}

// Down makes every call fail with kv.ErrUnavailable until [KV.Up]. Watches
// stay open and silent, and no lease dies, as with an etcd without a quorum.
func (k *KV) Down() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.down = true
}

// Up ends what [KV.Down] began. Every lease lives a whole time to live from
// now, as after the election of a leader.
func (k *KV) Up() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.down = false
	for _, l := range k.leases {
		l.expires = k.now.Add(l.ttl)
	}
	k.signal()
}

// BreakWatches ends every open watch with kv.ErrUnavailable.
func (k *KV) BreakWatches() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.broken++
	k.signal()
}

// Backup is the contents of a store at one moment.
type Backup struct {
	revision int64
	items    map[string]kv.Item
}

// Backup returns the contents of the store; leases are not part of it.
func (k *KV) Backup() *Backup {
	k.mu.Lock()
	defer k.mu.Unlock()
	return &Backup{revision: k.revision, items: maps.Clone(k.items)}
}

// Restore puts the store back to a backup, revision included, as an operator
// does after a loss: history and leases are gone, and open watches wait, silent,
// for the revision that they had reached.
func (k *KV) Restore(b *Backup) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.revision, k.compacted = b.revision, b.revision
	k.items, k.history = maps.Clone(b.items), nil
	k.leases = map[kv.LeaseID]*lease{}
	for _, key := range slices.Sorted(maps.Keys(k.items)) {
		if k.items[key].Lease != 0 {
			delete(k.items, key)
		}
	}
	k.signal()
}
