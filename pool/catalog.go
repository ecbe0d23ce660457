package pool

import (
	"net"
	"slices"
	"strconv"
	"time"
)

// Catalog is what the configuration says can be had: labels, images and
// providers, resolved (parents merged, defaults filled in) and checked. It is
// immutable once made.
type Catalog struct {
	Labels    []Label
	Images    []Image
	Providers []Provider
	Tenants   []TenantLimit
	// MaxHoldAge caps every hold; zero does not.
	MaxHoldAge time.Duration
}

// Label is the name of a kind of node that clients ask for.
type Label struct {
	Name string
	// MinReady is how many nodes are kept ready ahead of demand, over the
	// whole system. See [Label.Floor].
	MinReady int
	// ReadyPercent keeps as many besides as are that part of those in use, if
	// it is more than MinReady; MaxReady bounds that, zero does not.
	ReadyPercent, MaxReady int
	// Schedule says when MinReady is another; the last period that fits the
	// time counts.
	Schedule []Period
	// MaxReadyAge is how old a ready node may get, MaxInUseAge how long one
	// may be in use; zero is for ever.
	MaxReadyAge, MaxInUseAge time.Duration
}

// Floor is how many nodes are kept ready at a time when so many are in use.
func (l *Label) Floor(now time.Time, inUse int) int {
	floor := l.MinReady
	for i := range l.Schedule {
		if l.Schedule[i].Contains(now) {
			floor = l.Schedule[i].MinReady
		}
	}
	floor = max(floor, (inUse*l.ReadyPercent+99)/100)
	if l.MaxReady > 0 {
		floor = min(floor, l.MaxReady)
	}
	return floor
}

// Period is a part of the day, on some days of the week, in one time zone.
type Period struct {
	Days []time.Weekday
	// From and To are times of the day; if To is not later than From the
	// period ends on the day after.
	From, To time.Duration
	// Location is where the days and times are told.
	Location *time.Location `json:"-"`
	// MinReady is the label's during the period.
	MinReady int
}

// Contains tells whether a time is in the period. The time of the day is what
// the clocks there show, also on a day that they are changed.
func (p *Period) Contains(now time.Time) bool {
	local := now.In(p.Location)
	clock := time.Duration(local.Hour())*time.Hour + time.Duration(local.Minute())*time.Minute
	today, yesterday := local.Weekday(), (local.Weekday()+6)%7
	if p.To > p.From {
		return clock >= p.From && clock < p.To && slices.Contains(p.Days, today)
	}
	return clock >= p.From && slices.Contains(p.Days, today) || clock < p.To && slices.Contains(p.Days, yesterday)
}

// TenantLimit bounds what the requests of one tenant may use at a time.
type TenantLimit struct {
	Tenant string
	Limits Limits
}

// Provider is one cloud account and region.
type Provider struct {
	Name string
	// Driver is "openstack" unless the configuration says otherwise.
	Driver string
	// Cloud is the name in clouds.yaml, Region the region within it.
	Cloud, Region string
	// Rate is the time between two API calls of one service; zero is no
	// limit.
	Rate time.Duration
	// RateGroup is what shares its rate with others of that name; empty is what
	// the cloud suggests.
	RateGroup string
	// BootTimeout bounds the time from active to reachable, LaunchTimeout the
	// time from the request to the cloud until ready.
	BootTimeout, LaunchTimeout time.Duration
	// MaxConcurrency is how many nodes may be building at once; zero or less
	// is any number.
	MaxConcurrency int
	// Priority orders providers, lower first. Weight is the provider's share
	// among those of equal priority; zero is 1 if another has one.
	Priority, Weight int
	// ImageNameFormat names uploads: {image_name}, {upload_id}, {timestamp}.
	ImageNameFormat    string
	ImageUploadTimeout time.Duration
	// PostUploadHook is a program that is run on every upload, as
	// PROGRAM PROVIDER IMAGE-ID FILE, before it serves; empty is none.
	PostUploadHook string
	// UploadMethod is how images get to the cloud; empty leaves it to poold.
	// ImageStores are where they are kept there; "all" is every place it has.
	UploadMethod string
	ImageStores  []string
	// MaxUploads is how many uploads run at once; zero or less is one.
	MaxUploads  int
	Images      []ProviderImage
	CloudImages []CloudImage
	Pools       []Pool
}

// The drivers.
const (
	DriverOpenStack = "openstack"
	// DriverStatic lends hosts that are there already.
	DriverStatic = "static"
)

// Static tells whether the provider's nodes are slots of hosts that are there
// already.
func (p *Provider) Static() bool { return p.Driver == DriverStatic }

// ProviderImage says that an image is uploaded to a provider, and how.
type ProviderImage struct {
	Name string
	// Paused stops uploads, not builds.
	Paused bool
	// Canary has an upload serve only once a node made from it was reached.
	Canary bool
	// Properties are set on the uploaded image.
	Properties map[string]string
	// ConfigDrive asks for, refuses or (nil) leaves to the cloud a config
	// drive for servers made from the image.
	ConfigDrive *bool
	Connection  Connection
}

// CloudImage is an image that is in the cloud already.
type CloudImage struct {
	// Name is how labels refer to it.
	Name string
	// ID is the image's id if the configuration gives one; else ImageName is
	// looked up.
	ID, ImageName string
	ConfigDrive   *bool
	Connection    Connection
}

// Pool is a slice of a provider: its own limits, networks and labels.
type Pool struct {
	Name   string
	Limits Limits
	// IgnoreProviderQuota leaves the cloud's quota out of account.
	IgnoreProviderQuota bool
	// AZs are the availability zones to use; empty leaves it to the cloud.
	AZs            []string
	SecurityGroups []string
	AutoFloatingIP bool
	Attributes     map[string]string
	// Priority orders pools, lower first; Weight is the pool's share among
	// equals. Zero is as the provider says.
	Priority, Weight int
	Labels           []LabelSpec
	// Hosts are what a pool of a static provider has instead of a cloud.
	Hosts []Host `json:",omitempty"`
}

// Host is a machine that is there already. Its slots are lent as nodes.
type Host struct {
	// Name is what it is reached by: a name or an address.
	Name string
	// Labels are what each of its slots can be a node of.
	Labels []string
	// Slots is how many nodes there may be on it at once.
	Slots int
	// HostKeys are those that it must show, each as "type base64"; it may have
	// others besides. Empty takes any.
	HostKeys []string
	// Checking has the host looked at before it is lent; without, it is taken
	// to be there.
	Checking bool
	// Timeout bounds one look at it.
	Timeout    time.Duration
	Connection Connection
}

// ID names a host among all: a machine may be there twice, for two users or at
// two ports. It is the zone of the host's nodes.
func (h *Host) ID() string {
	return h.Connection.Username + "@" + net.JoinHostPort(h.Name, strconv.Itoa(h.Connection.Port))
}

// Host returns the host of that id, or nil.
func (p *Pool) Host(id string) *Host {
	for i := range p.Hosts {
		if p.Hosts[i].ID() == id {
			return &p.Hosts[i]
		}
	}
	return nil
}

// Slots is how many of the pool's slots are kept ready as nodes of a label.
// Each slot of a host has one of its labels in turn, so that every slot stands
// ready for something.
func (p *Pool) Slots(label string) int {
	n := 0
	for i := range p.Hosts {
		h := &p.Hosts[i]
		for k := range h.Slots {
			if h.Labels[k%len(h.Labels)] == label {
				n++
			}
		}
	}
	return n
}

// LabelSpec is how a pool makes nodes of a label.
type LabelSpec struct {
	Name string
	// MinReady is how many nodes are kept ready in this pool, which count
	// towards the label's.
	MinReady int
	// DiskImage or CloudImage names the image; exactly one is set.
	DiskImage, CloudImage string
	// FlavorName is a flavor's name or id; with MinRAMMiB it is a part of the
	// name. See [Quota.Flavor].
	FlavorName string
	MinRAMMiB  int64
	// KeyName is a key pair that is in the cloud already, PublicKey one that
	// poold brings there; at most one is set.
	KeyName, PublicKey string
	// ConsoleLog keeps the tail of the console of a node that failed.
	ConsoleLog     bool
	BootFromVolume bool
	VolumeGB       int64
	// Properties are set as metadata of the server.
	Properties map[string]string
	// DynamicProperties are such metadata that name the request that a server
	// is launched for, see [ExpandRequest].
	DynamicProperties map[string]string
	UserData          string
	// Tags are set on the server, which not every cloud can do.
	Tags []string
	// ServerGroup is the name or id of a server group; SchedulerHints is what
	// else nova's scheduler is told.
	ServerGroup    string
	SchedulerHints map[string]string
	// Networks are the label's own or else those of the pool.
	Networks []string
	// HostKeyChecking reads the host keys; without it an active node is
	// ready.
	HostKeyChecking bool
	// ReadyCommand is run on a node that is reachable, logged in with the
	// private key in ReadyKeyFile; exit status 0 says that it is ready.
	ReadyCommand, ReadyKeyFile string
	// ReadyConsole is a regular expression that the console of a node that is
	// ready matches. At most one of it and ReadyCommand is set.
	ReadyConsole string
	// ReadyTimeout bounds the time from reachable to ready; zero is what is
	// left of the provider's BootTimeout.
	ReadyTimeout time.Duration
}

// Image is a recipe that poold builds itself.
type Image struct {
	Name string
	// Elements are passed to the build command, in order.
	Elements []string
	// Env is added to the environment of the build command.
	Env map[string]string
	// Formats are what to build: those asked for here and those the providers
	// need.
	Formats []string
	// RebuildAge is how old the newest ready build may get; zero is for ever.
	RebuildAge   time.Duration
	BuildTimeout time.Duration
	Release      string
	// Command is the build program with its leading arguments;
	// disk-image-create by default.
	Command []string
	// URL is where the image is downloaded from, instead of being built;
	// Checksum is "ALGORITHM:HEX", the URL of a file of sums, or "".
	URL, Checksum string
	// SnapshotOf is the server or image that it is taken from instead, or nil.
	SnapshotOf *SnapshotOf
	// Paused stops builds.
	Paused bool
	// Canary is that of the providers that do not say.
	Canary bool
	// Properties are the base of the properties of every upload.
	Properties map[string]string
	Username   string
	PythonPath string
	ShellType  string
}

// SnapshotOf is a server or an image in a cloud, by name or id; one of both.
type SnapshotOf struct {
	Provider, Server, Image string
}

// Provider returns the provider of that name, or nil.
func (c *Catalog) Provider(name string) *Provider {
	for i := range c.Providers {
		if c.Providers[i].Name == name {
			return &c.Providers[i]
		}
	}
	return nil
}

// Label returns the label of that name, or nil.
func (c *Catalog) Label(name string) *Label {
	for i := range c.Labels {
		if c.Labels[i].Name == name {
			return &c.Labels[i]
		}
	}
	return nil
}

// Image returns the image of that name, or nil.
func (c *Catalog) Image(name string) *Image {
	for i := range c.Images {
		if c.Images[i].Name == name {
			return &c.Images[i]
		}
	}
	return nil
}

// Pool returns the pool of that name, or nil.
func (p *Provider) Pool(name string) *Pool {
	for i := range p.Pools {
		if p.Pools[i].Name == name {
			return &p.Pools[i]
		}
	}
	return nil
}

// Label returns how the pool makes nodes of a label, or nil if it does not.
func (p *Pool) Label(name string) *LabelSpec {
	for i := range p.Labels {
		if p.Labels[i].Name == name {
			return &p.Labels[i]
		}
	}
	return nil
}
