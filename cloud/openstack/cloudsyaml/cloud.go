package cloudsyaml

import (
	"fmt"
	"reflect"
	"time"
)

// Secret is a text that prints as <secret>.
type Secret string

// Reveal returns the text.
func (s Secret) Reveal() string { return string(s) }

// Format keeps every verb from printing it.
func (s Secret) Format(f fmt.State, _ rune) {
	if s != "" {
		_, _ = f.Write([]byte("<secret>")) // a formatter has nobody to tell
	}
}

// MarshalText keeps encoders from writing it.
func (s Secret) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%s", s), nil }

// Service is a part of OpenStack, by its official type.
type Service string

// The services that poold calls.
const (
	Identity     Service = "identity"
	Compute      Service = "compute"
	Image        Service = "image"
	Network      Service = "network"
	BlockStorage Service = "block-storage"
	ObjectStore  Service = "object-store"
)

// Services lists them.
func Services() []Service {
	return []Service{Identity, Compute, Image, Network, BlockStorage, ObjectStore}
}

// Cloud is one region of one cloud, resolved and checked. It is not changed
// once it was loaded.
type Cloud struct {
	Name, Region string
	// At is where the cloud is written.
	At   Place
	Auth Auth
	// Service says what is set for each of [Services].
	Service map[Service]ServiceSettings

	// Insecure says that the cloud's certificate is not verified.
	Insecure bool
	// CACert, Cert and Key are paths, with ~ expanded. Cert without Key has
	// the key in the same file.
	CACert, Cert, Key string
	// Timeout bounds a call; 0 says that clouds.yaml does not.
	Timeout time.Duration

	// ImageFormat is what uploads must have, in lower case.
	ImageFormat string
	// ImageByTask says that images can only be made by a task of glance.
	ImageByTask bool
	// FloatingIPs says whether the cloud has floating IPs, and whose.
	FloatingIPs FloatingIPSource
	// NeedsFloatingIP says whether servers need one to be reached; nil leaves
	// it to be found out.
	NeedsFloatingIP *bool
	// ForceIPv4 says that IPv6 addresses are of no use.
	ForceIPv4 bool
	// Private says that servers are reached by their private addresses.
	Private bool
	// Networks are those that clouds.yaml says something about.
	Networks []NetworkSettings

	// Notes are what a human should change some day, at a place each.
	Notes []*Problem
}

// Same tells whether two readings say the same, wherever it is written.
func (c *Cloud) Same(o *Cloud) bool {
	a, b := *c, *o
	for _, x := range []*Cloud{&a, &b} {
		x.At, x.Auth.At, x.Notes = Place{}, Place{}, nil
	}
	return reflect.DeepEqual(a, b)
}

// FloatingIPSource says who has floating IPs.
type FloatingIPSource string

// The sources of floating IPs.
const (
	FloatingByNeutron FloatingIPSource = "neutron"
	FloatingByNova    FloatingIPSource = "nova"
	FloatingNone      FloatingIPSource = "none"
)

// ServiceSettings is what clouds.yaml says about a service.
type ServiceSettings struct {
	// Endpoint replaces that of the catalog; "" does not.
	Endpoint string
	// Interface is "public", "internal" or "admin".
	Interface string
	// Region is in which region of the catalog to look.
	Region string
	// Type and Name choose among the catalog's entries; "" takes the usual.
	Type, Name string
	// APIVersion is what is written, for information.
	APIVersion string
	// Absent says that the cloud is to be taken for one without the service.
	Absent bool
}

// NetworkSettings is what clouds.yaml says about a network.
type NetworkSettings struct {
	// Name is a name or an id.
	Name string
	// RoutesIPv4 and RoutesIPv6 say whether its addresses can be reached from
	// everywhere. A network that is listed without a word on it is internal.
	RoutesIPv4, RoutesIPv6 bool
	// NATDestination is where floating IPs lead, NATSource where they come
	// from, Default whose addresses come first.
	NATDestination, NATSource, Default bool
}

// Method is how to prove who one is.
type Method string

// The methods.
const (
	ByPassword   Method = "password"
	ByToken      Method = "token"
	ByCredential Method = "application credential"
	ByPasscode   Method = "totp"
	// ByBoth is a password and a passcode.
	ByBoth Method = "multifactor"
)

// Version is that of the identity API.
type Version int

// The versions.
const (
	// AskVersion says that the address does not tell, nor what is sent: the
	// cloud must be asked. Of what it offers, 2 is taken before 3 if no domain
	// is said at all, as openstacksdk does.
	AskVersion Version = 0
	Version2   Version = 2
	Version3   Version = 3
)

// Auth is how to log in. What the method does not need is empty.
type Auth struct {
	Method  Method
	Version Version
	// URL ends in the version, unless that must be asked for.
	URL string
	// At is where the address is written.
	At Place

	Username, UserID             string
	UserDomainID, UserDomainName string
	Password, Passcode, Token    Secret
	CredentialID, CredentialName string
	CredentialSecret             Secret

	// The scope is a project, a domain, a trust or the system.
	ProjectID, ProjectName             string
	ProjectDomainID, ProjectDomainName string
	DomainID, DomainName               string
	TrustID                            string
	System                             bool
}

// Load reads the files of the usual or other places and returns a cloud; ""
// takes the default cloud and region. Its errors are *Problem, several of them
// joined.
func Load(p Places, name, wantRegion string) (*Cloud, error) {
	f, err := p.find()
	if err != nil {
		return nil, err
	}
	return f.load(&p, name, wantRegion)
}

// load returns a cloud of the files.
func (f *files) load(p *Places, name, wantRegion string) (*Cloud, error) {
	d, err := f.read(p)
	if err != nil {
		return nil, err
	}
	name, entry, err := d.pick(name)
	if err != nil {
		return nil, err
	}
	if wantRegion == "" {
		wantRegion = p.env("OS_REGION_NAME")
	}
	r := &reader{home: p.env("HOME"), name: name}
	if err := r.resolve(d, entry, wantRegion); err != nil {
		return nil, err
	}
	return r.read(d, p)
}
