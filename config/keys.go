package config

import (
	"math"
	"regexp"
	"time"

	"poold/pool"
)

// document is the main file.
type document struct {
	elementsDir, imagesDir, logDir value[string]
	logRetention                   value[int64]
	maxUploads, uploadBandwidth    value[int64]
	maxBuilds                      value[int64]
	name                           value[string]
	roles                          value[[]value[string]]
	etcd                           etcd
	web                            web
	tracing                        tracing
	statsd                         statsd
	maxHoldAge                     value[time.Duration]
	tenants                        []tenant
	labels                         []label
	images                         []diskimage
	imageNamed                     map[string]*diskimage
	providers                      []provider
}

type etcd struct {
	place
	endpoints                  value[[]value[string]]
	prefix, username, embedded value[string]
	tls                        tlsFiles
	password                   value[Secret]
	leaseTTL                   value[time.Duration]
}

type tlsFiles struct {
	ca, cert, key value[string]
}

type web struct {
	port              value[int64]
	address, imageURL value[string]
	auditLog          value[string]
	eventAge          value[time.Duration]
	tokens            value[string]
	closed            value[bool]
	tls               tlsFiles // with the authority of its clients
}

type tracing struct {
	endpoint value[string]
}

type statsd struct {
	host value[string]
	port value[int64]
}

type tenant struct {
	place
	name value[string]
	caps caps
}

// caps are the limits that tenants and pools have in common.
type caps struct {
	servers, cores, ram, volumes, volumeGB value[int64]
}

func freshCaps() caps {
	none := preset(int64(pool.Unlimited))
	return caps{servers: none, cores: none, ram: none, volumes: none, volumeGB: none}
}

type label struct {
	place
	name        value[string]
	minReady    value[int64]
	percent     value[int64]
	maxReady    value[int64]
	schedule    []period
	maxReadyAge value[time.Duration]
	maxInUseAge value[time.Duration]
}

type period struct {
	place
	days     value[[]value[string]]
	from, to value[time.Duration]
	zone     value[*time.Location]
	minReady value[int64]
}

// secureDocument is the secure file.
type secureDocument struct {
	etcd   etcd
	images []secureImage
}

type secureImage struct {
	place
	name value[string]
	env  value[[]entry]
}

// roleNames are the roles in the order of the documentation.
func roleNames() []string {
	return []string{string(pool.RoleAllocator), string(pool.RoleLauncher), string(pool.RoleBuilder)}
}

func freshDocument() document {
	var roles []value[string]
	for _, r := range roleNames() {
		roles = append(roles, preset(r))
	}
	return document{
		logDir:       preset("/var/log/nodepool/builds"),
		logRetention: preset(int64(7)),
		maxBuilds:    preset(int64(2)),
		roles:        preset(roles),
		etcd:         freshEtcd(),
		web:          freshWeb(),
		statsd:       freshStatsd(),
	}
}

func freshStatsd() statsd { return statsd{port: preset(int64(8125))} }

func freshEtcd() etcd {
	return etcd{prefix: preset("/poold/v1"), leaseTTL: preset(10 * time.Second)}
}

func freshWeb() web {
	return web{port: preset(int64(8005)), address: preset("0.0.0.0"), eventAge: preset(24 * time.Hour)}
}

func documentKeys() table[document] {
	return table[document]{
		title: "Top level",
		fresh: freshDocument,
		fields: []field[document]{
			text("name", func(d *document) *value[string] { return &d.name },
				"The name of this peer among its peers; the name of the host unless it is given."),
			names("roles", func(d *document) *value[[]value[string]] { return &d.roles },
				"The parts that this peer plays. A builder uploads too."),
			one("etcd", func(d *document) *etcd { return &d.etcd }, etcdKeys(),
				"How to reach etcd, where all state is."),
			one("webapp", func(d *document) *web { return &d.web }, webKeys(),
				"Where the web server listens."),
			one("tracing", func(d *document) *tracing { return &d.tracing }, tracingKeys(),
				"Whom to tell of the lives of nodes and requests, as traces."),
			one("statsd", func(d *document) *statsd { return &d.statsd }, statsdKeys(),
				"Whom to tell what nodepool told statsd."),
			text("elements-dir", func(d *document) *value[string] { return &d.elementsDir },
				"Where diskimage-builder finds elements (`ELEMENTS_PATH`)."),
			text("images-dir", func(d *document) *value[string] { return &d.imagesDir },
				"The folder for built images; a builder needs it."),
			text("build-log-dir", func(d *document) *value[string] { return &d.logDir },
				"The folder for the logs of builds."),
			integer("build-log-retention", -1, math.MaxInt32, func(d *document) *value[int64] { return &d.logRetention },
				"How many logs are kept of each image, at least 1; `-1` keeps all."),
			integer("max-builds", 1, math.MaxInt32, func(d *document) *value[int64] { return &d.maxBuilds },
				"How many images this peer builds, downloads or takes out of a cloud at once."),
			integer("max-uploads", 0, math.MaxInt32, func(d *document) *value[int64] { return &d.maxUploads },
				"How many uploads this peer makes at once, to all providers together; `0` does not limit it."),
			integer("upload-bandwidth", 0, math.MaxInt32, func(d *document) *value[int64] { return &d.uploadBandwidth },
				"How many megabytes (of 1,000,000 bytes) of images this peer sends a second, to all providers together; `0` does not limit it."),
			seconds("max-hold-age", 0, func(d *document) *value[time.Duration] { return &d.maxHoldAge },
				"How long a node may be held at most; `0` does not limit it."),
			many("tenant-resource-limits", func(d *document) *[]tenant { return &d.tenants }, tenantKeys(),
				"What the requests of one tenant may use at a time, over all providers."),
			many("labels", func(d *document) *[]label { return &d.labels }, labelKeys(),
				"The kinds of nodes that clients may ask for."),
			many("diskimages", func(d *document) *[]diskimage { return &d.images }, diskimageKeys(),
				"The images that poold builds. Every peer that launches names them; only the recipe matters to builders alone."),
			many("providers", func(d *document) *[]provider { return &d.providers }, providerKeys(),
				"The clouds. Those of other drivers than `openstack` and `static` are set aside with a note."),
			nothing[document]("zookeeper-servers", "poold keeps its state in etcd, see the key etcd"),
			nothing[document]("zookeeper-tls", "poold keeps its state in etcd, see the key etcd.tls"),
			nothing[document]("zookeeper-timeout", "poold keeps its state in etcd, see the key etcd.lease-ttl"),
			nothing[document]("cron", "nothing runs at fixed hours; images are built when they are older than rebuild-age"),
			old[document]("script-dir", "nodes are not prepared by scripts; put what they need into elements of the image"),
			old[document]("dburi", "state is in etcd, see the key etcd"),
			old[document]("gearman-servers", "clients ask through etcd, see the key etcd"),
			old[document]("zmq-publishers", "clients release nodes through etcd, see the key etcd"),
			old[document]("targets", "nodes are not registered anywhere; clients ask for them through etcd"),
		},
	}
}

func etcdKeys() table[etcd] {
	return table[etcd]{
		title: "etcd",
		about: "One of `endpoints` and `embedded`.",
		fresh: freshEtcd,
		fields: []field[etcd]{
			names("endpoints", func(e *etcd) *value[[]value[string]] { return &e.endpoints },
				"The members of the cluster, as `https://host:2379` or `host:2379`."),
			text("embedded", func(e *etcd) *value[string] { return &e.embedded },
				"The data directory of an etcd with one member inside poold, instead of a cluster."),
			text("prefix", func(e *etcd) *value[string] { return &e.prefix },
				"What every key begins with."),
			text("username", func(e *etcd) *value[string] { return &e.username },
				"The user to log in as."),
			secret("password", func(e *etcd) *value[Secret] { return &e.password },
				"The user's password; the secure file is the better place for it."),
			one("tls", func(e *etcd) *tlsFiles { return &e.tls }, tlsKeys(),
				"The PEM files of an encrypted connection."),
			duration("lease-ttl", 2*time.Second, 10*time.Minute,
				func(e *etcd) *value[time.Duration] { return &e.leaseTTL },
				"How long a peer that fell silent keeps what it owns, between `2s` and `10m`."),
		},
	}
}

func tlsKeys() table[tlsFiles] {
	return table[tlsFiles]{
		title: "etcd.tls",
		fresh: func() tlsFiles { return tlsFiles{} },
		fields: []field[tlsFiles]{
			text("ca", func(t *tlsFiles) *value[string] { return &t.ca },
				"The authority that signed etcd's certificate; those of the system unless it is given."),
			text("cert", func(t *tlsFiles) *value[string] { return &t.cert },
				"The certificate that poold shows; needs `key`."),
			text("key", func(t *tlsFiles) *value[string] { return &t.key },
				"The certificate's private key; needs `cert`."),
		},
	}
}

func webKeys() table[web] {
	return table[web]{
		title: "webapp",
		fresh: freshWeb,
		fields: []field[web]{
			integer("port", 0, math.MaxUint16, func(w *web) *value[int64] { return &w.port },
				"The TCP port; `0` picks a free one."),
			text("listen_address", func(w *web) *value[string] { return &w.address },
				"The address to listen on."),
			text("audit-log", func(w *web) *value[string] { return &w.auditLog },
				"A file to which this peer appends what humans did, with who and why, and which nodes each request was given: "+
					"an event in JSON a line. It is never shortened; none is written unless this is given."),
			duration("event-age", time.Minute, 30*24*time.Hour, func(w *web) *value[time.Duration] { return &w.eventAge },
				"How long this peer remembers events, as far as they fit into 32 MiB of memory, as a day of 20,000 nodes does; between `1m` and `720h`."),
			text("tokens", func(w *web) *value[string] { return &w.tokens },
				"A file with the tokens of those who may act on the pages and in the API, `NAME TOKEN` or `NAME TOKEN read-only` a line. "+
					"It is followed while poold runs. Unless it or `tls.client-ca` is given nobody may, and there is nothing to sign in to."),
			boolean("closed", func(w *web) *value[bool] { return &w.closed },
				"Whether reading needs a token or a certificate as well; all but `/healthz`, `/readyz` and files for clouds is closed then, `/metrics` too."),
			one("tls", func(w *web) *tlsFiles { return &w.tls }, webTLSKeys(),
				"The PEM files of an encrypted web server; without them it speaks plain HTTP."),
			text("image-url", func(w *web) *value[string] { return &w.imageURL },
				"Where clouds reach this web server, such as `http://builder.example.org:8005`, to fetch images from it (`image-upload-method: web-download`). "+
					"An image is served while a cloud is to fetch it, under a path that cannot be guessed; none is unless this is given."),
		},
	}
}

func webTLSKeys() table[tlsFiles] {
	return table[tlsFiles]{
		title: "webapp.tls",
		about: "The files are read anew, at most once a minute, so that certificates can be renewed.",
		fresh: func() tlsFiles { return tlsFiles{} },
		fields: []field[tlsFiles]{
			text("cert", func(t *tlsFiles) *value[string] { return &t.cert },
				"The server's certificate, with those between it and its authority.").needed(),
			text("key", func(t *tlsFiles) *value[string] { return &t.key },
				"The certificate's private key.").needed(),
			text("client-ca", func(t *tlsFiles) *value[string] { return &t.ca },
				"The authority of certificates whose holders may act, under their common names; nobody may by certificate unless it is given."),
		},
	}
}

func tracingKeys() table[tracing] {
	return table[tracing]{
		title: "tracing",
		about: "Off unless this, or OpenTelemetry's own variable `OTEL_EXPORTER_OTLP_ENDPOINT`, says where a collector is. " +
			"Its other variables (headers, certificates, time-outs) are obeyed.",
		fresh: func() tracing { return tracing{} },
		fields: []field[tracing]{
			text("endpoint", func(t *tracing) *value[string] { return &t.endpoint },
				"The address of an OpenTelemetry collector that takes OTLP over HTTP, such as `http://127.0.0.1:4318`."),
		},
	}
}

func statsdKeys() table[statsd] {
	return table[statsd]{
		title: "statsd",
		about: "Off unless this, or nodepool's variables `STATSD_HOST` and `STATSD_PORT`, say where a server is. " +
			"What it is told is listed in [migration.md](migration.md#dashboards).",
		fresh: freshStatsd,
		fields: []field[statsd]{
			text("host", func(s *statsd) *value[string] { return &s.host },
				"The name or address of the server.").needed(),
			integer("port", 1, math.MaxUint16, func(s *statsd) *value[int64] { return &s.port },
				"Its UDP port."),
		},
	}
}

func tenantKeys() table[tenant] {
	return table[tenant]{
		title: "tenant-resource-limits[]",
		about: "Keys that are codes of AWS quotas (`L-` and eight hexadecimal digits) are accepted, and without effect.",
		// nodepool takes any key as the name of a resource; AWS has codes.
		foreign: regexp.MustCompile(`^L-[0-9A-F]{8}$`),
		fresh:   func() tenant { return tenant{caps: freshCaps()} },
		fields: append([]field[tenant]{
			text("tenant-name", func(t *tenant) *value[string] { return &t.name },
				"The tenant that requests name.").needed(),
		}, capKeys(func(t *tenant) *caps { return &t.caps })...),
	}
}

// capKeys are the keys of limits that tenants and pools have in common.
func capKeys[T any](get func(*T) *caps) []field[T] {
	return []field[T]{
		limit("max-servers", func(t *T) *value[int64] { return &get(t).servers }, "How many nodes there may be; `0` allows none."),
		limit("max-cores", func(t *T) *value[int64] { return &get(t).cores }, "How many cores their flavors may have in sum."),
		limit("max-ram", func(t *T) *value[int64] { return &get(t).ram }, "How much RAM their flavors may have in sum, in MiB."),
		limit("max-volumes", func(t *T) *value[int64] { return &get(t).volumes }, "How many volumes they may have."),
		limit("max-volume-gb", func(t *T) *value[int64] { return &get(t).volumeGB }, "How large the volumes may be in sum, in GB."),
	}
}

func labelKeys() table[label] {
	return table[label]{
		title: "labels[]",
		fresh: func() label { return label{} },
		fields: []field[label]{
			text("name", func(l *label) *value[string] { return &l.name },
				"The name that clients ask for.").needed(),
			integer("min-ready", math.MinInt32, math.MaxInt32, func(l *label) *value[int64] { return &l.minReady },
				"How many nodes are kept ready ahead of demand, over the whole system."),
			many("min-ready-schedule", func(l *label) *[]period { return &l.schedule }, periodKeys(),
				"When `min-ready` is another. Of several periods that fit the time the last one counts."),
			integer("min-ready-percent", 0, 1000, func(l *label) *value[int64] { return &l.percent },
				"Keep at least this part of the number of nodes in use ready, too."),
			integer("max-ready", 0, math.MaxInt32, func(l *label) *value[int64] { return &l.maxReady },
				"How many nodes are kept ready at most, whatever `min-ready-percent` and the schedule say; `0` does not limit it."),
			seconds("max-ready-age", 0, func(l *label) *value[time.Duration] { return &l.maxReadyAge },
				"How old a ready node may get before it is replaced; `0` is any age."),
			seconds("max-in-use-age", 0, func(l *label) *value[time.Duration] { return &l.maxInUseAge },
				"How long a node may be in use before it is taken away; `0` is for ever."),
			old[label]("image", "name the image in providers[].pools[].labels[].diskimage"),
			old[label]("providers", "name the label in providers[].pools[].labels"),
			old[label]("subnodes", "clients ask for several nodes in one request"),
			old[label]("ready-script", "put what nodes need into elements of the image"),
		},
	}
}

func periodKeys() table[period] {
	return table[period]{
		title: "labels[].min-ready-schedule[]",
		about: "A part of the day, on some days. If `to` is not later than `from` it ends on the day after.",
		fresh: func() period {
			return period{
				days: preset([]value[string]{preset("mon-sun")}), to: preset(24 * time.Hour), zone: preset(time.UTC),
			}
		},
		fields: []field[period]{
			names("days", func(p *period) *value[[]value[string]] { return &p.days },
				"The days on which it begins: `mon`, `tue`, `wed`, `thu`, `fri`, `sat`, `sun`, and spans such as `mon-fri`."),
			clock("from", func(p *period) *value[time.Duration] { return &p.from },
				"When it begins."),
			clock("to", func(p *period) *value[time.Duration] { return &p.to },
				"When it is over."),
			zone("timezone", func(p *period) *value[*time.Location] { return &p.zone },
				"Where these days and times are told."),
			integer("min-ready", 0, math.MaxInt32, func(p *period) *value[int64] { return &p.minReady },
				"How many nodes are kept ready then.").needed(),
		},
	}
}

func secureKeys() table[secureDocument] {
	return table[secureDocument]{
		title: "The secure file",
		about: "A file of its own for what must not be in the main file; it may be empty.",
		fresh: func() secureDocument { return secureDocument{} },
		fields: []field[secureDocument]{
			one("etcd", func(s *secureDocument) *etcd { return &s.etcd }, secureEtcdKeys(), "The password for etcd."),
			many("diskimages", func(s *secureDocument) *[]secureImage { return &s.images }, secureImageKeys(),
				"Variables for builds."),
			nothing[secureDocument]("zookeeper-servers", "poold keeps its state in etcd"),
			nothing[secureDocument]("zookeeper-tls", "poold keeps its state in etcd"),
		},
	}
}

func secureEtcdKeys() table[etcd] {
	return table[etcd]{
		title: "etcd (secure file)",
		fresh: func() etcd { return etcd{} },
		fields: []field[etcd]{
			secret("password", func(e *etcd) *value[Secret] { return &e.password },
				"The password of `etcd.username`; it replaces the one in the main file."),
		},
	}
}

func secureImageKeys() table[secureImage] {
	return table[secureImage]{
		title: "diskimages[] (secure file)",
		fresh: func() secureImage { return secureImage{} },
		fields: []field[secureImage]{
			text("name", func(s *secureImage) *value[string] { return &s.name },
				"A diskimage of the main file.").needed(),
			entries("env-vars", func(s *secureImage) *value[[]entry] { return &s.env },
				"Variables that are added to those of the diskimage, and replace them, as if they were written there."),
		},
	}
}
