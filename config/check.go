package config

import (
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"poold/pool"
)

// checker looks at what the tables cannot see: references, names and
// combinations of keys.
type checker struct {
	*report
	doc    *document
	secure *secureDocument
	// labelNames and imageNames are the names of all labels and diskimages.
	labelNames, imageNames []string
	// labels tells which labels there are.
	labels map[string]bool
}

// mostGuesses is how many errors there may be before names that refer to
// nothing are told without a suggestion: a file may have thousands, and each
// would be compared with all that there are.
const mostGuesses = 50

func (c *checker) check() {
	c.index()
	c.mergeSecure()
	c.checkNames()
	c.checkProcess()
	c.checkImages()
	c.checkImageURL()
	c.checkAddress(c.doc.tracing.endpoint, "http://127.0.0.1:4318")
	c.checkMachine(c.doc.statsd.host)
	for i := range c.doc.providers {
		c.checkProvider(&c.doc.providers[i])
	}
	c.checkHosts()
	c.noteUnused()
}

// mergeSecure moves what the secure file says into the main document, as if
// it were written there.
func (c *checker) mergeSecure() {
	if c.secure.etcd.password.given() {
		c.doc.etcd.password = c.secure.etcd.password
	}
	for _, s := range c.secure.images {
		if !s.name.set {
			continue
		}
		c.envNames(s.env)
		i := slices.IndexFunc(c.doc.images, func(d diskimage) bool { return d.name.set && d.name.v == s.name.v })
		if i < 0 {
			c.missing(s.name, "diskimage", c.imageNames)
			continue
		}
		c.doc.images[i].env = value[[]entry]{
			v:   append(slices.Clone(c.doc.images[i].env.v), s.env.v...),
			set: true, at: s.at,
		}
	}
}

// missing reports a name that nothing has.
func (c *checker) missing(name value[string], what string, options []string) {
	guess := ""
	if len(c.errs) < mostGuesses {
		guess = didYouMean(name.v, options)
	}
	c.hint(name.at, guess, "there is no %s %s", what, name.at.quote(name.v))
}

// unique reports names that are given twice, and those that are empty.
func (c *checker) unique(what string, all []value[string]) {
	first := map[string]mark{}
	for _, n := range all {
		if !n.set {
			continue
		}
		if n.v == "" {
			c.errorf(n.at, "the name is empty")
			continue
		}
		if m, twice := first[n.v]; twice {
			line, _ := m.src.original(m.line, m.col)
			c.errorf(n.at, "the %s %s is here twice, first in line %d", what, n.at.quote(n.v), line)
			continue
		}
		first[n.v] = n.at
	}
}

// keyable reports names that cannot be part of a key in etcd or of a file
// name.
func (c *checker) keyable(all ...value[string]) {
	for _, n := range all {
		bad := func(r rune) bool { return r == '/' || unicode.IsSpace(r) || unicode.IsControl(r) }
		if n.set && (strings.ContainsFunc(n.v, bad) || n.v == "." || n.v == "..") {
			c.errorf(n.at, "the name %s must not hold slashes, spaces or control characters", n.at.quote(n.v))
		}
	}
}

// collect returns the name of each.
func collect[E any](all []E, name func(*E) value[string]) []value[string] {
	var out []value[string]
	for i := range all {
		out = append(out, name(&all[i]))
	}
	return out
}

// plain returns the texts of values that were given.
func plain(all []value[string]) []string {
	var out []string
	for _, v := range all {
		if v.set {
			out = append(out, v.v)
		}
	}
	return out
}

// index collects the names that others refer to.
func (c *checker) index() {
	c.doc.indexImages()
	c.imageNames = plain(collect(c.doc.images, func(d *diskimage) value[string] { return d.name }))
	c.labelNames = plain(collect(c.doc.labels, func(l *label) value[string] { return l.name }))
	c.labels = map[string]bool{}
	for _, name := range c.labelNames {
		c.labels[name] = true
	}
}

func (c *checker) checkNames() {
	images := collect(c.doc.images, func(d *diskimage) value[string] { return d.name })
	providers := collect(c.doc.providers, func(p *provider) value[string] { return p.name })
	c.unique("label", collect(c.doc.labels, func(l *label) value[string] { return l.name }))
	c.unique("diskimage", images)
	c.unique("provider", providers)
	c.unique("tenant", collect(c.doc.tenants, func(t *tenant) value[string] { return t.name }))
	c.keyable(images...)
	c.keyable(providers...)
	c.keyable(c.doc.name)
	for _, l := range c.doc.labels {
		if l.minReady.v < 0 {
			c.notef(l.minReady.at, "less than 0 keeps none ready, as 0 does; the label can still be asked for")
		}
		c.checkSchedule(l.schedule)
	}
}

func (c *checker) checkSchedule(schedule []period) {
	for _, p := range schedule {
		for _, d := range p.days.v {
			if _, ok := weekdays(d.v); !ok {
				c.errorf(d.at, "must be a day such as mon, or a span of days such as mon-fri")
			}
		}
	}
}

// checkProcess checks the settings of the process itself.
func (c *checker) checkProcess() {
	if c.doc.roles.set && len(c.doc.roles.v) == 0 {
		c.errorf(c.doc.roles.at, "a peer needs at least one role")
	}
	for _, r := range c.doc.roles.v {
		if r.set && !slices.Contains(roleNames(), r.v) {
			c.hint(r.at, didYouMean(r.v, roleNames()), "%s is not %s", r.at.quote(r.v), alternatives(roleNames()))
		}
	}
	c.unique("role", c.doc.roles.v)
	c.checkEtcd(&c.doc.etcd)
	c.checkLogin(&c.doc.etcd)
	c.checkWeb(&c.doc.web)
}

// checkWeb checks who may do what on the web port.
func (c *checker) checkWeb(w *web) {
	for _, file := range []value[string]{w.tokens, w.tls.ca, w.tls.cert, w.tls.key} {
		if file.set && file.v == "" {
			c.errorf(file.at, "the name of the file is empty")
		}
	}
	if w.closed.v && !w.tokens.given() && !w.tls.ca.given() {
		c.errorf(w.closed.at, "nobody could read: give tokens, or tls.client-ca")
	}
	ip := net.ParseIP(w.address.v)
	if w.tokens.set && !w.tls.cert.given() && (ip == nil || !ip.IsLoopback()) && w.address.v != "localhost" {
		c.notef(w.tokens.at, "tokens come over the network as they are: give tls, or listen on 127.0.0.1 behind a proxy that has it")
	}
}

// checkEtcd checks where etcd is.
func (c *checker) checkEtcd(e *etcd) {
	switch {
	case e.endpoints.given() && e.embedded.given():
		c.errorf(e.at, "give endpoints or embedded, not both")
	case e.endpoints.set && len(e.endpoints.v) == 0:
		c.errorf(e.endpoints.at, "give at least one endpoint")
	case e.at.src != nil && !e.endpoints.given() && !e.embedded.given():
		c.errorf(e.at, "give endpoints or embedded")
	}
	for _, p := range e.endpoints.v {
		if !isEndpoint(p.v) {
			c.errorf(p.at, "expected https://host:port or host:port")
		}
	}
	if e.embedded.set && e.embedded.v == "" {
		c.errorf(e.embedded.at, "the name of the folder is empty")
	}
}

// checkLogin checks what else etcd needs, and the keys that need each other.
func (c *checker) checkLogin(e *etcd) {
	if !strings.HasPrefix(e.prefix.v, "/") || strings.HasSuffix(e.prefix.v, "/") {
		c.errorf(e.prefix.at, "must begin with a slash and not end with one")
	}
	c.needs(e.password.at, e.username.at, "a password needs a username beside it")
	c.needs(e.username.at, e.password.at, "a username needs a password, here or in the secure file")
	c.needs(e.tls.cert.at, e.tls.key.at, "a certificate needs its key")
	c.needs(e.tls.key.at, e.tls.cert.at, "a key needs its certificate")
}

// needs reports a value that was given without another.
func (c *checker) needs(one, other mark, problem string) {
	if one.src != nil && other.src == nil {
		c.errorf(one, "%s", problem)
	}
}

// isEndpoint reports whether a text is host:port, perhaps as a URL.
func isEndpoint(s string) bool {
	host := s
	if strings.Contains(s, "://") {
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" || u.User != nil {
			return false
		}
		host = u.Host
	}
	name, port, err := net.SplitHostPort(host)
	return err == nil && name != "" && port != ""
}

func (c *checker) checkImages() {
	for i := range c.doc.images {
		d := &c.doc.images[i]
		c.envNames(d.env)
		c.checkFormats(d.formats)
		c.checkURL(d)
		c.checkSnapshot(d)
		if strings.Contains(d.command.v, "%p") {
			c.notef(d.command.at, "%%p stays as it is: poold has no package folder")
		}
		if d.parent.set && c.doc.image(d.parent.v) == nil {
			c.missing(d.parent, "diskimage", c.imageNames)
		}
		if c.isOwnAncestor(d) {
			c.errorf(d.parent.at, "the parents of %s lead back to it", d.name.at.quote(d.name.v))
		}
	}
}

// checkURL checks where an image is downloaded from.
func (c *checker) checkURL(d *diskimage) {
	if d.url.set {
		c.fetchable(d.url)
		c.unwanted(d, "url")
	}
	sums := regexp.MustCompile(`^(md5:[0-9a-fA-F]{32}|sha256:[0-9a-fA-F]{64}|sha512:[0-9a-fA-F]{128})$`)
	if strings.Contains(d.checksum.v, "://") {
		c.fetchable(d.checksum)
	} else if d.checksum.set && !sums.MatchString(d.checksum.v) {
		c.errorf(d.checksum.at, "must be sha512:HEX, sha256:HEX, md5:HEX, or the URL of a file of such sums")
	}
	from := nearest(c.doc.chain(d), func(d *diskimage) *value[string] { return &d.url })
	sum := nearest(c.doc.chain(d), func(d *diskimage) *value[string] { return &d.checksum })
	switch {
	case d.url.set && sum == "" && !d.abstract.v:
		c.notef(d.url.at, "nothing verifies what is downloaded: give a checksum")
	case d.checksum.set && from == "" && !d.abstract.v:
		c.errorf(d.checksum.at, "a checksum needs a url")
	}
}

// checkSnapshot checks what an image is taken from.
func (c *checker) checkSnapshot(d *diskimage) {
	s := &d.snapshot
	if !s.given() {
		return
	}
	c.unwanted(d, "snapshot-of")
	i := slices.IndexFunc(c.doc.providers, func(p provider) bool { return p.name.set && p.name.v == s.provider.v })
	switch {
	case s.server.set == s.image.set:
		c.errorf(s.at, "give server or image")
	case nearest(c.doc.chain(d), func(d *diskimage) *value[string] { return &d.url }) != "":
		c.errorf(s.at, "give url or snapshot-of, not both")
	case s.provider.set && i < 0:
		c.missing(s.provider, "provider", plain(collect(c.doc.providers, func(p *provider) value[string] { return p.name })))
	case s.provider.set && c.doc.providers[i].driver.v != pool.DriverOpenStack:
		c.errorf(s.provider.at, "nothing is taken out of a provider of driver %s", c.doc.providers[i].driver.v)
	}
}

// unwanted notes the keys of a build that have no effect beside another.
func (c *checker) unwanted(d *diskimage, beside string) {
	for _, at := range []mark{d.elements.at, d.command.at, d.release.at} {
		if at.src != nil {
			c.notef(at, "it has no effect beside %s: nothing is built", beside)
		}
	}
}

// fetchable reports a URL that images are not downloaded from.
func (c *checker) fetchable(v value[string]) {
	u, err := url.Parse(v.v)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "file" || u.Path == "":
		c.errorf(v.at, "must be the http, https or file URL of a file")
	case u.User != nil:
		c.errorf(v.at, "must hold no password: records and logs show it")
	case (u.Host != "") == (u.Scheme == "file"):
		c.errorf(v.at, "must be the http, https or file URL of a file")
	}
}

// checkFormats notes the formats that are built and never uploaded.
func (c *checker) checkFormats(formats value[[]value[string]]) {
	// What glance takes as disk_format.
	taken := []string{"ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop"}
	for _, f := range formats.v {
		if f.set && !slices.Contains(taken, f.v) {
			c.notef(f.at, "no cloud takes images in format %s: the file is built, and stays here", f.at.quote(f.v))
		}
	}
}

// envNames reports what cannot be the name of a variable.
func (c *checker) envNames(env value[[]entry]) {
	for _, e := range env.v {
		if e.key == "" || strings.ContainsAny(e.key, "=\x00") {
			c.errorf(e.keyMark, "%s cannot be the name of a variable", e.keyMark.quote(e.key))
		}
	}
}

// isOwnAncestor reports whether the chain of parents leads back to d. Another
// cycle further up is reported for its own members.
func (c *checker) isOwnAncestor(d *diskimage) bool {
	seen := map[*diskimage]bool{}
	for a := c.doc.parent(d); a != nil && !seen[a]; a = c.doc.parent(a) {
		if a == d {
			return true
		}
		seen[a] = true
	}
	return false
}

// indexImages makes images findable by their names, of which the first counts.
func (d *document) indexImages() {
	d.imageNamed = map[string]*diskimage{}
	for i := range d.images {
		name := d.images[i].name
		if name.set && d.imageNamed[name.v] == nil {
			d.imageNamed[name.v] = &d.images[i]
		}
	}
}

// image returns the diskimage of a name, or nil.
func (d *document) image(name string) *diskimage {
	return d.imageNamed[name]
}

// parent returns the parent of an image, or nil.
func (d *document) parent(i *diskimage) *diskimage {
	if !i.parent.set {
		return nil
	}
	return d.image(i.parent.v)
}
