// Package kv is the narrow seam between poold's records and etcd: get, list,
// compare-and-set transactions, watches and leases, and nothing else.
//
// Two implementations exist, kv/etcdkv for production and kv/memkv, a
// deterministic model of etcd for tests and the simulator. Both pass the suite
// in kv/kvtest; whatever the suite does not ask must not be relied upon.
//
// Every implementation is safe for concurrent use. Reads are linearizable.
// Revisions are etcd's: one counter for the whole store, raised by one by
// every transaction that changes something.
package kv

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// The errors of every implementation. They are wrapped, so ask with errors.Is.
var (
	// ErrNotFound says that there is no such key or lease.
	ErrNotFound = errors.New("not found")
	// ErrCompacted says that the revision asked for is no longer kept: list
	// again.
	ErrCompacted = errors.New("revision compacted")
	// ErrUnavailable says that the store could not be reached, or takes nothing
	// for now, and nothing was done.
	ErrUnavailable = errors.New("store unavailable")
	// ErrUnknown says that a change may or may not have been made.
	ErrUnknown = errors.New("outcome unknown")
)

// MaxOps is how many operations one transaction may hold, as etcd limits it by
// default.
const MaxOps = 128

// LeaseID names a lease; 0 is none.
type LeaseID int64

// Item is a key with its value and history.
type Item struct {
	Key            string
	Value          []byte
	CreateRevision int64
	ModRevision    int64
	Lease          LeaseID
}

// Field is what a condition compares.
type Field int

// The fields of an item that conditions compare. A key that does not exist
// has 0 in both.
const (
	CreateRevision Field = iota
	ModRevision
)

// Cond is one condition of a transaction: the field of the key equals Value.
type Cond struct {
	Key   string
	Field Field
	Value int64
}

// Created holds while the key is the one created at revision.
func Created(key string, revision int64) Cond { return Cond{key, CreateRevision, revision} }

// Unchanged holds while the key was last changed at revision.
func Unchanged(key string, revision int64) Cond { return Cond{key, ModRevision, revision} }

// Absent holds while the key does not exist.
func Absent(key string) Cond { return Cond{key, CreateRevision, 0} }

// Op is one change: a put, or a delete if Delete is set.
type Op struct {
	Key    string
	Value  []byte
	Lease  LeaseID
	Delete bool
	// KeepLease keeps the lease that the key has; Lease must be 0 then.
	KeepLease bool
}

// Put sets a key without a lease.
func Put(key string, value []byte) Op { return Op{Key: key, Value: value} }

// PutLeased sets a key that dies with the lease.
func PutLeased(key string, value []byte, lease LeaseID) Op {
	return Op{Key: key, Value: value, Lease: lease}
}

// Delete removes a key; removing an absent one is no error.
func Delete(key string) Op { return Op{Key: key, Delete: true} }

// Txn is done whole if every condition holds, and not at all otherwise. No key
// may appear twice in Then.
type Txn struct {
	If   []Cond
	Then []Op
}

// Validate returns an error if no implementation may do the transaction: more
// than [MaxOps] conditions or changes, a key that is empty or changed twice, a
// change that both gives and keeps a lease.
func (t Txn) Validate() error {
	if len(t.If) > MaxOps || len(t.Then) > MaxOps {
		return fmt.Errorf("%d conditions and %d changes: at most %d each fit into a transaction", len(t.If), len(t.Then), MaxOps)
	}
	for _, c := range t.If {
		if c.Key == "" {
			return errors.New("a condition without a key")
		}
	}
	seen := make(map[string]bool, len(t.Then))
	for _, op := range t.Then {
		switch {
		case op.Key == "":
			return errors.New("a change without a key")
		case seen[op.Key]:
			return fmt.Errorf("key %s is changed twice", op.Key)
		case op.KeepLease && (op.Delete || op.Lease != 0):
			return fmt.Errorf("key %s cannot keep its lease and be deleted or get another", op.Key)
		}
		seen[op.Key] = true
	}
	return nil
}

// EventType says what happened to a key.
type EventType int

// The types of events. A key whose lease dies is deleted.
const (
	EventPut EventType = iota
	EventDelete
)

// Event is one change of one key. For a delete the item has only its key and
// the revision of the delete as ModRevision.
type Event struct {
	Type EventType
	Item Item
}

// Batch is the events of one or more whole revisions, in order. A batch
// without events reports progress: nothing else happened up to Revision. A
// batch with Err is the last one: the watch is over.
type Batch struct {
	Revision int64
	Events   []Event
	Err      error
}

// KV is a linearizable key-value store with leases.
type KV interface {
	// Get returns one key, or ErrNotFound.
	Get(ctx context.Context, key string) (Item, error)
	// List returns every key that starts with prefix, sorted, and the
	// revision of the store they were read at, all as of one revision.
	List(ctx context.Context, prefix string) ([]Item, int64, error)
	// Commit does the transaction and returns the revision it made, and
	// whether its conditions held. An error that is ErrUnknown leaves it open
	// whether it happened; any other error means that it did not. If the
	// conditions did not hold, or nothing changed, the revision is the store's
	// current one. ErrNotFound says that the conditions held but a lease to
	// put a key under is dead, or a key whose lease to keep does not exist.
	Commit(ctx context.Context, txn Txn) (revision int64, done bool, err error)
	// Watch delivers every change of keys under prefix made after revision
	// from, in order, without gaps. The channel is closed after a batch with
	// Err, or when ctx ends. ErrCompacted means list again. A watch from a
	// revision that the store has not reached waits for it; progress may be
	// reported late or never.
	Watch(ctx context.Context, prefix string, from int64) <-chan Batch
	// Grant makes a lease that dies ttl after its last renewal; ttl is
	// rounded up to whole seconds. The store may give longer.
	Grant(ctx context.Context, ttl time.Duration) (LeaseID, time.Duration, error)
	// Renew keeps a lease alive once and returns how long it lives from when
	// the call was made; ErrNotFound says that it is dead.
	Renew(ctx context.Context, id LeaseID) (time.Duration, error)
	// Revoke ends a lease and deletes its keys. A dead lease is no error.
	Revoke(ctx context.Context, id LeaseID) error
}
