package config

import (
	"strings"

	"poold/pool"
)

// checkStatic checks a provider of hosts that are there already.
func (c *checker) checkStatic(p *provider) {
	c.unique("pool", collect(p.pools, func(l *providerPool) value[string] { return l.name }))
	for i := range p.pools {
		for k := range p.pools[i].hosts {
			c.checkHost(&p.pools[i].hosts[k])
		}
	}
}

func (c *checker) checkHost(h *host) {
	if h.name.set && strings.TrimSpace(h.name.v) == "" {
		c.errorf(h.name.at, "the name is empty")
	}
	c.checkConnection(h.connectionType)
	labels := h.labelNames()
	if h.labels.set && len(labels) == 0 {
		c.errorf(h.labels.at, "give at least one label")
	}
	c.unique("label", labels)
	for _, l := range labels {
		if l.v != "" && !c.labels[l.v] {
			c.missing(l, "label", c.labelNames)
		}
	}
	c.checkHostKeys(h)
	if h.slots.set && h.slots.v == 0 {
		c.notef(h.slots.at, "the host lends nothing")
	}
}

func (c *checker) checkHostKeys(h *host) {
	for _, k := range h.hostKeys.v {
		if !isPublicKey(bareKey(k.v)) {
			c.notef(k.at, "is not a host key as ssh-keyscan prints it, without the name of the host: none will be equal to it")
		}
	}
	if len(h.hostKeys.v) > 0 && h.connectionType.v != "ssh" && h.connectionType.v != "network_cli" {
		c.notef(h.hostKeys.at, "is not compared with anything: host keys are read for ssh and network_cli")
	}
}

// checkHosts reports hosts that are there twice: their slots would be lent
// twice.
func (c *checker) checkHosts() {
	first := map[string]mark{}
	for i := range c.doc.providers {
		p := &c.doc.providers[i]
		if p.driver.v != pool.DriverStatic {
			continue
		}
		for k := range p.pools {
			for l := range p.pools[k].hosts {
				c.checkTwice(&p.pools[k].hosts[l], first)
			}
		}
	}
}

func (c *checker) checkTwice(h *host, first map[string]mark) {
	if !h.name.set {
		return
	}
	resolved := h.resolve()
	id := resolved.ID()
	if m, twice := first[id]; twice {
		line, _ := m.src.original(m.line, m.col)
		c.errorf(h.at, "the host %s is here twice, with the same user and port, first in line %d", h.at.quote(h.name.v), line)
		return
	}
	first[id] = h.at
}

// labelNames are the labels of a host; a string may hold several.
func (h *host) labelNames() []value[string] {
	if len(h.labels.v) != 1 {
		return h.labels.v
	}
	var all []value[string]
	for word := range strings.FieldsSeq(h.labels.v[0].v) {
		all = append(all, value[string]{v: word, set: true, at: h.labels.v[0].at})
	}
	return all
}

// bareKey is a key without its comment.
func bareKey(line string) string {
	words := strings.Fields(line)
	return strings.Join(words[:min(2, len(words))], " ")
}
