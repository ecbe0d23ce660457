package sim

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"poold/cloud"
	"poold/pool"
)

// Cloud is the state of one region of a simulated cloud. Its methods may be
// called concurrently.
type Cloud struct {
	cfg Config

	// mu guards everything below.
	mu     sync.Mutex
	now    time.Time
	rng    *rand.Rand
	seq    uint64
	agenda agenda
	faults []*armed
	calls  map[cloud.Call]int

	buckets map[cloud.Service]*bucket
	tokens  map[string]time.Time

	// servers has those that are gone too, until they are forgotten.
	servers map[string]*server
	// live is in the order of creation, with holes of servers that are gone;
	// gone is in the order of going.
	live  []*server
	holes int
	gone  []*server
	used  pool.Resources
	// placed is how many servers take up room on hosts.
	placed int

	keyPairs map[string]KeyPair
	groups   []SecurityGroup
	// together are the server groups, as they were made.
	together  []ServerGroup
	ports     map[string]*Port
	portOf    map[string]*Port
	floating  map[string]*FloatingIP
	fixedPool *addressPool
	floatPool *addressPool
	images    map[string]*image
	imageIDs  map[string]bool
	// containers have their objects by name; tasks are as they were begun.
	containers map[string]map[string]*object
	tasks      []*Task

	projectID, userID        string
	networkID, subnetID      string
	externalID, externSubnet string
	// changed are the servers that may answer elsewhere than SSHD knows, which
	// wake tells it to look at, if listening says that it is there.
	changed   map[string]bool
	wake      chan struct{}
	listening int
	secret    [32]byte
}

// New returns a cloud as the configuration describes it, without servers.
func New(cfg Config, now time.Time) *Cloud {
	cfg = cfg.withDefaults()
	var salt uint64
	for _, b := range []byte(cfg.Name + "/" + cfg.Region) {
		salt = salt*1099511628211 + uint64(b)
	}
	c := &Cloud{
		cfg: cfg, now: now.UTC(), rng: rand.New(rand.NewPCG(cfg.Seed, salt)), //nolint:gosec // a simulation is to be repeatable
		calls: map[cloud.Call]int{}, buckets: map[cloud.Service]*bucket{}, tokens: map[string]time.Time{},
		servers: map[string]*server{}, keyPairs: map[string]KeyPair{},
		ports: map[string]*Port{}, portOf: map[string]*Port{}, floating: map[string]*FloatingIP{},
		images: map[string]*image{}, imageIDs: map[string]bool{}, containers: map[string]map[string]*object{},
		changed: map[string]bool{}, wake: make(chan struct{}, 1),
		fixedPool: newAddressPool(cfg.Fixed), floatPool: newAddressPool(cfg.Floating),
	}
	copy(c.secret[:], c.randomBytes(len(c.secret)))
	c.projectID, c.userID = c.hexID(16), c.hexID(16)
	c.networkID, c.subnetID = c.uuid(), c.uuid()
	c.externalID, c.externSubnet = c.uuid(), c.uuid()
	for i := range c.cfg.Flavors {
		if c.cfg.Flavors[i].ID == "" {
			c.cfg.Flavors[i].ID = c.uuid()
		}
	}
	for _, name := range cfg.SecurityGroups {
		c.groups = append(c.groups, SecurityGroup{ID: c.uuid(), Name: name})
	}
	for _, name := range cfg.ServerGroups {
		c.together = append(c.together, ServerGroup{ID: c.uuid(), Name: name})
	}
	for _, name := range cfg.KeyPairs {
		c.keyPairs[name] = KeyPair{Name: name}
	}
	for _, name := range cfg.Images {
		c.addImage(name)
	}
	return c
}

// Step does everything that is due by now and returns when there is something
// to do next; the zero time if there is nothing.
func (c *Cloud) Step(now time.Time) time.Time {
	c.lock(now)
	defer c.mu.Unlock()
	if c.agenda.Len() == 0 {
		return time.Time{}
	}
	return c.agenda[0].at
}

// Config returns what the cloud is like, with all that was filled in; the
// quota is the one of now.
func (c *Cloud) Config() Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cfg
}

// ProjectID and UserID are the ids of the only project and user.
func (c *Cloud) ProjectID() string { return c.projectID }

// UserID is the id of the only user.
func (c *Cloud) UserID() string { return c.userID }

// Facts are the flavors, zones, limits and use of now.
func (c *Cloud) Facts(now time.Time) cloud.Facts {
	c.lock(now)
	defer c.mu.Unlock()
	used := c.used
	used.Ports, used.FloatingIPs = int64(len(c.ports)), int64(len(c.floating))
	return cloud.Facts{Flavors: slices.Clone(c.cfg.Flavors), Zones: c.zones(), Limits: c.cfg.Quota, Used: used}
}

// SetQuota changes the quota. What is there already stays, also above it.
func (c *Cloud) SetQuota(l pool.Limits) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cfg.Quota = l
}

// SetRate changes how many calls a second each service takes, and how many at
// once; zero is any number.
func (c *Cloud) SetRate(rate float64, burst int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cfg.Rate, c.cfg.Burst = rate, max(burst, 1)
	clear(c.buckets)
}

// zones are those that are there.
func (c *Cloud) zones() []string {
	return slices.DeleteFunc(slices.Clone(c.cfg.Zones), func(z string) bool {
		return c.lasting(FaultZoneGone, func(f *Fault) bool { return f.Match == z }) != nil
	})
}

func (c *Cloud) lock(now time.Time) {
	c.mu.Lock()
	c.advance(now)
	c.expire()
	c.work()
}

func (c *Cloud) uuid() string {
	a, b := c.rng.Uint64(), c.rng.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-%04x-%012x", a>>32, a>>16&0xffff, a&0xfff, b>>48&0x3fff|0x8000, b&0xffffffffffff)
}

func (c *Cloud) hexID(bytes int) string { return hex.EncodeToString(c.randomBytes(bytes)) }

func (c *Cloud) randomBytes(n int) []byte {
	var b []byte
	for len(b) < n {
		b = binary.LittleEndian.AppendUint64(b, c.rng.Uint64())
	}
	return b[:n]
}
