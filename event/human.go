package event

import (
	"cmp"
	"strings"
	"time"

	"poold/pool"
)

// command tells of what somebody asked for, and then of what came of it.
func (d *differ) command(before, after *pool.Command) {
	if after == nil || after.Verb == pool.VerbExplain || before != nil && before.Done == after.Done {
		return
	}
	e := Event{
		At: after.At, Kind: Command, Name: string(after.Verb), To: "asked", By: after.By, Reason: after.Reason, Provider: after.Provider,
	}
	if target := cmp.Or(after.Target, string(after.Node)); target != "" {
		e.Name += " " + target
	}
	if len(after.Leaks) > 0 {
		e.Name += " " + strings.Join(after.Leaks, " ")
	}
	if before == nil {
		d.add(e)
	}
	if after.Done {
		e.From, e.To = "asked", "done"
		if !d.past {
			e.At = d.now
		}
		if after.Error != "" {
			e.To, e.Reason = "refused", after.Error
		}
		d.add(e)
	}
}

func (d *differ) member(before, after *pool.Member) {
	switch {
	case before == nil:
		d.add(Event{At: after.Started, Kind: Peer, Name: after.Name, To: "joined", Reason: after.Version})
	case after == nil:
		d.add(Event{At: d.now, Kind: Peer, Name: before.Name, From: "joined", To: "left"})
	}
}

func (d *differ) pause(before, after *pool.Pause) {
	switch {
	case before == nil:
		d.add(Event{
			At: after.At, Kind: Pause, Name: cmp.Or(after.Provider, after.Image), Image: after.Image, Provider: after.Provider,
			To: "paused", By: after.By, Reason: after.Reason,
		})
	case after == nil:
		e := Event{
			At: d.now, Kind: Pause, Name: cmp.Or(before.Provider, before.Image), Image: before.Image, Provider: before.Provider,
			From: "paused", To: "unpaused",
		}
		verb := pool.VerbUnpauseImage
		if before.Provider != "" {
			verb = pool.VerbUnpauseProvider
		}
		e.By, e.Reason = d.ended(verb, e.Name, before.At)
		d.add(e)
	}
}

// ended tells who ended something that an operator had made at a time, and why: the
// newest command that does so; nobody if there is none.
func (d *differ) ended(verb pool.Verb, target string, made time.Time) (by, why string) {
	var found *pool.Command
	for _, c := range d.after.Commands {
		if c.Verb == verb && c.Target == target && c.Done && c.Error == "" && !c.At.Before(made) &&
			(found == nil || c.At.After(found.At)) {
			found = c
		}
	}
	if found == nil {
		return "", ""
	}
	return found.By, found.Reason
}

func (d *differ) drain(before, after *pool.Drain) {
	switch {
	case before == nil:
		d.add(Event{At: after.At, Kind: Drain, Name: after.Peer, To: "drained", By: after.By, Reason: after.Reason})
	case after == nil:
		by, why := d.ended(pool.VerbUndrainPeer, before.Peer, before.At)
		d.add(Event{At: d.now, Kind: Drain, Name: before.Peer, From: "drained", To: "undrained", By: by, Reason: why})
	}
}

func (d *differ) freeze() {
	before, after := d.before.Freeze, d.after.Freeze
	switch {
	case before == nil && after != nil:
		d.add(Event{At: after.At, Kind: Freeze, Name: "launching", To: "frozen", By: after.By, Reason: after.Reason})
	case before != nil && after == nil:
		by, why := d.ended(pool.VerbUnfreeze, "", before.At)
		d.add(Event{At: d.now, Kind: Freeze, Name: "launching", From: "frozen", To: "unfrozen", By: by, Reason: why})
	}
}
