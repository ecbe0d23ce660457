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

// supply is the nodes of one label in one zone that nobody has claimed yet.
type supply struct {
	ready    []*pool.Node // oldest first
	inFlight []*pool.Node // building before pending, then oldest first
	// meant counts those in flight that are meant for the set of a request
	// that waits; allMeant is their sum.
	meant    map[pool.RequestRef]int
	allMeant int
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
			held: d.snap.Health(conf.Name).Held(d.now),
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
	case p.held:
		return verdict{class: ClassVanished, text: "so many of its nodes seem to have vanished that this is not believed: " +
			"are its credentials of the right project? If they are gone indeed: poolctl leak agree " + p.conf.Name}
	case p.conf.Away != "":
		return verdict{class: ClassAway, text: p.conf.Away}
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
	o.resources = pool.Resources{
		Instances: 1, Cores: o.flavor.Cores, RAMMiB: o.flavor.RAMMiB, Ports: int64(max(1, len(o.spec.Networks))),
	}
	if o.slice.conf.AutoFloatingIP {
		o.resources.FloatingIPs = 1
	}
	if o.spec.BootFromVolume {
		o.resources.Volumes, o.resources.VolumeGB = 1, o.spec.VolumeGB
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

// indexRefusals notes the newest launch of each provider that was refused for
// its credentials.
func (d *decider) indexRefusals() {
	for _, n := range d.snap.Nodes {
		if n.Failure == pool.KindUnauthorized {
			if at := failedAt(n); at.After(d.refused[n.Provider]) {
				d.refused[n.Provider] = at
			}
		}
	}
}

// indexNodes books every live node and sorts the idle ones and those in flight
// into supplies. It needs the requests.
func (d *decider) indexNodes() {
	for _, n := range d.snap.Nodes {
		d.nodes[n.ID] = n
		if !n.State.Live() {
			continue
		}
		s := d.slices[[2]string{n.Provider, n.Pool}]
		d.book(n, s)
		if n.State == pool.NodeInUse {
			d.inUse[n.Label]++
		}
		if n.AllocatedTo != nil && (n.State == pool.NodeInUse || n.State == pool.NodeReady) {
			d.owned[*n.AllocatedTo] = append(d.owned[*n.AllocatedTo], n)
		}
		if s != nil {
			d.stock(s.zoneOf(n), n)
		}
	}
	for _, p := range d.order {
		for _, s := range p.slices {
			for _, z := range s.zones {
				z.sort()
			}
		}
	}
}

// leaving tells whether a node is on its way out.
func leaving(n *pool.Node) bool {
	return n.State == pool.NodeUsed || n.State == pool.NodeFailed || n.State == pool.NodeDeleting
}

func (d *decider) book(n *pool.Node, s *slice) {
	leaving := leaving(n)
	d.occupy(n)
	if p := d.providers[n.Provider]; p != nil {
		p.book(n.Resources)
		if leaving {
			p.freeing = p.freeing.Add(n.Resources)
		}
		if inFlight(n) {
			p.slotsLeft--
		}
	}
	if s != nil {
		s.book(n.Resources)
		if leaving {
			s.freeing = s.freeing.Add(n.Resources)
		}
	}
	if t := d.tenants[n.Tenant]; t != nil && n.Tenant != "" {
		t.book(n.Resources)
	}
}

// stock puts a node that belongs to nobody into its supply, unless it is too
// old to be given away, its image is out of service or nobody should count on
// it, as on any of a provider that is held, or in flight where nobody launches.
func (d *decider) stock(z *zone, n *pool.Node) {
	z.load++
	switch {
	case !d.idle(z.slice, n):
	case inFlight(n):
		if d.doubtful(n) || d.vain(n) || z.slice.prov.conf.Away != "" {
			return
		}
		s := z.supply(n.Label)
		s.inFlight = append(s.inFlight, n)
		if n.ForSet == nil || !d.waits(*n.ForSet) {
			return
		}
		if s.meant == nil {
			s.meant = map[pool.RequestRef]int{}
		}
		if s.meant[*n.ForSet] == 0 {
			d.meant[*n.ForSet] = append(d.meant[*n.ForSet], s)
		}
		s.meant[*n.ForSet]++
		s.allMeant++
	case n.State == pool.NodeReady && !d.tooOld(n):
		s := z.supply(n.Label)
		s.ready = append(s.ready, n)
	}
}

// idle tells whether a node of a pool is nobody's, offered, and neither going nor
// on trial.
func (d *decider) idle(s *slice, n *pool.Node) bool {
	trying := n.Canary && inFlight(n)
	return n.AllocatedTo == nil && s.slots[n.Label] != nil && d.labels[n.Label] != nil && !d.taken[n] &&
		!s.prov.held && d.outOfService(n) == "" && s.outdated(n) == "" && !trying
}

// doubtful tells whether a node in flight may well never become ready: nobody
// knows whether the cloud was asked for it, or others like it failed. It books
// what it needs, and is given away when it is ready after all, but a request
// does not wait for it.
func (d *decider) doubtful(n *pool.Node) bool {
	return n.Doubtful && n.State == pool.NodeBuilding || d.circuits.tries(n, d.now)
}

// vain tells whether a node that was not asked for yet would be launched into a
// breaker that has opened since it was made, or from an image that has proved
// bad since.
func (d *decider) vain(n *pool.Node) bool {
	s := d.slices[[2]string{n.Provider, n.Pool}]
	if n.State != pool.NodePending || s == nil || !d.circuits.in[n.Provider] || d.circuits.tries(n, d.now) {
		return false
	}
	o := s.slots[n.Label]
	return o != nil && o.newer != nil && o.newer.imageID == n.ImageID ||
		slices.ContainsFunc(d.circuits.before(keyOf(n)), func(b *breaker) bool { return b.open && !n.Created.After(b.newest) })
}

func (d *decider) tooOld(n *pool.Node) bool {
	l := d.labels[n.Label]
	return l != nil && l.MaxReadyAge > 0 && !d.now.Before(n.Since.Add(l.MaxReadyAge))
}

// waits tells whether a request exists and is not answered yet.
func (d *decider) waits(ref pool.RequestRef) bool {
	if d.requests[ref] == nil {
		return false
	}
	a := d.allocations[[2]string{ref.Client, ref.ID}]
	return a == nil || a.RequestRevision != ref.CreateRevision || a.State == pool.AllocationWaiting
}

func (z *zone) sort() {
	for _, s := range z.supplies {
		slices.SortFunc(s.ready, oldestFirst)
		slices.SortFunc(s.inFlight, func(a, b *pool.Node) int {
			return cmp.Or(cmp.Compare(stage(a), stage(b)), oldestFirst(a, b))
		})
	}
}

// stage is how far a node in flight is from being ready.
func stage(n *pool.Node) int {
	if n.State == pool.NodeBuilding {
		return 0
	}
	return 1
}

// coming is how many nodes in flight a request may count on.
func (s *supply) coming(ref pool.RequestRef) int {
	return max(0, len(s.inFlight)-s.allMeant+s.meant[ref])
}

// claim takes nodes out of the supply, ready ones first, and returns how many
// of n it did not find.
func (s *supply) claim(n int, ref pool.RequestRef) int {
	ready := min(n, len(s.ready))
	s.ready = s.ready[ready:]
	n -= ready
	if s.allMeant == 0 {
		coming := min(n, len(s.inFlight))
		s.inFlight = s.inFlight[coming:]
		return n - coming
	}
	own := s.meant[ref]
	n = s.pick(n, func(node *pool.Node) bool { return node.ForSet != nil && *node.ForSet == ref })
	s.allMeant -= own
	s.meant[ref] = 0
	return s.pick(n, func(node *pool.Node) bool { return node.ForSet == nil || s.meant[*node.ForSet] == 0 })
}

// give takes ready nodes out of the supply.
func (s *supply) give(nodes []*pool.Node) {
	if len(nodes) > 0 && s.ready[0] == nodes[0] && s.ready[len(nodes)-1] == nodes[len(nodes)-1] {
		s.ready = s.ready[len(nodes):]
		return
	}
	s.ready = slices.DeleteFunc(slices.Clone(s.ready), func(n *pool.Node) bool { return slices.Contains(nodes, n) })
}

// pick takes at most n of the nodes in flight that match, and returns how many
// of n it did not find.
func (s *supply) pick(n int, match func(node *pool.Node) bool) int {
	kept := make([]*pool.Node, 0, len(s.inFlight))
	for _, node := range s.inFlight {
		if n > 0 && match(node) {
			n--
			continue
		}
		kept = append(kept, node)
	}
	s.inFlight = kept
	return n
}

// waive gives up what was meant for a request and not claimed by it: it had
// its choice, and those behind it can use the rest.
func (d *decider) waive(ref pool.RequestRef) {
	for _, s := range d.meant[ref] {
		s.allMeant -= s.meant[ref]
		s.meant[ref] = 0
	}
}
