package statsd

import (
	"bytes"
	"context"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"poold/pool"
	"poold/test/collector"
	"poold/test/proc"
)

func begin() time.Time { return time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC) }

func at(seconds int) time.Time { return begin().Add(time.Duration(seconds) * time.Second) }

// site is what a Teller of a test tells of.
type site struct {
	records *pool.Snapshot
	catalog *pool.Catalog
	duties  []string
	leaks   map[Leak]int64
}

// teller tells a server of a site.
func (s *site) teller(t *testing.T, host string, port int, log *zap.Logger) *Teller {
	t.Helper()
	teller, err := New(Config{
		Host: host, Port: port, Getenv: func(string) string { return "" }, Peer: "one", Builds: true,
		Snapshot: func() *pool.Snapshot { return s.records },
		Catalog:  func() *pool.Catalog { return s.catalog }, Own: func() *pool.Catalog { return s.catalog },
		Does:  func(duty string) bool { return slices.Contains(s.duties, duty) },
		Leaks: func() map[Leak]int64 { return s.leaks }, Registerer: prometheus.NewPedanticRegistry(), Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	return teller
}

// node is one that was launched.
func node(outcome pool.NodeState, failure pool.Kind, seconds int) (before, after *pool.Node) {
	n := &pool.Node{ID: "a", Provider: "north", Label: "noble", AZ: "az1", Created: at(0)}
	before = n.Moved(pool.NodePending, pool.Allocator, "", at(0)).Moved(pool.NodeBuilding, pool.Launcher, "", at(2))
	after = before.Moved(outcome, pool.Launcher, "", at(2+seconds))
	after.Failure = failure
	return before, after
}

// What a whole life ended is told in exactly these lines, by whoever wrote the end.
func TestWhatHappened(t *testing.T) {
	s := collector.StartStatsd(t)
	teller := (&site{}).teller(t, "127.0.0.1", s.Port, zap.NewNop())
	born := &pool.Node{ID: "a", Provider: "north", Label: "noble", State: pool.NodePending}
	building, ready := node(pool.NodeReady, "", 37)
	used := ready.Moved(pool.NodeInUse, pool.Allocator, "", at(60))
	used.Revision = 3
	gone := used.Moved(pool.NodeUsed, pool.Allocator, "", at(70))
	_, failed := node(pool.NodeFailed, pool.KindQuota, 3)
	_, surplus := node(pool.NodeDeleting, "", 3)
	made := &pool.Build{Image: "noble", ID: "1", State: pool.BuildBuilding, Created: at(0)}
	done := made.Moved(pool.BuildReady, at(600))
	done.Artifacts = []pool.Artifact{{Format: "qcow2", Bytes: 4096, DiskBytes: 2048}, {Format: "raw", Bytes: 9000}}
	sent := (&pool.Upload{Image: "noble", Build: "1", Provider: "north", Created: at(600)}).
		Moved(pool.UploadPending, at(600)).Moved(pool.UploadUploading, at(610))
	tried := sent.Moved(pool.UploadTrial, at(640))
	serves := tried.Moved(pool.UploadReady, at(900))
	for _, w := range []pool.Write{
		{Nodes: []pool.Change[pool.Node]{pool.Create(born), pool.Update(born, building)}},
		{Nodes: []pool.Change[pool.Node]{pool.Update(building, ready)}},
		{Nodes: []pool.Change[pool.Node]{pool.Update(ready, ready), pool.Update(ready, used), pool.Update(used, gone), pool.Remove(gone)}},
		{Nodes: []pool.Change[pool.Node]{pool.Update(building, failed), pool.Update(building, surplus)}},
		{Builds: []pool.Change[pool.Build]{pool.Create(made), pool.Update(made, made), pool.Update(made, done), pool.Update(done, done)}},
		{Builds: []pool.Change[pool.Build]{pool.Update(made, made.Moved(pool.BuildFailed, at(30)))}},
		{Uploads: []pool.Change[pool.Upload]{pool.Create(sent), pool.Update(sent, tried), pool.Update(tried, serves), pool.Update(serves, serves)}},
	} {
		teller.Tell(&w)
	}
	teller.send(t.Context(), teller.waiting(), time.Now())
	want := slices.Sorted(slices.Values([]string{
		"nodepool.launch.ready:37000|ms", "nodepool.launch.ready:1|c",
		"nodepool.launch.provider.north.ready:37000|ms", "nodepool.launch.provider.north.ready:1|c",
		"nodepool.launch.provider.north.az1.ready:37000|ms", "nodepool.launch.provider.north.az1.ready:1|c",
		"nodepool.launch.error.quota:3000|ms", "nodepool.launch.error.quota:1|c",
		"nodepool.launch.provider.north.error.quota:3000|ms", "nodepool.launch.provider.north.error.quota:1|c",
		"nodepool.launch.provider.north.az1.error.quota:3000|ms", "nodepool.launch.provider.north.az1.error.quota:1|c",
		"nodepool.dib_image_build.noble.qcow2.size:2048|g", "nodepool.dib_image_build.noble.raw.size:9000|g",
		"nodepool.dib_image_build.noble.status.duration:600000|ms", "nodepool.dib_image_build.noble.status.rc:0|g",
		"nodepool.dib_image_build.noble.status.last_build:1767323400|g",
		"nodepool.dib_image_build.noble.status.duration:30000|ms", "nodepool.dib_image_build.noble.status.rc:1|g",
		"nodepool.dib_image_build.noble.status.last_build:1767322830|g",
		"nodepool.image_update.noble.north:30000|ms", "nodepool.image_update.noble.north:1|c",
	}))
	await(t, s, want)
	if sent := testutil.ToFloat64(teller.lines.WithLabelValues("sent")); sent != float64(len(want)) {
		t.Errorf("%v lines are said to be sent, want %d", sent, len(want))
	}
}

// await waits until the server was told something, and no more.
func await(t *testing.T, s *collector.Statsd, want []string) {
	t.Helper()
	var told []string
	proc.Await(t, "the server was told all", time.Minute, func() (string, bool) {
		told = slices.Sorted(slices.Values(s.Lines()))
		return strings.Join(told, "\n"), len(told) >= len(want)
	})
	if diff := cmp.Diff(want, told); diff != "" {
		t.Error(diff)
	}
}

// stage is a site with one of everything that is told of.
func stage() *site {
	few, many := pool.NoLimits(), pool.NoLimits()
	few.Instances, many.Instances = 3, 4
	tenant := pool.NoLimits()
	tenant.Cores, tenant.RAMMiB = 8, 0
	return &site{
		catalog: &pool.Catalog{
			Labels: []pool.Label{{Name: "noble"}}, Images: []pool.Image{{Name: "noble"}, {Name: "jammy", Paused: true}},
			Providers: []pool.Provider{
				{
					Name: "north", Images: []pool.ProviderImage{{Name: "noble"}, {Name: "jammy", Paused: true}},
					Pools: []pool.Pool{
						{Name: "main", Limits: few, Labels: []pool.LabelSpec{{Name: "noble"}, {Name: "jammy"}}},
						{Name: "side", Limits: many, Labels: []pool.LabelSpec{{Name: "noble"}}},
					},
				},
				{Name: "desk", Pools: []pool.Pool{{Name: "main", Limits: pool.NoLimits(), Hosts: []pool.Host{{Labels: []string{"noble"}}}}}},
			},
			Tenants: []pool.TenantLimit{{Tenant: "ci.example", Limits: tenant}},
		},
		records: &pool.Snapshot{
			Revision: 1,
			Nodes: []*pool.Node{
				{ID: "a", Provider: "north", Label: "noble", State: pool.NodeReady},
				{ID: "b", Provider: "north", Label: "noble", State: pool.NodeReady},
				{ID: "c", Provider: "north", Label: "noble", State: pool.NodePending},
				{ID: "d", Provider: "gone", Label: "old", State: pool.NodeUsed},
				{ID: "e", Provider: "north", Label: "noble", State: pool.NodeDeleted},
			},
			Requests: []*pool.Request{{ID: "1", Labels: []string{"noble"}}, {ID: "2", Labels: []string{"noble", "jammy"}}, {ID: "3", Labels: []string{"other"}}},
			Builds: []*pool.Build{
				{Image: "noble", ID: "1", Builder: "one", State: pool.BuildBuilding}, {Image: "jammy", ID: "1", Builder: "two", State: pool.BuildBuilding},
			},
			Uploads: []*pool.Upload{{Image: "noble", Build: "0", Provider: "north", State: pool.UploadUploading}},
			Commands: []*pool.Command{
				{ID: "1", Verb: pool.VerbBuild, Target: "noble"}, {ID: "2", Verb: pool.VerbBuild, Target: "jammy", Done: true}, {ID: "3", Verb: pool.VerbHold},
			},
		},
		duties: []string{"allocator", "upload/north"},
	}
}

// system are the lines that only one peer tells.
func systemLines() []string {
	var all []string
	for _, of := range []string{"", "provider.north.", "provider.desk.", "label.noble.", "provider.gone.", "label.old."} {
		for _, state := range []string{"init", "building", "ready", "in-use", "hold", "used", "failed", "deleting"} {
			n := "0"
			switch {
			case (of == "" || of == "provider.north." || of == "label.noble.") && state == "ready":
				n = "2"
			case (of == "" || of == "provider.north." || of == "label.noble.") && state == "init",
				(of == "" || of == "provider.gone." || of == "label.old.") && state == "used":
				n = "1"
			case of == "provider.gone." || of == "label.old.":
				continue
			}
			all = append(all, "nodepool."+of+"nodes."+state+":"+n+"|g")
		}
	}
	return append(all,
		"nodepool.provider.north.max_servers:7|g", "nodepool.provider.north.pool.main.addressable_requests:2|g",
		"nodepool.provider.north.pool.side.addressable_requests:1|g", "nodepool.provider.desk.pool.main.addressable_requests:1|g",
		"nodepool.tenant_limits.ci_example.cores:8|g", "nodepool.tenant_limits.ci_example.ram:0|g",
		"nodepool.image_build_requests:1|g", "nodepool.image.noble.image_build_requests:1|g", "nodepool.image.jammy.image_build_requests:0|g",
	)
}

func TestHowThingsStand(t *testing.T) {
	s := stage()
	teller := s.teller(t, "127.0.0.1", 9, zap.NewNop())
	own := []string{
		"nodepool.builder.one.image.noble.build.state:1|g", "nodepool.builder.one.image.jammy.build.state:3|g",
		"nodepool.builder.one.image.noble.provider.north.upload.state:2|g", "nodepool.builder.one.image.jammy.provider.north.upload.state:3|g",
	}
	stands := func(want ...string) {
		t.Helper()
		if diff := cmp.Diff(slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(teller.stands()))); diff != "" {
			t.Error(diff)
		}
	}
	stands(append(systemLines(), own...)...)
	// Another peer allocates and uploads.
	s.duties = nil
	own[2] = "nodepool.builder.one.image.noble.provider.north.upload.state:0|g"
	stands(own...)
	// Before anything was read nothing stands.
	s.records = &pool.Snapshot{}
	stands()
}

// What is not there any more is nothing from then on, and not what it was last.
func TestWhatIsGone(t *testing.T) {
	s := stage()
	teller := s.teller(t, "127.0.0.1", 9, zap.NewNop())
	teller.stands()
	without := *s.records
	without.Nodes = without.Nodes[:3]
	s.records = &without
	for i, want := range []int{1, 0} {
		lines := teller.stands()
		for _, line := range []string{"nodepool.provider.gone.nodes.used:0|g", "nodepool.label.old.nodes.used:0|g"} {
			if n := len(slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return l != line })); n != want {
				t.Errorf("look %d: %q is told %d times, want %d", i, line, n, want)
			}
		}
	}
}

// Leaks are counted once, also by a launcher that begins anew at zero.
func TestLeaks(t *testing.T) {
	s := &site{records: &pool.Snapshot{Revision: 1}, catalog: &pool.Catalog{}}
	teller := s.teller(t, "127.0.0.1", 9, zap.NewNop())
	instance, port, key := Leak{"north", "instance"}, Leak{"north", "port"}, Leak{"north", "keypair"}
	for i, step := range []struct {
		leaks map[Leak]int64
		want  []string
	}{
		{map[Leak]int64{instance: 2, key: 3}, []string{"nodepool.provider.north.leaked.instances:2|c"}},
		{map[Leak]int64{instance: 2, key: 3}, nil},
		{map[Leak]int64{instance: 3, port: 1}, []string{"nodepool.provider.north.leaked.instances:1|c", "nodepool.provider.north.leaked.ports:1|c"}},
		{map[Leak]int64{instance: 1}, []string{"nodepool.provider.north.leaked.instances:1|c"}},
		{nil, nil},
		{map[Leak]int64{instance: 1}, []string{"nodepool.provider.north.leaked.instances:1|c"}},
	} {
		s.leaks = step.leaks
		if diff := cmp.Diff(step.want, slices.Sorted(slices.Values(teller.stands()))); diff != "" {
			t.Errorf("step %d: %s", i, diff)
		}
	}
}

// A server that is not there holds up nobody, is told of once, and is told all that
// comes when it is there.
func TestNobodyListens(t *testing.T) {
	conn, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := conn.LocalAddr().(*net.UDPAddr).Port
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zapcore.DebugLevel)
	for host, log := range map[string]*zap.Logger{"127.0.0.1": zap.NewNop(), "fe80::1%no-such-interface": zap.New(core)} {
		teller := (&site{}).teller(t, host, port, log)
		now := time.Now()
		for i := range 20 {
			teller.send(t.Context(), []string{"nodepool.a:1|c", "nodepool.b:1|c"}, now.Add(time.Duration(i)*sendEvery))
		}
		all := 0.0
		for _, outcome := range []string{"sent", "failed", "dropped"} {
			all += testutil.ToFloat64(teller.lines.WithLabelValues(outcome))
		}
		if all != 40 {
			t.Errorf("%s: it is told of %v lines what became of them, want 40", host, all)
		}
		teller.hangUp()
	}
	if n := logs.FilterMessage("statsd is not told").Len(); n != 1 {
		t.Errorf("that nobody has the name is logged %d times, want 1", n)
	}
}

// What waits is bounded: no write waits for it.
func TestFull(t *testing.T) {
	teller := (&site{}).teller(t, "127.0.0.1", 9, zap.NewNop())
	before, after := node(pool.NodeReady, "", 1)
	for range queued {
		teller.Tell(&pool.Write{Nodes: []pool.Change[pool.Node]{pool.Update(before, after)}})
	}
	if n := testutil.ToFloat64(teller.lines.WithLabelValues("dropped")); n != 5*queued {
		t.Errorf("%v lines were dropped, want %d", n, 5*queued)
	}
	if n := len(teller.waiting()); n != queued {
		t.Errorf("%d lines wait, want %d", n, queued)
	}
}

// What was told before the end is sent.
func TestTheLastLines(t *testing.T) {
	s := collector.StartStatsd(t)
	teller := (&site{}).teller(t, "127.0.0.1", s.Port, zap.NewNop())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	before, after := node(pool.NodeFailed, pool.KindUnreachable, 1)
	after.AZ = ""
	teller.Tell(&pool.Write{Nodes: []pool.Change[pool.Node]{pool.Update(before, after)}})
	if err := teller.Run(ctx); err == nil {
		t.Error("it ended by itself")
	}
	await(t, s, []string{
		"nodepool.launch.error.keyscan:1000|ms", "nodepool.launch.error.keyscan:1|c",
		"nodepool.launch.provider.north.error.keyscan:1000|ms", "nodepool.launch.provider.north.error.keyscan:1|c",
	})
}

func TestPackets(t *testing.T) {
	var lines []string
	for range 100 {
		lines = append(lines, strings.Repeat("x", 500))
	}
	lines = append(lines, strings.Repeat("y", mostPacket), strings.Repeat("z", mostPacket+1), "end")
	all := packets(lines)
	for _, p := range all {
		if len(p) > mostPacket {
			t.Errorf("a packet of %d bytes", len(p))
		}
	}
	if len(all) != 52 {
		t.Errorf("%d packets, want 52", len(all))
	}
	if got, want := string(bytes.Join(all, []byte("\n"))), strings.Join(slices.Delete(lines, 101, 102), "\n"); got != want {
		t.Error("the packets have other lines")
	}
}

// Words of a name cannot end it.
func TestNames(t *testing.T) {
	for got, want := range map[string]string{
		name("provider", "rax.dfw", "nodes", "in-use"):     "nodepool.provider.rax.dfw.nodes.in-use",
		name("label", "a:1|c\nb@c #d", "nodes"):            "nodepool.label.a_1_c_b_c__d.nodes",
		name("tenant_limits", word("ci.example"), "cores"): "nodepool.tenant_limits.ci_example.cores",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// The configuration wins over nodepool's variables, and without either nobody is
// told anything.
func TestWhere(t *testing.T) {
	for _, c := range []struct {
		host     string
		port     int
		env      map[string]string
		want     string
		isNobody bool
		isError  bool
	}{
		{"", 8125, nil, "", true, false},
		{"", 8125, map[string]string{portVariable: "9125"}, "", true, false},
		{"stats", 9125, map[string]string{hostVariable: "other", portVariable: "1"}, "stats:9125", false, false},
		{"", 8125, map[string]string{hostVariable: "other"}, "other:8125", false, false},
		{"", 8125, map[string]string{hostVariable: "::1", portVariable: "9125"}, "[::1]:9125", false, false},
		{"", 8125, map[string]string{hostVariable: "other", portVariable: "tcp://10.0.0.1:8125"}, "", false, true},
	} {
		teller, err := New(Config{
			Host: c.host, Port: c.port, Getenv: func(name string) string { return c.env[name] },
			Registerer: prometheus.NewPedanticRegistry(), Log: zap.NewNop(),
		})
		switch {
		case c.isError:
			if err == nil {
				t.Errorf("%+v: no error", c)
			}
		case err != nil || (teller == nil) != c.isNobody || teller != nil && teller.address != c.want:
			t.Errorf("%+v: %+v, %v", c, teller, err)
		}
	}
	var nobody *Teller
	nobody.Tell(&pool.Write{})
}
