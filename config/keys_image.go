package config

import (
	"time"

	"poold/pool"
)

// diskimage is a recipe, before its parents are merged into it.
type diskimage struct {
	place
	name, parent, release, command  value[string]
	url, checksum                   value[string]
	snapshot                        snapshot
	username, pythonPath, shellType value[string]
	abstract, paused, canary        value[bool]
	deleteAfterUpload               value[bool]
	elements, formats, keepFormats  value[[]value[string]]
	env, metadata                   value[[]entry]
	rebuildAge, buildTimeout        value[time.Duration]
}

// snapshot is what an image is taken from.
type snapshot struct {
	place
	provider, server, image value[string]
}

// given reports whether the image is taken from somewhere.
func (s *snapshot) given() bool { return s.at.src != nil }

func snapshotKeys() table[snapshot] {
	return table[snapshot]{
		title: "diskimages[].snapshot-of",
		about: "One of `server` and `image`.",
		fresh: func() snapshot { return snapshot{} },
		fields: []field[snapshot]{
			text("provider", func(s *snapshot) *value[string] { return &s.provider },
				"The provider that has it.").needed(),
			text("server", func(s *snapshot) *value[string] { return &s.server },
				"The name or id of a server there, whose disk is no volume. A snapshot is made of it, and deleted when it is here."),
			text("image", func(s *snapshot) *value[string] { return &s.image },
				"The name or id of an image there."),
		},
	}
}

func freshDiskimage() diskimage {
	return diskimage{
		command:      preset(pool.DefaultBuilder),
		username:     preset("zuul"),
		pythonPath:   preset("auto"),
		rebuildAge:   preset(24 * time.Hour),
		buildTimeout: preset(8 * time.Hour),
	}
}

func diskimageKeys() table[diskimage] {
	return table[diskimage]{
		title: "diskimages[]",
		about: "What an image does not say itself it has from its `parent`, and so on up the chain; " +
			"what it says itself wins, also if that is `false`, `0` or empty. " +
			"`elements` are appended to those of the parent, `env-vars` are added to them; " +
			"`abstract` and `metadata` are not handed down.",
		fresh: freshDiskimage,
		fields: []field[diskimage]{
			text("name", func(d *diskimage) *value[string] { return &d.name },
				"The name of the image.").needed(),
			boolean("abstract", func(d *diskimage) *value[bool] { return &d.abstract },
				"The image is only a parent, and never built."),
			text("parent", func(d *diskimage) *value[string] { return &d.parent },
				"The image that this one is derived from."),
			names("elements", func(d *diskimage) *value[[]value[string]] { return &d.elements },
				"The elements to build from, in order."),
			entries("env-vars", func(d *diskimage) *value[[]entry] { return &d.env },
				"Variables in the environment of the build."),
			names("formats", func(d *diskimage) *value[[]value[string]] { return &d.formats },
				"The formats to build besides those that the providers need."),
			boolean("delete-after-upload", func(d *diskimage) *value[bool] { return &d.deleteAfterUpload },
				"Delete the file of a format once every provider that takes it has the build ready, to save room. A provider that is added "+
					"or loses its upload later has to wait for the next build."),
			names("keep-formats", func(d *diskimage) *value[[]value[string]] { return &d.keepFormats },
				"The formats whose files stay all the same."),
			seconds("rebuild-age", 1, func(d *diskimage) *value[time.Duration] { return &d.rebuildAge },
				"How old the newest build may get before the next is made."),
			seconds("build-timeout", 1, func(d *diskimage) *value[time.Duration] { return &d.buildTimeout },
				"How long a build may take."),
			written("release", func(d *diskimage) *value[string] { return &d.release },
				"The release of the distribution (`DIB_RELEASE`)."),
			text("dib-cmd", func(d *diskimage) *value[string] { return &d.command },
				"The command that builds, with its first arguments, separated by spaces."),
			text("url", func(d *diskimage) *value[string] { return &d.url },
				"Where the image is downloaded from, instead of being built: `http`, `https` or `file`. It may be packed "+
					"with xz, gzip, zstd or bzip2. After `rebuild-age` it is downloaded again if it has changed."),
			text("checksum", func(d *diskimage) *value[string] { return &d.checksum },
				"What `url` leads to: `sha512:HEX`, `sha256:HEX` or `md5:HEX`, or the URL of a file of such sums, "+
					"as `SHA256SUMS`, which is read before each download."),
			one("snapshot-of", func(d *diskimage) *snapshot { return &d.snapshot }, snapshotKeys(),
				"The server or the image in a cloud that the image is taken from, instead of being built: once, unless "+
					"`rebuild-age` is given. It is not handed down."),
			boolean("pause", func(d *diskimage) *value[bool] { return &d.paused },
				"Make no builds."),
			boolean("canary", func(d *diskimage) *value[bool] { return &d.canary },
				"In providers that do not say, a new build serves only once a node made from it was reached; "+
					"until then, and if that fails, the one before does.").silent(),
			text("username", func(d *diskimage) *value[string] { return &d.username },
				"Whom clients log in as."),
			text("python-path", func(d *diskimage) *value[string] { return &d.pythonPath },
				"Where the node's Python is, for the client."),
			text("shell-type", func(d *diskimage) *value[string] { return &d.shellType },
				"The kind of the node's shell, for the client."),
			entries("metadata", func(d *diskimage) *value[[]entry] { return &d.metadata },
				"Properties of every upload of the image."),
		},
	}
}
