package launcher

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"poold/cloud"
	"poold/pool"
)

const (
	// leakGrace is how old a leak must be, lookApart how far apart the two
	// looks that it must be seen in.
	leakGrace = 2 * time.Minute
	lookApart = time.Minute
	// More leaks than the larger of leaksMax and 1/leaksShare of what is ours
	// are not credible.
	leaksMax   = 10
	leaksShare = 20
	// healthEvery is how often the record is written though nothing changed.
	// One that is older than healthLapse tells of a time without an owner, or
	// of an etcd that was restored from a copy.
	healthEvery = 15 * time.Minute
	healthLapse = 2 * healthEvery
	// traceAge is for how long after its creation there is certainly a record
	// of whatever is made for a node: nodes are on record before anything is
	// made for them, and for an hour after they are gone.
	traceAge = 55 * time.Minute
	// agreementTime is how long an operator's agreement holds: time enough for
	// a cloud that is slow, and no blank cheque.
	agreementTime = time.Hour
	// leaksKept bounds the record.
	leaksKept = 1000
)

// sighting is something of ours that no live record explains.
type sighting struct {
	cloud.Resource
	why string
	// traced says that there is a record of it after all, of the past.
	traced bool
	// byHand says that nobody but an operator can know that it is not needed.
	byHand bool
}

func stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// lapsed tells whether there was a time in which nobody compared the cloud
// with these records.
func lapsed(h *pool.Health, now time.Time) bool { return h == nil || now.Sub(h.At) > healthLapse }

// resumed is the record that begins a new time of watching.
func resumed(h *pool.Health, provider string, now time.Time) *pool.Health {
	next := &pool.Health{V: pool.RecordVersion, Provider: provider}
	if h != nil {
		next = h.Clone()
	}
	next.At, next.Watched = stamp(now), stamp(now)
	return next
}

// judge compares what was seen with what was seen before. It returns the
// record as it is to be and what is to be removed. It asks nobody.
func judge(prev *pool.Health, f *findings, seen []sighting, now time.Time) (next *pool.Health, doomed []cloud.Resource) {
	next = prev.Clone()
	next.Leaks = nil
	for k := range seen {
		next.Leaks = append(next.Leaks, leakOf(prev, &seen[k], now))
	}
	freeze(next, f, seen, now)
	for k := range seen {
		s, l := &seen[k], &next.Leaks[k]
		if s.byHand || next.Frozen != "" {
			l.Goes = nil
		}
		due := l.Goes != nil && prev.Leak(l.Key()) != nil && !now.Before(*l.Goes)
		if due || l.Agreed(now) {
			doomed = append(doomed, s.Resource)
		}
	}
	slices.SortFunc(next.Leaks, func(a, b pool.Leak) int { return strings.Compare(a.Key(), b.Key()) })
	next.Leaks = next.Leaks[:min(leaksKept, len(next.Leaks))]
	return next, doomed
}

// leakOf is the entry of a sighting, with what the last record says of it.
func leakOf(prev *pool.Health, s *sighting, now time.Time) pool.Leak {
	l := pool.Leak{Kind: string(s.Kind), ID: s.ID, Name: s.Name, Why: s.why, ByHand: s.byHand, Since: stamp(now)}
	if !s.Created.IsZero() {
		created := stamp(s.Created)
		l.Created = &created
	}
	if before := prev.Leak(l.Key()); before != nil {
		l.Since = before.Since
		if before.Agreed(now) {
			l.AgreedUntil, l.AgreedBy = before.AgreedUntil, before.AgreedBy
		}
	}
	goes := l.Since.Add(lookApart)
	if old := s.Created.Add(leakGrace); old.After(goes) {
		goes = stamp(old)
	}
	l.Goes = &goes
	return l
}

// freeze says why what was seen cannot be believed. That lasts until an
// operator has agreed to all of it, or none of it is left.
func freeze(next *pool.Health, f *findings, seen []sighting, now time.Time) {
	var open []*sighting
	for k := range seen {
		if !seen[k].byHand && !next.Leaks[k].Agreed(now) {
			open = append(open, &seen[k])
		}
	}
	reason := doubt(next, f, open, now)
	switch {
	case reason == "" && (next.Frozen == "" || len(open) == 0):
		next.Frozen, next.FrozenSince = "", nil
	case next.Frozen == "":
		since := stamp(now)
		next.Frozen, next.FrozenSince = reason, &since
	}
}

// doubt is what speaks against believing that leaks are leaks, or "".
func doubt(h *pool.Health, f *findings, open []*sighting, now time.Time) string {
	if f.newest() > f.records.Revision {
		return "the records are older than what is in the cloud"
	}
	if limit := max(leaksMax, (len(f.listing.Instances)+len(f.resources))/leaksShare); len(open) > limit {
		return fmt.Sprintf("%d leaks at once, more than %d", len(open), limit)
	}
	for _, s := range open {
		switch {
		case s.Created.IsZero() || s.traced:
		case s.Created.Before(h.Watched):
			return fmt.Sprintf("%s %s is from before %s: records may have been lost then",
				s.Kind, s.ID, h.Watched.Format(time.RFC3339))
		case now.Sub(s.Created) < traceAge:
			return fmt.Sprintf("there is no record at all of %s %s, which is new: records were lost", s.Kind, s.ID)
		}
	}
	return ""
}

// newest is the highest revision that anything of ours was made at.
func (f *findings) newest() int64 {
	var newest int64
	for k := range f.listing.Instances {
		newest = max(newest, f.listing.Instances[k].Mark.Revision)
	}
	for k := range f.resources {
		newest = max(newest, f.resources[k].Mark.Revision)
	}
	return newest
}

// sameHealth tells whether two records say the same, whenever they were made.
func sameHealth(a, b *pool.Health) bool {
	return a.Watched.Equal(b.Watched) && a.Frozen == b.Frozen && reflect.DeepEqual(a.Leaks, b.Leaks)
}

// agreed is the record after an operator agreed to the removal of leaks, or
// why that is refused; notFound if one of them is none.
func agreed(h *pool.Health, c *pool.Command, now time.Time) (next *pool.Health, refusal string, notFound bool) {
	if len(c.Leaks) == 0 {
		return nil, "no leak is named", false
	}
	next = h.Clone()
	until := stamp(now.Add(agreementTime))
	for _, key := range c.Leaks {
		gone := slices.IndexFunc(next.Vanished, func(v pool.Vanished) bool { return v.Key() == key })
		if gone >= 0 {
			next.Vanished[gone].AgreedUntil, next.Vanished[gone].AgreedBy = &until, c.By
			continue
		}
		l := next.Leak(key)
		if l == nil {
			return nil, "no leak " + key + " in " + h.Provider, true
		}
		l.AgreedUntil, l.AgreedBy = &until, c.By
	}
	next.At = stamp(now)
	return next, "", false
}
