package pool

import (
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"
)

// Catalog is what the configuration says can be had: labels, images and
// providers, resolved (parents merged, defaults filled in) and checked. It is
// immutable once made.
type Catalog struct {
	Labels    []Label       `json:"labels,omitzero"`
	Images    []Image       `json:"images,omitzero"`
	Providers []Provider    `json:"providers,omitzero"`
	Tenants   []TenantLimit `json:"tenants,omitzero"`
	// MaxHoldAge caps every hold; zero does not.
	MaxHoldAge time.Duration `json:"max_hold_age,omitzero"`
	// Partial is why there may be more than this, of which nothing is known; ""
	// if there is not.
	Partial string `json:"-"`
}

// Label is the name of a kind of node that clients ask for.
type Label struct {
	Name string `json:"name,omitzero"`
	// MinReady is how many nodes are kept ready ahead of demand, over the
	// whole system. See [Label.Floor].
	MinReady int `json:"min_ready,omitzero"`
	// ReadyPercent keeps as many besides as are that part of those in use, if
	// it is more than MinReady; MaxReady bounds that, zero does not.
	ReadyPercent int `json:"ready_percent,omitzero"`
	MaxReady     int `json:"max_ready,omitzero"`
	// Schedule says when MinReady is another; the last period that fits the
	// time counts.
	Schedule []Period `json:"schedule,omitzero"`
	// MaxReadyAge is how old a ready node may get, MaxInUseAge how long one
	// may be in use; zero is for ever.
	MaxReadyAge time.Duration `json:"max_ready_age,omitzero"`
	MaxInUseAge time.Duration `json:"max_in_use_age,omitzero"`
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
	From time.Duration
	To   time.Duration
	// Location is where the days and times are told.
	Location *time.Location
	// MinReady is the label's during the period.
	MinReady int
}

// period is a Period as it is stored: a location by its name.
type period struct {
	Days     []time.Weekday `json:"days"`
	From     time.Duration  `json:"from"`
	To       time.Duration  `json:"to"`
	Location string         `json:"location"`
	MinReady int            `json:"min_ready"`
}

// MarshalJSON writes the location by its name.
func (p *Period) MarshalJSON() ([]byte, error) {
	text, err := json.Marshal(period{p.Days, p.From, p.To, p.Location.String(), p.MinReady})
	if err != nil {
		return nil, fmt.Errorf("encode a period: %w", err)
	}
	return text, nil
}

// UnmarshalJSON finds the location by its name.
func (p *Period) UnmarshalJSON(text []byte) error {
	var stored period
	if err := json.Unmarshal(text, &stored); err != nil {
		return fmt.Errorf("decode a period: %w", err)
	}
	location, err := time.LoadLocation(stored.Location)
	if err != nil {
		return fmt.Errorf("decode a period: %w", err)
	}
	*p = Period{stored.Days, stored.From, stored.To, location, stored.MinReady}
	return nil
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
	Tenant string `json:"tenant,omitzero"`
	Limits Limits `json:"limits,omitzero"`
}

// Provider is one cloud account and region.
type Provider struct {
	Name string `json:"name,omitzero"`
	// Driver is "openstack" unless the configuration says otherwise.
	Driver string `json:"driver,omitzero"`
	// Cloud is the name in clouds.yaml, Region the region within it.
	Cloud  string `json:"cloud,omitzero"`
	Region string `json:"region,omitzero"`
	// Rate is the time between two API calls of one service; zero is no
	// limit.
	Rate time.Duration `json:"rate,omitzero"`
	// RateGroup is what shares its rate with others of that name; empty is what
	// the cloud suggests.
	RateGroup string `json:"rate_group,omitzero"`
	// BootTimeout bounds the time from active to reachable, LaunchTimeout the
	// time from the request to the cloud until ready.
	BootTimeout   time.Duration `json:"boot_timeout,omitzero"`
	LaunchTimeout time.Duration `json:"launch_timeout,omitzero"`
	// MaxConcurrency is how many nodes may be building at once; zero or less
	// is any number.
	MaxConcurrency int `json:"max_concurrency,omitzero"`
	// Priority orders providers, lower first. Weight is the provider's share
	// among those of equal priority; zero is 1 if another has one.
	Priority int `json:"priority,omitzero"`
	Weight   int `json:"weight,omitzero"`
	// ImageNameFormat names uploads: {image_name}, {upload_id}, {timestamp}.
	ImageNameFormat    string        `json:"image_name_format,omitzero"`
	ImageUploadTimeout time.Duration `json:"image_upload_timeout,omitzero"`
	// PostUploadHook is a program that is run on every upload, as
	// PROGRAM PROVIDER IMAGE-ID FILE, before it serves; empty is none.
	PostUploadHook string `json:"post_upload_hook,omitzero"`
	// UploadMethod is how images get to the cloud; empty leaves it to poold.
	// ImageStores are where they are kept there; "all" is every place it has.
	UploadMethod string   `json:"upload_method,omitzero"`
	ImageStores  []string `json:"image_stores,omitzero"`
	// MaxUploads is how many uploads run at once; zero or less is one.
	MaxUploads  int             `json:"max_uploads,omitzero"`
	Images      []ProviderImage `json:"images,omitzero"`
	CloudImages []CloudImage    `json:"cloud_images,omitzero"`
	Pools       []Pool          `json:"pools,omitzero"`
	// Away is why nothing can be launched in it now, because of what its peers
	// are or say; "" if something can. Gone says that it has been so for long.
	Away string `json:"-"`
	Gone bool   `json:"-"`
	// DebugHTTP has the calls to the cloud logged. Peers need not agree on it.
	DebugHTTP bool `json:"-"`
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
	Name string `json:"name,omitzero"`
	// Paused stops uploads, not builds.
	Paused bool `json:"paused,omitzero"`
	// Canary has an upload serve only once a node made from it was reached.
	Canary bool `json:"canary,omitzero"`
	// Properties are set on the uploaded image.
	Properties map[string]string `json:"properties,omitzero"`
	// ConfigDrive asks for, refuses or (nil) leaves to the cloud a config
	// drive for servers made from the image.
	ConfigDrive *bool      `json:"config_drive,omitzero"`
	Connection  Connection `json:"connection,omitzero"`
}

// CloudImage is an image that is in the cloud already.
type CloudImage struct {
	// Name is how labels refer to it.
	Name string `json:"name,omitzero"`
	// ID is the image's id if the configuration gives one; else ImageName is
	// looked up.
	ID          string     `json:"id,omitzero"`
	ImageName   string     `json:"image_name,omitzero"`
	ConfigDrive *bool      `json:"config_drive,omitzero"`
	Connection  Connection `json:"connection,omitzero"`
}

// Pool is a slice of a provider: its own limits, networks and labels.
type Pool struct {
	Name   string `json:"name,omitzero"`
	Limits Limits `json:"limits,omitzero"`
	// IgnoreProviderQuota leaves the cloud's quota out of account.
	IgnoreProviderQuota bool `json:"ignore_provider_quota,omitzero"`
	// AZs are the availability zones to use; empty leaves it to the cloud.
	AZs            []string          `json:"azs,omitzero"`
	SecurityGroups []string          `json:"security_groups,omitzero"`
	AutoFloatingIP bool              `json:"auto_floating_ip,omitzero"`
	Attributes     map[string]string `json:"attributes,omitzero"`
	// Priority orders pools, lower first; Weight is the pool's share among
	// equals. Zero is as the provider says.
	Priority int         `json:"priority,omitzero"`
	Weight   int         `json:"weight,omitzero"`
	Labels   []LabelSpec `json:"labels,omitzero"`
	// Hosts are what a pool of a static provider has instead of a cloud.
	Hosts []Host `json:"hosts,omitzero"`
}

// Host is a machine that is there already. Its slots are lent as nodes.
type Host struct {
	// Name is what it is reached by: a name or an address.
	Name string `json:"name,omitzero"`
	// Labels are what each of its slots can be a node of.
	Labels []string `json:"labels,omitzero"`
	// Slots is how many nodes there may be on it at once.
	Slots int `json:"slots,omitzero"`
	// HostKeys are those that it must show, each as "type base64"; it may have
	// others besides. Empty takes any.
	HostKeys []string `json:"host_keys,omitzero"`
	// Checking has the host looked at before it is lent; without, it is taken
	// to be there.
	Checking bool `json:"checking,omitzero"`
	// Timeout bounds one look at it.
	Timeout    time.Duration `json:"timeout,omitzero"`
	Connection Connection    `json:"connection,omitzero"`
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
	Name string `json:"name,omitzero"`
	// MinReady is how many nodes are kept ready in this pool, which count
	// towards the label's.
	MinReady int `json:"min_ready,omitzero"`
	// DiskImage or CloudImage names the image; exactly one is set.
	DiskImage  string `json:"disk_image,omitzero"`
	CloudImage string `json:"cloud_image,omitzero"`
	// FlavorName is a flavor's name or id; with MinRAMMiB it is a part of the
	// name. See [Quota.Flavor].
	FlavorName string `json:"flavor_name,omitzero"`
	MinRAMMiB  int64  `json:"min_ram_mib,omitzero"`
	// KeyName is a key pair that is in the cloud already, PublicKey one that
	// poold brings there; at most one is set.
	KeyName   string `json:"key_name,omitzero"`
	PublicKey string `json:"public_key,omitzero"`
	// ConsoleLog keeps the tail of the console of a node that failed.
	ConsoleLog     bool  `json:"console_log,omitzero"`
	BootFromVolume bool  `json:"boot_from_volume,omitzero"`
	VolumeGB       int64 `json:"volume_gb,omitzero"`
	// Properties are set as metadata of the server.
	Properties map[string]string `json:"properties,omitzero"`
	// DynamicProperties are such metadata that name the request that a server
	// is launched for, see [ExpandRequest].
	DynamicProperties map[string]string `json:"dynamic_properties,omitzero"`
	UserData          string            `json:"user_data,omitzero"`
	// Tags are set on the server, which not every cloud can do.
	Tags []string `json:"tags,omitzero"`
	// ServerGroup is the name or id of a server group; SchedulerHints is what
	// else nova's scheduler is told.
	ServerGroup    string            `json:"server_group,omitzero"`
	SchedulerHints map[string]string `json:"scheduler_hints,omitzero"`
	// Networks are the label's own or else those of the pool.
	Networks []string `json:"networks,omitzero"`
	// HostKeyChecking reads the host keys; without it an active node is
	// ready.
	HostKeyChecking bool `json:"host_key_checking,omitzero"`
	// ReadyCommand is run on a node that is reachable, logged in with the
	// private key in ReadyKeyFile; exit status 0 says that it is ready.
	ReadyCommand string `json:"ready_command,omitzero"`
	ReadyKeyFile string `json:"ready_key_file,omitzero"`
	// ReadyConsole is a regular expression that the console of a node that is
	// ready matches. At most one of it and ReadyCommand is set.
	ReadyConsole string `json:"ready_console,omitzero"`
	// ReadyTimeout bounds the time from reachable to ready; zero is what is
	// left of the provider's BootTimeout.
	ReadyTimeout time.Duration `json:"ready_timeout,omitzero"`
}

// Needs is what a node of a flavor takes of the quota, without a floating IP.
func (l *LabelSpec) Needs(f Flavor) Resources {
	r := Resources{Instances: 1, Cores: f.Cores, RAMMiB: f.RAMMiB, Ports: int64(max(1, len(l.Networks)))}
	if l.BootFromVolume {
		r.Volumes, r.VolumeGB = 1, l.VolumeGB
	}
	return r
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
	// DeleteAfterUpload has the file of a format deleted once every provider that
	// needs it has it, unless the format is one of KeepFormats.
	DeleteAfterUpload bool
	KeepFormats       []string
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

// Launches tells whether nodes can be launched in the provider by what this file
// says. One that a builder's file has for the images only says nothing of them.
func (p *Provider) Launches() bool { return len(p.Pools) > 0 || len(p.Images) == 0 }

// DefaultBuilder is the build command unless another is configured.
const DefaultBuilder = "disk-image-create"

// Recipe tells whether there is enough to make the image by. A launcher's file
// names the images that a builder elsewhere makes, and no more.
func (i *Image) Recipe() bool {
	return len(i.Elements) > 0 || i.URL != "" || i.SnapshotOf != nil || len(i.Command) > 0 && i.Command[0] != DefaultBuilder
}

// Plain tells whether a label says nothing but its name.
func (l *Label) Plain() bool {
	return l.MinReady == 0 && l.ReadyPercent == 0 && l.MaxReady == 0 && len(l.Schedule) == 0 &&
		l.MaxReadyAge == 0 && l.MaxInUseAge == 0
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
