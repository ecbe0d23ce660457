package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"go.uber.org/zap"

	"poold/pool"
	"poold/store/kv"
)

// Store keeps records in a kv.KV. Make one with [New].
type Store struct {
	kv    kv.KV
	keys  keys
	codec codec
	log   *zap.Logger
	// seen is the highest revision that a reply has told.
	seen atomic.Int64
	// lowest is the newest version that all members read; 0 is not known.
	lowest atomic.Int64
	own    own
}

// New returns a store of the records under prefix; "" is [DefaultPrefix].
func New(records kv.KV, prefix string, log *zap.Logger) *Store {
	if prefix == "" {
		prefix = DefaultPrefix
	}
	return newVersion(records, prefix, log, pool.RecordVersion)
}

// newVersion is New of a program that knows the records up to a version.
func newVersion(records kv.KV, prefix string, log *zap.Logger, newest int) *Store {
	return &Store{kv: records, keys: newKeys(prefix), codec: newCodec(newest), log: log.Named("store")}
}

// writes is the version that records are written in: one that every member
// reads, as far as it is known who there is. Without a [View], as in poolctl, it
// is the oldest.
func (s *Store) writes() int {
	lowest := int(s.lowest.Load())
	return min(max(lowest, pool.OldestVersion), s.codec.members.newest)
}

// met remembers who there is.
func (s *Store) met(members []*pool.Member) {
	lowest := 0
	for _, m := range members {
		reads := max(m.Records, pool.OldestVersion)
		if lowest == 0 || reads < lowest {
			lowest = reads
		}
	}
	s.lowest.Store(int64(lowest))
}

// installation is the value of the key of the same name.
type installation struct {
	V  int    `json:"v"`
	ID string `json:"id"`
}

// Installation returns the id that marks everything of ours in every cloud. The
// first peer ever makes it with mint; whoever comes at the same time gets the
// same id.
func (s *Store) Installation(ctx context.Context, mint func() (string, error)) (string, error) {
	id, err := s.readInstallation(ctx)
	if !errors.Is(err, pool.ErrNotFound) {
		return id, err
	}
	id, err = mint()
	if err != nil {
		return "", fmt.Errorf("make the installation's id: %w", err)
	}
	value, err := json.Marshal(installation{V: pool.RecordVersion, ID: id})
	if err != nil {
		return "", fmt.Errorf("make the installation's id: %w", err)
	}
	key := s.keys.installation()
	_, _, err = s.kv.Commit(ctx, kv.Txn{If: []kv.Cond{kv.Absent(key)}, Then: []kv.Op{kv.Put(key, value)}})
	if err != nil && !errors.Is(err, kv.ErrUnknown) {
		return "", fmt.Errorf("make the installation's id: %w", translate(err))
	}
	// Whether it was us, another, or unknown: what is there now is the id.
	return s.readInstallation(ctx)
}

func (s *Store) readInstallation(ctx context.Context) (string, error) {
	it, err := s.kv.Get(ctx, s.keys.installation())
	if err != nil {
		return "", fmt.Errorf("read the installation's id: %w", translate(err))
	}
	i, err := decodeInstallation(it.Value)
	return i.ID, err
}

// decodeInstallation reads the value of the key of the same name.
func decodeInstallation(value []byte) (installation, error) {
	var i installation
	if err := json.Unmarshal(value, &i); err != nil {
		return installation{}, fmt.Errorf("read the installation's id: %w", err)
	}
	if i.ID == "" {
		return installation{}, errors.New("read the installation's id: it is empty")
	}
	return i, nil
}

// Read returns all records, linearizably: nothing that was written before the
// call is missing.
func (s *Store) Read(ctx context.Context) (*pool.Snapshot, error) { return s.read(ctx, s.keys.prefix) }

// ReadProvider is Read for the nodes of one provider and what its sweeps
// found. In a large system each provider has a small part of all nodes.
func (s *Store) ReadProvider(ctx context.Context, provider string) (*pool.Snapshot, error) {
	return s.read(ctx, s.keys.nodes(provider), s.keys.health(provider))
}

// read reads what is at, or below, some keys, one after the other; the revision
// is that of the first.
func (s *Store) read(ctx context.Context, from ...string) (*pool.Snapshot, error) {
	var t tables
	var first int64
	for _, key := range from {
		items, revision, err := s.kv.List(ctx, key)
		if err != nil {
			return nil, fmt.Errorf("read records: %w", translate(err))
		}
		s.saw(revision)
		if first == 0 {
			first = revision
		}
		for _, it := range items {
			if strings.HasSuffix(key, "/") || it.Key == key {
				_ = t.put(s, it) // what cannot be read is in Unreadable
			}
		}
	}
	return t.snapshot(first), nil
}

// saw remembers a revision that a reply told.
func (s *Store) saw(revision int64) {
	for {
		old := s.seen.Load()
		if revision <= old || s.seen.CompareAndSwap(old, revision) {
			return
		}
	}
}

// translate gives an error of kv the class that components ask for.
func translate(err error) error {
	for _, c := range []struct{ from, to error }{
		{kv.ErrNotFound, pool.ErrNotFound},
		{kv.ErrUnavailable, pool.ErrUnavailable},
		{kv.ErrUnknown, pool.ErrUnknown},
	} {
		if errors.Is(err, c.from) {
			return fmt.Errorf("%w: %w", c.to, err)
		}
	}
	return err
}
