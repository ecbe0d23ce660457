package sim_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"poold/cloud"
	"poold/cloud/sim"
	"poold/pool"
)

// bench is a cloud with a driver and a clock that moves when told to.
type bench struct {
	t *testing.T
	*sim.Cloud
	driver *sim.Driver
	now    time.Time
	image  string
}

func newBench(t *testing.T, cfg sim.Config) *bench {
	t.Helper()
	b := &bench{t: t, now: time.Date(2026, 11, 21, 2, 0, 0, 0, time.UTC)}
	cfg.Images = []string{"ubuntu"}
	b.Cloud = sim.New(cfg, b.now)
	b.driver = sim.NewDriver(b.Cloud, func() time.Time { return b.now }, cloud.Open{}, "us")
	b.image = b.Images(b.now)[0].ID
	return b
}

func (b *bench) pass(d time.Duration) { b.now = b.now.Add(d) }

func (b *bench) create(name string, count int) error {
	return b.driver.Create(b.t.Context(), cloud.BatchSpec{
		Mark: cloud.Mark{Installation: "us", Provider: "p", Batch: name, Revision: 7},
		Name: name, Count: count, FlavorID: b.Config().Flavors[0].ID, ImageID: b.image,
	})
}

// made creates servers and fails the test if that fails.
func (b *bench) made(name string, count int) {
	b.t.Helper()
	if err := b.create(name, count); err != nil {
		b.t.Fatalf("create %d servers: %v", count, err)
	}
}

// list returns the instances that a full list shows, as "name status", sorted.
func (b *bench) list() []string {
	b.t.Helper()
	return b.since(cloud.ListMark{})
}

func (b *bench) since(mark cloud.ListMark) []string {
	b.t.Helper()
	l, err := b.driver.Instances(b.t.Context(), mark)
	if err != nil {
		b.t.Fatalf("list: %v", err)
	}
	var all []string
	for _, i := range l.Instances {
		all = append(all, i.Name+" "+string(i.Status))
	}
	slices.Sort(all)
	return all
}

func (b *bench) wantList(want ...string) {
	b.t.Helper()
	if got := b.list(); !slices.Equal(got, want) {
		b.t.Errorf("the list shows %q, want %q", got, want)
	}
}

func (b *bench) wantKind(err error, want cloud.Kind) {
	b.t.Helper()
	if got := cloud.KindOf(err); got != want {
		b.t.Errorf("the error is %v (%v), want kind %q", err, got, want)
	}
}

// id is the id of the server of that name.
func (b *bench) id(name string) string {
	b.t.Helper()
	for _, s := range b.Truth(b.now) {
		if s.Name == name {
			return s.ID
		}
	}
	b.t.Fatalf("there is no server %s", name)
	return ""
}

// instances is a quota of so many instances and nothing else.
func instances(n int64) pool.Limits {
	l := pool.NoLimits()
	l.Instances = n
	return l
}

// As many servers are made as fit, called after their batch; one alone has no
// suffix.
func TestBatchAtTheEdgeOfTheQuota(t *testing.T) {
	b := newBench(t, sim.Config{Quota: instances(5)})
	b.made("p1", 1)
	b.made("p2", 8)
	b.wantList("p1 active", "p2-1 active", "p2-2 active", "p2-3 active", "p2-4 active")
	err := b.create("p3", 2)
	b.wantKind(err, cloud.Quota)
	const want = "Quota exceeded for instances: Requested 1-2, but already used 5 of 5 instances"
	if !strings.Contains(err.Error(), want) {
		t.Errorf("the error is %q, want %q in it", err, want)
	}
}

// The scarcest of the quotas decides, and all that are short are named.
func TestQuotaOfCoresAndRAM(t *testing.T) {
	limits := pool.NoLimits()
	limits.Cores, limits.RAMMiB = 3, 4096
	b := newBench(t, sim.Config{Quota: limits})
	b.made("p", 9)
	b.wantList("p-1 active", "p-2 active")
	err := b.create("q", 2)
	b.wantKind(err, cloud.Quota)
	const want = "Quota exceeded for cores, ram: Requested 2, 4096, but already used 2, 4096 of 3, 4096 cores, ram"
	if !strings.Contains(err.Error(), want) {
		t.Errorf("the error is %q, want %q in it", err, want)
	}
}

// A quota of ports bounds a batch like one of instances, also after it shrank.
func TestQuotaOfPorts(t *testing.T) {
	b := newBench(t, sim.Config{})
	b.made("p", 2)
	limits := pool.NoLimits()
	limits.Ports = 3
	b.SetQuota(limits)
	b.made("q", 5)
	b.wantList("p-1 active", "p-2 active", "q active")
	limits.Ports = 1
	b.SetQuota(limits)
	b.wantKind(b.create("r", 1), cloud.Quota)
}

// A batch that there is no room for fails as a whole, later, and uses quota
// but no room.
func TestNoValidHost(t *testing.T) {
	b := newBench(t, sim.Config{Capacity: 3, Build: sim.Always(time.Second)})
	b.made("p", 4)
	b.pass(time.Second)
	b.wantList("p-1 error", "p-2 error", "p-3 error", "p-4 error")
	i, err := b.driver.Instance(t.Context(), b.id("p-2"))
	if err != nil || i.FaultKind != cloud.Capacity || len(i.Addresses) != 0 {
		t.Errorf("the server is %+v, %v, want a fault of capacity and no address", i, err)
	}
	b.made("q", 3)
	b.pass(time.Second)
	if got := b.list(); !slices.Contains(got, "q-3 active") {
		t.Errorf("the list shows %q, want q active: failed servers take no room", got)
	}
	facts, err := b.driver.Facts(t.Context())
	if err != nil || facts.Used.Instances != 7 || facts.Used.Ports != 3 {
		t.Errorf("used is %+v, %v, want 7 instances and 3 ports", facts.Used, err)
	}
}

// A server that is gone leaves its room on the hosts to another.
func TestRoomIsFreed(t *testing.T) {
	b := newBench(t, sim.Config{Capacity: 1})
	for _, name := range []string{"p", "q"} {
		b.made(name, 1)
		b.wantList(name + " active")
		if err := b.driver.Delete(t.Context(), b.id(name)); err != nil {
			t.Fatal(err)
		}
	}
}

// A server is building, active, deleting, and gone, each in its time.
func TestLife(t *testing.T) {
	b := newBench(t, sim.Config{Build: sim.Always(3 * time.Second), Delete: sim.Always(2 * time.Second)})
	b.made("p", 1)
	b.pass(3*time.Second - 1)
	b.wantList("p building")
	b.pass(1)
	b.wantList("p active")
	id := b.id("p")
	i, err := b.driver.Instance(t.Context(), id)
	if err != nil || len(i.Addresses) != 1 || i.Addresses[0].IP != "10.0.0.2" || i.Mark.Batch != "p" || i.Mark.Revision != 7 {
		t.Errorf("the server is %+v, %v, want address 10.0.0.2 and its mark", i, err)
	}
	for range 2 {
		if err := b.driver.Delete(t.Context(), id); err != nil {
			t.Fatalf("delete: %v", err)
		}
	}
	b.wantList("p deleting")
	b.pass(2 * time.Second)
	b.wantList()
	b.wantKind(b.driver.Delete(t.Context(), id), cloud.NotFound)
	_, err = b.driver.Instance(t.Context(), id)
	b.wantKind(err, cloud.NotFound)
}

// A list of changes tells what became active, and what is gone, which has
// lost its mark; and nothing that did not change.
func TestChangesSince(t *testing.T) {
	b := newBench(t, sim.Config{KeepDeleted: time.Hour})
	b.made("old", 1)
	b.made("dies", 1)
	b.pass(time.Minute)
	l, err := b.driver.Instances(t.Context(), cloud.ListMark{At: b.now})
	if err != nil || l.Full || len(l.Instances) != 0 {
		t.Fatalf("nothing changed, and the list is %+v, %v", l, err)
	}
	b.made("new", 1)
	if err := b.driver.Delete(t.Context(), b.id("dies")); err != nil {
		t.Fatal(err)
	}
	b.pass(time.Second)
	if got, want := b.since(l.Next), []string{"dies deleted", "new active"}; !slices.Equal(got, want) {
		t.Errorf("the changes are %q, want %q", got, want)
	}
	b.pass(2 * time.Hour)
	if got := b.since(l.Next); !slices.Equal(got, []string{"new active"}) {
		t.Errorf("after two hours the changes are %q, want the deleted one forgotten", got)
	}
}

// Every page is another call, and together they are all servers once.
func TestPages(t *testing.T) {
	b := newBench(t, sim.Config{PageLimit: 4})
	b.made("p", 9)
	b.ResetCalls()
	if got := b.list(); len(got) != 9 || len(slices.Compact(got)) != 9 {
		t.Errorf("the pages show %q, want 9 servers", got)
	}
	if got := b.Calls()["compute GET /servers/detail"]; got != 3 {
		t.Errorf("it took %d calls, want 3", got)
	}
}

// Servers with another mark are counted, not shown.
func TestOthers(t *testing.T) {
	b := newBench(t, sim.Config{})
	them := sim.NewDriver(b.Cloud, func() time.Time { return b.now }, cloud.Open{}, "them")
	b.made("p", 2)
	l, err := them.Instances(t.Context(), cloud.ListMark{})
	if err != nil || len(l.Instances) != 0 || l.Others != 2 || !l.Full {
		t.Errorf("they see %+v, %v, want 2 others", l, err)
	}
}

// What a fault does to a create, and whether the servers are there after.
func TestFaultsOfCalls(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault sim.Fault
		kind  cloud.Kind
		after time.Duration
		made  int
	}{
		{"an answer instead", sim.Fault{Kind: sim.FaultStatus, Status: 503}, cloud.Ambiguous, 0, 0},
		{"slowed down", sim.Fault{Kind: sim.FaultStatus, Status: 429, RetryAfter: 9 * time.Second}, cloud.RateLimited, 9 * time.Second, 0},
		{"refused", sim.Fault{Kind: sim.FaultStatus, Status: 403}, cloud.Unauthorized, 0, 0},
		{"cut before", sim.Fault{Kind: sim.FaultCut}, cloud.Ambiguous, 0, 0},
		{"done and cut", sim.Fault{Kind: sim.FaultLostReply}, cloud.Ambiguous, 0, 1},
		{"done and 500", sim.Fault{Kind: sim.FaultStatusAfter}, cloud.Ambiguous, 0, 1},
		{"token taken back", sim.Fault{Kind: sim.FaultRevoke}, cloud.Transient, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, sim.Config{})
			c.fault.On, c.fault.Match, c.fault.Times, c.fault.After = "POST /servers", "p", 1, 1
			b.AddFault(c.fault)
			b.made("other", 1)
			b.made("p0", 1)
			err := b.create("p1", 1)
			b.wantKind(err, c.kind)
			if e, is := errors.AsType[*cloud.Error](err); !is || e.RetryAfter != c.after {
				t.Errorf("the error is %v, want to wait for %v", err, c.after)
			}
			if got := len(b.Truth(b.now)) - 2; got != c.made {
				t.Errorf("%d servers were made, want %d", got, c.made)
			}
			b.made("p2", 1)
		})
	}
}

// A fault may strike a service, an operation, or both together.
func TestFaultStrikesWhatItIsOn(t *testing.T) {
	for on, struck := range map[string]bool{
		"": true, "compute": true, "POST /servers": true, "compute POST /servers": true,
		"network": false, "GET /servers/detail": false, "image POST /servers": false,
	} {
		b := newBench(t, sim.Config{})
		b.list() // to have a token
		b.AddFault(sim.Fault{Kind: sim.FaultStatus, Status: 429, On: on})
		if err := b.create("p", 1); (err != nil) != struck {
			t.Errorf("on %q: the create ends in %v, want struck: %v", on, err, struck)
		}
	}
}

// What a fault does to a server.
func TestFaultsOfServers(t *testing.T) {
	b := newBench(t, sim.Config{Build: sim.Always(time.Second), Boot: sim.Always(time.Second)})
	for kind, name := range map[sim.FaultKind]string{
		sim.FaultStuckBuild: "stuck", sim.FaultServerError: "broken", sim.FaultNoSSH: "silent", sim.FaultVanish: "gone",
	} {
		b.AddFault(sim.Fault{Kind: kind, Match: name, Body: "Binding failed for port", Delay: time.Minute})
		b.made(name, 1)
	}
	b.made("well", 1)
	b.pass(2 * time.Second)
	b.wantList("broken error", "gone active", "silent active", "stuck building", "well active")
	booted := map[string]bool{}
	for _, s := range b.Truth(b.now) {
		booted[s.Name] = s.Booted
	}
	want := map[string]bool{"broken": false, "gone": true, "silent": false, "stuck": false, "well": true}
	if !maps.Equal(booted, want) {
		t.Errorf("booted are %v, want %v", booted, want)
	}
	b.pass(time.Hour)
	b.wantList("broken error", "silent active", "stuck building", "well active")
	i, err := b.driver.Instance(t.Context(), b.id("broken"))
	if err != nil || i.FaultKind != cloud.Transient || i.Fault != "Binding failed for port" {
		t.Errorf("the broken server is %+v, %v", i, err)
	}
	if err := b.driver.Delete(t.Context(), b.id("stuck")); err != nil {
		t.Fatal(err)
	}
	b.wantList("broken error", "silent active", "well active")
}

// A delete may never end, until the fault is taken away and it is asked again.
func TestStuckDelete(t *testing.T) {
	b := newBench(t, sim.Config{})
	b.made("p", 1)
	b.AddFault(sim.Fault{Kind: sim.FaultStuckDelete})
	for range 2 {
		if err := b.driver.Delete(t.Context(), b.id("p")); err != nil {
			t.Fatal(err)
		}
		b.pass(time.Hour)
		b.wantList("p deleting")
	}
	b.ClearFaults()
	if err := b.driver.Delete(t.Context(), b.id("p")); err != nil {
		t.Fatal(err)
	}
	b.wantList()
}

// A stale list shows the past; a look by id does not.
func TestStaleList(t *testing.T) {
	b := newBench(t, sim.Config{})
	b.made("dies", 1)
	b.AddFault(sim.Fault{Kind: sim.FaultStaleList, Delay: time.Minute})
	b.pass(time.Minute)
	b.made("new", 1)
	id := b.id("dies")
	if err := b.driver.Delete(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	b.pass(59 * time.Second)
	b.wantList("dies active")
	_, err := b.driver.Instance(t.Context(), id)
	b.wantKind(err, cloud.NotFound)
	b.pass(time.Second)
	b.wantList("new active")
}

// A cell that is down is missing from lists without a word, while its servers
// are not gone.
func TestCellDown(t *testing.T) {
	b := newBench(t, sim.Config{Cells: 2})
	b.made("p", 20)
	b.AddFault(sim.Fault{Kind: sim.FaultCellDown, Cell: 1})
	shown := b.list()
	if len(shown) == 0 || len(shown) == 20 {
		t.Fatalf("%d of 20 servers are shown, want some", len(shown))
	}
	for _, s := range b.Truth(b.now) {
		_, err := b.driver.Instance(t.Context(), s.ID)
		if want := map[int]cloud.Kind{0: "", 1: cloud.Transient}[s.Cell]; cloud.KindOf(err) != want {
			t.Errorf("a look at a server in cell %d ends in %v, want kind %q", s.Cell, err, want)
		}
	}
	b.ClearFaults()
	if got := len(b.list()); got != 20 {
		t.Errorf("then %d servers are shown, want 20", got)
	}
}

// A zone that is gone is not listed, and nothing can be made in it.
func TestZoneGone(t *testing.T) {
	b := newBench(t, sim.Config{Zones: []string{"a", "b"}})
	b.AddFault(sim.Fault{Kind: sim.FaultZoneGone, Match: "a"})
	facts, err := b.driver.Facts(t.Context())
	if err != nil || !slices.Equal(facts.Zones, []string{"b"}) {
		t.Errorf("the zones are %v, %v, want b", facts.Zones, err)
	}
	err = b.driver.Create(t.Context(), cloud.BatchSpec{
		Name: "p", Count: 1, FlavorID: b.Config().Flavors[0].ID, ImageID: b.image, AZ: "a",
	})
	b.wantKind(err, cloud.Invalid)
	b.made("q", 4)
	for _, s := range b.Truth(b.now) {
		if s.Zone != "b" {
			t.Errorf("server %s is in zone %s, want b", s.Name, s.Zone)
		}
	}
}

// More calls than the rate allows are turned away with the time to wait, for
// each service by itself.
func TestRateLimit(t *testing.T) {
	b := newBench(t, sim.Config{Rate: 0.5, Burst: 2})
	b.made("p", 1)
	b.made("q", 1)
	err := b.create("r", 1)
	b.wantKind(err, cloud.RateLimited)
	if e, is := errors.AsType[*cloud.Error](err); !is || e.RetryAfter != 2*time.Second {
		t.Errorf("the error is %+v, want to wait for 2 s", err)
	}
	if _, err := b.driver.FindImage(t.Context(), "ubuntu"); err != nil {
		t.Errorf("the image service is limited too: %v", err)
	}
	b.pass(2 * time.Second)
	b.made("r", 1)
	b.wantKind(b.create("s", 1), cloud.RateLimited)
}

// A token is used until a minute before it expires; one that was taken back
// costs one call that did nothing.
func TestTokens(t *testing.T) {
	b := newBench(t, sim.Config{TokenLife: time.Hour})
	logins := func() int { return b.Calls()["identity POST /auth/tokens"] }
	b.list()
	b.pass(58 * time.Minute)
	b.list()
	if got := logins(); got != 1 {
		t.Errorf("%d tokens were asked for, want 1", got)
	}
	b.pass(2 * time.Minute)
	b.list()
	if got := logins(); got != 2 {
		t.Errorf("%d tokens were asked for, want 2", got)
	}
	b.AddFault(sim.Fault{Kind: sim.FaultRevoke, Times: 1})
	b.wantKind(b.create("p", 1), cloud.Transient)
	b.made("p", 1)
}

// A floating IP is had once, also if it is asked for again after a lost
// answer, and outlives its server.
func TestFloatingIP(t *testing.T) {
	quota := pool.NoLimits()
	quota.FloatingIPs = 1
	b := newBench(t, sim.Config{Quota: quota, Floating: netip.MustParsePrefix("172.24.0.0/24")})
	b.made("p", 2)
	i, err := b.driver.Instance(t.Context(), b.id("p-1"))
	if needs, err2 := b.driver.NeedsFloatingIP(t.Context(), i); err != nil || err2 != nil || !needs {
		t.Fatalf("needs a floating IP: %v, %v, %v, want true", needs, err, err2)
	}
	spec := cloud.ExposeSpec{InstanceID: i.ID, Mark: cloud.Mark{Installation: "us", Node: "n1"}}
	b.AddFault(sim.Fault{Kind: sim.FaultLostReply, On: "POST /floatingips", Times: 1})
	_, err = b.driver.Expose(t.Context(), spec)
	b.wantKind(err, cloud.Ambiguous)
	spec.Again = true
	a, err := b.driver.Expose(t.Context(), spec)
	if err != nil || a != (pool.Address{IP: "172.24.0.2", Version: 4, Floating: true, Network: "private"}) {
		t.Errorf("the address is %+v, %v", a, err)
	}
	_, err = b.driver.Expose(t.Context(), cloud.ExposeSpec{InstanceID: b.id("p-2"), Mark: cloud.Mark{Installation: "us", Node: "n2"}})
	b.wantKind(err, cloud.Quota)
	if err := b.driver.Delete(t.Context(), i.ID); err != nil {
		t.Fatal(err)
	}
	left, err := b.driver.Resources(t.Context(), cloud.FloatingIP)
	if err != nil || len(left) != 1 || left[0].InstanceID != "" || left[0].Mark.Node != "n1" {
		t.Fatalf("left is %+v, %v, want one floating IP of n1, attached to nothing", left, err)
	}
	if err := b.driver.Remove(t.Context(), cloud.FloatingIP, left[0].ID); err != nil {
		t.Fatal(err)
	}
	b.wantKind(b.driver.Remove(t.Context(), cloud.FloatingIP, left[0].ID), cloud.NotFound)
}

// Latency passes in the bubble's time, and a call that ran out of time was
// done all the same.
func TestLatencyInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := sim.New(sim.Config{Latency: sim.Always(3 * time.Second), Images: []string{"ubuntu"}}, time.Now())
		d := sim.NewDriver(c, time.Now, cloud.Open{}, "us")
		start := time.Now()
		if _, err := d.Instances(t.Context(), cloud.ListMark{}); err != nil || time.Since(start) != 6*time.Second {
			t.Fatalf("login and list took %v, %v, want 6 s", time.Since(start), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := d.Create(ctx, cloud.BatchSpec{
			Mark: cloud.Mark{Installation: "us"}, Name: "p", Count: 1,
			FlavorID: c.Config().Flavors[0].ID, ImageID: c.Images(time.Now())[0].ID,
		})
		if !errors.Is(err, cloud.Ambiguous) || len(c.Truth(time.Now())) != 1 {
			t.Errorf("the create ended in %v with %d servers, want ambiguous and 1", err, len(c.Truth(time.Now())))
		}
	})
}

// Equal seeds and calls make equal clouds; another name makes others ids.
func TestRepeatable(t *testing.T) {
	run := func(name string) string {
		b := newBench(t, sim.Config{Name: name, Seed: 9, Build: sim.Dist{Min: time.Second, Mean: 9 * time.Second}})
		b.made("p", 5)
		b.pass(8 * time.Second)
		l, err := b.driver.Instances(t.Context(), cloud.ListMark{})
		return fmt.Sprint(l, err)
	}
	if a, b := run("x"), run("x"); a != b {
		t.Errorf("two runs differ:\n%s\n%s", a, b)
	}
	if a, b := run("x"), run("y"); a == b {
		t.Error("clouds of different names have equal servers")
	}
}
