package openstack

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"poold/cloud"
	"poold/cloud/openstack/cloudsyaml"
)

var (
	_ cloud.Driver      = (*Driver)(nil)
	_ cloud.Console     = (*Driver)(nil)
	_ cloud.KeyPairer   = (*Driver)(nil)
	_ cloud.Addresser   = (*Driver)(nil)
	_ cloud.Exposer     = (*Driver)(nil)
	_ cloud.Sweeper     = (*Driver)(nil)
	_ cloud.Cleaner     = (*Driver)(nil)
	_ cloud.ImageDriver = (*Driver)(nil)
	_ cloud.Surveyor    = (*Driver)(nil)

	_ cloud.ImageImporter = (*Driver)(nil)
	_ cloud.ObjectStore   = (*Driver)(nil)
	_ cloud.ImageTasker   = (*Driver)(nil)
)

// Config says which cloud to drive, and how.
type Config struct {
	// Cloud is the name in clouds.yaml, Region one of its regions; an empty
	// Region takes the only one.
	Cloud, Region string
	// Installation is the id that marks what is ours.
	Installation string
	// Version is poold's, for the cloud's logs.
	Version string
	// Trace has every call logged, without secrets.
	Trace bool
	// Gate stands in front of every call.
	Gate cloud.Gate
	// Log may be nil for no log.
	Log *zap.Logger
}

// Driver drives one region of one cloud.
type Driver struct {
	installation string
	now          atomic.Pointer[access]
	// What follows is for reading clouds.yaml again.
	config  Config
	places  cloudsyaml.Places
	reading reading
	// imageFormat is that of the first reading.
	imageFormat string
	memory      memory
	shown       shown
	ports       portLookup
	floats      floats
	// six tells whether this machine reaches IPv6 addresses.
	six func() bool
	// looks counts the looks at the facts; doubted is how many there were when
	// nova last refused a create.
	looks, doubted atomic.Int64
	log            *zap.Logger
	// plainQuota says that neutron tells limits without their use; volumes are
	// cinder's limits as last heard.
	plainQuota atomic.Bool
	volumes    atomic.Pointer[absolute]
}

// access is how the cloud is reached, by one reading of clouds.yaml. Whoever
// makes a call takes it once.
type access struct {
	settings *settings
	keystone *keystone
	client   *http.Client
	base     *http.Transport
}

// Open reads clouds.yaml and returns a driver. It makes no call. Its errors
// are about the configuration, with file and line.
func Open(c Config) (*Driver, error) {
	c.Log = cmp.Or(c.Log, zap.NewNop())
	places := cloudsyaml.Usual()
	// Taken before the reading: what changes meanwhile is read again.
	before := places.Print()
	s, err := load(places, c.Cloud, c.Region)
	if err != nil {
		return nil, err
	}
	a, err := newAccess(s, c)
	if err != nil {
		return nil, err
	}
	s.note(c.Log)
	d := &Driver{
		installation: c.Installation, log: c.Log, config: c, places: places, imageFormat: s.ImageFormat,
		reading: reading{done: fingerprint{before, s.tls}}, six: sync.OnceValue(reachesIPv6),
		ports: portLookup{turn: make(chan struct{}, 1)},
	}
	d.now.Store(a)
	d.doubted.Store(-refreshEvery) // nothing speaks against anything yet
	return d, nil
}

// agent names who calls, for the logs of a cloud.
func (c *Config) agent() string {
	return fmt.Sprintf("poold/%s (installation %s)", cmp.Or(c.Version, "devel"), c.Installation)
}

func newAccess(s *settings, c Config) (*access, error) {
	base, err := newTransport(s)
	if err != nil {
		return nil, err
	}
	out := &transport{base: base, gate: c.Gate, agent: c.agent()}
	if c.Trace {
		out.trace = &trace{log: c.Log.Named("http")}
	}
	client := &http.Client{
		Transport: out,
		// A redirect would be a second call, which the gate has not seen.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return &access{settings: s, client: client, base: base, keystone: &keystone{settings: s, client: client, log: c.Log}}, nil
}

// access returns how the cloud is reached now.
func (d *Driver) access() *access { return d.now.Load() }

// Close forgets the token and closes idle connections. Calls under way end as
// they would have.
func (d *Driver) Close() { d.access().close() }

func (a *access) close() {
	a.keystone.close()
	a.base.CloseIdleConnections()
}

// The bounds of a connection. A provider has a few dozen calls in flight at
// most; a connection that is opened for each costs more than the call.
const (
	dialTimeout    = 10 * time.Second
	idleTimeout    = 90 * time.Second
	idlePerHost    = 64
	writeBufferLen = 64 << 10
)

func newTransport(s *settings) (*http.Transport, error) {
	trust, err := s.tlsConfig()
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dialer.DialContext,
		TLSClientConfig:     trust,
		TLSHandshakeTimeout: dialTimeout,
		MaxIdleConnsPerHost: idlePerHost,
		IdleConnTimeout:     idleTimeout,
		WriteBufferSize:     writeBufferLen,

		MaxResponseHeaderBytes: maxHeaders,
	}, nil
}

func (s *settings) tlsConfig() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.Insecure {
		c.InsecureSkipVerify = true
	}
	if s.CACert != "" && !s.Insecure {
		pem, err := os.ReadFile(s.CACert)
		if err != nil {
			return nil, fmt.Errorf("%s: cloud %s: read cacert: %w", s.At, s.Name, err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s: cloud %s: cacert %s: no certificate in it", s.At, s.Name, s.CACert)
		}
	}
	if s.Cert != "" {
		pair, err := tls.LoadX509KeyPair(s.Cert, cmp.Or(s.Key, s.Cert))
		if err != nil {
			return nil, fmt.Errorf("%s: cloud %s: read cert and key: %w", s.At, s.Name, err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
