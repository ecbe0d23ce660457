package allocator

import (
	"cmp"
	"slices"

	"poold/pool"
)

// tryUploads launches one node from each upload that is to serve only once it
// was tried. It comes before demand: a provider that is always full would never
// get a newer image otherwise, and it is one node for each build.
func (d *decider) tryUploads() {
	trials := d.snap.Trials()
	if len(trials) == 0 {
		return
	}
	under, failed := d.canaries()
	for _, u := range trials {
		p := d.providers[u.Provider]
		if p == nil || under[u.ExternalID] || d.triedEnough(u, failed[u.ExternalID]) {
			continue
		}
		for _, o := range p.madeFrom(u.Image) {
			if d.try(o, u) {
				break
			}
		}
	}
}

// canaries tells of the images that a node is in flight or was reached of, and
// which nodes of an image failed in a way that speaks of it.
func (d *decider) canaries() (under map[string]bool, failed map[string][]pool.NodeID) {
	under, failed = map[string]bool{}, map[string][]pool.NodeID{}
	for _, n := range d.snap.Nodes {
		if _, reached := n.Entered(pool.NodeReady); reached || inFlight(n) && !d.taken[n] {
			under[n.ImageID] = true
		} else if n.Failure.SpeaksOfImage() {
			failed[n.ImageID] = append(failed[n.ImageID], n.ID)
		}
	}
	return under, failed
}

// triedEnough tells whether the uploader will give an upload up.
func (d *decider) triedEnough(u *pool.Upload, failed []pool.NodeID) bool {
	tries := len(u.Tried)
	for _, id := range failed {
		if !slices.Contains(u.Tried, id) {
			tries++
		}
	}
	return tries >= pool.CanaryTries && len(d.uploads[pool.Use{Provider: u.Provider, Image: u.Image}]) > 0
}

// madeFrom lists the slots of a provider that are made from an image, that
// which needs least first.
func (p *provider) madeFrom(image string) []*slot {
	var found []*slot
	for _, s := range p.slices {
		for _, o := range s.slots {
			if o.spec.DiskImage == image && o.known {
				found = append(found, o)
			}
		}
	}
	slices.SortFunc(found, func(a, b *slot) int {
		return cmp.Or(cmp.Compare(a.resources.Cores, b.resources.Cores), cmp.Compare(a.resources.RAMMiB, b.resources.RAMMiB),
			cmp.Compare(a.slice.conf.Name, b.slice.conf.Name), cmp.Compare(a.spec.Name, b.spec.Name))
	})
	return found
}

// try launches the canary of an upload as a node of a slot, and returns whether
// it did. That the slot has no image yet does not matter.
func (d *decider) try(o *slot, u *pool.Upload) bool {
	p := o.slice.prov
	if p.trouble.class != "" || p.slotsLeft <= 0 || !o.slice.fits(&o.resources) ||
		!o.slice.conf.IgnoreProviderQuota && !p.fits(&o.resources) {
		return false
	}
	from := d.uploaded(o, u)
	from.canary = true
	at := d.dueZone(o.slice, from)
	if at == nil {
		return false
	}
	b := d.batch(at, o, from, nil)
	b.count, b.reason = 1, "canary of build "+u.Build
	o.slice.book(o.resources)
	p.book(o.resources)
	started(at, o, 1)
	return true
}

// dueZone is the emptiest zone of a pool in which launches from a source do not
// pause, or nil.
func (d *decider) dueZone(s *slice, from *source) *zone {
	var at *zone
	for _, z := range s.zones {
		gates := from.gates[z.az]
		if from.doubt != nil {
			gates = append([]*breaker{from.doubt}, gates...)
		}
		if z.single && d.due(gates) && (at == nil || z.load < at.load) {
			at = z
		}
	}
	return at
}
