package sim

import (
	"flag"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"poold/allocator"
	"poold/cloud/sim"
	"poold/pool"
)

var (
	dayFlag   = flag.Int("day", 0, "how many nodes TestDay launches in its day; 0 runs a tenth of an hour of it")
	tickFlag  = flag.Duration("tick", 5*time.Second, "how often TestDay decides")
	dayClouds = 20
)

// day is a day of many clouds. The allocator's decisions are the real ones, on
// records that are kept here; the launchers are coarse: they act once a tick
// within a budget of calls, and nothing they write is ever lost.
type day struct {
	t        *testing.T
	now, end time.Time
	start    time.Time
	d        *dice
	catalog  *pool.Catalog
	clouds   []*dayCloud
	revision int64
	ids      int

	requests    map[string]*pool.Request
	asked       map[string]time.Time
	allocations map[string]*pool.Allocation
	uploads     []*pool.Upload
	builds      []*pool.Build
	leaves      schedule

	waits                    []time.Duration
	users                    map[pool.NodeID]pool.RequestRef
	launched, failed, served int
	nodeTime, useTime        time.Duration
	decisions, calls, lost   int
	wanted                   float64
	longest                  time.Duration
}

// dayCloud is one provider of the day.
type dayCloud struct {
	conf   pool.Provider
	cloud  *sim.Cloud
	quota  *pool.Quota
	nodes  []*pool.Node // in the order of their ids
	server map[string]*pool.Node
	tokens float64
	listed time.Time
	facts  time.Time
	down   bool
}

// schedule is who leaves when, in buckets of seconds.
type schedule map[int64][]string

func newDay(t *testing.T) *day {
	t.Helper()
	start := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	y := &day{
		t: t, now: start, start: start, end: start.Add(24 * time.Hour), d: seed(1).dice("day"), revision: 100,
		requests: map[string]*pool.Request{}, asked: map[string]time.Time{},
		allocations: map[string]*pool.Allocation{}, leaves: schedule{}, users: map[pool.NodeID]pool.RequestRef{},
	}
	y.catalog = &pool.Catalog{
		Labels: []pool.Label{{Name: "small", MinReady: 100}, {Name: "medium", MinReady: 50}, {Name: "large", MinReady: 10}},
		Images: []pool.Image{{Name: "own"}},
	}
	for i := range dayClouds {
		c := newDayCloud(i, start)
		y.clouds = append(y.clouds, c)
		y.catalog.Providers = append(y.catalog.Providers, c.conf)
	}
	y.build("own-1")
	return y
}

func newDayCloud(i int, start time.Time) *dayCloud {
	name := fmt.Sprintf("cloud-%02d", i)
	quota := pool.NoLimits()
	quota.Instances = int64(300 + 30*(i%6))
	quota.Cores = quota.Instances * 3
	c := &dayCloud{server: map[string]*pool.Node{}}
	c.cloud = sim.New(sim.Config{
		Name: name, Seed: uint64(i + 1), Quota: quota, Images: []string{"noble", "own-1", "own-2"}, KeepDeleted: time.Minute,
		Build:  sim.Dist{Min: 10 * time.Second, Mean: 25 * time.Second, Max: 2 * time.Minute},
		Boot:   sim.Dist{Min: 5 * time.Second, Mean: 12 * time.Second, Max: time.Minute},
		Delete: sim.Dist{Min: time.Second, Mean: 6 * time.Second, Max: time.Minute},
	}, start)
	labels := labelSpecs("small", "medium", "large")
	labels[1].CloudImage, labels[1].DiskImage = "", "own"
	c.conf = pool.Provider{
		Name: name, Cloud: name, Region: "r1", Rate: 200 * time.Millisecond, LaunchTimeout: 5 * time.Minute,
		CloudImages: []pool.CloudImage{{Name: "noble"}}, Images: []pool.ProviderImage{{Name: "own"}},
		Pools: []pool.Pool{{Name: "main", Limits: pool.NoLimits(), Labels: labels}},
	}
	return c
}

// build makes a build of the image and an upload of it in every cloud.
func (y *day) build(id string) {
	y.revision++
	y.builds = append(y.builds, &pool.Build{Image: "own", ID: id, State: pool.BuildReady, Created: y.now, Since: y.now, Record: pool.Record{Revision: y.revision}})
	for _, c := range y.clouds {
		for _, i := range c.cloud.Images(y.now) {
			if i.Name == id {
				y.uploads = append(y.uploads, &pool.Upload{
					Image: "own", Build: id, Provider: c.conf.Name, State: pool.UploadReady, ExternalID: i.ID,
					Created: y.now, Since: y.now, Record: pool.Record{Revision: y.revision},
				})
			}
		}
	}
}

// unbuild deletes a build again.
func (y *day) unbuild(id string) {
	y.builds = slices.DeleteFunc(slices.Clone(y.builds), func(b *pool.Build) bool { return b.ID == id })
	y.uploads = slices.DeleteFunc(slices.Clone(y.uploads), func(u *pool.Upload) bool { return u.Build == id })
}

// A day at scale.
func TestDay(t *testing.T) {
	y := newDay(t)
	nodes := *dayFlag
	if nodes == 0 {
		nodes, y.end = 1_000_000, y.start.Add(6*time.Minute)
	}
	began := time.Now()
	for y.now.Before(y.end) {
		y.tick(float64(nodes))
	}
	asking := y.now
	for len(y.requests) > 0 && y.now.Sub(asking) < 2*time.Hour {
		y.tick(0)
	}
	if len(y.requests) > 0 {
		t.Errorf("I9: %d requests are left two hours after the day", len(y.requests))
	}
	y.judgeEnd()
	y.print(time.Since(began))
}

// tick is all that happens between two decisions.
func (y *day) tick(perDay float64) {
	y.now = y.now.Add(*tickFlag)
	y.events()
	y.come(perDay)
	y.leave()
	for _, c := range y.clouds {
		y.launcher(c)
	}
	y.decide()
}

// events are the outages, quota changes and the bad image of the day.
func (y *day) events() {
	at := y.now.Sub(y.start)
	within := func(from, to time.Duration) bool { return at >= from && at < to }
	y.clouds[3].down = within(4*time.Hour, 4*time.Hour+30*time.Minute)
	y.clouds[7].down = within(14*time.Hour, 14*time.Hour+45*time.Minute)
	for i, c := range []*dayCloud{y.clouds[1], y.clouds[8], y.clouds[15]} {
		q := c.cloud.Config().Quota
		full := int64(300 + 30*([]int{1, 8, 15}[i]%6))
		q.Instances = full
		if within(time.Duration(9+i)*time.Hour, time.Duration(11+i)*time.Hour) {
			q.Instances = full / 2
		}
		c.cloud.SetQuota(q)
	}
	bad := within(12*time.Hour, 12*time.Hour+20*time.Minute)
	if has := len(y.builds) > 1; bad && !has {
		y.build("own-2")
		for _, c := range y.clouds {
			c.cloud.AddFault(sim.Fault{Kind: sim.FaultServerError, Match: "bad", Body: bodyOther})
		}
	} else if !bad && has {
		y.unbuild("own-2")
	}
}

// come makes the requests of a tick: more by day than by night.
func (y *day) come(perDay float64) {
	hour := y.now.Sub(y.start).Hours()
	shape := 1 + 0.7*math.Sin((hour-8)/24*2*math.Pi)
	y.wanted += perDay * tickFlag.Seconds() / 86400 * shape
	for y.wanted >= 1 {
		sets := [][]string{{"small"}, {"small"}, {"small"}, {"medium"}, {"medium"}, {"large"}, {"small", "small"}, {"medium", "medium"}, {"small", "small", "small", "small"}}
		labels := sets[y.d.below(len(sets))]
		y.wanted -= float64(len(labels))
		y.revision++
		y.ids++
		id := fmt.Sprintf("r%08d", y.ids)
		y.requests[id] = &pool.Request{
			Client: "ci", ID: id, Labels: labels, Leased: true, CreateRevision: y.revision,
			Record: pool.Record{Revision: y.revision},
		}
		y.asked[id] = y.now
	}
}

// leave ends the requests whose work is done.
func (y *day) leave() {
	for s := y.now.Add(-*tickFlag).Unix(); s < y.now.Unix(); s++ {
		for _, id := range y.leaves[s] {
			delete(y.requests, id)
			y.revision++
		}
		delete(y.leaves, s)
	}
}

func (y *day) decide() {
	s := y.snapshot()
	began := time.Now()
	plan := allocator.Decide(s, y.catalog, y.now)
	y.longest = max(y.longest, time.Since(began))
	y.decisions++
	booked := map[string]pool.Resources{}
	for i := range plan.Decisions {
		d := &plan.Decisions[i]
		for _, c := range d.Write.Nodes {
			y.write(c)
		}
		for _, c := range d.Write.Allocations {
			y.answer(c)
		}
		for _, c := range d.Write.Uploads {
			y.note(c)
		}
		for _, l := range d.Launches {
			y.launch(l)
			booked[l.Node.Provider] = pool.Resources{}
		}
	}
	for _, c := range y.clouds {
		y.judgeQuota(c, booked)
	}
}

// judgeQuota is I5: what was launched fits into what is believed.
func (y *day) judgeQuota(c *dayCloud, launched map[string]pool.Resources) {
	var used pool.Resources
	for _, n := range c.nodes {
		if n.State.Live() {
			used = used.Add(n.Resources)
			y.nodeTime += *tickFlag
			if n.State == pool.NodeInUse {
				y.useTime += *tickFlag
			}
		}
	}
	if _, some := launched[c.conf.Name]; !some {
		return
	}
	if over := c.quota.Limits.Short(pool.Resources{}, used); over != "" {
		y.t.Fatalf("I5: %s books more %s than there is at %s: %+v of %+v", c.conf.Name, over, y.now, used, c.quota.Limits)
	}
}

func (y *day) snapshot() *pool.Snapshot {
	s := &pool.Snapshot{Revision: y.revision, Uploads: y.uploads, Builds: y.builds}
	for _, c := range y.clouds {
		s.Nodes = append(s.Nodes, c.nodes...)
		if c.quota != nil {
			s.Quotas = append(s.Quotas, c.quota)
		}
	}
	for _, id := range sortedKeys(y.requests) {
		s.Requests = append(s.Requests, y.requests[id])
	}
	for _, id := range sortedKeys(y.allocations) {
		s.Allocations = append(s.Allocations, y.allocations[id])
	}
	return s
}

// write takes in a change of a node, and is I1.
func (y *day) write(c pool.Change[pool.Node]) {
	k := y.clouds[slices.IndexFunc(y.clouds, func(k *dayCloud) bool { return k.conf.Name == c.Before.Provider })]
	at := k.find(c.Before.ID)
	if c.After == nil {
		k.nodes = slices.Delete(k.nodes, at, at+1)
		return
	}
	from := c.Before.State
	by := pool.Allocator
	if err := pool.NodeMachine().CheckWrite(&from, c.After.State, by); err != nil || k.nodes[at] != c.Before {
		y.t.Fatalf("I7: %s: %v", c.After.ID, err)
	}
	if c.After.State == pool.NodeInUse {
		if was, used := y.users[c.After.ID]; used && was != *c.After.AllocatedTo {
			y.t.Fatalf("I1: %s was of %v and is of %v", c.After.ID, was, *c.After.AllocatedTo)
		}
		y.users[c.After.ID] = *c.After.AllocatedTo
	}
	k.put(at, c.After, y)
}

// note takes in what the allocator says of an upload.
func (y *day) note(c pool.Change[pool.Upload]) {
	at := slices.Index(y.uploads, c.Before)
	if at < 0 {
		y.t.Fatalf("I7: an upload is written that was written since: %+v", c.Before)
	}
	y.revision++
	u := *c.After
	u.Revision = y.revision
	y.uploads = slices.Clone(y.uploads)
	y.uploads[at] = &u
}

func (c *dayCloud) find(id pool.NodeID) int {
	at, _ := slices.BinarySearchFunc(c.nodes, id, func(n *pool.Node, id pool.NodeID) int { return strings.Compare(string(n.ID), string(id)) })
	return at
}

func (c *dayCloud) put(at int, n *pool.Node, y *day) {
	y.revision++
	n.Revision = y.revision
	c.nodes[at] = n
	if n.InstanceID != "" {
		c.server[n.InstanceID] = n
	}
}

// answer takes in what a client is told.
func (y *day) answer(c pool.Change[pool.Allocation]) {
	if c.After == nil {
		delete(y.allocations, c.Before.ID)
		return
	}
	y.revision++
	a := *c.After
	a.Revision = y.revision
	y.allocations[a.ID] = &a
	switch a.State {
	case pool.AllocationFulfilled:
		if at, waits := y.asked[a.ID]; waits {
			y.waits = append(y.waits, y.now.Sub(at))
			delete(y.asked, a.ID)
			y.served++
			work := time.Duration(30+y.d.below(600)) * time.Second
			y.leaves[y.now.Add(work).Unix()] = append(y.leaves[y.now.Add(work).Unix()], a.ID)
		}
	case pool.AllocationFailed:
		y.t.Fatalf("I9: %s failed: %s", a.ID, a.Error)
	case pool.AllocationWaiting:
	}
}

func (y *day) launch(l allocator.Launch) {
	k := y.clouds[slices.IndexFunc(y.clouds, func(k *dayCloud) bool { return k.conf.Name == l.Node.Provider })]
	for range l.Count {
		y.ids++
		y.launched++
		n := l.Node.Clone()
		n.ID = pool.NodeID(fmt.Sprintf("n%09d", y.ids))
		k.nodes = append(k.nodes, n)
		k.put(len(k.nodes)-1, n, y)
	}
}

// judgeEnd is I3: each server has its node.
func (y *day) judgeEnd() {
	for _, c := range y.clouds {
		live := map[string]bool{}
		for _, n := range c.nodes {
			live[n.InstanceID] = live[n.InstanceID] || n.State.Live()
		}
		for _, v := range c.cloud.Truth(y.now) {
			if !live[v.ID] {
				y.t.Errorf("I3: %s: the server %s has no node", c.conf.Name, v.Name)
			}
		}
	}
}

func (y *day) print(took time.Duration) {
	slices.Sort(y.waits)
	at := func(p float64) time.Duration { return y.waits[min(len(y.waits)-1, int(p*float64(len(y.waits))))] }
	y.t.Logf("%v of virtual time in %v, %d decisions %v apart, the longest took %v\n"+
		"%d nodes launched, %d requests served; waits: p50 %v, p90 %v, p99 %v, max %v\n"+
		"%.1f %% of the life of nodes was use; %.2f %% of launches failed (%d); %.2f calls per node, %d calls lost in outages",
		y.now.Sub(y.start), took.Round(time.Second), y.decisions, *tickFlag, y.longest.Round(time.Millisecond),
		y.launched, y.served, at(.5), at(.9), at(.99), y.waits[len(y.waits)-1],
		100*y.useTime.Seconds()/y.nodeTime.Seconds(), 100*float64(y.failed)/float64(y.launched), y.failed,
		float64(y.calls)/float64(y.launched), y.lost)
}
