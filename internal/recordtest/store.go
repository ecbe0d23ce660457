// Package recordtest is a store in memory for the tests of the packages that
// do the work: builds, uploads, commands and nodes, with the two rules that
// matter to them. Revisions are compared, and moves are checked against the
// tables of package pool.
package recordtest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"poold/pool"
)

// Store keeps records in memory. Its methods may be called concurrently; its
// fields are to be touched before anybody uses it, or within [Store.Edit].
// Make one with [New].
type Store struct {
	// Revision is that of the last write.
	Revision int64
	Builds   []*pool.Build
	Uploads  []*pool.Upload
	Commands []*pool.Command
	Nodes    []*pool.Node
	Pauses   []*pool.Pause
	Members  []*pool.Member
	// Fail, if set, answers a write instead of the store: applied writes are
	// made first, as if only the reply was lost. No error leaves the write to
	// the store.
	Fail func(w pool.Write) (err error, applied bool)
	// Moves lists every move of a state that was written.
	Moves []string

	mu      sync.Mutex // guards all fields
	changed chan struct{}
}

// New makes a store without records, at revision 1.
func New() *Store { return &Store{Revision: 1, changed: make(chan struct{})} }

// Snapshot returns the records as they are now.
func (s *Store) Snapshot() *pool.Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &pool.Snapshot{
		Revision: s.Revision, Builds: slices.Clone(s.Builds), Uploads: slices.Clone(s.Uploads),
		Commands: slices.Clone(s.Commands), Nodes: slices.Clone(s.Nodes), Pauses: slices.Clone(s.Pauses),
		Members: slices.Clone(s.Members),
	}
}

// Changed returns a channel that is closed at the next change.
func (s *Store) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// Edit changes what is stored as if somebody else did: f may change the
// records, and finds in Revision the one that they are then at.
func (s *Store) Edit(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bump(f)
}

func (s *Store) bump(f func()) {
	s.Revision++
	f()
	close(s.changed)
	s.changed = make(chan struct{})
}

// Apply makes a write, and returns its revision. The error is the cause of
// ctx, what Fail says, [pool.ErrConflict] or a move that is not allowed.
func (s *Store) Apply(ctx context.Context, w pool.Write) (int64, error) {
	if err := context.Cause(ctx); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Fail != nil {
		if err, applied := s.Fail(w); err != nil {
			if applied {
				_ = s.apply(w) // nobody hears what became of it
			}
			return 0, err
		}
	}
	if err := s.apply(w); err != nil {
		return 0, err
	}
	return s.Revision, nil
}

func (s *Store) apply(w pool.Write) error {
	builds, err1 := applied(s, kind[pool.Build, pool.BuildState]{
		pool.BuildMachine(), func(b *pool.Build) (string, pool.BuildState, *pool.Record) {
			return b.Image + "/" + b.ID, b.State, &b.Record
		},
	}, s.Builds, w.Builds, w.By)
	uploads, err2 := applied(s, kind[pool.Upload, pool.UploadState]{
		pool.UploadMachine(), func(u *pool.Upload) (string, pool.UploadState, *pool.Record) {
			return u.Image + "/" + u.Build + "/" + u.Provider, u.State, &u.Record
		},
	}, s.Uploads, w.Uploads, w.By)
	commands, err3 := applied(s, kind[pool.Command, pool.Verb]{
		pool.Machine[pool.Verb]{}, func(c *pool.Command) (string, pool.Verb, *pool.Record) {
			return c.ID, c.Verb, &c.Record
		},
	}, s.Commands, w.Commands, w.By)
	if err := cmp.Or(err1, err2, err3); err != nil {
		return err
	}
	s.bump(func() { s.Builds, s.Uploads, s.Commands = builds, uploads, commands })
	return nil
}

// kind is what there is to know of one kind of record.
type kind[T any, S ~string] struct {
	machine pool.Machine[S] // a zero one checks no move
	about   func(*T) (name string, state S, record *pool.Record)
}

// applied returns a copy of one table with changes.
func applied[T any, S ~string](s *Store, k kind[T, S], rows []*T, changes []pool.Change[T], by pool.Actor) ([]*T, error) {
	rows = slices.Clone(rows)
	for _, c := range changes {
		name, _, _ := k.about(cmp.Or(c.After, c.Before))
		at := slices.IndexFunc(rows, func(r *T) bool {
			n, _, _ := k.about(r)
			return n == name
		})
		if (at >= 0) != (c.Before != nil) || at >= 0 && k.revision(rows[at]) != k.revision(c.Before) {
			return nil, pool.ErrConflict
		}
		if c.After == nil {
			rows = slices.Delete(rows, at, at+1)
			s.Moves = append(s.Moves, name+" removed")
			continue
		}
		after := *c.After
		_, state, record := k.about(&after)
		record.Revision = s.Revision + 1
		before := k.state(c.Before)
		if k.machine.Kind != "" {
			if err := k.machine.CheckWrite(before, state, by); err != nil {
				return nil, err
			}
		}
		if before == nil || *before != state {
			s.Moves = append(s.Moves, fmt.Sprintf("%s %s", name, state))
		}
		if at < 0 {
			rows = append(rows, &after)
		} else {
			rows[at] = &after
		}
	}
	return rows, nil
}

func (k kind[T, S]) revision(r *T) int64 {
	_, _, record := k.about(r)
	return record.Revision
}

// state is nil if there is no record.
func (k kind[T, S]) state(r *T) *S {
	if r == nil {
		return nil
	}
	_, state, _ := k.about(r)
	return &state
}
