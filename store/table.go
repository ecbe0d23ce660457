package store

import (
	"maps"
	"slices"
	"sort"

	"poold/pool"
	"poold/store/kv"
)

// table is one kind of record, sorted by key. Changes gather in pending and
// are merged when the list is asked for, so that a burst of changes copies the
// list once, and a list that was handed out is never touched.
type table[T any] struct {
	keys    []string
	records []*T
	// pending has the changes since; nil stands for a deleted record.
	pending map[string]*T
}

func (t *table[T]) set(key string, r *T) {
	if t.pending == nil {
		t.pending = map[string]*T{}
	}
	t.pending[key] = r
}

// list merges what is pending and returns the records.
func (t *table[T]) list() []*T {
	if len(t.pending) == 0 {
		return t.records
	}
	keys := make([]string, 0, len(t.keys)+len(t.pending))
	records := make([]*T, 0, len(t.keys)+len(t.pending))
	from := 0
	for _, key := range slices.Sorted(maps.Keys(t.pending)) {
		to := from + sort.SearchStrings(t.keys[from:], key)
		keys, records = append(keys, t.keys[from:to]...), append(records, t.records[from:to]...)
		from = to
		if from < len(t.keys) && t.keys[from] == key {
			from++
		}
		if r := t.pending[key]; r != nil {
			keys, records = append(keys, key), append(records, r)
		}
	}
	t.keys, t.records = append(keys, t.keys[from:]...), append(records, t.records[from:]...)
	t.pending = nil
	return t.records
}

// tables is every record. The zero value is empty.
type tables struct {
	nodes       table[pool.Node]
	requests    table[pool.Request]
	allocations table[pool.Allocation]
	builds      table[pool.Build]
	uploads     table[pool.Upload]
	commands    table[pool.Command]
	quotas      table[pool.Quota]
	healths     table[pool.Health]
	members     table[pool.Member]
	penalties   table[pool.Penalty]
	freezes     table[pool.Freeze]
	pauses      table[pool.Pause]
	drains      table[pool.Drain]
	offers      table[pool.Offer]
	// unreadable says why a record cannot be read, by key.
	unreadable map[string]error
}

// put takes in an item and returns why it is not a record that can be read.
func (t *tables) put(s *Store, it kv.Item) error {
	err := t.decode(s, s.keys.parse(it.Key), it)
	delete(t.unreadable, it.Key)
	if err == nil {
		return nil
	}
	if t.unreadable == nil {
		t.unreadable = map[string]error{}
	}
	t.unreadable[it.Key] = err
	return err
}

// decode takes an item into its table.
func (t *tables) decode(s *Store, p place, it kv.Item) error { //nolint:cyclop // a case for each kind
	switch p.family {
	case familyRequest:
		t.requests.set(it.Key, s.decodeRequest(p, it))
		return nil
	case familyNode:
		return decodeInto(s, &t.nodes, s.codec.nodes, p, it)
	case familyAllocation:
		return decodeInto(s, &t.allocations, s.codec.allocations, p, it)
	case familyBuild:
		return decodeInto(s, &t.builds, s.codec.builds, p, it)
	case familyUpload:
		return decodeInto(s, &t.uploads, s.codec.uploads, p, it)
	case familyCommand:
		return decodeInto(s, &t.commands, s.codec.commands, p, it)
	case familyQuota:
		return decodeInto(s, &t.quotas, s.codec.quotas, p, it)
	case familyHealth:
		return decodeInto(s, &t.healths, s.codec.healths, p, it)
	case familyMember:
		return decodeInto(s, &t.members, s.codec.members, p, it)
	case familyPenalty:
		return decodeInto(s, &t.penalties, s.codec.penalties, p, it)
	case familyFreeze:
		return decodeInto(s, &t.freezes, s.codec.freezes, p, it)
	case familyPause:
		return decodeInto(s, &t.pauses, s.codec.pauses, p, it)
	case familyDrain:
		return decodeInto(s, &t.drains, s.codec.drains, p, it)
	case familyOffer:
		return decodeInto(s, &t.offers, s.codec.offers, p, it)
	case familyNone:
		return errMisplaced
	case familyOther:
	}
	return nil
}

// decodeInto takes in one item; a record that cannot be read is not shown in
// an older version either.
func decodeInto[T any](s *Store, t *table[T], c kind[T], p place, it kv.Item) error {
	mine, as := s.own.take(it)
	if r, ok := mine.(*T); ok {
		t.set(it.Key, c.stored(*r, as, p, it))
		return nil
	}
	r, err := c.decode(s.keys, p, it)
	if err != nil {
		r = nil
	}
	t.set(it.Key, r)
	return err
}

// remove takes a key out.
func (t *tables) remove(s *Store, key string) { //nolint:cyclop // a case for each kind
	delete(t.unreadable, key)
	switch s.keys.parse(key).family {
	case familyRequest:
		t.requests.set(key, nil)
	case familyNode:
		t.nodes.set(key, nil)
	case familyAllocation:
		t.allocations.set(key, nil)
	case familyBuild:
		t.builds.set(key, nil)
	case familyUpload:
		t.uploads.set(key, nil)
	case familyCommand:
		t.commands.set(key, nil)
	case familyQuota:
		t.quotas.set(key, nil)
	case familyHealth:
		t.healths.set(key, nil)
	case familyMember:
		t.members.set(key, nil)
	case familyPenalty:
		t.penalties.set(key, nil)
	case familyFreeze:
		t.freezes.set(key, nil)
	case familyPause:
		t.pauses.set(key, nil)
	case familyDrain:
		t.drains.set(key, nil)
	case familyOffer:
		t.offers.set(key, nil)
	case familyNone, familyOther:
	}
}

func (t *tables) snapshot(revision int64) *pool.Snapshot {
	s := &pool.Snapshot{
		Revision: revision,
		Nodes:    t.nodes.list(), Requests: t.requests.list(), Allocations: t.allocations.list(),
		Builds: t.builds.list(), Uploads: t.uploads.list(), Commands: t.commands.list(),
		Quotas: t.quotas.list(), Healths: t.healths.list(), Penalties: t.penalties.list(), Members: t.members.list(),
		Pauses:     t.pauses.list(),
		Drains:     t.drains.list(),
		Offers:     t.offers.list(),
		Unreadable: slices.Sorted(maps.Keys(t.unreadable)),
	}
	if f := t.freezes.list(); len(f) > 0 {
		s.Freeze = f[0]
	}
	return s
}
