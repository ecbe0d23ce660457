package allocator

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"poold/pool"
)

// claim is a request that waits, and what this decision found out about it.
type claim struct {
	r      *pool.Request
	a      *pool.Allocation // nil before the first answer
	ref    pool.RequestRef
	since  time.Time
	shape  *shape
	tenant *ledger
	// served or failed end it; otherwise place is where its nodes are
	// expected, or nil, and reasons says why it waits.
	served, failed bool
	place          *place
	reasons        []pool.Reason
}

// answer looks at every request that waits, in order.
func (d *decider) answer() {
	for _, r := range d.snap.Requests {
		a := d.allocations[[2]string{r.Client, r.ID}]
		if a != nil && (a.RequestRevision != r.CreateRevision || a.State != pool.AllocationWaiting) ||
			d.answered[[2]string{r.Client, r.ID}] {
			continue
		}
		c := &claim{r: r, a: a, ref: r.Ref(), since: d.now, tenant: d.tenants[r.Tenant]}
		if a != nil {
			c.since = a.Created
		}
		d.claims = append(d.claims, c)
	}
	slices.SortFunc(d.claims, func(a, b *claim) int {
		return cmp.Or(cmp.Compare(a.r.EffectivePriority(), b.r.EffectivePriority()),
			cmp.Compare(a.r.RelativePriority, b.r.RelativePriority),
			cmp.Compare(a.r.CreateRevision, b.r.CreateRevision),
			cmp.Compare(a.r.Client, b.r.Client), cmp.Compare(a.r.ID, b.r.ID))
	})
	for i, c := range d.claims {
		d.consider(c, i)
		d.waive(c.ref)
		if !c.served && !c.failed {
			d.plan.Waiting++
			d.plan.Oldest = max(d.plan.Oldest, d.now.Sub(c.since))
		}
	}
}

func (d *decider) consider(c *claim, ahead int) {
	why := d.hopeless(c)
	if c.r == d.asked {
		d.tell(c, ahead)
		defer func() { d.conclude(c, why) }()
	}
	if why != "" {
		d.fail(c, why)
		return
	}
	if c.shape == nil {
		c.reasons = []pool.Reason{{Class: ClassPartial, Text: d.cat.Partial}}
		d.report(c)
		return
	}
	if p := idlePlace(c); p != nil {
		d.serve(c, p)
		return
	}
	if why = c.shape.gone(); why != "" {
		d.fail(c, why)
		return
	}
	d.settle(c)
	d.report(c)
}

// hopeless says why a request can never be served, or "". It finds the shape of
// one that can be, as far as is known.
func (d *decider) hopeless(c *claim) string {
	r := c.r
	switch {
	case r.Defect != "":
		return r.Defect
	case len(r.Labels) == 0:
		return "it asks for no label"
	case !r.Leased && r.MaxLifetime == "":
		return "it has neither a lease nor a max_lifetime"
	case r.Deadline != nil && !d.now.Before(*r.Deadline):
		return "not served before its deadline"
	}
	if r.Deadline != nil {
		d.wake(*r.Deadline)
	}
	if why := d.unknown(r); why != "" {
		if d.cat.Partial != "" {
			return "" // somebody may know it
		}
		return why
	}
	c.shape = d.shape(r)
	why := c.shape.never(c.tenant)
	if why != "" && c.mayChange() {
		return ""
	}
	return why
}

// unknown says why nothing in the catalog is what a request asks for, or "".
func (d *decider) unknown(r *pool.Request) string {
	if r.Provider != "" && d.providers[r.Provider] == nil {
		return fmt.Sprintf("no provider is called %q", r.Provider)
	}
	for _, l := range r.Labels {
		if d.labels[l] == nil {
			return fmt.Sprintf("no label is called %q", l)
		}
		if len(d.offers[l]) == 0 {
			return fmt.Sprintf("no provider offers the label %q", l)
		}
	}
	if len(d.shape(r).cands) > 0 {
		return ""
	}
	if r.Provider != "" {
		return fmt.Sprintf("no pool of provider %q offers all of its labels", r.Provider)
	}
	return "no pool offers all of its labels"
}

// mayChange tells whether a request that can never be served could be after all,
// by something that a cloud has got since it was asked last: what the facts say
// is held against a request only if they are younger than itself. It has the
// others asked for again.
func (c *claim) mayChange() bool {
	may := false
	for _, k := range c.shape.cands {
		p := k.slice.prov
		if p.quota == nil || p.quota.Asked > c.r.CreateRevision || k.tooMany() != "" {
			continue
		}
		may = true
		p.wanted = max(p.wanted, c.r.CreateRevision+1)
	}
	return may
}

// ask has the owners of providers ask their clouds for what requests want.
func (d *decider) ask() {
	for _, p := range d.order {
		if p.quota == nil || p.wanted <= p.quota.Wanted {
			continue
		}
		next := *p.quota
		next.Wanted = p.wanted
		d.decide(Decision{
			Operation: OpAsk, Subject: p.conf.Name, Reason: "a request wants what it did not have",
			Write: pool.Write{By: pool.Allocator, Quotas: []pool.Change[pool.Quota]{pool.Update(p.quota, &next)}},
		})
	}
}

// write is the change of the claim's allocation, bound to the request as it
// was read.
func (c *claim) write(next *pool.Allocation) pool.Write {
	return pool.Write{
		By: pool.Allocator, Unchanged: []*pool.Request{c.r},
		Allocations: []pool.Change[pool.Allocation]{{Before: c.a, After: next}},
	}
}

// next is the allocation's next version.
func (c *claim) next(to pool.AllocationState, now time.Time) *pool.Allocation {
	a := pool.Allocation{
		V: pool.RecordVersion, Created: now, Since: now,
		RequestRevision: c.r.CreateRevision, Client: c.r.Client, ID: c.r.ID,
	}
	if c.a != nil {
		a = *c.a
	}
	if a.State != to {
		a.State, a.Since = to, now
	}
	return &a
}

func (d *decider) fail(c *claim, why string) {
	c.failed = true
	a := c.next(pool.AllocationFailed, d.now)
	a.Error, a.Reasons, a.ReasonsAt = why, nil, nil
	d.decide(Decision{Operation: OpFail, Subject: name(c.ref), Reason: why, Write: c.write(a)})
}

// serve gives a request all its nodes, which are idle in one place.
func (d *decider) serve(c *claim, p *place) {
	c.served, c.place = true, p
	given := map[string][]*pool.Node{}
	for i, s := range p.supplies {
		n := c.shape.counts[i]
		given[c.shape.labels[i]] = p.givable(c, i)[:n]
		s.give(given[c.shape.labels[i]])
	}
	explicit := c.r.Accept == pool.AcceptExplicit && !c.r.Accepted
	a := c.next(pool.AllocationFulfilled, d.now)
	a.Reasons, a.ReasonsAt = nil, nil
	w := c.write(a)
	for _, l := range c.r.Labels {
		n := given[l][0]
		given[l] = given[l][1:]
		if c.tenant != nil {
			c.tenant.book(n.Resources)
		}
		after := n.Clone()
		shown := hidden(n)
		if !explicit {
			after = n.Moved(pool.NodeInUse, pool.Allocator, "given to "+name(c.ref), d.now)
			shown = revealed(n)
		}
		ref := c.ref
		after.AllocatedTo, after.Tenant = &ref, c.r.Tenant
		w.Nodes = append(w.Nodes, pool.Update(n, after))
		a.Nodes = append(a.Nodes, shown)
	}
	if explicit {
		d.wake(d.now.Add(acceptTimeout))
	}
	d.decide(Decision{
		Operation: OpServe, Subject: name(c.ref), Write: w, Latency: d.now.Sub(c.since),
		Reason: fmt.Sprintf("%d idle in %s", len(w.Nodes), p.where()),
	})
}

// report tells a client why it waits: at once for a new request, later only
// when a class changes, and not too often.
func (d *decider) report(c *claim) {
	if c.a != nil {
		if sameClasses(c.reasons, c.a.Reasons) {
			return
		}
		if c.a.ReasonsAt != nil && d.now.Before(c.a.ReasonsAt.Add(reasonsEvery)) {
			d.wake(c.a.ReasonsAt.Add(reasonsEvery))
			return
		}
	}
	a := c.next(pool.AllocationWaiting, d.now)
	at := d.now
	a.Reasons, a.ReasonsAt = c.reasons, &at
	classes := make([]string, 0, len(c.reasons))
	for _, r := range c.reasons {
		classes = append(classes, r.Provider+" "+r.Class)
	}
	d.decide(Decision{
		Operation: OpWait, Subject: name(c.ref), Reason: strings.Join(classes, ", "), Write: c.write(a),
	})
}

func sameClasses(a, b []pool.Reason) bool {
	return slices.EqualFunc(a, b, func(x, y pool.Reason) bool {
		return x.Provider == y.Provider && x.Class == y.Class
	})
}
