package launcher

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"

	"poold/cloud"
	"poold/pool"
)

// The pace of looking. A list is the only call that costs something while
// nothing happens, so it follows what is awaited.
const (
	// paceMin to paceMax is the time between two lists while something is
	// awaited: 1/lateShare of how late it is. For nodes that go away, which
	// nobody waits for, it is goneMin at least. One list serves all nodes: for
	// every bootsShare that boot there may be as many more, crowdMax times as
	// many at most.
	paceMin    = 100 * time.Millisecond
	goneMin    = time.Second
	paceMax    = 5 * time.Second
	lateShare  = 16
	bootsShare = 10
	crowdMax   = 4
	// listShare is the part of the time that lists may take, and listShareMax
	// the longest pause for that: a list that hung once says little of the next.
	listShare    = 4
	listShareMax = time.Minute
	// Something that is paceLate late is looked for every paceSlow only.
	paceLate = 2 * time.Minute
	paceSlow = 30 * time.Second
	// standingEvery and idleEvery are between two lists while nothing is
	// awaited, with and without nodes; fullEvery between two full ones.
	standingEvery = time.Minute
	idleEvery     = 10 * time.Minute
	fullEvery     = 5 * time.Minute
	// rateShare is the part of the provider's rate that lists may take, and
	// busyShare that while other calls wait for their turn.
	rateShare = 3
	busyShare = 8
	// listRetryMin to listRetryMax is the pause after lists that failed.
	listRetryMin = 2 * time.Second
	listRetryMax = time.Minute
	// A full list that lacks more than the larger of missingMax and
	// 1/missingShare of what should be there is not believed.
	missingMax   = 3
	missingShare = 5
	// suspectsMax is how many of the missing are looked at by id at a time
	// then.
	suspectsMax = 10
)

// expected is when to look whether the instance of a building node is active:
// not before its label's boots were over lately, then at the pace.
func (v *view) expected(t *track) time.Time {
	share := lateShare * min(max(1, v.booting/bootsShare), crowdMax)
	return v.dueFrom(v.askedAt(t).Add(v.boots[t.node.Label].early()), paceMin, share)
}

// due is when to list for something that is expected at a time.
func (v *view) due(at time.Time) time.Time { return v.dueFrom(at, paceMin, lateShare) }

// dueFrom is due with a pace of its own: what it is to begin with, and which
// share of how late it is.
func (v *view) dueFrom(at time.Time, least time.Duration, share int) time.Time {
	if v.lists.last.Before(at) {
		return at
	}
	late := v.lists.last.Sub(at)
	pace := min(max(late/time.Duration(share), least), paceMax)
	if late > paceLate {
		pace = paceSlow
	}
	return v.lists.last.Add(pace)
}

// polling decides whether to list now, or when.
func (v *view) polling(now time.Time, p *plan) {
	if v.lists.busy {
		return
	}
	due, full := v.slowPoll()
	for _, a := range p.awaits {
		if a.at.Before(due) {
			due = a.at
		}
		full = full || a.full && !a.at.After(now)
	}
	if share := v.share(); due.Before(share) {
		due = share
	}
	if due.Before(v.lists.retry) {
		due = v.lists.retry
	}
	if due.After(now) {
		p.wakeAt(due)
		return
	}
	mark := v.lists.mark
	if full || !now.Before(v.lists.full.Add(fullEvery)) {
		mark = cloud.ListMark{}
	}
	p.poll = &mark
}

// share is the earliest time at which a list does not take more than its share
// of the rate and of the time.
func (v *view) share() time.Time {
	ls := &v.lists
	if ls.last.IsZero() {
		return time.Time{}
	}
	pause := rateShare * v.provider.Rate
	if v.crowded {
		pause = busyShare * v.provider.Rate
	}
	return ls.last.Add(max(pause, min(listShare*ls.took, listShareMax)))
}

// slowPoll is when to list though nothing is awaited: the first list is due at
// once and full, and one at once after a sweep that failed.
func (v *view) slowPoll() (time.Time, bool) {
	if v.lists.full.IsZero() || v.lists.doubted {
		return time.Time{}, v.lists.full.IsZero()
	}
	every := idleEvery
	for _, t := range v.nodes {
		if t.node.State.Live() {
			every = standingEvery
			break
		}
	}
	return v.lists.last.Add(every), false
}

// list asks the cloud for what is ours.
func (l *Launcher) list(ctx context.Context, mark cloud.ListMark, lane cloud.Lane) (cloud.Listing, error) {
	ctx, cancel := call(ctx, lane)
	defer cancel()
	listing, err := l.driver.Instances(ctx, mark)
	// The driver filters by mark already; a mistake there must not become a
	// deletion here. What is deleted has lost its mark, and is known by its id
	// only.
	listing.Instances = slices.DeleteFunc(slices.Clone(listing.Instances), func(i cloud.Instance) bool {
		return i.Status != cloud.StatusDeleted && !l.ours(i.Mark)
	})
	return listing, err
}

// startPoll lists what changed since the mark in a goroutine.
func (r *run) startPoll(ctx context.Context, mark cloud.ListMark, now time.Time) {
	r.view.lists.busy = true
	r.awaitList(now)
	r.spawn(ctx, func(ctx context.Context) effect {
		listing, err := r.list(ctx, mark, cloud.LanePoll)
		return func(r *run, end time.Time) {
			r.view.lists.busy, r.view.lists.took = false, end.Sub(now)
			if err != nil {
				r.listFailed(err, end)
				return
			}
			r.merge(listing, now)
		}
	})
}

// awaitList notes that a list begins, so that everybody knows since when the cloud
// answers none, if it does not.
func (r *run) awaitList(now time.Time) {
	if ls := &r.view.lists; ls.unanswered.IsZero() {
		ls.unanswered = now
		r.metrics.unanswered.WithLabelValues(r.provider.Name).Set(float64(now.Unix()))
	}
}

// listFailed puts the next list off.
func (r *run) listFailed(err error, now time.Time) {
	ls := &r.view.lists
	kind := cloud.KindOf(err)
	r.metrics.polls.WithLabelValues(r.provider.Name, string(kind)).Inc()
	pause := min(listRetryMin<<min(ls.failures, 10), listRetryMax)
	if ls.failures++; ls.failures == outageLists {
		slow := r.view.slow.window
		r.view.slow.begin()
		r.tellSlow(slow)
	}
	ls.retry = now.Add(max(pause, retryAfter(err)))
	r.grumble("list", kind, "listing instances failed", err)
	if kind == cloud.Unauthorized {
		r.refusedCredentials(err, now)
	}
}

// merge takes over a list that began at a time.
func (r *run) merge(listing cloud.Listing, began time.Time) {
	v := r.view
	outcome := "changes"
	if listing.Full {
		outcome = "full"
	}
	r.bind(listing.Instances, began)
	if listing.Full {
		r.miss(listing.Instances, began)
	}
	if listing.Full && !r.absent(listing.Instances, began) {
		outcome = "distrusted"
	}
	ls := &v.lists
	ls.failures, ls.retry, ls.unanswered, ls.doubted = 0, time.Time{}, time.Time{}, false
	r.metrics.unanswered.WithLabelValues(r.provider.Name).Set(0)
	if began.After(ls.last) || ls.last.IsZero() {
		ls.last, ls.mark = began, listing.Next
	}
	if listing.Full && began.After(ls.full) {
		ls.full = began
		if outcome == "full" {
			ls.trusted = [2]time.Time{ls.trusted[1], began}
		}
	}
	r.metrics.polls.WithLabelValues(r.provider.Name, outcome).Inc()
	r.metrics.lastList.WithLabelValues(r.provider.Name).Set(float64(began.Unix()))
	r.calm("list")
}

// bind gives each node the instance that it asked for.
func (r *run) bind(instances []cloud.Instance, began time.Time) {
	byID := make(map[string]*cloud.Instance, len(instances))
	byBatch := map[string][]*cloud.Instance{}
	for k := range instances {
		i := &instances[k]
		byID[i.ID] = i
		if !r.ours(i.Mark) {
			continue
		}
		byBatch[i.Mark.Batch] = append(byBatch[i.Mark.Batch], i)
	}
	for _, t := range r.view.nodes {
		if t.inst.ID != "" {
			if i := byID[t.inst.ID]; i != nil {
				r.see(t, i, began)
			}
			continue
		}
		var own *cloud.Instance
		for _, i := range byBatch[t.node.Batch] {
			if claims(t.node, i) && (own == nil || elder(i, own) < 0) {
				own = i
			}
		}
		if own != nil {
			r.see(t, own, began)
		}
	}
}

// see takes over what was seen of a node's instance at a time.
func (r *run) see(t *track, i *cloud.Instance, at time.Time) {
	if t.gone && !t.denied || at.Before(t.asOf) {
		return
	}
	r.refute(t, i)
	b := r.view.batches[t.node.Batch]
	if t.inst.ID == "" && b != nil {
		b.found++
	}
	t.marks.saw(i, at)
	if i.Status == cloud.StatusActive && t.inst.Status != cloud.StatusActive && t.node.State == pool.NodeBuilding &&
		b != nil && !b.answered.IsZero() {
		r.view.learnBoot(t, b.answered, at)
	}
	t.inst, t.asOf, t.missing = *i, at, false
	if i.Status == cloud.StatusDeleted {
		r.vanish(t, at)
	}
}

// vanish notes the cloud's word that an instance is gone.
func (r *run) vanish(t *track, at time.Time) {
	if t.gone {
		return
	}
	t.gone, t.missing = true, false
	if !t.asked.IsZero() {
		r.view.deletion = average(r.view.deletion, at.Sub(t.asked))
	}
}

// absent notes which instances a full list lacks, and returns whether the list
// can be believed in that.
func (r *run) absent(instances []cloud.Instance, began time.Time) bool {
	there := make(map[string]bool, len(instances))
	for k := range instances {
		there[instances[k].ID] = true
	}
	known := 0
	var lost []*track
	for _, t := range r.view.nodes {
		if t.inst.ID == "" || t.gone || !t.node.State.Live() || t.asOf.After(began) {
			continue
		}
		if t.node.State == pool.NodeDeleting {
			t.missing = !there[t.inst.ID] // expected, and no reason for doubt
			continue
		}
		known++
		if !there[t.inst.ID] {
			lost = append(lost, t)
		}
	}
	r.suspects = nil
	trusted := len(lost) <= max(missingMax, known/missingShare)
	if !trusted {
		n := min(suspectsMax, len(lost))
		r.suspects, lost = lost[n:], lost[:n]
		r.log.Warn("list lacks too much to be believed",
			zap.Int("known", known), zap.Int("missing", len(r.suspects)+n))
	}
	for _, t := range lost {
		t.missing = true
	}
	return trusted
}

// startLook looks at one instance by id, which alone proves that it is gone.
func (r *run) startLook(ctx context.Context, t *track, now time.Time) {
	id := t.inst.ID
	r.spawnFor(ctx, t, func(ctx context.Context) effect {
		ctx, cancel := call(ctx, cloud.LanePoll)
		defer cancel()
		i, err := r.driver.Instance(ctx, id)
		return func(r *run, end time.Time) {
			t.busy = false
			switch {
			case err == nil:
				if t.missing {
					r.view.lost = false // a list lacks what a look shows: looks can be believed
				}
				t.missing = false
				r.see(t, &i, now)
			case errors.Is(err, cloud.NotFound):
				r.deny(t, now)
				r.nextSuspect()
			default:
				t.retry = end.Add(max(listRetryMin, retryAfter(err)))
				r.grumble("look", cloud.KindOf(err), "looking at an instance failed", err)
			}
		}
	})
}

// nextSuspect has one more of the missing looked at, since one of them was
// really gone.
func (r *run) nextSuspect() {
	if len(r.suspects) > 0 {
		r.suspects[0].missing = true
		r.suspects = r.suspects[1:]
	}
}

// boots is how long the boots of a label took lately, and how much that varies.
type boots struct{ mean, deviation time.Duration }

// early is when a boot may be over at the earliest, by what is known.
func (b boots) early() time.Duration { return max(0, b.mean-2*b.deviation-paceMin) }

// learnBoot keeps how long instances of a node's label take to become active.
// What is seen is late, so what counts is the list before, in which the
// instance was still building. One that was active at the first look took less
// than was thought, by who knows how much: the next look comes earlier.
func (v *view) learnBoot(t *track, asked, now time.Time) {
	known := v.boots[t.node.Label]
	took := v.lists.last.Sub(asked)
	if t.inst.ID == "" || took <= 0 {
		took = now.Sub(asked) * 7 / 10
		if known.mean > 0 && took >= known.mean {
			return // a late look tells nothing
		}
	}
	if known.mean == 0 {
		known.mean = took
	}
	v.boots[t.node.Label] = boots{
		mean:      (3*known.mean + took) / 4,
		deviation: (3*known.deviation + (took - known.mean).Abs()) / 4,
	}
}

// average is an exponential moving average that starts with the first value.
func average(old, d time.Duration) time.Duration {
	if old == 0 {
		return d
	}
	return (3*old + d) / 4
}
