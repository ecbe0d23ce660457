// Package event tells what happened from two looks at the records: every move of
// a node, a build, an upload or a request, with who made it, why, and how long it
// had been as it was before; and everything that a human did. It is pure. What
// moved several times between two looks has an event for each move, because the
// records keep their own timelines.
package event

import (
	"cmp"
	"slices"
	"time"

	"poold/pool"
)

// The kinds of events.
const (
	Node    = "node"
	Request = "request"
	Build   = "build"
	Upload  = "upload"
	Peer    = "peer"
	// Command, Pause, Freeze and Drain are what humans do.
	Command = "command"
	Pause   = "pause"
	Freeze  = "freeze"
	Drain   = "drain"
)

// Kinds lists the kinds of events.
func Kinds() []string {
	return []string{Node, Request, Build, Upload, Peer, Command, Pause, Freeze, Drain}
}

// Event is one thing that happened.
type Event struct {
	// Seq numbers the events of one process, from 1; 0 outside of a log.
	Seq int64     `json:"seq,omitempty"`
	At  time.Time `json:"at"`
	// Kind is what Name is the name of.
	Kind string `json:"kind"`
	Name string `json:"name"`
	// From and To are the states before and after; From is empty at first.
	From string `json:"from,omitempty"`
	To   string `json:"to"`
	// By is who did it: an actor, or a human's name; Reason is why.
	By     string `json:"by,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Seconds is how long it had been in the state before.
	Seconds  float64 `json:"seconds,omitempty"`
	Provider string  `json:"provider,omitempty"`
	Label    string  `json:"label,omitempty"`
	Image    string  `json:"image,omitempty"`
	// Request is CLIENT/ID, where a node belongs to one.
	Request string `json:"request,omitempty"`
	// Served are the nodes that a request was given.
	Served []Served `json:"served,omitempty"`
}

// Served is a node that a request was given, so that it can be known later which
// server it was.
type Served struct {
	Node     pool.NodeID `json:"node"`
	Label    string      `json:"label"`
	Provider string      `json:"provider"`
	Instance string      `json:"instance,omitempty"`
	Image    string      `json:"image,omitempty"`
	Build    string      `json:"build,omitempty"`
}

// Human tells whether a human did it.
func (e *Event) Human() bool {
	switch e.Kind {
	case Command, Pause, Freeze, Drain:
		return true
	}
	return e.By == string(pool.Operator)
}

// Kept tells whether an event belongs into a log that is kept: what humans did,
// and who got what.
func (e *Event) Kept() bool { return e.Human() || e.Kind == Request }

// Between returns what happened from one look to the next, in order of time. What
// the records have no time of happened now.
func Between(before, after *pool.Snapshot, now time.Time) []Event {
	d := differ{before: before, after: after, now: now.UTC().Truncate(time.Millisecond)}
	return d.all()
}

// Of returns what the records tell of the past. What they have no time of happened
// when it can have at the earliest, as far as that is known.
func Of(s *pool.Snapshot, now time.Time) []Event {
	d := differ{before: &pool.Snapshot{}, after: s, now: now.UTC().Truncate(time.Millisecond), past: true}
	return d.all()
}

// all compares the two looks.
func (d *differ) all() []Event {
	before, after := d.before, d.after
	each(before.Nodes, after.Nodes, nodeKey, d.node)
	each(before.Builds, after.Builds, buildKey, d.build)
	each(before.Uploads, after.Uploads, uploadKey, d.upload)
	each(before.Requests, after.Requests, requestKey, d.request)
	each(before.Allocations, after.Allocations, allocationKey, d.allocation)
	each(before.Commands, after.Commands, func(c *pool.Command) string { return key(c.ID) }, d.command)
	each(before.Members, after.Members, func(m *pool.Member) string { return key(m.Name) }, d.member)
	each(before.Pauses, after.Pauses, func(p *pool.Pause) string { return key(p.Image, p.Provider) }, d.pause)
	each(before.Drains, after.Drains, func(r *pool.Drain) string { return key(r.Peer) }, d.drain)
	d.freeze()
	slices.SortStableFunc(d.events, func(a, b Event) int { return cmp.Compare(a.At.UnixNano(), b.At.UnixNano()) })
	return d.events
}

// Filter says which events are wanted; what it does not name may be anything.
type Filter struct {
	Kind, Name, Provider, Label, Image, Request string
	// Human leaves only what humans did.
	Human bool
}

// Wants tells whether an event fits.
func (f *Filter) Wants(e *Event) bool {
	is := func(want, is string) bool { return want == "" || want == is }
	request := e.Request
	if e.Kind == Request {
		request = e.Name
	}
	return is(f.Kind, e.Kind) && is(f.Name, e.Name) && is(f.Provider, e.Provider) && is(f.Label, e.Label) &&
		is(f.Image, e.Image) && is(f.Request, request) && (!f.Human || e.Human())
}
