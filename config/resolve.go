package config

import (
	"slices"
	"strings"
	"time"

	"poold/pool"
)

// megabyte is the unit of bandwidths in the file.
const megabyte = 1_000_000

// resolve makes the configuration from a document without errors.
func resolve(d *document) *Config {
	c := &Config{
		Catalog: pool.Catalog{MaxHoldAge: d.maxHoldAge.v},
		Etcd:    d.etcd.resolve(),
		Name:    d.name.v,
		Web: Web{
			Port: int(d.web.port.v), ListenAddress: d.web.address.v, ImageURL: d.web.imageURL.v,
			AuditLog: d.web.auditLog.v, EventAge: d.web.eventAge.v, Tokens: d.web.tokens.v, Closed: d.web.closed.v,
			TLS: TLS{CA: d.web.tls.ca.v, Cert: d.web.tls.cert.v, Key: d.web.tls.key.v},
		},
		Builder: BuilderDirs{
			ElementsDir: d.elementsDir.v, ImagesDir: d.imagesDir.v,
			LogDir: d.logDir.v, LogRetention: int(d.logRetention.v), MaxBuilds: int(d.maxBuilds.v),
		},
		Tracing: d.tracing.endpoint.v,
		Statsd:  Statsd{Host: d.statsd.host.v, Port: int(d.statsd.port.v)},
		Uploads: Uploads{Max: int(d.maxUploads.v), BytesPerSecond: d.uploadBandwidth.v * megabyte},
	}
	for _, r := range d.roles.v {
		c.Roles = append(c.Roles, pool.Role(r.v))
	}
	for _, t := range d.tenants {
		c.Catalog.Tenants = append(c.Catalog.Tenants, pool.TenantLimit{Tenant: t.name.v, Limits: t.caps.limits()})
	}
	for _, l := range d.labels {
		c.Catalog.Labels = append(c.Catalog.Labels, pool.Label{
			Name: l.name.v, MinReady: int(max(0, l.minReady.v)), ReadyPercent: int(l.percent.v),
			MaxReady: int(l.maxReady.v), Schedule: l.periods(),
			MaxReadyAge: l.maxReadyAge.v, MaxInUseAge: l.maxInUseAge.v,
		})
	}
	for i := range d.images {
		if !d.images[i].abstract.v {
			c.Catalog.Images = append(c.Catalog.Images, d.resolveImage(&d.images[i]))
		}
	}
	for i := range d.providers {
		switch p := &d.providers[i]; p.driver.v {
		case pool.DriverOpenStack:
			c.Catalog.Providers = append(c.Catalog.Providers, p.resolve(&c.Catalog))
		case pool.DriverStatic:
			c.Catalog.Providers = append(c.Catalog.Providers, p.resolveStatic())
		}
	}
	return c
}

func (l *label) periods() []pool.Period {
	var all []pool.Period
	for _, p := range l.schedule {
		one := pool.Period{From: p.from.v, To: p.to.v, Location: p.zone.v, MinReady: int(p.minReady.v)}
		for _, d := range p.days.v {
			days, _ := weekdays(d.v)
			one.Days = append(one.Days, days...)
		}
		all = append(all, one)
	}
	return all
}

// weekdays are the days that a word such as "mon" or "mon-fri" names, and false
// for any other word.
func weekdays(word string) ([]time.Weekday, bool) {
	names := []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}
	first, last, span := strings.Cut(word, "-")
	if !span {
		last = first
	}
	from, to := slices.Index(names, first), slices.Index(names, last)
	if from < 0 || to < 0 {
		return nil, false
	}
	days := []time.Weekday{time.Weekday(from)}
	for d := from; d != to; {
		d = (d + 1) % len(names)
		days = append(days, time.Weekday(d))
	}
	return days, true
}

func (e *etcd) resolve() Etcd {
	return Etcd{
		Endpoints: texts(e.endpoints),
		Prefix:    e.prefix.v,
		Username:  e.username.v,
		Password:  e.password.v,
		TLS:       TLS{CA: e.tls.ca.v, Cert: e.tls.cert.v, Key: e.tls.key.v},
		Embedded:  e.embedded.v,
		LeaseTTL:  e.leaseTTL.v,
	}
}

func (c *caps) limits() pool.Limits {
	l := pool.NoLimits()
	l.Instances, l.Cores, l.RAMMiB = c.servers.v, c.cores.v, c.ram.v
	l.Volumes, l.VolumeGB = c.volumes.v, c.volumeGB.v
	return l
}

// texts returns the texts of a list.
func texts(list value[[]value[string]]) []string {
	var all []string
	for _, v := range list.v {
		all = append(all, v.v)
	}
	return all
}

// merged returns entries as a map, later ones first in rank; nil if there are
// none.
func merged(lists ...value[[]entry]) map[string]string {
	var all map[string]string
	for _, l := range lists {
		for _, e := range l.v {
			if all == nil {
				all = map[string]string{}
			}
			all[e.key] = e.value
		}
	}
	return all
}

// chain returns an image and its parents, the image first. The chain has no
// cycle, or ends where it would begin again.
func (d *document) chain(i *diskimage) []*diskimage {
	var all []*diskimage
	seen := map[*diskimage]bool{}
	for a := i; a != nil && !seen[a]; a = d.parent(a) {
		seen[a] = true
		all = append(all, a)
	}
	return all
}

// nearest returns what the first image of a chain says that says anything, or
// the default.
func nearest[V any](chain []*diskimage, get func(*diskimage) *value[V]) V {
	for _, d := range chain {
		if v := get(d); v.set {
			return v.v
		}
	}
	return get(chain[0]).v
}

// formatsOf returns the formats that an image or the nearest parent asks for.
func (d *document) formatsOf(i *diskimage) []value[string] {
	return nearest(d.chain(i), func(d *diskimage) *value[[]value[string]] { return &d.formats })
}

// resolveImage merges the parents of an image into it.
func (d *document) resolveImage(i *diskimage) pool.Image {
	chain := d.chain(i)
	out := pool.Image{
		Name:              i.name.v,
		Formats:           texts(preset(d.formatsOf(i))),
		RebuildAge:        nearest(chain, func(d *diskimage) *value[time.Duration] { return &d.rebuildAge }),
		BuildTimeout:      nearest(chain, func(d *diskimage) *value[time.Duration] { return &d.buildTimeout }),
		Release:           nearest(chain, func(d *diskimage) *value[string] { return &d.release }),
		URL:               nearest(chain, func(d *diskimage) *value[string] { return &d.url }),
		Checksum:          nearest(chain, func(d *diskimage) *value[string] { return &d.checksum }),
		Command:           strings.Fields(nearest(chain, func(d *diskimage) *value[string] { return &d.command })),
		Paused:            nearest(chain, func(d *diskimage) *value[bool] { return &d.paused }),
		Canary:            nearest(chain, func(d *diskimage) *value[bool] { return &d.canary }),
		Properties:        merged(i.metadata),
		Username:          nearest(chain, func(d *diskimage) *value[string] { return &d.username }),
		PythonPath:        nearest(chain, func(d *diskimage) *value[string] { return &d.pythonPath }),
		ShellType:         nearest(chain, func(d *diskimage) *value[string] { return &d.shellType }),
		DeleteAfterUpload: nearest(chain, func(d *diskimage) *value[bool] { return &d.deleteAfterUpload }),
		KeepFormats:       texts(preset(nearest(chain, func(d *diskimage) *value[[]value[string]] { return &d.keepFormats }))),
	}
	if len(out.Command) == 0 {
		out.Command = strings.Fields(freshDiskimage().command.v)
	}
	if i.snapshot.given() {
		out.SnapshotOf = &pool.SnapshotOf{
			Provider: i.snapshot.provider.v, Server: i.snapshot.server.v, Image: i.snapshot.image.v,
		}
		if !slices.ContainsFunc(chain, func(d *diskimage) bool { return d.rebuildAge.set }) {
			out.RebuildAge = 0
		}
	}
	var env []value[[]entry]
	for _, a := range slices.Backward(chain) {
		out.Elements = append(out.Elements, texts(a.elements)...)
		env = append(env, a.env)
	}
	out.Env = merged(env...)
	return out
}

func (p *provider) resolve(c *pool.Catalog) pool.Provider {
	out := pool.Provider{
		Name: p.name.v, Driver: p.driver.v, Cloud: p.cloud.v, Region: p.region.v,
		Rate: p.rate.v, RateGroup: p.rateGroup.v, DebugHTTP: p.debug.v == debugHTTP, BootTimeout: p.bootTimeout.v, LaunchTimeout: p.launchTimeout.v,
		MaxConcurrency: int(p.concurrency.v), Priority: int(p.priority.v), Weight: int(p.weight.v),
		ImageNameFormat: p.imageNameFormat.v, ImageUploadTimeout: p.uploadTimeout.v,
		PostUploadHook: p.postUploadHook.v, MaxUploads: int(p.maxUploads.v),
		UploadMethod: p.method(), ImageStores: texts(p.imageStores),
	}
	for i := range p.images {
		im := &p.images[i]
		recipe := c.Image(im.name.v)
		canary := recipe.Canary
		if im.canary.set {
			canary = im.canary.v
		}
		out.Images = append(out.Images, pool.ProviderImage{
			Canary: canary,
			Name:   im.name.v, Paused: im.paused.v, Properties: merged(im.meta),
			ConfigDrive: optional(im.configDrive),
			Connection: pool.Connection{
				Type: im.connectionType.v, Port: port(im.connectionType, im.connectionPort),
				Username: recipe.Username, PythonPath: recipe.PythonPath, ShellType: recipe.ShellType,
			},
		})
	}
	for i := range p.cloudImages {
		out.CloudImages = append(out.CloudImages, p.cloudImages[i].resolve())
	}
	for i := range p.pools {
		out.Pools = append(out.Pools, p.pools[i].resolve(p))
	}
	return out
}

func (i *cloudImage) resolve() pool.CloudImage {
	out := pool.CloudImage{
		Name: i.name.v, ID: i.id.v, ImageName: i.imageName.v,
		ConfigDrive: optional(i.configDrive),
		Connection: pool.Connection{
			Type: i.connectionType.v, Port: port(i.connectionType, i.connectionPort),
			Username: i.username.v, PythonPath: i.pythonPath.v, ShellType: i.shellType.v,
		},
	}
	if out.ID == "" && out.ImageName == "" {
		out.ImageName = out.Name
	}
	return out
}

// optional returns nil for a value that was not given.
func optional(b value[bool]) *bool {
	if !b.set {
		return nil
	}
	return &b.v
}

// port returns the port of a connection: as given, or what its type uses.
func port(kind value[string], given value[int64]) int {
	switch {
	case given.set:
		return int(given.v)
	case kind.v == "winrm":
		return 5986
	}
	return 22
}

func (p *providerPool) resolve(in *provider) pool.Pool {
	out := pool.Pool{
		Name: p.name.v, Limits: p.caps.limits(), IgnoreProviderQuota: p.ignoreQuota.v,
		AZs: texts(p.zones), SecurityGroups: texts(p.securityGroups),
		AutoFloatingIP: p.autoFloatingIP.v, Attributes: merged(p.attributes),
		Priority: int(in.priority.v), Weight: int(in.weight.v),
	}
	if p.weight.set {
		out.Weight = int(p.weight.v)
	}
	if p.priority.set {
		out.Priority = int(p.priority.v)
	}
	for i := range p.labels {
		out.Labels = append(out.Labels, p.labels[i].resolve(p))
	}
	return out
}

func (l *poolLabel) resolve(in *providerPool) pool.LabelSpec {
	out := pool.LabelSpec{
		Name: l.name.v, MinReady: int(l.minReady.v), DiskImage: l.image.v, CloudImage: l.cloudImage.v,
		FlavorName: l.flavor.v, MinRAMMiB: l.minRAM.v, KeyName: l.keyName.v, PublicKey: strings.TrimSpace(l.publicKey.v),
		ConsoleLog: l.consoleLog.v, BootFromVolume: l.bootFromVolume.v,
		Properties: merged(l.properties), UserData: l.userdata.v, Tags: texts(l.tags),
		DynamicProperties: merged(l.dynamic),
		ServerGroup:       l.serverGroup.v, SchedulerHints: merged(l.hints),
		Networks: texts(in.networks), HostKeyChecking: in.hostKeyChecking.v,
		ReadyCommand: l.readyCommand.v, ReadyKeyFile: l.readyKeyFile.v,
		ReadyConsole: l.readyConsole.v, ReadyTimeout: l.readyTimeout.v,
	}
	if l.bootFromVolume.v {
		out.VolumeGB = l.volumeGB.v
	}
	if l.networks.set {
		out.Networks = texts(l.networks)
	}
	if l.hostKeyChecking.set {
		out.HostKeyChecking = l.hostKeyChecking.v
	}
	return out
}
