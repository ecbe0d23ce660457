package event

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
	"time"

	"poold/pool"
)

// key is the name of a record as its place among the others: the lists of a
// snapshot are sorted by it.
func key(parts ...string) string {
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return strings.Join(parts, "/")
}

func nodeKey(n *pool.Node) string             { return key(n.Provider, string(n.ID)) }
func buildKey(b *pool.Build) string           { return key(b.Image, b.ID) }
func uploadKey(u *pool.Upload) string         { return key(u.Image, u.Build, u.Provider) }
func requestKey(r *pool.Request) string       { return key(r.Client, r.ID) }
func allocationKey(a *pool.Allocation) string { return key(a.Client, a.ID) }

// each calls with every record that differs, before and after; nil is none.
// Records that are the same are passed over without a look at them.
func each[T any](before, after []*T, key func(*T) string, differs func(before, after *T)) {
	for len(before) > 0 || len(after) > 0 {
		switch {
		case len(before) == 0:
			differs(nil, after[0])
			after = after[1:]
		case len(after) == 0:
			differs(before[0], nil)
			before = before[1:]
		case before[0] == after[0]:
			before, after = before[1:], after[1:]
		default:
			order := cmp.Compare(key(before[0]), key(after[0]))
			var was, is *T
			if order <= 0 {
				was, before = before[0], before[1:]
			}
			if order >= 0 {
				is, after = after[0], after[1:]
			}
			differs(was, is)
		}
	}
}

// differ gathers what happened between two looks.
type differ struct {
	before, after *pool.Snapshot
	now           time.Time
	// past says that nobody looked before: what is there may be there for long.
	past   bool
	events []Event
}

func (d *differ) add(e Event) { d.events = append(d.events, e) }

func (d *differ) node(before, after *pool.Node) {
	if after == nil {
		return // an hour after it was gone
	}
	known := 0
	if before != nil {
		known = len(before.Timeline)
	}
	e := Event{Kind: Node, Name: string(after.ID), Provider: after.Provider, Label: after.Label, Image: after.Image}
	if r := after.AllocatedTo; r != nil {
		e.Request = r.Client + "/" + r.ID
	}
	for i := known; i < len(after.Timeline); i++ {
		st := after.Timeline[i]
		e.At, e.To, e.By, e.Reason = st.At, string(st.State), string(st.By), st.Reason
		e.From, e.Seconds = "", 0
		if i > 0 {
			was := after.Timeline[i-1]
			e.From, e.Seconds = string(was.State), st.At.Sub(was.At).Seconds()
		}
		d.add(e)
	}
}

func (d *differ) build(before, after *pool.Build) {
	if after == nil {
		return
	}
	var was []pool.Entry[pool.BuildState]
	if before != nil {
		was = before.Timeline
	}
	moves(d, Event{Kind: Build, Name: after.Image + "/" + after.ID, Image: after.Image, By: string(pool.Builder), Reason: after.Error}, was, after.Timeline)
}

func (d *differ) upload(before, after *pool.Upload) {
	if after == nil {
		return
	}
	var was []pool.Entry[pool.UploadState]
	if before != nil {
		was = before.Timeline
	}
	moves(d, Event{
		Kind: Upload, Name: after.Image + "/" + after.Build + "/" + after.Provider, Image: after.Image, Provider: after.Provider,
		By: string(pool.Uploader), Reason: after.Error,
	}, was, after.Timeline)
}

// moves adds the entries of a timeline that are newer than those before. Only
// the newest ones are kept in a timeline, so their times tell, not their number.
func moves[S ~string](d *differ, e Event, before, after []pool.Entry[S]) {
	last := e.Reason
	for i, entry := range after {
		if n := len(before); n > 0 && !entry.At.After(before[n-1].At) {
			continue
		}
		e.At, e.To, e.Reason = entry.At, string(entry.State), entry.Reason
		if i == len(after)-1 {
			e.Reason = cmp.Or(entry.Reason, last)
		}
		e.From, e.Seconds = "", 0
		if i > 0 {
			e.From, e.Seconds = string(after[i-1].State), entry.At.Sub(after[i-1].At).Seconds()
		}
		d.add(e)
	}
}

// request tells of a wish that was made or is gone.
func (d *differ) request(before, after *pool.Request) {
	switch {
	case before == nil:
		d.add(Event{
			At: d.seen(after), Kind: Request, Name: after.Client + "/" + after.ID, To: "requested", By: after.Client,
			Label: strings.Join(after.Labels, ","), Provider: after.Provider,
		})
	case after == nil:
		d.add(Event{At: d.now, Kind: Request, Name: before.Client + "/" + before.ID, To: "gone", By: before.Client})
	}
}

// seen is when a request was first seen: by who allocates, or else now.
func (d *differ) seen(r *pool.Request) time.Time {
	i, found := slices.BinarySearchFunc(d.after.Allocations, requestKey(r), func(a *pool.Allocation, key string) int {
		return cmp.Compare(allocationKey(a), key)
	})
	if found && d.after.Allocations[i].Ref() == r.Ref() {
		return d.after.Allocations[i].Created
	}
	return d.now
}

// allocation tells of an answer.
func (d *differ) allocation(before, after *pool.Allocation) {
	if after == nil || before != nil && before.State == after.State {
		return
	}
	e := Event{
		At: after.Since, Kind: Request, Name: after.Client + "/" + after.ID, To: string(after.State), By: string(pool.Allocator),
		Reason: after.Error, Seconds: after.Since.Sub(after.Created).Seconds(),
	}
	if before != nil {
		e.From = string(before.State)
	}
	for i := range after.Nodes {
		e.Served = append(e.Served, d.served(&after.Nodes[i]))
	}
	d.add(e)
}

func (d *differ) served(a *pool.AllocatedNode) Served {
	s := Served{Node: a.ID, Label: a.Label, Provider: a.Provider, Image: a.Image}
	for _, n := range d.after.NodesOf(a.Provider) {
		if n.ID == a.ID {
			s.Instance, s.Build = n.InstanceID, n.Build
		}
	}
	return s
}
