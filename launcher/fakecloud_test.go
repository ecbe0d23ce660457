package launcher

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"poold/cloud"
	"poold/pool"
)

// fakeCloud is a cloud in memory: instances boot and go in time, there is a
// quota, and calls can fail before or after they took effect.
type fakeCloud struct {
	mu        sync.Mutex
	serial    int
	instances []*fakeInstance
	ips       []cloud.Resource
	quota     int
	foreign   int64
	boot      time.Duration
	vanish    time.Duration
	calls     map[string]int
	creates   []cloud.BatchSpec
	lanes     []cloud.Lane
	factLanes []cloud.Lane
	lists     []time.Time
	// broken says why instances end in error; hidden which a list omits;
	// stuck which are not deleted though the cloud said so.
	broken func(i cloud.Instance) (string, cloud.Kind)
	hidden func(i cloud.Instance) bool
	stuck  func(i cloud.Instance) bool
	// fault returns the error of a call, and whether it is done all the same.
	fault func(op string) (err error, done bool)
	// step is called before and after each call takes effect.
	step func(what string) error
	// stays is how often a volume must be removed after its instance is gone;
	// ports are what is left of instances; unforced refuses force.
	stays    map[string]int
	ports    map[string][]string
	unforced bool
	// zone is where instances are, "az1" if it is empty.
	zone string
	// latency is how long a create takes to be answered.
	latency time.Duration
}

type fakeInstance struct {
	cloud.Instance
	active, deleted time.Time
}

func newFakeCloud() *fakeCloud {
	return &fakeCloud{
		quota: 1000, boot: 10 * time.Second, vanish: 2 * time.Second, calls: map[string]int{},
		stays: map[string]int{}, ports: map[string][]string{},
	}
}

func fail(kind cloud.Kind) error {
	return &cloud.Error{Kind: kind, Op: "test", Err: errors.New("made to fail")}
}

// do runs one call with the faults asked for.
func (c *fakeCloud) do(ctx context.Context, op string, effect func() error) error {
	if c.step != nil {
		if err := c.step("before " + op); err != nil {
			return &cloud.Error{Kind: cloud.Transient, Op: op, Err: err}
		}
	}
	if err := context.Cause(ctx); err != nil {
		return &cloud.Error{Kind: cloud.Transient, Op: op, Err: err}
	}
	err := c.effect(op, effect)
	if c.step != nil && err == nil {
		if err := c.step("after " + op); err != nil {
			return &cloud.Error{Kind: cloud.Ambiguous, Op: op, Err: err}
		}
	}
	return err
}

func (c *fakeCloud) effect(op string, effect func() error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls[op]++
	var fault error
	if c.fault != nil {
		err, done := c.fault(op)
		if err != nil && !done {
			return err
		}
		fault = err
	}
	if err := effect(); err != nil {
		return err
	}
	return fault
}

// alive returns the instances that count, at a time.
func (c *fakeCloud) alive(now time.Time) []*fakeInstance {
	var alive []*fakeInstance
	for _, i := range c.instances {
		if i.deleted.IsZero() || now.Before(i.deleted) {
			alive = append(alive, i)
		}
	}
	return alive
}

func (c *fakeCloud) Create(ctx context.Context, spec cloud.BatchSpec) error {
	err := c.do(ctx, "create", func() error {
		c.creates = append(c.creates, spec)
		c.lanes = append(c.lanes, cloud.LaneOf(ctx))
		n := min(spec.Count, c.quota-len(c.alive(time.Now())))
		if n <= 0 {
			return fail(cloud.Quota)
		}
		for k := range n {
			i := c.make(pool.InstanceName(spec.Name, k+1, n), spec.Mark)
			if spec.BootFromVolume {
				i.Volumes = []string{"vol-" + i.ID}
			}
		}
		return nil
	})
	if c.latency > 0 {
		time.Sleep(c.latency)
	}
	return err
}

func (c *fakeCloud) make(name string, mark cloud.Mark) *fakeInstance {
	c.serial++
	i := &fakeInstance{active: time.Now().Add(c.boot)}
	i.ID, i.Name, i.Mark, i.Created = fmt.Sprintf("id-%04d", c.serial), name, mark, time.Now()
	i.AZ, i.HostID = cmp.Or(c.zone, "az1"), "host1"
	i.Addresses = []pool.Address{{IP: "10.0.0.1", Version: 4}}
	c.instances = append(c.instances, i)
	return i
}

// show returns an instance as it is at a time.
func (c *fakeCloud) show(i *fakeInstance, now time.Time) cloud.Instance {
	seen := i.Instance
	seen.Status = cloud.StatusBuilding
	if !now.Before(i.active) {
		seen.Status = cloud.StatusActive
		if c.broken != nil {
			if fault, kind := c.broken(seen); fault != "" {
				seen.Status, seen.Fault, seen.FaultKind = cloud.StatusError, fault, kind
			}
		}
	}
	if seen.Status == cloud.StatusBuilding {
		seen.Addresses = nil
	}
	if !i.deleted.IsZero() {
		seen.Status = cloud.StatusDeleting
		if !now.Before(i.deleted) {
			seen.Status, seen.Mark = cloud.StatusDeleted, cloud.Mark{} // Nova forgets the metadata
		}
	}
	return seen
}

func (c *fakeCloud) Instances(ctx context.Context, since cloud.ListMark) (cloud.Listing, error) {
	var l cloud.Listing
	err := c.do(ctx, "list", func() error {
		now := time.Now()
		c.lists = append(c.lists, now)
		l.Full, l.Next = since.At.IsZero(), cloud.ListMark{At: now.Add(-time.Second)}
		for _, i := range c.instances {
			seen := c.show(i, now)
			if c.hidden != nil && c.hidden(seen) {
				continue
			}
			changed := i.Created
			for _, at := range []time.Time{i.active, i.deleted} {
				if at.After(changed) && !now.Before(at) {
					changed = at
				}
			}
			if l.Full && seen.Status != cloud.StatusDeleted || !l.Full && !changed.Before(since.At) {
				seen.Fault, seen.FaultKind = "", ""
				l.Instances = append(l.Instances, seen)
			}
		}
		return nil
	})
	return l, err
}

func (c *fakeCloud) find(id string) *fakeInstance {
	for _, i := range c.alive(time.Now()) {
		if i.ID == id {
			return i
		}
	}
	return nil
}

func (c *fakeCloud) Instance(ctx context.Context, id string) (cloud.Instance, error) {
	var seen cloud.Instance
	err := c.do(ctx, "look", func() error {
		i := c.find(id)
		if i == nil {
			return fail(cloud.NotFound)
		}
		seen = c.show(i, time.Now())
		return nil
	})
	return seen, err
}

func (c *fakeCloud) Delete(ctx context.Context, id string) error {
	return c.do(ctx, "delete", func() error {
		i := c.find(id)
		if i == nil {
			return fail(cloud.NotFound)
		}
		if (c.stuck == nil || !c.stuck(i.Instance)) && i.deleted.IsZero() {
			i.deleted = time.Now().Add(c.vanish)
		}
		return nil
	})
}

func (c *fakeCloud) Facts(ctx context.Context) (cloud.Facts, error) {
	f := cloud.Facts{Limits: pool.NoLimits(), Flavors: []pool.Flavor{{ID: "f1", Name: "small"}}}
	err := c.do(ctx, "facts", func() error {
		c.factLanes = append(c.factLanes, cloud.LaneOf(ctx))
		f.Limits.Instances = int64(c.quota)
		n := int64(len(c.alive(time.Now())))
		f.Used = pool.Resources{Instances: n, Cores: 2 * n}.Add(pool.Resources{Instances: c.foreign})
		return nil
	})
	return f, err
}

func (c *fakeCloud) FindImage(ctx context.Context, name string) (string, error) {
	return "id-of-" + name, c.do(ctx, "image", func() error { return nil })
}

func (c *fakeCloud) Console(ctx context.Context, _ string, _ int) (string, error) {
	return "kernel panic", c.do(ctx, "console", func() error { return nil })
}

func (c *fakeCloud) NeedsFloatingIP(context.Context, cloud.Instance) (bool, error) { return true, nil }

func (c *fakeCloud) Expose(ctx context.Context, spec cloud.ExposeSpec) (pool.Address, error) {
	address := pool.Address{IP: "203.0.113.1", Version: 4, Floating: true}
	err := c.do(ctx, "expose", func() error {
		for _, ip := range c.ips {
			if spec.Again && ip.Mark.Node == spec.Mark.Node {
				return nil
			}
		}
		c.serial++
		c.ips = append(c.ips, cloud.Resource{
			Kind: cloud.FloatingIP, ID: fmt.Sprintf("ip-%d", c.serial), Mark: spec.Mark,
			InstanceID: spec.InstanceID, Created: time.Now(),
		})
		return nil
	})
	return address, err
}

func (c *fakeCloud) Resources(ctx context.Context, kind cloud.ResourceKind) ([]cloud.Resource, error) {
	var found []cloud.Resource
	err := c.do(ctx, "resources", func() error {
		if kind == cloud.FloatingIP {
			found = slices.Clone(c.ips)
		}
		return nil
	})
	return found, err
}

func (c *fakeCloud) Remove(ctx context.Context, _ cloud.ResourceKind, id string) error {
	return c.do(ctx, "remove", func() error {
		n := len(c.ips)
		c.ips = slices.DeleteFunc(c.ips, func(r cloud.Resource) bool { return r.ID == id })
		if len(c.ips) == n {
			return fail(cloud.NotFound)
		}
		return nil
	})
}

func (c *fakeCloud) ForceDelete(ctx context.Context, id string) error {
	return c.do(ctx, "force", func() error {
		i := c.find(id)
		if c.unforced {
			return fail(cloud.Unauthorized)
		}
		if i == nil {
			return fail(cloud.NotFound)
		}
		i.deleted = time.Now().Add(c.vanish)
		return nil
	})
}

func (c *fakeCloud) Ports(ctx context.Context, id string) ([]string, error) {
	var ports []string
	err := c.do(ctx, "ports", func() error {
		ports = slices.Clone(c.ports[id])
		return nil
	})
	return ports, err
}

func (c *fakeCloud) RemovePort(ctx context.Context, instanceID, _ string) error {
	return c.do(ctx, "remove port", func() error {
		delete(c.ports, instanceID)
		return nil
	})
}

func (c *fakeCloud) RemoveVolume(ctx context.Context, id string) error {
	return c.do(ctx, "remove volume", func() error {
		if c.stays[id] == 0 {
			return fail(cloud.NotFound)
		}
		c.stays[id]--
		return nil
	})
}

// left returns how many instances and floating IPs exist.
func (c *fakeCloud) left() (instances, ips int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.alive(time.Now())), len(c.ips)
}

func (c *fakeCloud) called(op string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls[op]
}

// specs returns the batches that were asked for.
func (c *fakeCloud) specs() []cloud.BatchSpec {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.creates)
}

// plant makes an instance that no record explains.
func (c *fakeCloud) plant(name string, mark cloud.Mark) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.make(name, mark).ID
}

func (c *fakeCloud) exists(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.find(id) != nil
}

// kill makes an instance go without being asked.
func (c *fakeCloud) kill(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.find(id).deleted = time.Now()
}

var (
	_ cloud.Driver  = (*fakeCloud)(nil)
	_ cloud.Console = (*fakeCloud)(nil)
	_ cloud.Exposer = (*fakeCloud)(nil)
	_ cloud.Sweeper = (*fakeCloud)(nil)
	_ cloud.Cleaner = (*fakeCloud)(nil)
)
