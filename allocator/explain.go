package allocator

import (
	"fmt"
	"strings"
	"time"

	"poold/pool"
)

// Explain says in prose what becomes of a request at a time and why, from the
// same computation as [Decide]. A create revision of zero means whichever
// request has the client and id. It is pure and safe for concurrent use.
func Explain(s *pool.Snapshot, c *pool.Catalog, ref pool.RequestRef, now time.Time) string {
	d := newDecider(s, c, now)
	for _, r := range s.Requests {
		if r.Client == ref.Client && r.ID == ref.ID && (ref.CreateRevision == 0 || ref.CreateRevision == r.CreateRevision) {
			d.asked = r
		}
	}
	if d.asked == nil {
		return fmt.Sprintf("There is no request %s/%s.\n", ref.Client, ref.ID)
	}
	a := d.allocations[[2]string{ref.Client, ref.ID}]
	if a != nil && a.RequestRevision == d.asked.CreateRevision && a.State != pool.AllocationWaiting {
		return answered(d.asked, a)
	}
	d.run()
	if d.story.Len() == 0 {
		return fmt.Sprintf("Request %s waits until the request that had its id before is released.\n", name(d.asked.Ref()))
	}
	return d.story.String()
}

func answered(r *pool.Request, a *pool.Allocation) string {
	since := a.Since.Format("15:04:05")
	if a.State == pool.AllocationFailed {
		return fmt.Sprintf("Request %s failed at %s: %s.\n", name(r.Ref()), since, a.Error)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Request %s was answered at %s after %s:\n", name(r.Ref()), since, a.Since.Sub(a.Created))
	for _, n := range a.Nodes {
		fmt.Fprintf(&b, "  %s: node %s in %s, %s\n", n.Label, n.ID, where(n.Provider, n.Pool, n.AZ), n.State)
	}
	return b.String()
}

// tell begins the story of the request that is asked about: where it stands
// and what it finds in each pool, before it takes anything.
func (d *decider) tell(c *claim, ahead int) {
	fmt.Fprintf(&d.story, "Request %s asks for %s at priority %d; it has waited for %s, behind %d others.\n",
		name(c.ref), strings.Join(c.r.Labels, ", "), c.r.EffectivePriority(), d.now.Sub(c.since), ahead)
	if c.shape == nil {
		return
	}
	for _, k := range c.shape.cands {
		for _, p := range k.places {
			d.tellPlace(c, p)
		}
	}
}

func (d *decider) tellPlace(c *claim, p *place) {
	o, why := weigh(c, p)
	text := fmt.Sprintf("%d of %d nodes are idle or in flight, %d can be launched now",
		p.cand.shape.total-o.missing, p.cand.shape.total, o.now)
	if why.class != "" {
		text = why.class + ": " + c.words(&o, why)
	}
	fmt.Fprintf(&d.story, "  %s: %s\n", p.where(), text)
}

// conclude ends the story with what was decided.
func (d *decider) conclude(c *claim, why string) {
	switch {
	case c.failed:
		fmt.Fprintf(&d.story, "It fails: %s.\n", why)
	case c.served:
		fmt.Fprintf(&d.story, "It is served now from %s.\n", c.place.where())
	case c.place != nil:
		fmt.Fprintf(&d.story, "It waits for nodes in %s to become ready.\n", c.place.where())
	default:
		d.story.WriteString("It cannot be placed now.")
		for _, p := range d.order {
			if p.reserved == c {
				fmt.Fprintf(&d.story, " Provider %s is kept for it.", p.conf.Name)
			}
		}
		d.story.WriteByte('\n')
	}
}
