package config

import (
	"time"

	"poold/pool"
)

// Config is one configuration, resolved and checked. It is immutable once
// made.
type Config struct {
	// Catalog is what can be had, and where.
	Catalog pool.Catalog
	Etcd    Etcd
	// Roles are the parts that this peer plays; never empty.
	Roles []pool.Role
	// Name is the peer's name; empty leaves it to the daemon.
	Name    string
	Web     Web
	Builder BuilderDirs
	Uploads Uploads
	// Tracing is the address of the collector that is told of traces; empty leaves
	// it to the environment.
	Tracing string
	Statsd  Statsd
}

// Etcd says how to reach etcd. At most one of Endpoints and Embedded is set;
// with neither, the configuration does not say.
type Etcd struct {
	// Endpoints are URLs or host:port pairs.
	Endpoints []string
	// Prefix begins every key; it starts with a slash and ends without one.
	Prefix   string
	Username string
	Password Secret
	TLS      TLS
	// Embedded is the data directory of an etcd inside poold.
	Embedded string
	// LeaseTTL is how long a peer that fell silent keeps what it owns.
	LeaseTTL time.Duration
}

// TLS names the PEM files of a connection. CA is the authority of the other
// side. Cert and Key are both set or both empty.
type TLS struct {
	CA, Cert, Key string
}

// Web says where the web server listens.
type Web struct {
	// Port is the TCP port; zero picks a free one.
	Port          int
	ListenAddress string
	// ImageURL is where clouds reach it to fetch images; empty is nowhere.
	ImageURL string
	// AuditLog is the file that keeps what humans did; empty keeps nothing.
	AuditLog string
	// EventAge is how long events are remembered.
	EventAge time.Duration
	// Tokens is the file with the tokens of who may act; empty is nobody.
	Tokens string
	// Closed says that reading needs a token or certificate, too.
	Closed bool
	// TLS encrypts what is served, unless it is empty.
	TLS TLS
}

// Statsd says where a statsd server is; an empty host leaves it to the environment.
type Statsd struct {
	Host string
	Port int
}

// Uploads bounds what one peer uploads, to all providers together; zero values
// are no bounds.
type Uploads struct {
	Max            int
	BytesPerSecond int64
}

// BuilderDirs are the folders of the builder.
type BuilderDirs struct {
	// ElementsDir is the ELEMENTS_PATH of a build; empty sets none.
	ElementsDir string
	// ImagesDir is where artifacts are kept; empty if the file does not say.
	ImagesDir string
	LogDir    string
	// LogRetention is how many build logs of an image are kept; -1 keeps all.
	LogRetention int
	// MaxBuilds is how many builds run at once.
	MaxBuilds int
}
