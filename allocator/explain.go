package allocator

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"poold/pool"
)

// Explain says what becomes of a request at a time and why, from the same
// computation as [Decide]; nil if there is no such request. A create revision
// of zero means whichever request has the client and id. It is pure and safe
// for concurrent use.
func Explain(s *pool.Snapshot, c *pool.Catalog, ref pool.RequestRef, now time.Time) *pool.Explanation {
	d := newDecider(s, c, now)
	for _, r := range s.Requests {
		if r.Client == ref.Client && r.ID == ref.ID && (ref.CreateRevision == 0 || ref.CreateRevision == r.CreateRevision) {
			d.asked = r
		}
	}
	if d.asked == nil {
		return nil
	}
	d.story = &pool.Explanation{
		Client: ref.Client, ID: ref.ID, Labels: d.asked.Labels, Priority: d.asked.EffectivePriority(), At: d.now,
		Outcome: "It waits until the request that had its id before is released.",
	}
	a := d.allocations[[2]string{ref.Client, ref.ID}]
	if a != nil && a.RequestRevision == d.asked.CreateRevision && a.State != pool.AllocationWaiting {
		answered(d.story, a)
		return d.story
	}
	d.run()
	return d.story
}

func answered(e *pool.Explanation, a *pool.Allocation) {
	e.Waited = int64(a.Since.Sub(a.Created).Seconds())
	since := a.Since.Format("15:04:05")
	if a.State == pool.AllocationFailed {
		e.Outcome = fmt.Sprintf("It failed at %s: %s.", since, a.Error)
		return
	}
	e.Outcome = fmt.Sprintf("It was answered at %s.", since)
	for _, n := range a.Nodes {
		e.Places = append(e.Places, pool.Place{
			Provider: n.Provider, Pool: n.Pool, AZ: n.AZ, Text: fmt.Sprintf("%s: node %s, %s", n.Label, n.ID, n.State),
		})
	}
}

// tell begins the story of the request that is asked about: where it stands
// and what it finds in each pool, before it takes anything.
func (d *decider) tell(c *claim, ahead int) {
	d.story.Waited, d.story.Ahead = int64(d.now.Sub(c.since).Seconds()), ahead
	if c.shape == nil {
		return
	}
	for _, k := range c.shape.cands {
		for _, p := range k.places {
			if p.matters() {
				d.story.Places = append(d.story.Places, c.tellPlace(p))
			}
		}
	}
}

// matters tells whether a place is more than a zone that some node is in and
// that nothing can be launched in.
func (p *place) matters() bool {
	return p.launchable() || slices.ContainsFunc(p.supplies, func(s *supply) bool { return len(s.ready)+len(s.inFlight) > 0 })
}

func (c *claim) tellPlace(p *place) pool.Place {
	o, why := weigh(c, p)
	told := pool.Place{
		Provider: p.cand.slice.prov.conf.Name, Pool: p.cand.slice.conf.Name, AZ: p.zone.az, Class: why.class, Next: why.next,
		Text: fmt.Sprintf("%d of %d nodes are idle or in flight", p.cand.shape.total-o.missing, p.cand.shape.total),
	}
	if o.missing > 0 {
		told.Text += fmt.Sprintf(", %d can be launched now", o.now)
	}
	if why.class != "" {
		told.Text = cmp.Or(c.words(&o, why), why.text)
	}
	return told
}

// conclude ends the story with what was decided.
func (d *decider) conclude(c *claim, why string) {
	switch {
	case c.failed:
		d.story.Outcome = fmt.Sprintf("It fails: %s.", why)
	case c.served:
		d.story.Outcome = fmt.Sprintf("It is served now from %s.", c.place.where())
	case c.shape == nil:
		d.story.Outcome = fmt.Sprintf("It waits, for it may be known elsewhere: %s.", d.cat.Partial)
	case c.place != nil:
		d.story.Outcome = fmt.Sprintf("It waits for nodes in %s to become ready.", c.place.where())
	default:
		d.story.Outcome = "It cannot be placed now."
		for _, p := range d.order {
			if p.reserved == c {
				d.story.Outcome += fmt.Sprintf(" Provider %s is kept for it.", p.conf.Name)
			}
		}
	}
}
