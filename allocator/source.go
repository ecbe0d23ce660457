package allocator

import (
	"cmp"
	"fmt"

	"poold/pool"
)

// chooseSource finds the image that a slot is launched from: of one that we
// build the newest upload, unless that fails in this provider and an older one
// does not.
func (d *decider) chooseSource(o *slot) {
	p := o.slice.prov
	o.image = cmp.Or(o.spec.CloudImage, o.spec.DiskImage)
	if o.spec.CloudImage != "" {
		o.source = &source{imageID: p.quota.CloudImages[o.image]}
		for i := range p.conf.CloudImages {
			if c := &p.conf.CloudImages[i]; c.Name == o.image {
				o.source.imageID = cmp.Or(c.ID, o.source.imageID)
				o.source.connection = c.Connection
			}
		}
		d.gate(o, o.source)
		return
	}
	uploads := d.uploads[pool.Use{Provider: p.conf.Name, Image: o.image}]
	if len(uploads) == 0 {
		o.source = &source{}
		return
	}
	o.source = d.uploaded(o, uploads[0])
	if o.source.doubt == nil {
		return
	}
	for _, older := range uploads[1:] {
		if s := d.uploaded(o, older); s.doubt == nil {
			o.source, o.newer = s, o.source
			return
		}
	}
}

// uploaded is an upload as a source of nodes of a slot.
func (d *decider) uploaded(o *slot, u *pool.Upload) *source {
	s := &source{imageID: u.ExternalID, build: u.Build}
	for i := range o.slice.prov.conf.Images {
		if im := &o.slice.prov.conf.Images[i]; im.Name == o.image {
			s.connection = im.Connection
		}
	}
	if b := d.builds[[2]string{u.Image, u.Build}]; b != nil {
		// What the build knows of itself is nearer to the truth than today's
		// configuration, which may be about the next build.
		s.connection.Username = cmp.Or(b.Username, s.connection.Username)
		s.connection.PythonPath = cmp.Or(b.PythonPath, s.connection.PythonPath)
		s.connection.ShellType = cmp.Or(b.ShellType, s.connection.ShellType)
	}
	d.gate(o, s)
	s.doubt = d.circuits.doubt(u)
	return s
}

// noImage says that there is nothing to launch a slot from.
func (d *decider) noImage(o *slot) string {
	said := "no image " + o.image + " for " + o.spec.Name
	for _, u := range d.snap.Trials() {
		if u.Provider == o.slice.prov.conf.Name && u.Image == o.image {
			return said + ": build " + u.Build + " is tried first"
		}
	}
	for _, u := range d.snap.Uploads {
		if u.Provider == o.slice.prov.conf.Name && u.Image == o.image && u.Withdrawn != "" {
			return said + ": build " + u.Build + " was " + u.Withdrawn
		}
	}
	return said
}

// noteFailing keeps with the uploads from which launches fail that they do, for
// whoever reads records.
func (d *decider) noteFailing() {
	for _, u := range d.snap.Uploads {
		is := ""
		if b := d.circuits.doubt(u); b != nil && u.State == pool.UploadReady {
			is = b.why()
		}
		if (is == "") == (u.Failing == "") {
			continue // its words change with every try, and are not worth a write
		}
		after := *u
		after.Failing = is
		d.decide(Decision{
			Operation: OpNote, Subject: u.Image + "/" + u.Build + "/" + u.Provider, Reason: cmp.Or(is, "launches from it work"),
			Write: pool.Write{By: pool.Allocator, Uploads: []pool.Change[pool.Upload]{pool.Update(u, &after)}},
		})
	}
}

// gate puts the breakers of a source in their places.
func (d *decider) gate(o *slot, s *source) {
	p := o.slice.prov
	if !d.circuits.in[p.conf.Name] {
		return
	}
	s.gates = map[string][]*breaker{}
	k := breakerKey{provider: p.conf.Name, slice: o.slice.conf.Name, image: s.imageID, flavor: o.flavor.ID}
	for _, z := range o.slice.zones {
		if b := d.circuits.before(k.at(z.az)); b != nil {
			s.gates[z.az] = b
		}
	}
}

// paused is the breaker that keeps a slot from being launched in a zone, or
// nil.
func (o *slot) paused(z *zone) *breaker {
	if o.source == nil {
		return nil
	}
	return o.source.paused(z)
}

// paused is the open breaker of a zone that lasts longest, or nil.
func (s *source) paused(z *zone) *breaker {
	var longest *breaker
	for _, b := range s.gates[z.az] {
		if b.open && (longest == nil || b.until.After(longest.until)) {
			longest = b
		}
	}
	return longest
}

// fallback says that nodes are made from an older build and why, or nothing.
func (o *slot) fallback() string {
	if o.newer == nil {
		return ""
	}
	return fmt.Sprintf("made from build %[2]s of %[1]s: with build %[3]s, %[4]s",
		o.image, o.source.build, o.newer.build, o.newer.doubt.text())
}

// probe launches one node to find out whether launches that fail work again,
// and asks for another decision when it is too early for that. Nobody waits
// for a probe: whoever wants nodes gets them elsewhere meanwhile, if there is
// an elsewhere. It returns whether it did.
func (d *decider) probe(o *slot, z *zone, from *source, c *claim) bool {
	gates := from.gates[z.az]
	if from.doubt != nil {
		gates = append([]*breaker{from.doubt}, gates...)
	}
	if !d.due(gates) || !o.roomFor(c) {
		return false
	}
	for _, b := range gates {
		b.probing = b.probing || b.open
	}
	b := d.batch(z, o, from, nil)
	b.count++
	b.reason = "to see whether launches like it work again"
	o.slice.book(o.resources)
	o.slice.prov.book(o.resources)
	started(z, o, 1)
	return true
}

// due tells whether a launch through these breakers may be tried.
func (d *decider) due(gates []*breaker) bool {
	for _, b := range gates {
		if b.open && !b.due(d.now) {
			if !b.probing {
				d.wake(b.until)
			}
			return false
		}
	}
	return true
}

// roomFor tells whether one more node of the slot may be launched, where room
// is kept for nobody but the claim.
func (o *slot) roomFor(c *claim) bool {
	p := o.slice.prov
	switch {
	case o.problem.class != "", p.slotsLeft <= 0, p.reserved != nil && p.reserved != c:
		return false
	case !o.slice.conf.IgnoreProviderQuota && !p.fits(&o.resources):
		return false
	}
	return o.slice.fits(&o.resources)
}
