package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"poold/pool"
	"poold/store/kv"
)

// stateVersion is that of the document; see [State].
const stateVersion = 1

// State is everything below the prefix, as of one revision. As JSON it is the
// document that an operator keeps.
type State struct {
	// Version is that of the document, and 0 of what is none.
	Version  int       `json:"state_version"`
	Exported time.Time `json:"exported"`
	Prefix   string    `json:"prefix"`
	Revision int64     `json:"revision"`
	// Records are sorted by key, by kind.
	Records map[string][]StateRecord `json:"records"`
}

// StateRecord is one key with its value.
type StateRecord struct {
	// Key is without the prefix.
	Key string `json:"key"`
	// Value is the value as it is stored; Bytes is one that is no JSON.
	Value json.RawMessage `json:"value,omitempty"`
	Bytes []byte          `json:"bytes,omitempty"`
}

// Export reads everything, whatever it is, also what this program cannot read.
func (s *Store) Export(ctx context.Context, now time.Time) (*State, error) {
	items, revision, err := s.kv.List(ctx, s.keys.prefix)
	if err != nil {
		return nil, fmt.Errorf("read records: %w", translate(err))
	}
	state := State{
		Version: stateVersion, Exported: now.UTC().Truncate(time.Second), Prefix: strings.TrimRight(s.keys.prefix, "/"),
		Revision: revision, Records: map[string][]StateRecord{},
	}
	for _, it := range items {
		r := StateRecord{Key: strings.TrimPrefix(it.Key, s.keys.prefix)}
		if json.Valid(it.Value) {
			r.Value = it.Value
		} else {
			r.Bytes = it.Value
		}
		kind := s.keys.parse(it.Key).family.String()
		state.Records[kind] = append(state.Records[kind], r)
	}
	return &state, nil
}

// item is the record as it lay below a prefix.
func (r StateRecord) item(k keys) kv.Item {
	it := kv.Item{Key: k.prefix + r.Key, Value: r.Value}
	if len(r.Value) == 0 {
		it.Value = r.Bytes
	}
	return it
}

// check refuses a document that this program does not know.
func (d *State) check() error {
	switch {
	case d.Version == 0:
		return fmt.Errorf("%w: this is not what poolctl state export wrote", pool.ErrRefused)
	case d.Version > stateVersion:
		return fmt.Errorf("%w: the document has version %d, and this program knows %d: take a newer one", pool.ErrRefused, d.Version, stateVersion)
	}
	return nil
}

// String names the kind in a document.
func (f family) String() string {
	names := map[family]string{
		familyRequest: "requests", familyAllocation: "allocations", familyNode: "nodes", familyBuild: "builds",
		familyUpload: "uploads", familyCommand: "commands", familyQuota: "quotas", familyHealth: "healths",
		familyMember: "members", familyPenalty: "penalties", familyFreeze: "freezes", familyPause: "pauses",
		familyDrain: "drains", familyOffer: "offers",
	}
	if name, ok := names[f]; ok {
		return name
	}
	return "others"
}
