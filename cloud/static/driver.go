package static

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"poold/cloud"
	"poold/pool"
)

var (
	_ cloud.Driver    = (*Driver)(nil)
	_ cloud.Prover    = (*Driver)(nil)
	_ cloud.Addresser = (*Driver)(nil)
)

// Scan reads the SSH host keys of a server, each as "type base64", sorted.
type Scan func(ctx context.Context, name string, port int) ([]string, error)

// Config is what a driver is made of. All of it is required but Lent.
type Config struct {
	Provider     pool.Provider
	Installation string
	// Lent are the nodes of the provider as its owner finds them.
	Lent []*pool.Node
	Scan Scan
	Now  func() time.Time
	Log  *zap.Logger
}

// Driver lends the hosts of one provider.
type Driver struct {
	provider, installation string
	hosts                  map[string]*host // by zone
	zones                  []string         // sorted
	now                    func() time.Time

	// mu guards what follows.
	mu   sync.Mutex
	lent map[string]cloud.Instance // by id
}

// New returns a driver that knows what is lent.
func New(cfg Config) *Driver {
	d := &Driver{
		provider: cfg.Provider.Name, installation: cfg.Installation, now: cfg.Now,
		hosts: map[string]*host{}, lent: map[string]cloud.Instance{},
	}
	for i := range cfg.Provider.Pools {
		for k := range cfg.Provider.Pools[i].Hosts {
			h := newHost(&cfg.Provider.Pools[i].Hosts[k], cfg)
			d.hosts[h.conf.ID()] = h
			d.zones = append(d.zones, h.conf.ID())
		}
	}
	slices.Sort(d.zones)
	for _, n := range cfg.Lent {
		if n.Provider == d.provider && n.State.Live() && n.Batch != "" {
			mark := cloud.Mark{Installation: d.installation, Provider: d.provider, Batch: n.Batch}
			d.lend(n.AZ, n.Name(), mark, n.Created)
		}
	}
	return d
}

// lend notes that an instance is lent. Its id has its name, which nothing else
// ever has: a slot that is lent again is another instance.
func (d *Driver) lend(zone, name string, mark cloud.Mark, at time.Time) {
	id := zone + "/" + name
	d.lent[id] = cloud.Instance{
		ID: id, Name: name, Status: cloud.StatusActive, Mark: mark, AZ: zone, HostID: zone, Created: at,
	}
}

// fail makes an error of the driver.
func fail(kind cloud.Kind, op, format string, args ...any) error {
	return &cloud.Error{Kind: kind, Op: op, Err: fmt.Errorf(format, args...)}
}

// over is the error of a context that has ended, nil of one that has not.
func over(ctx context.Context, op string) error {
	if cause := context.Cause(ctx); cause != nil {
		return &cloud.Error{Kind: cloud.NoTurn(cause), Op: op, Err: cause}
	}
	return nil
}

// Create lends slots of the host that is the zone of the spec. It asks nobody:
// whether the host is there is for [Driver.Prove] to find out.
func (d *Driver) Create(ctx context.Context, spec cloud.BatchSpec) error {
	const op = "lend a host"
	if err := over(ctx, op); err != nil {
		return err
	}
	if what := d.impossible(&spec); what != "" {
		return fail(cloud.Invalid, op, "%s", what)
	}
	h := d.hosts[spec.AZ]
	if h == nil {
		return fail(cloud.Capacity, op, "the host %q is not configured", spec.AZ)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	taken := 0
	for _, i := range d.lent {
		if i.AZ == spec.AZ {
			taken++
		}
	}
	if taken+spec.Count > h.conf.Slots {
		return fail(cloud.Capacity, op, "%d of %d slots are lent, %d wanted", taken, h.conf.Slots, spec.Count)
	}
	now := d.now()
	for k := range spec.Count {
		d.lend(spec.AZ, pool.InstanceName(spec.Name, k+1, spec.Count), spec.Mark, now)
	}
	return nil
}

// impossible says what a spec asks for that cannot be, or "".
func (d *Driver) impossible(spec *cloud.BatchSpec) string {
	switch {
	case spec.Count < 1:
		return "no instances are asked for"
	case spec.Mark.Installation != d.installation:
		return "the mark is not ours"
	}
	return foreign(spec)
}

// foreign says what a spec asks for that nobody can do to a host that is there
// already, or "".
func foreign(spec *cloud.BatchSpec) string {
	placed := len(spec.Networks) + len(spec.SecurityGroups) + len(spec.Tags) + len(spec.Hints)
	switch {
	case spec.FlavorID != "" || spec.ImageID != "" || spec.BootFromVolume:
		return "a host is as it is: it has no other flavor, image or volume"
	case spec.KeyName != "" || spec.UserData != "" || spec.ConfigDrive != nil:
		return "nothing is written to a host"
	case placed > 0 || spec.ServerGroup != "":
		return "a host is where it is: it has no other network, and nobody chooses it"
	}
	return ""
}

// Instances lists what is lent.
func (d *Driver) Instances(ctx context.Context, _ cloud.ListMark) (cloud.Listing, error) {
	if err := over(ctx, "list what is lent"); err != nil {
		return cloud.Listing{}, err
	}
	listing := cloud.Listing{Full: true, Next: cloud.ListMark{At: d.now()}}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, i := range d.lent {
		listing.Instances = append(listing.Instances, d.addressed(i))
	}
	slices.SortFunc(listing.Instances, func(a, b cloud.Instance) int { return cmp.Compare(a.ID, b.ID) })
	return listing, nil
}

// addressed is an instance with the addresses of its host, or its name as long
// as none are known.
func (d *Driver) addressed(i cloud.Instance) cloud.Instance {
	if h := d.hosts[i.AZ]; h != nil {
		i.Addresses = h.known()
	}
	if len(i.Addresses) == 0 {
		i.Addresses = []pool.Address{{IP: nameOf(i.AZ)}}
	}
	return i
}

// nameOf is the name of a host in the id of it.
func nameOf(zone string) string {
	_, at, _ := strings.Cut(zone, "@")
	name, _, err := net.SplitHostPort(at)
	if err != nil {
		return zone
	}
	return name
}

// Instance looks whether an instance is lent.
func (d *Driver) Instance(ctx context.Context, id string) (cloud.Instance, error) {
	const op = "look at what is lent"
	if err := over(ctx, op); err != nil {
		return cloud.Instance{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	i, ok := d.lent[id]
	if !ok {
		return cloud.Instance{}, fail(cloud.NotFound, op, "%q is not lent", id)
	}
	return d.addressed(i), nil
}

// Delete takes an instance back.
func (d *Driver) Delete(ctx context.Context, id string) error {
	const op = "take a host back"
	if err := over(ctx, op); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.lent[id]; !ok {
		return fail(cloud.NotFound, op, "%q is not lent", id)
	}
	delete(d.lent, id)
	return nil
}

// FindImage finds none: hosts have no images.
func (*Driver) FindImage(ctx context.Context, nameOrID string) (string, error) {
	const op = "find an image"
	if err := over(ctx, op); err != nil {
		return "", err
	}
	return "", fail(cloud.NotFound, op, "hosts have no image %q", nameOrID)
}

// InterfaceIP is what the configuration calls the host of an instance: a name
// may mean another address where the client is.
func (*Driver) InterfaceIP(_ context.Context, i cloud.Instance) (string, error) {
	return nameOf(i.AZ), nil
}

// factsAge is how old a look may be that tells whether a host is there.
const factsAge = 10 * time.Second

// looksMax is how many hosts are looked at at a time.
const looksMax = 50

// Facts looks at all hosts.
func (d *Driver) Facts(ctx context.Context) (cloud.Facts, error) {
	facts := cloud.Facts{Zones: slices.Clone(d.zones), Limits: pool.NoLimits(), Down: map[string]string{}}
	after := d.now().Add(-factsAge)
	problems := make([]error, len(d.zones))
	slots := make(chan struct{}, looksMax)
	var looks sync.WaitGroup
	for k, zone := range d.zones {
		looks.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			_, problems[k] = d.hosts[zone].look(ctx, after)
		})
	}
	looks.Wait()
	if err := over(ctx, "look at the hosts"); err != nil {
		return cloud.Facts{}, err
	}
	for k, zone := range d.zones {
		if problems[k] != nil {
			facts.Down[zone] = problems[k].Error()
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	facts.Used.Instances = int64(len(d.lent))
	return facts, nil
}

// Prove looks at the host of an instance.
func (d *Driver) Prove(ctx context.Context, id string, after time.Time) ([]string, error) {
	const op = "look at a host"
	i, err := d.Instance(ctx, id)
	if err != nil {
		return nil, err
	}
	h := d.hosts[i.AZ]
	if h == nil {
		return nil, fail(cloud.Capacity, op, "the host %s is not configured any more", i.AZ)
	}
	keys, err := h.look(ctx, after)
	switch ended := over(ctx, op); {
	case err == nil:
		return keys, nil
	case ended != nil:
		return nil, ended
	}
	return nil, fail(cloud.Capacity, op, "%s: %w", i.AZ, err)
}
