package allocator

import (
	"cmp"
	"slices"
	"time"

	"poold/pool"
)

// provider is a provider of the catalog with what is used of it.
type provider struct {
	ledger
	conf  *pool.Provider
	quota *pool.Quota
	// trouble is why nothing can be launched at all; its class is empty if
	// something can.
	trouble verdict
	// pause stops launches, nil if nobody paused it.
	pause *pool.Pause
	// wanted is the revision as of which the cloud should be asked.
	wanted int64
	// held says that so many of its nodes seem to have vanished that nobody
	// counts on any.
	held bool
	// slotsLeft is how many more nodes may be in flight.
	slotsLeft int
	// reserved is the request that the provider is kept for, if any;
	// contested tells that a request waits for some of its quota.
	reserved  *claim
	contested bool
	slices    []*slice
	launches  []*batch
}

// slice is a pool of a provider.
type slice struct {
	ledger
	prov     *provider
	conf     *pool.Pool
	priority int
	zones    []*zone // sorted by name
	// only is the one zone that the cloud can choose, if it chooses and has one.
	only  string
	slots map[string]*slot
	// hosts are those of a static provider; kept are the idle nodes on them that
	// are kept for a request.
	hosts []*host
	kept  []*pool.Node
	// spare is the idle nodes nobody claimed, oldest first, once requests had
	// their choice; nil before.
	spare []*pool.Node
}

// weighted tells whether the pool was given a weight, weight what it is.
func (s *slice) weighted() bool { return s.conf.Weight > 0 || s.prov.conf.Weight > 0 }
func (s *slice) weight() int64  { return int64(max(1, cmp.Or(s.conf.Weight, s.prov.conf.Weight))) }

// zone is an availability zone of a pool; the empty name is wherever the
// cloud puts a node.
type zone struct {
	slice *slice
	az    string
	// single and set tell whether lone nodes and sets may be launched here.
	single, set bool
	// load is how many live nodes it has.
	load     int
	supplies map[string]*supply
}

// slot is a label that a pool offers, with what a launch of it is made of.
type slot struct {
	slice *slice
	spec  *pool.LabelSpec
	label *pool.Label
	// problem is why it cannot be launched; its class is empty if it can.
	problem verdict
	// known tells whether flavor and resources are.
	known     bool
	flavor    pool.Flavor
	resources pool.Resources
	image     string
	source    *source
	// newer is a newer build of the image that fails here, if source is an
	// older one for that reason.
	newer *source
	// ahead is how many nodes of it this plan launches ahead of demand.
	ahead int
}

// source is what a node is launched from, and how it is reached then.
type source struct {
	imageID, build string
	connection     pool.Connection
	// canary says that what is launched from it only tries it.
	canary bool
	// gates are the breakers that stand before a launch, by zone.
	gates map[string][]*breaker
	// doubt is what speaks against a newer build, or nil.
	doubt *breaker
}

// verdict is a reason without its provider.
type verdict struct {
	class, text string
	// next is when it is tried again, or nil.
	next *time.Time
}

func (d *decider) indexCatalog() {
	quotas := make(map[string]*pool.Quota, len(d.snap.Quotas))
	for _, q := range d.snap.Quotas {
		quotas[q.Provider] = q
	}
	d.circuits = newCircuits(d.snap.Nodes, d.now)
	d.indexUploads()
	for i := range d.cat.Labels {
		d.labels[d.cat.Labels[i].Name] = &d.cat.Labels[i]
	}
	for i := range d.cat.Providers {
		conf := &d.cat.Providers[i]
		p := &provider{
			conf: conf, quota: quotas[conf.Name], slotsLeft: bound(conf.MaxConcurrency),
			held: d.snap.Health(conf.Name).Held(d.now), pause: d.snap.ProviderPause(conf.Name),
		}
		p.trouble = d.trouble(p)
		p.limits = pool.NoLimits()
		if p.quota != nil {
			p.limits = believed(p.quota)
			p.used = p.quota.Foreign
		}
		d.providers[conf.Name] = p
		d.order = append(d.order, p)
		for j := range conf.Pools {
			d.indexSlice(p, &conf.Pools[j])
		}
	}
	slices.SortFunc(d.order, func(a, b *provider) int { return cmp.Compare(a.conf.Name, b.conf.Name) })
	for _, offers := range d.offers {
		slices.SortFunc(offers, func(a, b *slot) int { return compareSlices(a.slice, b.slice) })
	}
	for i := range d.cat.Tenants {
		t := &d.cat.Tenants[i]
		d.tenants[t.Tenant] = &ledger{limits: t.Limits}
	}
}

// compareSlices orders pools by priority and then by name.
func compareSlices(a, b *slice) int {
	return cmp.Or(cmp.Compare(a.priority, b.priority),
		cmp.Compare(a.prov.conf.Name, b.prov.conf.Name), cmp.Compare(a.conf.Name, b.conf.Name))
}

// trouble says why a provider cannot launch at all. Credentials that were
// refused stay refused until its owner has asked the cloud again.
func (d *decider) trouble(p *provider) verdict {
	switch {
	case d.plan.Frozen != "":
		return verdict{class: ClassFrozen, text: d.plan.Frozen}
	case p.pause != nil:
		return verdict{class: ClassPaused, text: p.pause.Text()}
	case p.held:
		return verdict{class: ClassVanished, text: "so many of its nodes seem to have vanished that this is not believed: " +
			"are its credentials of the right project? If they are gone indeed: poolctl leak agree " + p.conf.Name}
	case p.conf.Away != "":
		return verdict{class: ClassAway, text: p.conf.Away}
	case d.unseated(p) != "":
		return verdict{class: ClassTrouble, text: d.unseated(p)}
	case p.quota == nil:
		return verdict{class: ClassUnknown, text: "its limits are not known yet"}
	case p.quota.Trouble != "":
		return verdict{class: ClassTrouble, text: p.quota.Trouble}
	case d.refused[p.conf.Name].After(p.quota.At):
		return verdict{class: ClassTrouble, text: "the cloud refused our credentials"}
	}
	return verdict{}
}

func (d *decider) indexUploads() {
	d.uploads = d.snap.Serving()
	for _, b := range d.snap.Builds {
		d.builds[[2]string{b.Image, b.ID}] = b
	}
	for _, u := range d.snap.Uploads {
		if u.Withdrawn != "" {
			d.withdrawn[[3]string{u.Provider, u.Image, u.Build}] = u.Withdrawn
		}
	}
}

// outOfService is why an operator does not want the node's image to be used any
// more, or "".
func (d *decider) outOfService(n *pool.Node) string {
	if n.Build == "" {
		return ""
	}
	if b := d.builds[[2]string{n.Image, n.Build}]; b != nil && b.Withdrawn != "" {
		return b.Withdrawn
	}
	return d.withdrawn[[3]string{n.Provider, n.Image, n.Build}]
}

func (d *decider) indexSlice(p *provider, conf *pool.Pool) {
	s := &slice{prov: p, conf: conf, priority: conf.Priority, slots: map[string]*slot{}}
	if s.priority == 0 {
		s.priority = p.conf.Priority
	}
	s.limits = conf.Limits
	p.slices = append(p.slices, s)
	d.slices[[2]string{p.conf.Name, conf.Name}] = s
	d.indexZones(s)
	for i := range conf.Labels {
		spec := &conf.Labels[i]
		o := &slot{slice: s, spec: spec, label: d.labels[spec.Name]}
		d.equip(o)
		s.slots[spec.Name] = o
		d.offers[spec.Name] = append(d.offers[spec.Name], o)
	}
}

// indexZones makes the zones of a pool.
func (d *decider) indexZones(s *slice) {
	p, conf := s.prov, s.conf
	if s.static() {
		d.indexHosts(s)
		return
	}
	var known []string
	if p.quota != nil {
		known = p.quota.Zones
	}
	for _, az := range conf.AZs {
		// One that is gone stays a place where nothing can be launched: every
		// pool has a place to say why it serves nobody.
		z := s.zone(az)
		z.single = len(known) == 0 || slices.Contains(known, az)
		z.set = z.single
	}
	if len(conf.AZs) == 0 {
		// The nodes of a set must share a zone; a lone node goes anywhere.
		z := s.zone("")
		z.single, z.set = true, len(known) <= 1
		if len(known) == 1 {
			s.only = known[0]
		} else {
			for _, az := range known {
				s.zone(az).set = true
			}
		}
	}
}

// equip finds out what a launch of a slot is made of, and what keeps it from
// being launched.
func (d *decider) equip(o *slot) {
	p := o.slice.prov
	o.problem = p.trouble
	if p.conf.Static() {
		o.equipStatic()
		return
	}
	if p.quota == nil {
		return
	}
	o.flavor, o.known = p.quota.Flavor(o.spec)
	o.resources = o.spec.Needs(o.flavor)
	if o.slice.conf.AutoFloatingIP {
		o.resources.FloatingIPs = 1
	}
	d.chooseSource(o)
	if o.problem.class != "" {
		return
	}
	switch {
	case !o.known:
		o.problem = verdict{class: ClassNoFlavor, text: "no flavor " + o.spec.FlavorName + " for " + o.spec.Name}
	case o.source.imageID == "":
		o.problem = verdict{class: ClassNoImage, text: d.noImage(o)}
	case !slices.ContainsFunc(o.slice.zones, func(z *zone) bool { return z.single || z.set }):
		o.problem = verdict{class: ClassNoZone, text: "none of its availability zones is available"}
	}
}

// zoneOf is the zone that a node is in. Where only one can be chosen, it is the
// same before the cloud says what that is called and after it.
func (s *slice) zoneOf(n *pool.Node) *zone {
	if s.only != "" && n.AZ == s.only || s.static() {
		return s.zone("")
	}
	return s.zone(n.AZ)
}

func (s *slice) zone(az string) *zone {
	i, ok := slices.BinarySearchFunc(s.zones, az, func(z *zone, az string) int { return cmp.Compare(z.az, az) })
	if !ok {
		s.zones = slices.Insert(s.zones, i, &zone{slice: s, az: az, supplies: map[string]*supply{}})
	}
	return s.zones[i]
}

func (z *zone) supply(label string) *supply {
	s := z.supplies[label]
	if s == nil {
		s = &supply{}
		z.supplies[label] = s
	}
	return s
}
