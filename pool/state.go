package pool

import (
	"fmt"
	"slices"
)

// Actor is who may take an edge of a state table.
type Actor string

// The actors. Client is the CI system, Operator a human through poolctl whose
// command is applied by the owner of the record.
const (
	Allocator Actor = "allocator"
	Launcher  Actor = "launcher"
	Builder   Actor = "builder"
	Uploader  Actor = "uploader"
	Operator  Actor = "operator"
	Client    Actor = "client"
)

// Edge is one permitted move, who may make it, and what it means.
type Edge[S ~string] struct {
	From, To S
	By       []Actor
	Means    string
}

// Machine is the table of all moves of one kind of record. Moves go forward
// only: no state can be entered twice, so an observation of an earlier state
// is always stale. A retry is a new record.
type Machine[S ~string] struct {
	Kind     string
	Initial  S
	Terminal S
	Edges    []Edge[S]
}

// TransitionError is a move that the table does not have, or not for this
// actor.
type TransitionError struct {
	Kind     string
	From, To string
	By       Actor
}

// Error says which move of which record was refused to whom.
func (e *TransitionError) Error() string {
	return fmt.Sprintf("%s may not move a %s from %q to %q", e.By, e.Kind, e.From, e.To)
}

// Check returns nil if by may move a record from one state to the other, and
// a *TransitionError if not.
func (m Machine[S]) Check(from, to S, by Actor) error {
	for _, e := range m.Edges {
		if e.From == from && e.To == to && slices.Contains(e.By, by) {
			return nil
		}
	}
	return &TransitionError{Kind: m.Kind, From: string(from), To: string(to), By: by}
}

// States lists every state of the table, the initial one first, in the order
// in which the edges name them.
func (m Machine[S]) States() []S {
	states := []S{m.Initial}
	for _, e := range m.Edges {
		for _, s := range []S{e.From, e.To} {
			if !slices.Contains(states, s) {
				states = append(states, s)
			}
		}
	}
	return states
}

// CheckWrite is what the store asks of a state before it writes: a new record
// starts in the initial state, a changed one either stays or takes an edge of
// by.
func (m Machine[S]) CheckWrite(before *S, after S, by Actor) error {
	switch {
	case before == nil && after == m.Initial, before != nil && *before == after:
		return nil
	case before == nil:
		return &TransitionError{Kind: m.Kind, From: "", To: string(after), By: by}
	}
	return m.Check(*before, after, by)
}
