package trace

import (
	"crypto/sha256"
	"strconv"
	"strings"
	"time"

	"poold/event"
	"poold/pool"
)

// traceID and spanID are those of OpenTelemetry.
type (
	traceID [16]byte
	spanID  [8]byte
)

// span is a part of a trace that is over.
type span struct {
	trace      traceID
	id, parent spanID
	name       string
	begin, end time.Time
	// failed is why what it tells of failed; empty if it did not.
	failed string
	// attributes are names and values, by turns.
	attributes []string
	// links are other traces that it is a part of.
	links []traceID
}

// sum is a number that is the same whenever the names are.
func sum(names ...string) [sha256.Size]byte {
	return sha256.Sum256([]byte(strings.Join(names, "\x00")))
}

func traceOf(names ...string) traceID { return traceID(first(sum(names...), len(traceID{}))) }

func spanOf(trace traceID, names ...string) spanID {
	return spanID(first(sum(append([]string{string(trace[:])}, names...)...), len(spanID{})))
}

func first(all [sha256.Size]byte, n int) []byte { return all[:n] }

// nodeTrace is the trace of a node.
func nodeTrace(installation string, n *pool.Node) traceID {
	return traceOf(installation, event.Node, n.Provider, string(n.ID))
}

// requestTrace is the trace of a request.
func requestTrace(installation string, r pool.RequestRef) traceID {
	return traceOf(installation, event.Request, r.Client, r.ID, strconv.FormatInt(r.CreateRevision, 10))
}

// rootOf is the span of a trace that all others are in.
func rootOf(trace traceID) spanID { return spanOf(trace) }

// spans tells of what a write ended. What has no time of its own ended now.
func spans(installation string, w *pool.Write, now time.Time) []span {
	var all []span
	for _, c := range w.Nodes {
		if c.After != nil {
			all = append(all, nodeSpans(installation, c.Before, c.After)...)
		}
	}
	for _, c := range w.Allocations {
		all = append(all, requestSpans(installation, c, w.Nodes, now)...)
	}
	return all
}

// nodeSpans are the phases of a node that ended, in its own trace and, from when
// it was handed out, in its request's as well.
func nodeSpans(installation string, before, after *pool.Node) []span {
	var all []span
	trace := nodeTrace(installation, after)
	for i, p := range event.Phases(after) {
		if before != nil && i < len(event.Phases(before)) {
			continue
		}
		s := phaseSpan(trace, rootOf(trace), after, p)
		if r := after.AllocatedTo; r != nil && (p.Name == event.HandedOut || p.Name == event.Held || p.Name == event.Released) {
			of := requestTrace(installation, *r)
			s.links = []traceID{of}
			shared := phaseSpan(of, rootOf(of), after, p)
			shared.links = []traceID{trace}
			all = append(all, shared)
		}
		all = append(all, s)
	}
	if after.State == pool.NodeDeleted && (before == nil || before.State != pool.NodeDeleted) {
		root := span{
			trace: trace, id: rootOf(trace), name: "node " + after.Label, begin: after.Created, end: latest(after.Created, after.Since),
			attributes: describe(after),
		}
		if after.Failure != "" {
			root.failed = string(after.Failure)
		}
		all = append(all, root)
	}
	return all
}

// phaseSpan is a phase of a node as a part of a trace.
func phaseSpan(trace traceID, parent spanID, n *pool.Node, p event.Phase) span {
	s := span{
		trace: trace, id: spanOf(trace, string(n.ID), p.Name, p.Begin.String()), parent: parent,
		name: p.Name, begin: p.Begin, end: p.End, attributes: describe(n),
	}
	if p.Cut && n.Failure != "" {
		s.failed = string(n.Failure)
	}
	return s
}

// requestSpans tells of a request that was answered, with the launches that it
// waited for, or that is gone.
func requestSpans(installation string, c pool.Change[pool.Allocation], nodes []pool.Change[pool.Node], now time.Time) []span {
	a := c.After
	if a == nil {
		a = c.Before
	}
	trace := requestTrace(installation, a.Ref())
	about := []string{"poold.client", a.Client, "poold.request", a.ID, "poold.state", string(a.State)}
	if c.After == nil {
		root := span{
			trace: trace, id: rootOf(trace), name: "request", begin: a.Created, end: latest(a.Created, released(a, nodes, now)), attributes: about,
		}
		if a.State == pool.AllocationFailed {
			root.failed = string(a.State)
		}
		return []span{root}
	}
	if a.State == pool.AllocationWaiting || c.Before != nil && c.Before.State != pool.AllocationWaiting {
		return nil
	}
	waiting := span{
		trace: trace, id: spanOf(trace, "waiting"), parent: rootOf(trace), name: "waiting",
		begin: a.Created, end: latest(a.Created, a.Since), attributes: about,
	}
	if a.State == pool.AllocationFailed {
		waiting.failed = string(a.State)
	}
	return append([]span{waiting}, boots(installation, &waiting, a, nodes)...)
}

// boots are the launches of the nodes that a request was given and that were not
// there before it.
func boots(installation string, waiting *span, a *pool.Allocation, nodes []pool.Change[pool.Node]) []span {
	var all []span
	for _, n := range nodes {
		if !given(a, n.After) || n.After.Created.Before(a.Created) {
			continue
		}
		for _, p := range event.Phases(n.After) {
			boot := phaseSpan(waiting.trace, waiting.id, n.After, p)
			boot.links = []traceID{nodeTrace(installation, n.After)}
			all = append(all, boot)
		}
	}
	return all
}

// given tells whether a node belongs to the request that is answered.
func given(a *pool.Allocation, n *pool.Node) bool {
	return n != nil && n.AllocatedTo != nil && *n.AllocatedTo == a.Ref()
}

// released is when the last node of a request was given back: with the write that
// removes its answer, or before that.
func released(a *pool.Allocation, nodes []pool.Change[pool.Node], now time.Time) time.Time {
	var last time.Time
	for _, n := range nodes {
		if given(a, n.After) {
			last = latest(last, n.After.Since)
		}
	}
	if last.IsZero() {
		return now
	}
	return last
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// describe says what is known of a node, and nothing that leads to it: no address
// and no key.
func describe(n *pool.Node) []string {
	all := []string{"poold.node", string(n.ID), "poold.provider", n.Provider, "poold.pool", n.Pool, "poold.label", n.Label}
	for _, more := range [][2]string{
		{"poold.zone", n.AZ},
		{"poold.flavor", n.Flavor},
		{"poold.image", n.Image},
		{"poold.build", n.Build},
		{"poold.instance", n.InstanceID},
		{"poold.failure", string(n.Failure)},
	} {
		if more[1] != "" {
			all = append(all, more[0], more[1])
		}
	}
	if r := n.AllocatedTo; r != nil {
		all = append(all, "poold.client", r.Client, "poold.request", r.ID)
	}
	return all
}
