package config

import (
	"encoding/base64"
	"encoding/binary"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"poold/pool"
)

func (c *checker) checkProvider(p *provider) {
	switch p.driver.v {
	case pool.DriverStatic:
		c.checkStatic(p)
	case pool.DriverOpenStack:
		c.checkOpenStack(p)
	default:
		c.notef(p.at, "the provider is set aside: poold has no driver %q", p.driver.v)
	}
}

func (c *checker) checkOpenStack(p *provider) {
	if p.imageNameFormat.set {
		c.checkFormat(p.imageNameFormat)
	}
	c.checkUpload(p)
	c.unique("diskimage", collect(p.images, func(i *providerImage) value[string] { return i.name }))
	for i := range p.images {
		im := &p.images[i]
		c.checkConnection(im.connectionType)
		if !im.name.set {
			continue
		}
		switch d := c.doc.image(im.name.v); {
		case d == nil:
			c.missing(im.name, "diskimage", c.imageNames)
		case d.abstract.v:
			c.errorf(im.name.at, "the diskimage %s is abstract, it is never built", im.name.at.quote(im.name.v))
		}
	}
	c.unique("cloud image", collect(p.cloudImages, func(i *cloudImage) value[string] { return i.name }))
	for i := range p.cloudImages {
		im := &p.cloudImages[i]
		c.checkConnection(im.connectionType)
		if im.id.set && im.imageName.set {
			c.errorf(im.at, "give image-id or image-name, not both")
		}
	}
	c.unique("pool", collect(p.pools, func(l *providerPool) value[string] { return l.name }))
	for i := range p.pools {
		c.unique("label", collect(p.pools[i].labels, func(l *poolLabel) value[string] { return l.name }))
		for j := range p.pools[i].labels {
			l := &p.pools[i].labels[j]
			c.checkPoolLabel(p, l)
			c.checkReady(p, &p.pools[i], l)
		}
	}
}

// checkFormat checks the placeholders of the names of uploads.
func (c *checker) checkFormat(format value[string]) {
	rest := regexp.MustCompile(`\{(image_name|upload_id|timestamp)\}`).ReplaceAllString(format.v, "")
	if strings.ContainsAny(rest, "{}") || format.v == "" {
		c.errorf(format.at, "must be made of text, {image_name}, {upload_id} and {timestamp}")
	}
}

// checkConnection notes what may be a mistake and need not be.
func (c *checker) checkConnection(kind value[string]) {
	if !slices.Contains([]string{"ssh", "network_cli", "winrm"}, kind.v) {
		c.notef(kind.at, "not one of ssh, network_cli and winrm: a node is ready when its port answers, without host keys")
	}
}

func (c *checker) checkPoolLabel(p *provider, l *poolLabel) {
	if l.name.set && !c.labels[l.name.v] {
		c.missing(l.name, "label", c.labelNames)
	}
	switch {
	case l.image.given() && l.cloudImage.given():
		c.errorf(l.at, "give diskimage or cloud-image, not both")
	case l.image.set:
		c.checkDiskimageOf(p, l.image)
	case l.cloudImage.set:
		known := plain(collect(p.cloudImages, func(i *cloudImage) value[string] { return i.name }))
		if !slices.Contains(known, l.cloudImage.v) {
			c.missing(l.cloudImage, "cloud image", known)
		}
	case !l.image.given() && !l.cloudImage.given():
		c.errorf(l.at, "the label needs a diskimage or a cloud-image")
	}
	c.checkSize(l)
	c.checkServers(l)
}

// checkSize checks what the servers of a label are like.
func (c *checker) checkSize(l *poolLabel) {
	wrong := l.flavor.given() && !l.flavor.set || l.minRAM.given() && !l.minRAM.set
	if l.flavor.v == "" && l.minRAM.v == 0 && !wrong {
		c.errorf(l.at, "the label needs a flavor-name or a min-ram")
	}
	if l.volumeGB.set && !l.bootFromVolume.v {
		c.notef(l.volumeGB.at, "has no effect without boot-from-volume")
	}
}

// The limits that the compute API has for metadata and tags.
const (
	maxProperty = 255
	maxTags     = 50
	maxTag      = 60
)

// checkServers checks what the compute API would refuse for every server.
func (c *checker) checkServers(l *poolLabel) {
	if l.keyName.given() && l.publicKey.given() {
		c.errorf(l.at, "give key-name or public-key, not both")
	}
	if l.publicKey.set && !isPublicKey(l.publicKey.v) {
		// It may be the wrong half of the key: it is not shown.
		c.errorf(l.publicKey.at, "is not an SSH public key, as in id_ed25519.pub")
	}
	for _, h := range l.hints.v {
		if h.key == "group" && l.serverGroup.given() {
			c.errorf(h.keyMark, "give server-group or the hint group, not both")
		}
	}
	c.checkProperties(l.properties)
	c.checkProperties(l.dynamic)
	c.checkTemplates(l.dynamic)
	c.checkTags(l.tags)
}

func (c *checker) checkProperties(properties value[[]entry]) {
	for _, p := range properties.v {
		if !regexp.MustCompile(`^[a-zA-Z0-9-_:. ]{1,255}$`).MatchString(p.key) {
			c.errorf(p.keyMark, "is not a name of metadata: up to %d letters, digits, spaces and -_:.", maxProperty)
		}
		if utf8.RuneCountInString(p.value) > maxProperty {
			c.errorf(p.keyMark, "is longer than the %d characters that metadata can have", maxProperty)
		}
	}
}

func (c *checker) checkTemplates(texts value[[]entry]) {
	// What nodepool's requests have, and poold's have not.
	foreign := strings.NewReplacer("{request.requestor_data}", "", "{request.created_time}", "")
	for _, t := range texts.v {
		known := foreign.Replace(t.value)
		if known != t.value {
			c.notef(t.keyMark, "has no effect: requests here have neither requestor_data nor created_time; "+
				"what clients say of them is in {request.annotations.NAME}")
		}
		if _, err := pool.ExpandRequest(known, &pool.Request{}); err != nil {
			c.errorf(t.keyMark, "%s", err)
		}
	}
}

func (c *checker) checkTags(tags value[[]value[string]]) {
	c.unique("tag", tags.v)
	if len(tags.v) > maxTags {
		c.errorf(tags.at, "a server can have %d tags, not %d", maxTags, len(tags.v))
	}
	for _, t := range tags.v {
		if strings.ContainsAny(t.v, ",/") || utf8.RuneCountInString(t.v) > maxTag {
			c.errorf(t.at, "a tag has up to %d characters and neither a comma nor a slash", maxTag)
		}
	}
}

// isPublicKey tells a line of an SSH public key: its type, the key in base64,
// which says its type again, and perhaps a comment.
func isPublicKey(line string) bool {
	words := strings.Fields(line)
	if len(words) < 2 || strings.ContainsAny(strings.TrimSpace(line), "\r\n") {
		return false
	}
	key, err := base64.StdEncoding.DecodeString(words[1])
	if err != nil || len(key) < 4 {
		return false
	}
	size := binary.BigEndian.Uint32(key)
	return uint64(size) == uint64(len(words[0])) && strings.HasPrefix(string(key[4:]), words[0])
}

// checkDiskimageOf checks the image of a label in a provider.
func (c *checker) checkDiskimageOf(p *provider, name value[string]) {
	here := plain(collect(p.images, func(i *providerImage) value[string] { return i.name }))
	switch {
	case slices.Contains(here, name.v):
		// What is wrong with it is said there.
	case c.doc.image(name.v) == nil:
		c.missing(name, "diskimage", append(here, c.imageNames...))
	default:
		c.errorf(name.at, "the diskimage %s is not among the diskimages of provider %s",
			name.at.quote(name.v), p.at.quote(p.name.v))
	}
}

// noteUnused notes what is there for nothing.
func (c *checker) noteUnused() {
	offers := c.offers()
	for _, l := range c.doc.labels {
		if !l.name.set {
			continue
		}
		pools := offers[l.name.v]
		if len(pools) == 0 {
			c.notef(l.at, "the label %s is offered by no pool here", l.at.quote(l.name.v))
			continue
		}
		if sum, ok := sumServers(pools); ok && l.minReady.v > sum {
			c.notef(l.minReady.at, "the pools of label %s allow %d nodes in sum, fewer than min-ready",
				l.at.quote(l.name.v), sum)
		}
	}
	c.noteUnbuilt()
}

// noteUnbuilt notes the images that are never built.
func (c *checker) noteUnbuilt() {
	used := map[string]bool{}
	for _, p := range c.doc.providers {
		for _, i := range p.images {
			used[i.name.v] = true
		}
	}
	for i := range c.doc.images {
		d := &c.doc.images[i]
		if d.name.set && !d.abstract.v && !used[d.name.v] && len(c.doc.formatsOf(d)) == 0 {
			c.notef(d.at, "the diskimage %s is never built: no provider here lists it, and it has no formats", d.at.quote(d.name.v))
		}
	}
}

// offers returns the pools of each label.
func (c *checker) offers() map[string][]*providerPool {
	all := map[string][]*providerPool{}
	for i := range c.doc.providers {
		for j := range c.doc.providers[i].pools {
			p := &c.doc.providers[i].pools[j]
			for _, l := range p.labels {
				all[l.name.v] = append(all[l.name.v], p)
			}
			for k := range p.hosts {
				for _, l := range p.hosts[k].labelNames() {
					if !slices.Contains(all[l.v], p) {
						all[l.v] = append(all[l.v], p)
					}
				}
			}
		}
	}
	return all
}

// sumServers returns how many nodes pools allow in sum, and false if any has
// no limit.
func sumServers(pools []*providerPool) (int64, bool) {
	var sum int64
	for _, p := range pools {
		if p.caps.servers.v < 0 {
			return 0, false
		}
		sum += p.caps.servers.v
	}
	return sum, true
}
