package sim

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"poold/cloud"
	"poold/internal/sleep"
	"poold/pool"
)

var (
	_ cloud.Driver      = (*Driver)(nil)
	_ cloud.Console     = (*Driver)(nil)
	_ cloud.KeyPairer   = (*Driver)(nil)
	_ cloud.Exposer     = (*Driver)(nil)
	_ cloud.Sweeper     = (*Driver)(nil)
	_ cloud.ImageDriver = (*Driver)(nil)
)

// listMargin is how much before the newest change of a list the next list of
// changes begins.
const listMargin = 5 * time.Second

// Driver drives a simulated cloud from within the process. It makes the calls
// that a driver over HTTP would make, each through the gate, has no goroutines
// of its own, and does no I/O; where the cloud has a latency it waits.
type Driver struct {
	cloud *Cloud
	now   func() time.Time
	gate  cloud.Gate
	// installation is whose resources are ours.
	installation string

	// mu guards what follows.
	mu       sync.Mutex
	token    string
	expires  time.Time
	networks []Network
	// keyPairs are those that are known to be there.
	keyPairs map[string]bool
}

// NewDriver returns a driver of a cloud for an installation.
func NewDriver(c *Cloud, now func() time.Time, gate cloud.Gate, installation string) *Driver {
	return &Driver{cloud: c, now: now, gate: gate, installation: installation}
}

// step is one call.
type step struct {
	// what is the whole method, for errors.
	what string
	call cloud.Call
	// names are what faults match.
	names []string
	// changes says that it may have an effect.
	changes bool
}

func reading(what string, s cloud.Service, operation string, names ...string) *step {
	return &step{what: what, call: cloud.Call{Service: s, Operation: operation}, names: names}
}

func changing(what string, s cloud.Service, operation string, names ...string) *step {
	return &step{what: what, call: cloud.Call{Service: s, Operation: operation}, names: names, changes: true}
}

// do makes a call, with a token.
func (d *Driver) do(ctx context.Context, s *step, effect func(now time.Time) error) error {
	token, err := d.authenticated(ctx)
	if err != nil {
		return err
	}
	return d.through(ctx, s, func(now time.Time) error {
		if _, good := d.cloud.TokenExpires(now, token); !good {
			d.forget(token)
			return failf(statusUnauthorized, "The request you have made requires authentication.")
		}
		return effect(now)
	})
}

// through makes a call through the gate, as the cloud's verdict says.
func (d *Driver) through(ctx context.Context, s *step, effect func(now time.Time) error) error {
	leave, err := d.gate.Enter(ctx, s.call)
	if err != nil {
		return &cloud.Error{Kind: cloud.NoTurn(err), Op: s.what, Err: err}
	}
	if err := context.Cause(ctx); err != nil {
		leave(cloud.Outcome{Kind: cloud.Transient})
		return &cloud.Error{Kind: cloud.Transient, Op: s.what, Err: err}
	}
	verdict := d.cloud.Begin(d.now(), s.call, s.names...)
	if verdict.Before != nil {
		err = verdict.Before
	} else if err = effect(d.now()); verdict.After != nil {
		err = verdict.After
	}
	if waited := pause(ctx, verdict.Delay); waited != nil {
		err = &CallError{}
	}
	if err == nil {
		leave(cloud.Outcome{Status: 200})
		return nil
	}
	failed := s.classify(err)
	outcome := cloud.Outcome{Kind: failed.Kind, RetryAfter: failed.RetryAfter}
	if f, is := errors.AsType[*CallError](err); is {
		outcome.Status = f.Status
	}
	leave(outcome)
	return failed
}

func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	return sleep.For(ctx, d)
}

// authenticated returns a token, a new one if there is none that will do.
func (d *Driver) authenticated(ctx context.Context) (string, error) {
	d.mu.Lock()
	token, expires := d.token, d.expires
	d.mu.Unlock()
	if token != "" && d.now().Add(time.Minute).Before(expires) {
		return token, nil
	}
	cfg := d.cloud.Config()
	s := reading("authenticate", cloud.Identity, "POST /auth/tokens")
	err := d.through(ctx, s, func(now time.Time) error {
		var err error
		token, expires, err = d.cloud.Authenticate(now, Credentials{User: cfg.User, Password: cfg.Password, Project: cfg.Project})
		return err
	})
	if err != nil {
		return "", err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.token, d.expires = token, expires
	return token, nil
}

func (d *Driver) forget(token string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.token == token {
		d.token = ""
	}
}

// Create asks once for the servers of a batch.
func (d *Driver) Create(ctx context.Context, spec cloud.BatchSpec) error {
	const what = "create servers"
	if spec.Count < 1 || spec.Mark.Installation != d.installation {
		return &cloud.Error{Kind: cloud.Invalid, Op: what, Err: errors.New("a batch needs a count and our mark")}
	}
	networks, err := d.networkIDs(ctx, what, spec.Networks)
	if err != nil {
		return err
	}
	group, err := d.serverGroupID(ctx, what, spec.ServerGroup)
	if err != nil {
		return err
	}
	if group == "" {
		group = spec.Hints["group"]
	}
	s := changing(what, cloud.Compute, "POST /servers", spec.Name)
	err = d.do(ctx, s, func(now time.Time) error {
		_, err := d.cloud.CreateServers(now, ServerSpec{
			Name: spec.Name, Min: 1, Max: spec.Count, Flavor: spec.FlavorID, ImageID: spec.ImageID, Zone: spec.AZ,
			KeyName: spec.KeyName, UserData: spec.UserData, Metadata: spec.Mark.In(spec.Properties),
			Networks: networks, Groups: slices.Clone(spec.SecurityGroups),
			ConfigDrive: spec.ConfigDrive != nil && *spec.ConfigDrive, FromVolume: spec.BootFromVolume,
			Tags: slices.Clone(spec.Tags), GroupID: group,
		})
		return err
	})
	if kind := cloud.KindOf(err); kind == cloud.Invalid || kind == cloud.Capacity {
		d.forgetAll()
	}
	return err
}

// EnsureKeyPair makes a key pair, unless there is one of its name.
func (d *Driver) EnsureKeyPair(ctx context.Context, name, publicKey string) error {
	const what = "create key pair"
	if cloud.KeyPairMark(name).Installation != d.installation {
		return &cloud.Error{Kind: cloud.Invalid, Op: what, Err: errors.New("a key pair needs a name with our mark")}
	}
	d.mu.Lock()
	known := d.keyPairs[name]
	d.mu.Unlock()
	if known {
		return nil
	}
	err := d.do(ctx, changing(what, cloud.Compute, "POST /os-keypairs", name), func(time.Time) error {
		return d.cloud.CreateKeyPair(KeyPair{Name: name, PublicKey: publicKey})
	})
	if err != nil && cloud.KindOf(err) != cloud.Conflict {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.keyPairs == nil {
		d.keyPairs = map[string]bool{}
	}
	d.keyPairs[name] = true
	return nil
}

// forgetAll drops what was looked up, since a create was refused.
func (d *Driver) forgetAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.keyPairs, d.networks = nil, nil
}

// serverGroupID finds a server group by name or id.
func (d *Driver) serverGroupID(ctx context.Context, what, name string) (string, error) {
	if name == "" {
		return "", nil
	}
	var found []ServerGroup
	err := d.do(ctx, reading(what, cloud.Compute, "GET /os-server-groups"), func(time.Time) error {
		found = slices.DeleteFunc(d.cloud.ServerGroups(), func(g ServerGroup) bool { return g.Name != name && g.ID != name })
		return nil
	})
	if err != nil {
		return "", err
	}
	if len(found) != 1 {
		return "", &cloud.Error{Kind: cloud.Invalid, Op: what, Err: fmt.Errorf("there are %d server groups %q", len(found), name)}
	}
	return found[0].ID, nil
}

// networkIDs finds networks by name or id, asking once.
func (d *Driver) networkIDs(ctx context.Context, what string, names []string) ([]string, error) {
	if len(names) == 0 {
		return nil, nil
	}
	known, err := d.knownNetworks(ctx, what)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(names))
	for i, name := range names {
		at := slices.IndexFunc(known, func(n Network) bool { return n.Name == name || n.ID == name })
		if at < 0 {
			return nil, &cloud.Error{Kind: cloud.Invalid, Op: what, Err: errors.New("there is no network " + name)}
		}
		ids[i] = known[at].ID
	}
	return ids, nil
}

func (d *Driver) knownNetworks(ctx context.Context, what string) ([]Network, error) {
	d.mu.Lock()
	known := d.networks
	d.mu.Unlock()
	if known != nil {
		return known, nil
	}
	err := d.do(ctx, reading(what, cloud.Network, "GET /networks"), func(time.Time) error {
		known = d.cloud.Networks()
		return nil
	})
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.networks = known
	return known, nil
}

// Instances lists what is ours, page by page.
func (d *Driver) Instances(ctx context.Context, since cloud.ListMark) (cloud.Listing, error) {
	listing := cloud.Listing{Full: since.At.IsZero(), Next: since}
	query := ServerQuery{Since: since.At}
	newest := since.At.Add(listMargin)
	for more := true; more; {
		var page []Server
		err := d.do(ctx, reading("list servers", cloud.Compute, "GET /servers/detail"), func(now time.Time) error {
			var err error
			page, more, err = d.cloud.Servers(now, query)
			return err
		})
		if err != nil {
			return cloud.Listing{}, err
		}
		for i := range page {
			if query.Marker == "" && page[i].Updated.After(newest) {
				newest = page[i].Updated
			}
			d.add(&listing, &page[i])
		}
		if len(page) > 0 {
			query.Marker = page[len(page)-1].ID
		}
	}
	if newest.After(time.Time{}.Add(listMargin)) {
		listing.Next.At = newest.Add(-listMargin)
	}
	return listing, nil
}

// add adds a server to a listing if it is ours. One that was deleted has lost
// its mark.
func (d *Driver) add(l *cloud.Listing, s *Server) {
	switch {
	case s.Metadata[cloud.KeyInstallation] == d.installation, s.Status == "DELETED":
		l.Instances = append(l.Instances, instance(s))
	case l.Full:
		l.Others++
	}
}

// Instance looks at one server.
func (d *Driver) Instance(ctx context.Context, id string) (cloud.Instance, error) {
	var seen Server
	err := d.do(ctx, reading("look at server", cloud.Compute, "GET /servers/{id}", id), func(now time.Time) error {
		var err error
		seen, err = d.cloud.Server(now, id)
		return err
	})
	if err != nil {
		return cloud.Instance{}, err
	}
	return instance(&seen), nil
}

func instance(s *Server) cloud.Instance {
	i := cloud.Instance{
		ID: s.ID, Name: s.Name, Mark: cloud.MarkOf(s.Metadata), AZ: s.Zone, HostID: s.HostID, Created: s.Created,
		Status: cloud.StatusOther,
	}
	switch s.Status {
	case "BUILD":
		i.Status = cloud.StatusBuilding
	case "ACTIVE":
		i.Status = cloud.StatusActive
	case "ERROR":
		i.Status = cloud.StatusError
	case "DELETED":
		i.Status = cloud.StatusDeleted
	}
	if s.Task == "deleting" {
		i.Status = cloud.StatusDeleting
	}
	if s.Fault != nil {
		i.Fault, i.FaultKind = s.Fault.Message, faultKind(s.Fault.Message)
	}
	for _, a := range s.Addresses {
		address := pooled(a.Network, a.IP, a.Floating)
		address.MAC = a.MAC
		i.Addresses = append(i.Addresses, address)
	}
	return i
}

func pooled(network, ip string, floating bool) pool.Address {
	version := 4
	if netip.MustParseAddr(ip).Is6() {
		version = 6
	}
	return pool.Address{IP: ip, Version: version, Floating: floating, Network: network}
}

// Delete asks to delete a server.
func (d *Driver) Delete(ctx context.Context, id string) error {
	return d.do(ctx, changing("delete server", cloud.Compute, "DELETE /servers/{id}", id), func(now time.Time) error {
		return d.cloud.DeleteServer(now, id)
	})
}

// Facts asks for flavors, zones, limits and use.
func (d *Driver) Facts(ctx context.Context) (cloud.Facts, error) {
	var facts cloud.Facts
	for _, call := range []cloud.Call{
		{Service: cloud.Compute, Operation: "GET /flavors/detail"},
		{Service: cloud.Compute, Operation: "GET /os-availability-zone"},
		{Service: cloud.Compute, Operation: "GET /limits"},
		{Service: cloud.Network, Operation: "GET /quotas/{id}/details"},
	} {
		err := d.do(ctx, reading("ask for facts", call.Service, call.Operation), func(now time.Time) error {
			facts = d.cloud.Facts(now)
			return nil
		})
		if err != nil {
			return cloud.Facts{}, err
		}
	}
	return facts, nil
}

// Console returns the last lines of a server's console.
func (d *Driver) Console(ctx context.Context, id string, lines int) (string, error) {
	var out string
	err := d.do(ctx, reading("read console", cloud.Compute, "POST /servers/{id}/action", id), func(now time.Time) error {
		var err error
		out, err = d.cloud.Console(now, id, lines)
		return err
	})
	return out, err
}
