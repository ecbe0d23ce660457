package scale

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"poold/pool"
)

// How much there is.
const (
	Nodes     = 10_000
	Gone      = 10_000
	Labels    = 100
	Providers = 50
	Images    = 10
	Waiting   = 400
	// builds is how many of each image are on record, of which two have files.
	builds = 5
	// broken is how many providers do not launch, full how many have no quota left.
	broken, full = 4, 6
)

// Client is the CI system that has the nodes.
const Client = "zuul"

// Label is the name of a label.
func Label(i int) string { return fmt.Sprintf("debian-bookworm-%02d-8gb", i%Labels) }

// Provider is the name of a provider.
func Provider(i int) string { return fmt.Sprintf("openstack-region-%02d", i%Providers) }

// Image is the name of an image.
func Image(i int) string { return fmt.Sprintf("debian-bookworm-%02d", i%Images) }

// New makes the installation as it is now, the same each time but for the time.
func New(now time.Time) (*pool.Snapshot, *pool.Catalog) {
	c := &site{
		now: now.UTC().Truncate(time.Millisecond), random: rand.New(rand.NewPCG(1, 2)), //nolint:gosec // it is to be the same again
		records: &pool.Snapshot{Revision: 1_000_000},
	}
	c.nodes()
	c.queue()
	c.images()
	c.providers()
	return c.records, catalog()
}

type site struct {
	now     time.Time
	random  *rand.Rand
	records *pool.Snapshot
	made    int
}

// before is a time until so long ago.
func (c *site) before(most time.Duration) time.Time {
	return c.now.Add(-time.Duration(c.random.Int64N(int64(most)))).Truncate(time.Millisecond)
}

// id is a new id, as long as those of poold.
func (c *site) id() string {
	c.made++
	return fmt.Sprintf("n%011x", c.made)
}

// nodes are those that live, most of them in use, and those that are gone.
func (c *site) nodes() {
	shares := []struct {
		until int // in hundredths
		state pool.NodeState
	}{
		{62, pool.NodeInUse},
		{86, pool.NodeReady},
		{92, pool.NodeBuilding},
		{95, pool.NodeDeleting},
		{97, pool.NodeFailed},
		{98, pool.NodeHold},
		{100, pool.NodePending},
	}
	for i := range Nodes {
		for _, s := range shares {
			if i%100 < s.until {
				c.node(i/100, s.state)
				break
			}
		}
	}
	for i := range Gone {
		c.node(i, pool.NodeDeleted)
	}
	slices.SortStableFunc(c.records.Nodes, func(a, b *pool.Node) int {
		return cmp.Or(cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.ID, b.ID))
	})
	slices.SortFunc(c.records.Requests, func(a, b *pool.Request) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(c.records.Allocations, func(a, b *pool.Allocation) int { return cmp.Compare(a.ID, b.ID) })
}

// node adds a node in a state, with the life that leads there.
func (c *site) node(i int, state pool.NodeState) {
	begin := c.before(3 * time.Hour)
	if state == pool.NodeDeleting {
		begin = c.now.Add(-2 * time.Hour)
	}
	n := &pool.Node{
		V: 1, ID: pool.NodeID(c.id()), Provider: Provider(c.random.IntN(Providers)), Pool: "main", Label: Label(i), AZ: "nova",
		State: pool.NodePending, Created: begin, Since: begin, Cloud: "openstack", Flavor: "ci.8gb", FlavorID: "8",
		Resources: pool.Resources{Instances: 1, Cores: 8, RAMMiB: 8192, Ports: 1}, Image: Image(i), Build: "b4",
		Batch: "p0123456", BatchIndex: 1 + i%20, BatchSize: 20,
	}
	at := begin
	move := func(to pool.NodeState, by pool.Actor, reason string, most time.Duration) {
		at = at.Add(time.Second + time.Duration(c.random.Int64N(int64(most))))
		n = n.Moved(to, by, reason, at)
	}
	life := map[pool.NodeState][]pool.NodeState{
		pool.NodeBuilding: {pool.NodeBuilding}, pool.NodeReady: {pool.NodeBuilding, pool.NodeReady},
		pool.NodeInUse:    {pool.NodeBuilding, pool.NodeReady, pool.NodeInUse},
		pool.NodeHold:     {pool.NodeBuilding, pool.NodeReady, pool.NodeInUse, pool.NodeHold},
		pool.NodeFailed:   {pool.NodeBuilding, pool.NodeFailed},
		pool.NodeDeleting: {pool.NodeBuilding, pool.NodeReady, pool.NodeInUse, pool.NodeUsed, pool.NodeDeleting},
		pool.NodeDeleted:  {pool.NodeBuilding, pool.NodeReady, pool.NodeInUse, pool.NodeUsed, pool.NodeDeleting, pool.NodeDeleted},
	}[state]
	for _, to := range life {
		switch to { //nolint:exhaustive // the others have nothing of their own
		case pool.NodeReady:
			n.InstanceID, n.InterfaceIP = "0c6ba22d-1dcd-4e03-8ca6-"+string(n.ID), fmt.Sprintf("10.%d.%d.%d", i%250, i/250%250, c.made%250)
			n.Addresses = []pool.Address{{IP: n.InterfaceIP, Version: 4, Network: "private"}}
			move(to, pool.Launcher, "", 2*time.Minute)
		case pool.NodeInUse:
			move(to, pool.Allocator, "", time.Hour)
			n.AllocatedTo = &pool.RequestRef{Client: Client, ID: fmt.Sprintf("300-%010d", c.made), CreateRevision: int64(c.made)}
		case pool.NodeFailed:
			n.Failure = []pool.Kind{pool.KindTimeout, pool.KindUnclassified, pool.KindUnreachable}[c.random.IntN(3)]
			n.Evidence = "the last that the console said"
			move(to, pool.Launcher, "no answer on port 22 within 10m0s", 10*time.Minute)
		case pool.NodeDeleting:
			if state == to && n.Provider != Provider(broken) {
				at = c.before(5 * time.Minute) // only there they are stuck
			}
			move(to, pool.Launcher, "", time.Second)
		default:
			move(to, pool.Launcher, "", time.Minute)
		}
	}
	c.records.Nodes = append(c.records.Nodes, n)
	if state == pool.NodeInUse || state == pool.NodeHold {
		c.answer(n)
	}
}

// answer adds the request that has a node, and its answer.
func (c *site) answer(n *pool.Node) {
	id, revision := n.AllocatedTo.ID, n.AllocatedTo.CreateRevision
	c.records.Requests = append(c.records.Requests, &pool.Request{
		V: 1, Client: Client, ID: id, Labels: []string{n.Label}, Leased: true, CreateRevision: revision,
	})
	c.records.Allocations = append(c.records.Allocations, &pool.Allocation{
		V: 1, Client: Client, ID: id, State: pool.AllocationFulfilled, RequestRevision: revision, Since: n.Since, Created: n.Since,
		Nodes: []pool.AllocatedNode{{ID: n.ID, Label: n.Label, Provider: n.Provider, State: "in-use"}},
	})
}

// queue is who waits, each with a word from each provider.
func (c *site) queue() {
	for i := range Waiting {
		since, revision := c.before(20*time.Minute), int64(500_000+i)
		id := fmt.Sprintf("400-%010d", i)
		q := &pool.Request{V: 1, Client: Client, ID: id, Leased: true, CreateRevision: revision}
		for j := range 1 + i%3 {
			q.Labels = append(q.Labels, Label(i+j))
		}
		a := &pool.Allocation{
			V: 1, Client: Client, ID: id, State: pool.AllocationWaiting, RequestRevision: revision, Since: since, Created: since,
		}
		for p := range Providers {
			reason := pool.Reason{Provider: Provider(p), Class: "building", Text: "20 nodes are building, for those before it"}
			switch {
			case p < broken:
				reason.Class, reason.Text = "breaker", "12 launches failed in a row, the last one for no answer on port 22"
			case p < broken+full:
				reason.Class, reason.Text = "quota", "8 cores are not left of 2000"
			}
			a.Reasons = append(a.Reasons, reason)
		}
		c.records.Requests, c.records.Allocations = append(c.records.Requests, q), append(c.records.Allocations, a)
	}
}

// images have the newest build nearly everywhere.
func (c *site) images() {
	for i := range Images {
		for b := range builds {
			created := c.now.Add(-time.Duration(builds-b) * 20 * time.Hour)
			build := &pool.Build{
				V: 1, Image: Image(i), ID: fmt.Sprint("b", b), State: pool.BuildDeleted, Created: created, Since: created, Builder: "builder-1",
				Artifacts: []pool.Artifact{{Format: "qcow2", Bytes: 3 << 30}, {Format: "raw", Bytes: 20 << 30}},
			}
			if b >= builds-2 {
				build = build.Moved(pool.BuildReady, created.Add(time.Hour))
			}
			c.records.Builds = append(c.records.Builds, build)
			for p := range Providers {
				c.records.Uploads = append(c.records.Uploads, c.upload(build, i, b, p))
			}
		}
	}
}

// upload is that of a build in a provider. The newest is still on its way to some.
func (c *site) upload(build *pool.Build, image, number, provider int) *pool.Upload {
	u := &pool.Upload{
		V: 1, Image: build.Image, Build: build.ID, Provider: Provider(provider), State: pool.UploadPending, Created: build.Created, Format: "raw",
		Method: "glance-direct", Bytes: 20 << 30, ExternalID: c.id(),
	}
	newest, sent := number == builds-1, build.Created.Add(90*time.Minute)
	switch {
	case build.State == pool.BuildDeleted:
		return u.Moved(pool.UploadDeleted, sent)
	case newest && (image+provider)%17 == 0:
		u = u.Moved(pool.UploadUploading, sent)
		u.SentBytes = u.Bytes / 3
		return u
	case newest && (image+provider)%23 == 0:
		u = u.Moved(pool.UploadFailed, sent)
		u.Error = "the cloud ended the connection after 12 GiB"
		return u
	}
	u.SentBytes = u.Bytes
	return u.Moved(pool.UploadReady, sent)
}

// providers are the facts of the clouds, and the peers that do everything.
func (c *site) providers() {
	peers := []*pool.Member{
		{Name: "launcher-1", Roles: []pool.Role{pool.RoleAllocator, pool.RoleLauncher}, Owns: []string{"allocator"}},
		{Name: "launcher-2", Roles: []pool.Role{pool.RoleAllocator, pool.RoleLauncher}},
		{Name: "builder-1", Roles: []pool.Role{pool.RoleBuilder}},
	}
	for p := range Providers {
		limits := pool.NoLimits()
		limits.Instances, limits.Cores, limits.RAMMiB = 400, 3200, 400*8192
		if p >= broken && p < broken+full {
			limits.Cores = 8 * 200
		}
		name := Provider(p)
		c.records.Quotas = append(c.records.Quotas, &pool.Quota{
			V: 1, Provider: name, At: c.before(time.Minute), Limits: limits, Foreign: pool.Resources{Instances: 7, Cores: 28},
		})
		c.records.Healths = append(c.records.Healths, &pool.Health{V: 1, Provider: name, At: c.before(time.Minute)})
		peers[p%2].Owns = append(peers[p%2].Owns, "provider/"+name)
		peers[2].Owns = append(peers[2].Owns, "upload/"+name)
	}
	for i := range Images {
		peers[2].Owns = append(peers[2].Owns, "image/"+Image(i))
	}
	for _, m := range peers {
		m.V, m.Version, m.Started = 1, "1.0.0", c.now.Add(-50*time.Hour)
	}
	c.records.Members = peers
}

// Breakers are the launches that are stopped, of the first providers.
func Breakers(now time.Time) []pool.Breaker {
	var all []pool.Breaker
	for p := range broken {
		for i := range 3 {
			all = append(all, pool.Breaker{
				Provider: Provider(p), Pool: "main", AZ: "nova", FlavorID: fmt.Sprint(i), Kind: pool.KindTimeout, Last: "n00000000001",
				Since: now.Add(-time.Hour), Text: "12 launches failed in a row, the last one for no answer on port 22 within 10m0s",
			})
		}
	}
	return all
}

// catalog is the configuration of it: every label is made in every provider.
func catalog() *pool.Catalog {
	c := &pool.Catalog{}
	for i := range Images {
		c.Images = append(c.Images, pool.Image{Name: Image(i)})
	}
	var specs []pool.LabelSpec
	for i := range Labels {
		c.Labels = append(c.Labels, pool.Label{Name: Label(i), MinReady: 20})
		specs = append(specs, pool.LabelSpec{Name: Label(i), DiskImage: Image(i), FlavorName: "ci.8gb"})
	}
	for i := range Providers {
		p := pool.Provider{
			Name: Provider(i), Driver: pool.DriverOpenStack, Cloud: "openstack", Region: fmt.Sprintf("region-%02d", i), Rate: 50 * time.Millisecond,
			Pools: []pool.Pool{{Name: "main", Limits: pool.NoLimits(), Labels: specs}},
		}
		for j := range Images {
			p.Images = append(p.Images, pool.ProviderImage{Name: Image(j)})
		}
		c.Providers = append(c.Providers, p)
	}
	return c
}
