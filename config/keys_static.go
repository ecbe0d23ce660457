package config

import (
	"math"
	"slices"
	"time"

	"poold/pool"
)

// host is a machine of a static provider, which nodepool calls a node.
type host struct {
	place
	name                            value[string]
	labels, hostKeys                value[[]value[string]]
	username, pythonPath, shellType value[string]
	connectionType                  value[string]
	connectionPort, slots           value[int64]
	checking                        value[bool]
	timeout                         value[time.Duration]
}

func freshHost() host {
	return host{
		username: preset("zuul"), connectionType: preset("ssh"), pythonPath: preset("auto"),
		slots: preset(int64(1)), checking: preset(true), timeout: preset(5 * time.Second),
	}
}

// staticKeys are the keys of a provider whose driver is static.
func staticKeys() table[provider] {
	return table[provider]{
		title: "providers[], driver static",
		about: "A provider of hosts that are there already. Each lends its slots, one to each node.",
		fresh: freshProvider,
		fields: []field[provider]{
			text("name", func(p *provider) *value[string] { return &p.name },
				"The name of the provider. Another name is another provider.").needed(),
			choice("driver", drivers(), func(p *provider) *value[string] { return &p.driver },
				"`static`.").silent(),
			integer("max-concurrency", -1, math.MaxInt32, func(p *provider) *value[int64] { return &p.concurrency },
				"How many nodes may be building at once; `0` and `-1` are any number."),
			integer("priority", math.MinInt32, math.MaxInt32, func(p *provider) *value[int64] { return &p.priority },
				"Lower numbers are preferred."),
			integer("weight", 1, math.MaxInt32, func(p *provider) *value[int64] { return &p.weight },
				"The provider's share of the nodes among those of equal priority.").silent(),
			many("pools", func(p *provider) *[]providerPool { return &p.pools }, staticPoolKeys(),
				"Groups of hosts. The nodes of a request are of one pool."),
		},
	}
}

func staticPoolKeys() table[providerPool] {
	return table[providerPool]{
		title: "providers[].pools[], driver static",
		fresh: freshPool,
		fields: slices.Concat([]field[providerPool]{
			text("name", func(p *providerPool) *value[string] { return &p.name },
				"The name of the pool in its provider.").needed(),
			limit("max-servers", func(p *providerPool) *value[int64] { return &p.caps.servers },
				"How many nodes there may be; `0` allows none."),
		}, sharedPoolKeys(), []field[providerPool]{
			many("nodes", func(p *providerPool) *[]host { return &p.hosts }, hostKeys(),
				"The hosts."),
		}),
	}
}

func hostKeys() table[host] {
	return table[host]{
		title: "providers[].pools[].nodes[], driver static",
		about: "A host may be there several times, with other users or ports, and not twice with the same.",
		fresh: freshHost,
		fields: []field[host]{
			text("name", func(h *host) *value[string] { return &h.name },
				"The name or the address of the host.").needed(),
			oneOrMany("labels", func(h *host) *value[[]value[string]] { return &h.labels },
				"Some of `labels`: each slot of the host can be a node of any of them. A string may hold several, with spaces between.").needed(),
			integer("max-parallel-jobs", 0, 10_000, func(h *host) *value[int64] { return &h.slots },
				"How many slots the host has: how many nodes there may be on it at once."),
			text("username", func(h *host) *value[string] { return &h.username },
				"Whom clients log in as."),
			text("connection-type", func(h *host) *value[string] { return &h.connectionType },
				"How clients connect: `ssh`, `network_cli` or `winrm`. Host keys are read for the first two; of others the port has to answer."),
			integer("connection-port", 1, math.MaxUint16, func(h *host) *value[int64] { return &h.connectionPort },
				"The port that clients connect to; 22, or 5986 for `winrm`, unless it is given.").silent(),
			integer("ssh-port", 1, math.MaxUint16, func(h *host) *value[int64] { return &h.connectionPort },
				"The old name of `connection-port`.").silent(),
			oneOrMany("host-key", func(h *host) *value[[]value[string]] { return &h.hostKeys },
				"The SSH host keys that the host must show, as `ssh-keyscan` prints them without the name of the host; it may have others. "+
					"Unless it is given, those are taken that it shows."),
			boolean("host-key-checking", func(h *host) *value[bool] { return &h.checking },
				"Look whether the host is there and read its host keys before it is lent; without, it is taken to be there, and nothing connects to it."),
			seconds("timeout", 1, func(h *host) *value[time.Duration] { return &h.timeout },
				"How long the host may take to answer."),
			text("python-path", func(h *host) *value[string] { return &h.pythonPath },
				"Where the host's Python is, for the client."),
			text("shell-type", func(h *host) *value[string] { return &h.shellType },
				"The kind of the host's shell, for the client."),
		},
	}
}

func (p *provider) resolveStatic() pool.Provider {
	out := pool.Provider{
		Name: p.name.v, Driver: p.driver.v, MaxConcurrency: int(p.concurrency.v),
		Priority: int(p.priority.v), Weight: int(p.weight.v),
	}
	for i := range p.pools {
		out.Pools = append(out.Pools, p.pools[i].resolveStatic(p))
	}
	return out
}

func (p *providerPool) resolveStatic(in *provider) pool.Pool {
	out := p.resolve(in)
	out.AutoFloatingIP = false
	for i := range p.hosts {
		out.Hosts = append(out.Hosts, p.hosts[i].resolve())
	}
	for i := range out.Hosts {
		for _, label := range out.Hosts[i].Labels {
			if out.Label(label) == nil {
				out.Labels = append(out.Labels, pool.LabelSpec{Name: label, MinReady: out.Slots(label), HostKeyChecking: true})
			}
		}
	}
	return out
}

func (h *host) resolve() pool.Host {
	out := pool.Host{
		Name: h.name.v, Slots: int(h.slots.v), Checking: h.checking.v, Timeout: h.timeout.v,
		Connection: pool.Connection{
			Type: h.connectionType.v, Port: port(h.connectionType, h.connectionPort),
			Username: h.username.v, PythonPath: h.pythonPath.v, ShellType: h.shellType.v,
		},
	}
	for _, l := range h.labelNames() {
		out.Labels = append(out.Labels, l.v)
	}
	for _, k := range h.hostKeys.v {
		out.HostKeys = append(out.HostKeys, bareKey(k.v))
	}
	return out
}
