package sim

import (
	"cmp"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"poold/pool"
)

// Dist is a distribution of durations: never less than Min, never more than
// Max (zero is no bound), and Mean on average before it is cut at Max. The
// zero value is always zero.
type Dist struct {
	Min  time.Duration `json:"min"`
	Mean time.Duration `json:"mean"`
	Max  time.Duration `json:"max"`
}

// Always is the distribution that has one value.
func Always(d time.Duration) Dist { return Dist{Min: d, Mean: d} }

func (d Dist) sample(r *rand.Rand) time.Duration {
	if d.Mean <= d.Min {
		return d.Min
	}
	x := d.Min + time.Duration(r.ExpFloat64()*float64(d.Mean-d.Min))
	if d.Max > 0 {
		x = min(x, d.Max)
	}
	return x
}

// Config is what a simulated cloud is like. Zero values are filled in by
// [New] as the fields say.
type Config struct {
	// Name is for humans and makes the ids of two clouds differ; Region is
	// its name in the catalog ("RegionOne").
	Name, Region string
	// Seed makes everything that is random.
	Seed uint64
	// Project, User and Password are the credentials ("ci", "ci", "secret").
	Project, User, Password string
	// CredentialID and CredentialSecret are an application credential; none
	// is accepted if they are empty.
	CredentialID, CredentialSecret string
	// TokenLife is how long a token is good (1 h).
	TokenLife time.Duration
	// Build is the time from the request until a server is active, Boot from
	// there until it answers, Delete from the request until it is gone.
	Build, Boot, Delete Dist
	// Settle is the time from when a server answers until its key pair lets
	// clients in and its console says "cloud-init finished".
	Settle Dist
	// Latency is added to every answer, after the call took effect.
	Latency Dist
	// Quota bounds instances, cores, RAM, floating IPs and ports; the zero
	// value is no limit.
	Quota pool.Limits
	// Rate is how many calls a second each service takes, with Burst at once;
	// zero is any number.
	Rate  float64
	Burst int
	// Capacity is how many servers there are hosts for; zero is any number.
	Capacity int
	// Cells is over how many cells servers are spread (1).
	Cells int
	// Zones are the availability zones ("nova").
	Zones []string
	// Flavors are the sizes; by default small, medium and large.
	Flavors []pool.Flavor
	// KeyPairs and SecurityGroups exist from the start; "default" always does.
	KeyPairs, SecurityGroups []string
	// ServerGroups are the names of server groups that exist.
	ServerGroups []string
	// Images are the names of active images that are there from the start.
	Images []string
	// Network is the name of the network that servers are in ("private"),
	// Fixed the addresses there (10.0.0.0/16).
	Network string
	Fixed   netip.Prefix
	// External is the name of the network of the floating IPs ("public") and
	// Floating their addresses. Without Floating there are none, and Network
	// is external itself: its addresses are reachable.
	External string
	Floating netip.Prefix
	// SSHPort is where booted servers answer (22022).
	SSHPort int
	// ImageFormat is the disk format that the cloud wants ("qcow2").
	ImageFormat string
	// UploadRate is how many bytes of an image a second are taken over one
	// connection, over HTTP; zero is any number.
	UploadRate int64
	// Imports are the methods of import that there are, Stores the places where
	// images are kept, the first one by default.
	Imports, Stores []string
	// MaxObject is the size of the largest object that is taken at once; there is
	// no object store, and are no tasks that make images of objects, if it is
	// zero. NoSLO is one without static large objects.
	MaxObject int64
	NoSLO     bool
	// TaskTime is how long a task takes.
	TaskTime time.Duration
	// NoHashes makes images have no hash, as before Glance had any.
	NoHashes bool
	// NoChangesSince makes lists ignore changes-since, as some clouds do.
	NoChangesSince bool
	// PageLimit is the most servers in one page of a list (1000).
	PageLimit int
	// KeepDeleted is how long lists of changes show deleted servers (10 min).
	KeepDeleted time.Duration
	// Struck is told of every fault that happens; nil is nobody. It may not
	// call the cloud.
	Struck func(f Fault) `json:"-"`
}

func (c Config) withDefaults() Config {
	c.Name = cmp.Or(c.Name, "sim")
	c.Region = cmp.Or(c.Region, "RegionOne")
	c.Project, c.User = cmp.Or(c.Project, "ci"), cmp.Or(c.User, "ci")
	c.Password = cmp.Or(c.Password, "secret")
	c.TokenLife = cmp.Or(c.TokenLife, time.Hour)
	c.Cells = max(c.Cells, 1)
	c.Network, c.External = cmp.Or(c.Network, "private"), cmp.Or(c.External, "public")
	c.SSHPort = cmp.Or(c.SSHPort, 22022)
	c.ImageFormat = cmp.Or(c.ImageFormat, "qcow2")
	c.PageLimit = cmp.Or(c.PageLimit, 1000)
	c.KeepDeleted = cmp.Or(c.KeepDeleted, 10*time.Minute)
	if c.Quota == (pool.Limits{}) {
		c.Quota = pool.NoLimits()
	}
	if c.Rate > 0 {
		c.Burst = max(c.Burst, 1)
	}
	if len(c.Zones) == 0 {
		c.Zones = []string{"nova"}
	}
	if len(c.Flavors) == 0 {
		c.Flavors = []pool.Flavor{
			{Name: "small", Cores: 1, RAMMiB: 2048, DiskGB: 10},
			{Name: "medium", Cores: 2, RAMMiB: 4096, DiskGB: 20},
			{Name: "large", Cores: 8, RAMMiB: 8192, DiskGB: 80},
		}
	}
	if !c.Fixed.IsValid() {
		c.Fixed = netip.PrefixFrom(netip.AddrFrom4([4]byte{10}), 16)
	}
	c.Flavors = slices.Clone(c.Flavors)
	c.SecurityGroups = append([]string{"default"}, c.SecurityGroups...)
	return c
}
