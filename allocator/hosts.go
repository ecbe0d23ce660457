package allocator

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"poold/pool"
)

// host is a static host. Its slots are given out one by one: a node has one
// from when its record is made until it is deleted, so that no slot is ever
// given twice, whoever dies.
type host struct {
	conf *pool.Host
	id   string
	// used is how many live nodes are on it, and leaving how many of them are
	// on their way out; taken are their slots.
	used, leaving int
	taken         map[int]bool
	// trouble is why it cannot be lent now; its class is empty if it can.
	trouble verdict
	// paused is the breaker that keeps it from being lent, or nil.
	paused *breaker
	// reserved is the request that it is kept for, if any; contested tells
	// that a request waits for one of its slots.
	reserved  *claim
	contested bool
}

// static tells whether the pool has hosts instead of a cloud.
func (s *slice) static() bool { return s.prov.conf.Static() }

// indexHosts makes the hosts of a pool. All of them are one zone to the pool: a
// set may be on several.
func (d *decider) indexHosts(s *slice) {
	z := s.zone("")
	z.single, z.set = true, true
	for i := range s.conf.Hosts {
		h := &host{conf: &s.conf.Hosts[i], id: s.conf.Hosts[i].ID(), taken: map[int]bool{}}
		if q := s.prov.quota; q != nil && q.Down[h.id] != "" {
			h.trouble = verdict{class: ClassNoZone, text: h.id + ": " + q.Down[h.id]}
		}
		for _, b := range d.circuits.before(breakerKey{provider: s.prov.conf.Name, slice: s.conf.Name, az: h.id}) {
			if b.open && (h.paused == nil || b.until.After(h.paused.until)) {
				h.paused = b
			}
		}
		s.hosts = append(s.hosts, h)
		d.hosts[h.id] = h
	}
}

// equipStatic says what a node of a static slot is made of: its slot.
func (o *slot) equipStatic() {
	o.known, o.resources, o.source = true, pool.Resources{Instances: 1}, &source{}
}

// occupy notes the slot of a node. It is taken wherever in the configuration
// the host is by now.
func (d *decider) occupy(n *pool.Node) {
	h := d.hosts[n.AZ]
	if n.Slot == nil || h == nil {
		return
	}
	h.used++
	h.taken[*n.Slot] = true
	if leaving(n) {
		h.leaving++
	}
}

func (h *host) serves(label string) bool { return slices.Contains(h.conf.Labels, label) }

// seatsAhead are the hosts that may have a node of a slot that nobody waits for
// yet, the best one first.
func (d *decider) seatsAhead(o *slot) []*host {
	for _, h := range o.slice.hosts {
		d.vacantAhead(h) // also to be told when it changes
	}
	found := o.slice.seat([]string{o.spec.Name}, []int{1}, d.vacantAhead)
	if found == nil {
		return nil
	}
	return found[0]
}

// outdated says why an idle node is not what its host is configured to be any
// more, or "".
func (s *slice) outdated(n *pool.Node) string {
	if !s.static() {
		return ""
	}
	h := s.host(n.AZ)
	switch {
	case h == nil:
		return "its host left the configuration"
	case !h.serves(n.Label):
		return "its host does not have the label any more"
	case n.Slot == nil || *n.Slot >= h.conf.Slots:
		return "its host has fewer slots"
	case n.Connection != h.conf.Connection || !maps.Equal(n.Attributes, s.conf.Attributes):
		return "its host is configured otherwise"
	case n.State == pool.NodeReady && slices.ContainsFunc(h.conf.HostKeys, func(k string) bool { return !slices.Contains(n.HostKeys, k) }):
		return "its host is to show another host key"
	}
	return ""
}

func (s *slice) host(id string) *host {
	for _, h := range s.hosts {
		if h.id == id {
			return h
		}
	}
	return nil
}

// vacant is how many more nodes a claim may have on the host now.
func (h *host) vacant(c *claim) int { return h.lendable(c) - h.used }

// vacantAhead is vacant, for nodes that nobody waits for. One of them tries a
// host that launches failed on.
func (d *decider) vacantAhead(h *host) int {
	switch b := h.paused; {
	case h.trouble.class != "":
		return 0
	case b != nil && b.due(d.now):
		return min(1, h.conf.Slots-h.used)
	case b != nil && !b.probing:
		d.wake(b.until)
		return 0
	case b != nil || h.reserved != nil || h.contested:
		return 0
	}
	return h.conf.Slots - h.used
}

// seat finds a host for each of so many nodes of each label, if every host may
// have as many as room says; nil if there is no way. Hosts with few labels and
// those with little on them are taken first.
func (s *slice) seat(labels []string, counts []int, room func(h *host) int) [][]*host {
	order := slices.SortedFunc(slices.Values(s.hosts), func(a, b *host) int {
		return cmp.Or(cmp.Compare(len(a.conf.Labels), len(b.conf.Labels)),
			cmp.Compare(a.used*b.conf.Slots, b.used*a.conf.Slots), cmp.Compare(a.id, b.id))
	})
	p := seating{hosts: order, labels: labels, room: room, at: map[*host][]int{}}
	for i, n := range counts {
		for range n {
			if !p.place(i, map[*host]bool{}) {
				return nil
			}
		}
	}
	seats := make([][]*host, len(labels))
	for _, h := range order {
		for _, i := range p.at[h] {
			seats[i] = append(seats[i], h)
		}
	}
	return seats
}

// seating is who sits where, by the index of the label.
type seating struct {
	hosts  []*host
	labels []string
	room   func(h *host) int
	at     map[*host][]int
}

// place seats one more of a label, and has others move if they must and can.
func (p *seating) place(label int, tried map[*host]bool) bool {
	for _, h := range p.hosts {
		if tried[h] || !h.serves(p.labels[label]) {
			continue
		}
		if len(p.at[h]) < p.room(h) {
			p.at[h] = append(p.at[h], label)
			return true
		}
	}
	for _, h := range p.hosts {
		if tried[h] || !h.serves(p.labels[label]) {
			continue
		}
		tried[h] = true
		for k, other := range p.at[h] {
			if p.place(other, tried) {
				p.at[h][k] = label
				return true
			}
		}
	}
	return false
}

// seats finds the hosts of what a claim lacks in a place that has room for it,
// by label; of a place in a cloud there are none. All are booked, whether or
// not all may be launched at once.
func (*decider) seats(c *claim, p *place) [][]seat {
	all := make([][]seat, len(p.supplies))
	if !p.cand.slice.static() {
		return all
	}
	found := p.cand.slice.seat(p.cand.shape.labels, p.lacks(c), func(h *host) int { return h.vacant(c) })
	for i, hosts := range found {
		for _, h := range hosts {
			all[i] = append(all[i], h.take())
		}
	}
	return all
}

// take gives out a slot of the host.
func (h *host) take() seat {
	n := 0
	for h.taken[n] {
		n++
	}
	h.taken[n] = true
	h.used++
	return seat{h, n}
}

// seat is a slot of a host that a new node gets.
type seat struct {
	host *host
	slot int
}

// on puts a new node on its seat.
func (e seat) on(n *pool.Node) *pool.Node {
	n.AZ, n.Slot, n.Connection = e.host.id, &e.slot, e.host.conf.Connection
	return n
}

// seatless says why there are no seats for a claim.
func (c *claim) seatless(k *cand, counts []int) verdict {
	s := k.slice
	v := verdict{class: ClassPoolFull, text: fmt.Sprintf("pool %s: the slots of the hosts with %s are taken",
		s.conf.Name, strings.Join(k.shape.labels, ", "))}
	for _, h := range s.hosts {
		if !slices.ContainsFunc(k.shape.labels, h.serves) {
			continue
		}
		why := h.unlendable(c)
		if why.class == "" {
			continue
		}
		if s.seat(k.shape.labels, counts, func(h *host) int { return h.lendable(c) }) == nil {
			return why
		}
		v.text += "; " + why.text
		break
	}
	return v
}

// unlendable says why a claim can have nothing on the host, however little is
// on it.
func (h *host) unlendable(c *claim) verdict {
	switch {
	case h.trouble.class != "":
		return h.trouble
	case h.paused != nil:
		return verdict{class: ClassBreaker, text: h.id + ": " + h.paused.text(), next: h.paused.next()}
	case h.reserved != nil && h.reserved != c:
		return verdict{class: ClassReserved, text: h.id + ": kept for " + name(h.reserved.ref)}
	}
	return verdict{}
}

// lendable is how many nodes a claim could have on the host at best.
func (h *host) lendable(c *claim) int {
	if h.unlendable(c).class != "" {
		return 0
	}
	return h.conf.Slots
}

// lacks is how many nodes of each label are neither ready nor in flight for a
// claim.
func (p *place) lacks(c *claim) []int {
	lacks := make([]int, len(p.supplies))
	for i, s := range p.supplies {
		n := p.cand.shape.counts[i]
		lacks[i] = n - min(n, len(s.ready)+s.coming(c.ref))
	}
	return lacks
}

// evict returns the idle nodes that have to go so that a claim finds seats once
// they and all that is leaving are gone, and books the seats.
func (*decider) evict(c *claim, p *place) ([]*pool.Node, bool) {
	s := p.cand.slice
	idle := map[*host][]*pool.Node{}
	for _, n := range s.idle() {
		if h := s.host(n.AZ); h != nil && !p.counts(n) {
			idle[h] = append(idle[h], n)
		}
	}
	room := func(evicted int) func(h *host) int {
		return func(h *host) int {
			if h.lendable(c) == 0 {
				return 0
			}
			return h.conf.Slots - h.used + h.leaving + min(evicted, len(idle[h]))
		}
	}
	lacks := p.lacks(c)
	seats := s.seat(p.cand.shape.labels, lacks, room(0))
	if seats == nil {
		seats = s.seat(p.cand.shape.labels, lacks, room(len(s.idle())))
	}
	if seats == nil {
		return p.exchange(c)
	}
	var doomed []*pool.Node
	for _, h := range slices.Concat(seats...) {
		h.used++
		if over := h.used - h.leaving - h.conf.Slots; over > 0 {
			doomed = append(doomed, idle[h][0])
			idle[h] = idle[h][1:]
			h.leaving++
		}
	}
	return doomed, true
}

// exchange is evict where the idle nodes that a claim has already are in the way
// of what it lacks: other ones would do as well. All of them are seated anew.
func (p *place) exchange(c *claim) ([]*pool.Node, bool) {
	s, shape := p.cand.slice, p.cand.shape
	idle := map[*host][]*pool.Node{}
	for _, n := range s.idle() {
		if h := s.host(n.AZ); h != nil {
			idle[h] = append(idle[h], n)
		}
	}
	need := make([]int, len(shape.counts))
	for i, o := range p.supplies {
		need[i] = max(0, shape.counts[i]-o.coming(c.ref))
	}
	seats := s.seat(shape.labels, need, func(h *host) int {
		if h.lendable(c) == 0 {
			return 0
		}
		return h.conf.Slots - h.used + h.leaving + len(idle[h])
	})
	if seats == nil {
		return nil, false
	}
	wanted := map[*host]map[string]int{}
	for i, hosts := range seats {
		for _, h := range hosts {
			if wanted[h] == nil {
				wanted[h] = map[string]int{}
			}
			wanted[h][shape.labels[i]]++
		}
	}
	var doomed []*pool.Node
	for _, h := range s.hosts {
		doomed = append(doomed, h.clear(idle[h], wanted[h])...)
	}
	return doomed, true
}

// clear returns the idle nodes on the host that have to go so that it can have
// so many of each label, and books those.
func (h *host) clear(idle []*pool.Node, wanted map[string]int) []*pool.Node {
	var others []*pool.Node
	for _, n := range idle {
		if wanted[n.Label] > 0 {
			wanted[n.Label]--
			continue
		}
		others = append(others, n)
	}
	for _, n := range wanted {
		h.used += n
	}
	over := min(len(others), max(0, h.used-h.leaving-h.conf.Slots))
	h.leaving += over
	return others[:over]
}

// counts tells whether an idle node is one of those that a claim of the place
// has already.
func (p *place) counts(n *pool.Node) bool {
	for i, s := range p.supplies {
		if slices.Contains(s.ready[:min(len(s.ready), p.cand.shape.counts[i])], n) {
			return true
		}
	}
	return false
}

// contest notes that a request waits for slots.
func (s *slice) contest(labels []string) {
	for _, h := range s.hosts {
		h.contested = h.contested || slices.ContainsFunc(labels, h.serves)
	}
}

// reserve keeps the hosts that a claim could be on for it: neither their idle
// nodes nor their slots are for those behind it.
func (s *slice) reserve(c *claim) {
	for _, h := range s.hosts {
		if h.reserved == nil && slices.ContainsFunc(c.shape.labels, h.serves) {
			h.reserved = c
		}
	}
	for _, o := range s.zone("").supplies {
		o.ready = slices.DeleteFunc(slices.Clone(o.ready), func(n *pool.Node) bool {
			h := s.host(n.AZ)
			kept := h != nil && h.reserved == c
			if kept {
				s.kept = append(s.kept, n)
			}
			return kept
		})
	}
}

// unkeep puts the idle nodes back that were kept from those behind, once all
// requests had their choice.
func (d *decider) unkeep() {
	for _, p := range d.order {
		for _, s := range p.slices {
			if s.kept == nil {
				continue
			}
			z := s.zone("")
			for _, n := range s.kept {
				o := z.supply(n.Label)
				o.ready = append(slices.Clone(o.ready), n)
			}
			s.kept = nil
			z.sort()
		}
	}
}
