package config

import (
	"math"
	"slices"
	"time"

	"poold/pool"
)

type provider struct {
	place
	name, driver, cloud, region, imageNameFormat value[string]
	postUploadHook                               value[string]
	rateGroup, debug                             value[string]
	concurrency, priority, weight                value[int64]
	rate                                         value[time.Duration]
	bootTimeout, launchTimeout, uploadTimeout    value[time.Duration]
	maxUploads                                   value[int64]
	uploadMethod                                 value[string]
	imageStores                                  value[[]value[string]]
	images                                       []providerImage
	cloudImages                                  []cloudImage
	pools                                        []providerPool
}

type providerImage struct {
	place
	name           value[string]
	paused, canary value[bool]
	meta           value[[]entry]
	configDrive    value[bool]
	connectionType value[string]
	connectionPort value[int64]
}

type cloudImage struct {
	place
	name, id, imageName             value[string]
	configDrive                     value[bool]
	username, pythonPath, shellType value[string]
	connectionType                  value[string]
	connectionPort                  value[int64]
}

type providerPool struct {
	place
	name                            value[string]
	caps                            caps
	ignoreQuota                     value[bool]
	autoFloatingIP, hostKeyChecking value[bool]
	zones, networks, securityGroups value[[]value[string]]
	attributes                      value[[]entry]
	priority, weight                value[int64]
	labels                          []poolLabel
	hosts                           []host
}

type poolLabel struct {
	place
	name, image, cloudImage    value[string]
	flavor, keyName, userdata  value[string]
	publicKey, serverGroup     value[string]
	minRAM, volumeGB, minReady value[int64]
	consoleLog, bootFromVolume value[bool]
	hostKeyChecking            value[bool]
	properties, dynamic, hints value[[]entry]
	networks, tags             value[[]value[string]]

	readyCommand, readyKeyFile, readyConsole value[string]
	readyTimeout                             value[time.Duration]
}

// drivers are those of nodepool; all but the first two are set aside.
func drivers() []string {
	return []string{
		pool.DriverOpenStack, pool.DriverStatic, "metastatic", "aws", "azure", "digitalocean", "fake", "gce", "ibmvpc",
		"kubernetes", "openshift", "openshiftpods",
	}
}

// debugHTTP has the calls to a cloud logged.
const debugHTTP = "http"

func freshProvider() provider {
	return provider{
		driver:          preset(pool.DriverOpenStack),
		imageNameFormat: preset("{image_name}-{timestamp}"),
		concurrency:     preset(int64(-1)),
		priority:        preset(int64(100)),
		rate:            preset(time.Second),
		bootTimeout:     preset(time.Minute),
		launchTimeout:   preset(time.Hour),
		uploadTimeout:   preset(time.Hour),
		maxUploads:      preset(int64(2)),
		uploadMethod:    preset(uploadAuto),
	}
}

func providerKeys() table[provider] {
	return table[provider]{
		title:  "providers[]",
		fresh:  freshProvider,
		aside:  isAside,
		other:  &variant[provider]{table: staticKeys(), is: isStatic},
		fields: append(providerOwnKeys(), providerOldKeys()...),
	}
}

// driverOf is the driver of a provider.
func driverOf(pairs []pair) string {
	for _, p := range pairs {
		if p.key == "driver" && !isNull(p.value.node) {
			return p.value.node.Value
		}
	}
	return pool.DriverOpenStack
}

// isAside reports whether a provider is of another driver than ours.
func isAside(pairs []pair) bool { return driverOf(pairs) != pool.DriverOpenStack }

func isStatic(pairs []pair) bool { return driverOf(pairs) == pool.DriverStatic }

func providerOwnKeys() []field[provider] {
	return []field[provider]{
		text("name", func(p *provider) *value[string] { return &p.name },
			"The name of the provider. Another name is another provider.").needed().even(),
		choice("driver", drivers(), func(p *provider) *value[string] { return &p.driver },
			"The kind of cloud: `openstack`, or `static` for hosts that are there already; others are set aside.").even(),
		text("cloud", func(p *provider) *value[string] { return &p.cloud },
			"The name of the cloud in clouds.yaml.").needed(),
		text("region-name", func(p *provider) *value[string] { return &p.region },
			"The region; that of clouds.yaml unless it is given."),
		interval("rate", func(p *provider) *value[time.Duration] { return &p.rate },
			"The time between two API calls of one service, so `0.1` is ten calls a second; `0` is no limit of ours. "+
				"A cloud that takes less is found out from its refusals."),
		text("rate-group", func(p *provider) *value[string] { return &p.rateGroup },
			"Providers of one group share one limit, the strictest `rate` of them. "+
				"Unless it is given, providers of the same address, project and region in clouds.yaml are a group. "+
				"All peers should have all providers of a group."),
		choice("debug", []string{debugHTTP}, func(p *provider) *value[string] { return &p.debug },
			"`http` logs every call to the cloud and its answer, without what is secret, to be shown to its operators.").silent(),
		seconds("boot-timeout", 1, func(p *provider) *value[time.Duration] { return &p.bootTimeout },
			"How long a node may take from active until its host keys are read."),
		seconds("launch-timeout", 1, func(p *provider) *value[time.Duration] { return &p.launchTimeout },
			"How long a node may take from when the cloud is asked until it is ready."),
		integer("max-concurrency", -1, math.MaxInt32, func(p *provider) *value[int64] { return &p.concurrency },
			"How many nodes may be building at once; `0` and `-1` are any number."),
		integer("priority", math.MinInt32, math.MaxInt32, func(p *provider) *value[int64] { return &p.priority },
			"Lower numbers are preferred."),
		integer("weight", 1, math.MaxInt32, func(p *provider) *value[int64] { return &p.weight },
			"The provider's share of the nodes among those of equal priority. Without any weight they go where there is the most room.").silent(),
		text("image-name-format", func(p *provider) *value[string] { return &p.imageNameFormat },
			"What uploads are called, made of `{image_name}`, `{upload_id}` and `{timestamp}`."),
		seconds("image-upload-timeout", 1, func(p *provider) *value[time.Duration] { return &p.uploadTimeout },
			"How long an upload may take, once its turn has come."),
		text("post-upload-hook", func(p *provider) *value[string] { return &p.postUploadHook },
			"A program that is run on every upload, as `PROGRAM PROVIDER IMAGE-ID FILE`, once its size and checksum are verified and before it serves. "+
				"If it fails so does the upload. After a crash it may run again."),
		integer("max-uploads", 1, math.MaxInt32, func(p *provider) *value[int64] { return &p.maxUploads },
			"How many uploads to this provider run at once."),
		choice("image-upload-method", uploadMethods(), func(p *provider) *value[string] { return &p.uploadMethod },
			"How images get to the cloud: sent to the image (`put`), sent to a place that Glance imports from (`glance-direct`), "+
				"fetched by Glance from this peer (`web-download`), or sent to the object store, in segments, and imported from there by a task "+
				"(`task`), as Rackspace does. `auto` is `put`, `task` where clouds.yaml says `image_api_use_tasks`, "+
				"or with `image-stores` an import where the cloud has one."),
		names("image-stores", func(p *provider) *value[[]value[string]] { return &p.imageStores },
			"The stores of the cloud that images are to be in, before they are used; `all` is every one. The cloud decides if empty."),
		many("diskimages", func(p *provider) *[]providerImage { return &p.images }, providerImageKeys(),
			"The images to upload here; one that is taken off the list is deleted here."),
		many("cloud-images", func(p *provider) *[]cloudImage { return &p.cloudImages }, cloudImageKeys(),
			"The images that are here already."),
		many("pools", func(p *provider) *[]providerPool { return &p.pools }, poolKeys(),
			"Slices of the provider, each with its own limits, networks and labels."),
	}
}

func providerOldKeys() []field[provider] {
	return []field[provider]{
		nothing[provider]("launch-retries", "a launch that failed is not repeated as it was; its demand goes to whichever provider is healthy"),
		nothing[provider]("clean-floating-ips", "floating IPs of our own are always cleaned up, those of others never"),
		nothing[provider]("port-cleanup-interval", "ports of our own are always cleaned up, those of others never"),
		nothing[provider]("nodepool-id", "the installation has an id of its own in etcd"),
		nothing[provider]("api-timeout", "the time-outs of the API are in clouds.yaml"),
		nothing[provider]("ipv6-preferred", "the addresses that clients use are chosen by clouds.yaml"),
		nothing[provider]("image-type", "the format of uploads is image_format in clouds.yaml"),
		nothing[provider]("hostname-format", "the names of servers are not configurable"),
		nothing[provider]("template-hostname", "the names of images are in image-name-format"),
		old[provider]("max-servers", "it belongs in providers[].pools[]"),
		old[provider]("images", "list built images in providers[].diskimages, others in providers[].cloud-images, and flavors in providers[].pools[].labels"),
		old[provider]("networks", "they belong in providers[].pools[]"),
		old[provider]("availability-zones", "they belong in providers[].pools[]"),
		old[provider]("security-groups", "they belong in providers[].pools[]"),
		old[provider]("pool", "say auto-floating-ip in providers[].pools[]"),
	}
}

func freshProviderImage() providerImage {
	return providerImage{connectionType: preset("ssh")}
}

func providerImageKeys() table[providerImage] {
	return table[providerImage]{
		title: "providers[].diskimages[]",
		fresh: freshProviderImage,
		fields: []field[providerImage]{
			text("name", func(i *providerImage) *value[string] { return &i.name },
				"One of `diskimages`, and not an abstract one.").needed(),
			boolean("pause", func(i *providerImage) *value[bool] { return &i.paused },
				"Make no uploads here; builds go on."),
			tristate("canary", func(i *providerImage) *value[bool] { return &i.canary },
				"Whether a new build serves here only once a node made from it was reached; as `diskimages` says, unless it is given."),
			entries("meta", func(i *providerImage) *value[[]entry] { return &i.meta },
				"Properties of the uploads here, added to the `metadata` of the image."),
			tristate("config-drive", func(i *providerImage) *value[bool] { return &i.configDrive },
				"Whether servers get a config drive; the cloud decides unless it is given."),
			text("connection-type", func(i *providerImage) *value[string] { return &i.connectionType },
				"How clients connect: `ssh`, `network_cli` or `winrm`. Host keys are read for the first two."),
			integer("connection-port", 1, math.MaxUint16, func(i *providerImage) *value[int64] { return &i.connectionPort },
				"The port that clients connect to; 22, or 5986 for `winrm`, unless it is given.").silent(),
		},
	}
}

func cloudImageKeys() table[cloudImage] {
	return table[cloudImage]{
		title: "providers[].cloud-images[]",
		about: "At most one of `image-id` and `image-name`; with neither, `name` is the name or id of the image in the cloud.",
		fresh: func() cloudImage {
			return cloudImage{connectionType: preset("ssh"), pythonPath: preset("auto")}
		},
		fields: []field[cloudImage]{
			text("name", func(i *cloudImage) *value[string] { return &i.name },
				"How labels refer to the image.").needed(),
			text("image-id", func(i *cloudImage) *value[string] { return &i.id },
				"The id of the image in the cloud."),
			text("image-name", func(i *cloudImage) *value[string] { return &i.imageName },
				"The name of the image in the cloud."),
			tristate("config-drive", func(i *cloudImage) *value[bool] { return &i.configDrive },
				"Whether servers get a config drive; the cloud decides unless it is given."),
			text("username", func(i *cloudImage) *value[string] { return &i.username },
				"Whom clients log in as."),
			text("python-path", func(i *cloudImage) *value[string] { return &i.pythonPath },
				"Where the node's Python is, for the client."),
			text("shell-type", func(i *cloudImage) *value[string] { return &i.shellType },
				"The kind of the node's shell, for the client."),
			text("connection-type", func(i *cloudImage) *value[string] { return &i.connectionType },
				"How clients connect: `ssh`, `network_cli` or `winrm`. Host keys are read for the first two."),
			integer("connection-port", 1, math.MaxUint16, func(i *cloudImage) *value[int64] { return &i.connectionPort },
				"The port that clients connect to; 22, or 5986 for `winrm`, unless it is given.").silent(),
		},
	}
}

func freshPool() providerPool {
	return providerPool{caps: freshCaps(), autoFloatingIP: preset(true), hostKeyChecking: preset(true)}
}

func poolKeys() table[providerPool] {
	own := slices.Concat([]field[providerPool]{
		text("name", func(p *providerPool) *value[string] { return &p.name },
			"The name of the pool in its provider.").needed(),
		boolean("ignore-provider-quota", func(p *providerPool) *value[bool] { return &p.ignoreQuota },
			"Leave the quota of the cloud out of account."),
		names("availability-zones", func(p *providerPool) *value[[]value[string]] { return &p.zones },
			"The zones to use; all unless it is given. The nodes of a request share one."),
		names("networks", func(p *providerPool) *value[[]value[string]] { return &p.networks },
			"The names or ids of the networks of servers; the cloud's default if empty."),
		names("security-groups", func(p *providerPool) *value[[]value[string]] { return &p.securityGroups },
			"The security groups of servers; the project's default if empty."),
		boolean("auto-floating-ip", func(p *providerPool) *value[bool] { return &p.autoFloatingIP },
			"Give a server a floating IP if it needs one to be reached."),
		boolean("host-key-checking", func(p *providerPool) *value[bool] { return &p.hostKeyChecking },
			"Read the host keys of a node before it is ready; without, an active server is ready."),
	}, sharedPoolKeys(), []field[providerPool]{
		many("labels", func(p *providerPool) *[]poolLabel { return &p.labels }, poolLabelKeys(),
			"The labels that this pool offers, and how it makes their nodes."),
	})
	return table[providerPool]{
		title:  "providers[].pools[]",
		fresh:  freshPool,
		fields: append(own, capKeys(func(p *providerPool) *caps { return &p.caps })...),
	}
}

// sharedPoolKeys are those of pools of every driver.
func sharedPoolKeys() []field[providerPool] {
	return []field[providerPool]{
		entries("node-attributes", func(p *providerPool) *value[[]entry] { return &p.attributes },
			"Attributes that clients see of every node."),
		integer("priority", math.MinInt32, math.MaxInt32, func(p *providerPool) *value[int64] { return &p.priority },
			"Lower numbers are preferred; that of the provider unless it is given.").silent(),
		integer("weight", 1, math.MaxInt32, func(p *providerPool) *value[int64] { return &p.weight },
			"The pool's share among pools of equal priority; that of the provider unless it is given.").silent(),
	}
}

func poolLabelKeys() table[poolLabel] {
	return table[poolLabel]{
		title:  "providers[].pools[].labels[]",
		about:  "Exactly one of `diskimage` and `cloud-image`, at least one of `flavor-name` and `min-ram`, at most one of `key-name` and `public-key`, and at most one of `ready-command` and `ready-console`.",
		fresh:  func() poolLabel { return poolLabel{volumeGB: preset(int64(50))} },
		fields: slices.Concat(poolLabelSources(), poolLabelServers(), poolLabelReady()),
	}
}

// poolLabelSources are what servers are made from.
func poolLabelSources() []field[poolLabel] {
	return []field[poolLabel]{
		text("name", func(l *poolLabel) *value[string] { return &l.name },
			"One of `labels`.").needed(),
		text("diskimage", func(l *poolLabel) *value[string] { return &l.image },
			"One of the provider's `diskimages`."),
		text("cloud-image", func(l *poolLabel) *value[string] { return &l.cloudImage },
			"One of the provider's `cloud-images`."),
		text("flavor-name", func(l *poolLabel) *value[string] { return &l.flavor },
			"The name or id of the flavor; with `min-ram`, a part of the name."),
		integer("min-ram", 0, math.MaxInt32, func(l *poolLabel) *value[int64] { return &l.minRAM },
			"The least RAM in MiB; the smallest flavor that has it is taken."),
		integer("min-ready", 0, math.MaxInt32, func(l *poolLabel) *value[int64] { return &l.minReady },
			"How many nodes are kept ready in this pool. They count towards the `min-ready` of the label."),
	}
}

// poolLabelServers are what servers are like.
func poolLabelServers() []field[poolLabel] {
	return []field[poolLabel]{
		text("key-name", func(l *poolLabel) *value[string] { return &l.keyName },
			"The key pair of servers, which is in the cloud already."),
		text("public-key", func(l *poolLabel) *value[string] { return &l.publicKey },
			"The SSH public key of servers, as in `id_ed25519.pub`. poold makes a key pair of its own of it in the cloud."),
		boolean("console-log", func(l *poolLabel) *value[bool] { return &l.consoleLog },
			"Keep the end of the console of a node that failed."),
		boolean("boot-from-volume", func(l *poolLabel) *value[bool] { return &l.bootFromVolume },
			"Boot from a volume that is made from the image and deleted with the server."),
		integer("volume-size", 1, math.MaxInt32, func(l *poolLabel) *value[int64] { return &l.volumeGB },
			"The size of that volume in GB."),
		entries("instance-properties", func(l *poolLabel) *value[[]entry] { return &l.properties },
			"Metadata of servers."),
		entries("dynamic-instance-properties", func(l *poolLabel) *value[[]entry] { return &l.dynamic },
			"Metadata of servers that names the request they are launched for, which is not always the one that gets them: "+
				"`{request.id}`, `{request.labels}`, `{request.requestor}`, `{request.relative_priority}`, `{request.tenant_name}`, "+
				"`{request.event_id}` and others of its annotations as `{request.annotations.NAME}`. "+
				"Left out of servers that nobody waits for. Servers with different properties are not made by one call."),
		names("tags", func(l *poolLabel) *value[[]value[string]] { return &l.tags },
			"Tags of servers, for clouds whose compute API is 2.52 or newer."),
		text("server-group", func(l *poolLabel) *value[string] { return &l.serverGroup },
			"The name or id of the server group that servers are put in. It must exist."),
		entries("scheduler-hints", func(l *poolLabel) *value[[]entry] { return &l.hints },
			"What else the cloud's scheduler is told, as it is written."),
		text("userdata", func(l *poolLabel) *value[string] { return &l.userdata },
			"User data of servers."),
		names("networks", func(l *poolLabel) *value[[]value[string]] { return &l.networks },
			"The networks of servers, instead of those of the pool."),
		tristate("host-key-checking", func(l *poolLabel) *value[bool] { return &l.hostKeyChecking },
			"As in the pool, for this label alone; as the pool says unless it is given."),
	}
}

// poolLabelReady are what says that a node is ready.
func poolLabelReady() []field[poolLabel] {
	return []field[poolLabel]{
		text("ready-command", func(l *poolLabel) *value[string] { return &l.readyCommand },
			"A command that is run over SSH on a node that is reachable, as the `username` of its image and against the host keys that were read. "+
				"The node is ready if it ends with exit status 0, and failed with any other; "+
				"the end of what it printed is kept then. A connection that is refused or lost is tried again, "+
				"and whoever takes over from a peer that died runs it again: it may run more than once."),
		text("ready-key-file", func(l *poolLabel) *value[string] { return &l.readyKeyFile },
			"The file of the private key that logs in for `ready-command`, without a passphrase; on every peer that launches."),
		text("ready-console", func(l *poolLabel) *value[string] { return &l.readyConsole },
			"A regular expression (RE2); a node is ready once the last 1000 lines of its console match it. "+
				"They are asked for every 5 seconds, which is an API call each. The end of the console is kept if it never does."),
		seconds("ready-timeout", 1, func(l *poolLabel) *value[time.Duration] { return &l.readyTimeout },
			"How long `ready-command` or `ready-console` may take from when the host keys are read, beside the `boot-timeout` of the provider and within its `launch-timeout`. "+
				"Without it, both together have the `boot-timeout`.").silent(),
	}
}
