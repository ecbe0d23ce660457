package pool

import (
	"cmp"
	"encoding/json"
	"net/url"
	"slices"
	"sort"
	"strings"
)

const (
	// RecordVersion is the newest version of records that this program reads and
	// writes. There is a new one when an older program must not touch a record
	// that has something; a field more is not that, for it survives.
	RecordVersion = 1
	// OldestVersion is the oldest version that it reads and writes.
	OldestVersion = 1
)

// Record is what every record carries besides its own fields.
type Record struct {
	// Revision is the etcd mod_revision the record was read at; 0 for one
	// that was never written.
	Revision int64 `json:"-"`
	// Stored is the record as it was read, if it has fields that this version
	// does not know; they survive a rewrite.
	Stored json.RawMessage `json:"-"`
}

// Change is a record before and after. A nil Before creates the record, which
// must not exist; a nil After deletes it. Otherwise the write succeeds only if
// the record's revision is still Before's.
type Change[T any] struct {
	Before, After *T
}

// Create returns the change that makes a new record.
func Create[T any](after *T) Change[T] { return Change[T]{After: after} }

// Update returns the change from one version of a record to the next.
func Update[T any](before, after *T) Change[T] { return Change[T]{Before: before, After: after} }

// Remove returns the change that deletes a record.
func Remove[T any](before *T) Change[T] { return Change[T]{Before: before} }

// Write is one atomic change of records: all of it happens or none. The store
// checks every move of a state against its table for the actor, compares every
// revision, and compares that the writer is still the owner it writes as.
type Write struct {
	By          Actor
	Nodes       []Change[Node]
	Allocations []Change[Allocation]
	Builds      []Change[Build]
	Uploads     []Change[Upload]
	Commands    []Change[Command]
	Quotas      []Change[Quota]
	Healths     []Change[Health]
	Penalties   []Change[Penalty]
	// Pauses are those of images and providers.
	Pauses []Change[Pause]
	// Drains and Offers are those of peers.
	Drains []Change[Drain]
	Offers []Change[Offer]
	// Freezes has at most one change: there is one freeze or none.
	Freezes []Change[Freeze]
	// Requests may only be removed: their values belong to their clients.
	Requests []Change[Request]
	// Unchanged are requests whose revision must still be the same.
	Unchanged []*Request
	// Gone are requests that must not exist any more (another request at the
	// same key does not count).
	Gone []RequestRef
}

// Snapshot is all records as of one revision, each list sorted by its key.
// Neither the lists nor the records may be changed.
type Snapshot struct {
	// Revision is the etcd revision that the snapshot is complete at.
	Revision    int64
	Nodes       []*Node
	Requests    []*Request
	Allocations []*Allocation
	Builds      []*Build
	Uploads     []*Upload
	Commands    []*Command
	Quotas      []*Quota
	Healths     []*Health
	Penalties   []*Penalty
	Pauses      []*Pause
	Drains      []*Drain
	Offers      []*Offer
	Members     []*Member
	// Freeze is nil unless launching is frozen.
	Freeze *Freeze
	// Unreadable are the keys of records that exist but that this version
	// cannot read, because they are newer or damaged, sorted. While there are
	// any, nobody may conclude from the absence of a record.
	Unreadable []string
}

// NodesOf returns the nodes of a provider, which are together in the list.
func (s *Snapshot) NodesOf(provider string) []*Node {
	want := url.PathEscape(provider) + "/" // as in the keys
	order := func(i int) int { return strings.Compare(url.PathEscape(s.Nodes[i].Provider)+"/", want) }
	from := sort.Search(len(s.Nodes), func(i int) bool { return order(i) >= 0 })
	size := sort.Search(len(s.Nodes)-from, func(i int) bool { return order(from+i) > 0 })
	return s.Nodes[from : from+size]
}

// UnreadableNodes is how many nodes of a provider have a record that this version
// cannot read.
func (s *Snapshot) UnreadableNodes(provider string) int {
	n := 0
	for _, key := range s.Unreadable {
		if strings.Contains(key, "/nodes/"+url.PathEscape(provider)+"/") {
			n++
		}
	}
	return n
}

// Quota returns the quota record of a provider, or nil.
func (s *Snapshot) Quota(provider string) *Quota {
	for _, q := range s.Quotas {
		if q.Provider == provider {
			return q
		}
	}
	return nil
}

// Health returns the health record of a provider, or nil.
func (s *Snapshot) Health(provider string) *Health {
	for _, h := range s.Healths {
		if h.Provider == provider {
			return h
		}
	}
	return nil
}

// Penalty returns the penalty of a rate group, or nil.
func (s *Snapshot) Penalty(group string) *Penalty {
	for _, p := range s.Penalties {
		if p.Group == group {
			return p
		}
	}
	return nil
}

// Runs tells whether a peer runs.
func (s *Snapshot) Runs(peer string) bool {
	return slices.ContainsFunc(s.Members, func(m *Member) bool { return m.Name == peer })
}

// Drain returns the drain of a peer, or nil.
func (s *Snapshot) Drain(peer string) *Drain {
	for _, d := range s.Drains {
		if d.Peer == peer {
			return d
		}
	}
	return nil
}

// Pause returns the pause of an image, or nil.
func (s *Snapshot) Pause(image string) *Pause {
	for _, p := range s.Pauses {
		if p.Image == image && p.Provider == "" {
			return p
		}
	}
	return nil
}

// ProviderPause returns the pause of a provider, or nil.
func (s *Snapshot) ProviderPause(provider string) *Pause {
	for _, p := range s.Pauses {
		if p.Provider == provider && p.Image == "" {
			return p
		}
	}
	return nil
}

// HasImage tells whether a running peer knows an image, or there is a record of
// it.
func (s *Snapshot) HasImage(name string) bool {
	return s.Pause(name) != nil ||
		slices.ContainsFunc(s.Builds, func(b *Build) bool { return b.Image == name }) ||
		slices.ContainsFunc(s.Members, func(m *Member) bool { return slices.Contains(m.Images, name) })
}

// HasProvider tells the same of a provider.
func (s *Snapshot) HasProvider(name string) bool {
	return s.ProviderPause(name) != nil || s.Quota(name) != nil || s.Health(name) != nil || len(s.NodesOf(name)) > 0 ||
		slices.ContainsFunc(s.Members, func(m *Member) bool { return slices.Contains(m.Providers, name) })
}

// BuildsOf returns the builds of an image, newest first.
func (s *Snapshot) BuildsOf(image string) []*Build {
	var builds []*Build
	for _, b := range s.Builds {
		if b.Image == image {
			builds = append(builds, b)
		}
	}
	slices.SortFunc(builds, func(a, b *Build) int {
		return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(b.ID, a.ID))
	})
	return builds
}

// Answers returns the allocation of each request that has one.
func (s *Snapshot) Answers() map[RequestRef]*Allocation {
	answers := make(map[RequestRef]*Allocation, len(s.Allocations))
	for _, a := range s.Allocations {
		answers[a.Ref()] = a
	}
	return answers
}
