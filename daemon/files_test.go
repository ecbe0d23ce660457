package daemon

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest"
	"go.uber.org/zap/zaptest/observer"

	"poold/client"
	"poold/cloud/sim"
	"poold/config"
	"poold/pool"
	"poold/store"
	"poold/store/kv/memkv"
)

// following is a peer that does nothing but follow its files.
type following struct {
	*fileReload

	t    *testing.T
	dir  string
	logs *observer.ObservedLogs
}

// follow makes a peer with what the files say.
func follow(t *testing.T, main, secure string) *following {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	f := &following{t: t, dir: t.TempDir(), logs: logs}
	f.write("nodepool.yaml", main)
	f.write("secure.yaml", secure)
	o := Options{
		ConfigFile: filepath.Join(f.dir, "nodepool.yaml"), SecureFile: filepath.Join(f.dir, "secure.yaml"), Log: zap.New(core),
	}
	f.fileReload = newFollower(t, o).files
	return f
}

// newFollower makes a peer that follows the files of its options, and looks at
// them often once it runs.
func newFollower(t *testing.T, o Options) *Daemon {
	t.Helper()
	in, err := o.readInput()
	if err != nil {
		t.Fatal(err)
	}
	cfg, _, err := config.Parse(in)
	if err != nil {
		t.Fatal(err)
	}
	d := newDaemon(cfg, o)
	d.lookPause = 20 * time.Millisecond
	d.files.follow(in, *cfg, o.readInput)
	return d
}

func (f *following) write(name, text string) {
	f.t.Helper()
	if err := os.WriteFile(filepath.Join(f.dir, name), []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// rewrite replaces a file as a whole: nobody reads a part of it.
func rewrite(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

// labels are the names of those in force.
func (f *following) labels() string {
	var all []string
	for _, l := range f.catalog().Labels {
		all = append(all, l.Name)
	}
	return strings.Join(all, " ")
}

// gauge is one of the metrics of the files.
func (f *following) gauge(name string) float64 {
	f.t.Helper()
	families, err := f.registry.Gather()
	if err != nil {
		f.t.Fatal(err)
	}
	total := 0.0
	for _, family := range families {
		if family.GetName() == name {
			for _, m := range family.GetMetric() {
				total += m.GetGauge().GetValue() + failures(m)
			}
		}
	}
	return total
}

func failures(m *dto.Metric) float64 {
	if has(m, "outcome", "failed") {
		return m.GetCounter().GetValue()
	}
	return 0
}

// want looks a number of times, and checks what is in force after the last.
func (f *following) want(looks int, labels string, failed float64) {
	f.t.Helper()
	for range looks {
		f.look()
	}
	if got := f.labels(); got != labels {
		f.t.Errorf("in force are %q, want %q", got, labels)
	}
	if got := f.gauge("poold_config_reload_failed"); got != failed {
		f.t.Errorf("failed is %v, want %v", got, failed)
	}
	if note := f.check().Note; strings.Contains(note, "not as the files are now") != (failed == 1) {
		f.t.Errorf("readiness says %q", note)
	}
}

const oneLabel = "labels: [{name: one}]\n"

// A change is taken over whichever way it was made, once the files stand still.
func TestFilesAreTakenOver(t *testing.T) {
	f := follow(t, oneLabel, "")
	f.want(3, "one", 0)
	f.write("nodepool.yaml", "labels: [{name: one}, {name: t")
	f.want(1, "one", 0)
	f.write("nodepool.yaml", "labels: [{name: one}, {name: two}]\n")
	f.want(1, "one", 0)
	f.want(1, "one two", 0)
	// What has an end is not complete for that.
	f.write("nodepool.yaml", "labels: [{name: one}, {name: two}, {name: three}]\n")
	f.want(1, "one two", 0)
	f.write("nodepool.yaml", "labels: [{name: one}, {name: two}, {name: three}]\nmax-hold-age: 3600\n")
	f.want(1, "one two", 0)
	f.want(1, "one two three", 0)
	if f.catalog().MaxHoldAge != time.Hour {
		t.Errorf("a part of the file is in force: %v", f.catalog().MaxHoldAge)
	}
	// An editor's way: another file gets the name.
	f.write("new", "labels: [{name: four}]\n")
	if err := os.Rename(filepath.Join(f.dir, "new"), filepath.Join(f.dir, "nodepool.yaml")); err != nil {
		t.Fatal(err)
	}
	f.want(2, "four", 0)
	// Kubernetes' way: a link leads elsewhere.
	f.write("version-5", "labels: [{name: five}]\n")
	for _, step := range [][2]string{{"version-5", "link"}, {"link", "nodepool.yaml"}} {
		_ = os.Remove(filepath.Join(f.dir, step[1])) // the first is not there
		if err := os.Symlink(step[0], filepath.Join(f.dir, step[1])); err != nil {
			t.Fatal(err)
		}
	}
	f.want(2, "five", 0)
	f.write("version-6", "labels: [{name: six}]\n")
	if err := os.Remove(filepath.Join(f.dir, "link")); err != nil {
		t.Fatal(err)
	}
	f.want(1, "five", 0) // between the two
	if err := os.Symlink("version-6", filepath.Join(f.dir, "link")); err != nil {
		t.Fatal(err)
	}
	f.want(1, "five", 0)
	f.want(1, "six", 0)
	var told []string
	for _, l := range f.logs.FilterMessage("configuration").FilterFieldKey("difference").All() {
		told = append(told, l.ContextMap()["difference"].(string))
	}
	want := []string{
		"+ labels[two]", "+ labels[three]", "+ max-hold-age: 3600", "- labels[one]", "- labels[two]", "- labels[three]", "+ labels[four]",
		"- max-hold-age: was 3600", "- labels[four]", "+ labels[five]", "- labels[five]", "+ labels[six]",
	}
	if diff := cmp.Diff(want, told, cmp.Transformer("sorted", sorted)); diff != "" {
		t.Errorf("differences told (-want +got):\n%s", diff)
	}
}

func sorted(all []string) map[string]int {
	counted := map[string]int{}
	for _, s := range all {
		counted[s]++
	}
	return counted
}

// Files that are of no use change nothing, are told once with all that is wrong,
// and are tried again when they are others.
func TestFilesOfNoUse(t *testing.T) {
	f := follow(t, oneLabel, "")
	complaints := func() int { return f.logs.FilterMessage("configuration not taken over: nothing is changed").Len() }
	f.write("nodepool.yaml", "labels: [{name: one, min-raedy: 1}]\nprovider: []\n")
	f.want(6, "one", 1)
	if complaints() != 1 || f.gauge("poold_config_reloads_total") != 1 {
		t.Errorf("told %d times, counted %v times", complaints(), f.gauge("poold_config_reloads_total"))
	}
	told := f.logs.FilterMessage("configuration not taken over: nothing is changed").All()[0].ContextMap()["error"].(string)
	if !strings.Contains(told, `nodepool.yaml:1:22: labels[0]: unknown key "min-raedy" (did you mean "min-ready"?)`) || !strings.Contains(told, "nodepool.yaml:2:1: ") {
		t.Errorf("told is only %s", told)
	}
	f.write("secure.yaml", "diskimages: [{name: nobody}]\n")
	f.want(2, "one", 1)
	if complaints() != 2 {
		t.Errorf("other errors are told %d times", complaints()-1)
	}
	f.write("nodepool.yaml", oneLabel)
	f.want(2, "one", 1)
	f.write("secure.yaml", "")
	f.want(2, "one", 0)
	if err := os.Remove(filepath.Join(f.dir, "secure.yaml")); err != nil {
		t.Fatal(err)
	}
	f.want(1, "one", 0)
	f.want(1, "one", 1)
	f.write("secure.yaml", "")
	f.want(2, "one", 0)
	// A new provider that cannot be reached is a defect of the whole.
	t.Setenv("OS_CLIENT_CONFIG_FILE", filepath.Join(f.dir, "clouds.yaml"))
	f.write("clouds.yaml", "clouds: {}\n")
	f.write("nodepool.yaml", oneLabel+"max-hold-age: 3600\nproviders: [{name: p, cloud: c}]\n")
	f.want(2, "one", 1)
	if f.catalog().MaxHoldAge != 0 || len(f.setup().clouds) != 0 {
		t.Errorf("a part of the file is in force: %+v", f.catalog())
	}
	f.write("clouds.yaml", "clouds: {c: {auth: {auth_url: 'http://127.0.0.1:1/v3', user_id: u, password: p}}}\n")
	f.want(1, "one", 0)
	if len(f.setup().clouds) != 1 {
		t.Errorf("the provider is not reached: %+v", f.setup().clouds)
	}
}

// What only a restart takes over is named.
func TestRestartNeeded(t *testing.T) {
	f := follow(t, oneLabel, "")
	f.write("nodepool.yaml", oneLabel+"etcd: {endpoints: ['http://h:1']}\nroles: [launcher]\nwebapp: {port: 1}\nname: x\nmax-uploads: 3\nupload-bandwidth: 5\n")
	f.want(2, "one", 0)
	lines := f.logs.FilterMessage("a restart is needed for a part of the configuration").All()
	if len(lines) != 1 {
		t.Fatalf("told %d times", len(lines))
	}
	if got := fmt.Sprint(lines[0].ContextMap()["keys"]); got != "[etcd max-uploads name roles upload-bandwidth webapp]" {
		t.Errorf("the keys are %s", got)
	}
	if f.gauge("poold_config_restart_needed") != 1 {
		t.Error("the metric does not tell")
	}
	f.write("nodepool.yaml", oneLabel)
	f.want(2, "one", 0)
	if f.gauge("poold_config_restart_needed") != 0 {
		t.Error("the metric tells though all is as it was")
	}
}

// Who asks for it has the files taken over at once, and systemd hears when that
// begins and ends, also if it comes to nothing.
func TestAskedToReload(t *testing.T) {
	told := systemd(t)
	f := follow(t, oneLabel, "")
	for _, text := range []string{"labels: [{name: two}]\n", "labels: [{name: three]\n"} {
		f.write("nodepool.yaml", text)
		f.obey(t.Context())
		if f.labels() != "two" {
			t.Errorf("in force are %q", f.labels())
		}
		all := waitFor(t, told, "READY=1")
		if len(all) != 2 || !strings.HasPrefix(all[0], "RELOADING=1\nMONOTONIC_USEC=") {
			t.Errorf("systemd was told %q", all)
		}
	}
}

const followedConfig = `
name: one
labels: [{name: northern, min-ready: 1}, {name: southern, min-ready: 2}]
providers:
  - &north
    name: north
    cloud: north
    rate: 0
    boot-timeout: 1 # of the server that is under way: it never answers
    cloud-images: [{name: noble}]
    pools:
      - name: main
        networks: [private]
        host-key-checking: false
        auto-floating-ip: false
        labels: [{name: northern, cloud-image: noble, flavor-name: small}]
  - <<: *north
    name: south
    rate-group: southern
    pools:
      - name: main
        networks: [private]
        host-key-checking: false
        auto-floating-ip: false
        labels: [{name: southern, cloud-image: noble, flavor-name: small}]
`

// A provider that could not be opened is, as soon as clouds.yaml has its cloud.
func TestLeftOutProvidersAreLetIn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clouds.yaml")
	t.Setenv("OS_CLIENT_CONFIG_FILE", path)
	const north = "north: {auth: {auth_url: 'http://127.0.0.1:1/v3', user_id: u, password: p}}"
	clouds := func(entries string) {
		if err := os.WriteFile(path, []byte("clouds: {"+entries+"}"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	clouds(north + ", south: {")
	f := follow(t, `labels: [{name: one}]
providers:
  - {name: n, cloud: north, cloud-images: [{name: i}], pools: [{name: m, labels: [{name: one, cloud-image: i, flavor-name: f}]}]}
  - {name: s, cloud: south, cloud-images: [{name: i}], pools: [{name: m, labels: [{name: one, cloud-image: i, flavor-name: f}]}]}
`, "")
	f.view.Store(store.New(memkv.New(time.Now()), "", zap.NewNop()).View())
	began, err := f.arrange(f.setup().cfg, nil, nil, f.setup())
	if err == nil {
		t.Fatal("a broken clouds.yaml opens everything")
	}
	f.enforce(began)
	for _, step := range []struct {
		entries string
		want    []string
	}{
		{"", []string{"n", "s"}},
		{north, []string{"s"}},
		{north + ", " + strings.Replace(north, "north", "south", 1), nil},
	} {
		if step.entries != "" {
			clouds(step.entries)
		}
		before := f.setup().clouds["n"]
		f.letIn()
		if got := f.setup().closed(); !slices.Equal(got, step.want) {
			t.Errorf("with clouds %q left out are %v, want %v", step.entries, got, step.want)
		}
		if after := f.setup().clouds["n"]; before != nil && after.driver != before.driver {
			t.Error("the other provider was opened anew")
		}
	}
	if n := f.logs.FilterMessageSnippet("providers opened").Len(); n != 2 {
		t.Errorf("said %d times, want 2", n)
	}
}

// An image is taken out of a cloud as soon as that can be opened. Until then the
// peer does not stand in the way of one that can, and all else goes on.
func TestTakesOutOnceOpened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clouds.yaml")
	t.Setenv("OS_CLIENT_CONFIG_FILE", path)
	const north = "clouds: {north: {auth: {auth_url: 'http://127.0.0.1:1/v3', user_id: u, password: p}}}"
	if err := os.WriteFile(path, []byte("clouds: {}"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := follow(t, `images-dir: /images
labels: [{name: one}]
diskimages:
  - {name: taken, snapshot-of: {provider: n, image: golden}, formats: [raw]}
  - {name: made, elements: [vm], formats: [raw]}
providers:
  - {name: n, cloud: north, cloud-images: [{name: i}], pools: [{name: m, labels: [{name: one, cloud-image: i, flavor-name: f}]}]}
`, "")
	f.view.Store(store.New(memkv.New(time.Now()), "", zap.NewNop()).View())
	began, err := f.arrange(f.setup().cfg, nil, nil, f.setup())
	if err == nil || !strings.Contains(err.Error(), "provider n: ") {
		t.Errorf("left out without a word: %v", err)
	}
	f.enforce(began)
	images := func() string {
		var keys []string
		for _, d := range f.setup().duties {
			for _, one := range append(d.members, d) {
				if strings.HasPrefix(one.key, "image/") {
					keys = append(keys, one.key)
				}
			}
		}
		return strings.Join(keys, " ")
	}
	if got := images(); got != "image/made" {
		t.Errorf("without the cloud it builds %s", got)
	}
	if err := os.WriteFile(path, []byte(north), 0o600); err != nil {
		t.Fatal(err)
	}
	f.letIn()
	if got := images(); got != "image/taken image/made" {
		t.Errorf("with the cloud it builds %s", got)
	}
}

// A setup adds to a configuration what its clouds want, and leaves the one it was
// made from as it is: others are reading that.
func TestArrangeLeavesTheConfiguration(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clouds.yaml")
	t.Setenv("OS_CLIENT_CONFIG_FILE", path)
	const north = "clouds: {north: {image_format: raw, auth: {auth_url: 'http://127.0.0.1:1/v3', user_id: u, password: p}}}"
	if err := os.WriteFile(path, []byte(north), 0o600); err != nil {
		t.Fatal(err)
	}
	f := follow(t, `labels: [{name: one}]
diskimages: [{name: i, formats: [qcow2], elements: [vm]}]
providers:
  - {name: n, cloud: north, diskimages: [{name: i}], pools: [{name: m, labels: [{name: one, diskimage: i, flavor-name: f}]}]}
`, "")
	f.view.Store(store.New(memkv.New(time.Now()), "", zap.NewNop()).View())
	before := f.setup().cfg
	next, err := f.arrange(before, nil, nil, f.setup())
	if err != nil {
		t.Fatal(err)
	}
	if got := before.Catalog.Images[0].Formats; !slices.Equal(got, []string{"qcow2"}) {
		t.Errorf("the configuration asks for %v now", got)
	}
	if got := next.cfg.Catalog.Images[0].Formats; !slices.Equal(got, []string{"qcow2", "raw"}) {
		t.Errorf("built is %v", got)
	}
}

// withoutSouth is what is left when the second provider leaves.
func withoutSouth() string {
	head, _, _ := strings.Cut(followedConfig, "  - <<: *north")
	return strings.Replace(head, "[{name: northern, min-ready: 1}, {name: southern, min-ready: 2}]", "[{name: northern, min-ready: 3}]", 1)
}

// A provider that leaves the configuration is emptied: idle nodes go at once,
// used ones when they are given back, and then nobody works for it any more. The
// other provider notices nothing.
func TestAProviderLeaves(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	e := &economy{t: t, cloud: sim.New(sim.Config{Images: []string{"noble"}}, time.Now())}
	file := filepath.Join(t.TempDir(), "nodepool.yaml")
	o := Options{
		ConfigFile: file, Log: zap.New(zapcore.NewTee(core, zaptest.NewLogger(t, zaptest.Level(zap.WarnLevel)).Core())),
	}
	rewrite(t, file, followedConfig)
	e.serveCloud()
	d := newFollower(t, o)
	db := memkv.New(time.Now())
	e.run(d, db)
	var err error
	if e.client, err = client.New(db, "", "ci"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	settles := func(what string, enough func(count map[string]int) bool) {
		t.Helper()
		for {
			count := map[string]int{}
			if view := d.view.Load(); view != nil {
				for _, n := range view.Snapshot().Nodes {
					count[n.Provider+" "+string(n.State)]++
				}
			}
			if enough(count) {
				return
			}
			if ctx.Err() != nil {
				t.Fatalf("%s: never, only %v", what, count)
			}
			pause(20 * time.Millisecond)
		}
	}
	settles("nodes are ready", func(count map[string]int) bool { return count["north ready"] == 1 && count["south ready"] == 2 })
	r, err := e.client.Create(ctx, "r", pool.Request{Labels: []string{"southern"}, MaxLifetime: "1h"}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	a, err := r.Wait(ctx)
	if err != nil || a.State != pool.AllocationFulfilled {
		t.Fatalf("got %+v, %v", a, err)
	}
	rewrite(t, file, withoutSouth())
	settles("south is emptied but for what is in use", func(count map[string]int) bool {
		gone := count["south ready"]+count["south building"]+count["south pending"]+count["south deleting"] == 0
		return count["north ready"] == 3 && gone && count["south in-use"] == 1
	})
	used := slices.ContainsFunc(d.view.Load().Snapshot().NodesOf("south"), func(n *pool.Node) bool {
		return n.ID == a.Nodes[0].ID && n.State == pool.NodeInUse
	})
	if !used {
		t.Error("it is another node that is in use")
	}
	if err := r.Close(ctx); err != nil {
		t.Fatal(err)
	}
	settles("nobody works for south", func(map[string]int) bool {
		return !strings.Contains(strings.Join(keys(t, db), " "), "south") && len(e.cloud.Truth(time.Now())) == 3
	})
	for _, l := range logs.All() {
		if duty, _ := l.ContextMap()["duty"].(string); duty == "provider/north" && l.Message != "duty taken" {
			t.Errorf("the provider that stays noticed: %s %v", l.Message, l.ContextMap())
		}
	}
	if taken := logs.FilterMessage("duty taken").FilterField(zap.String("duty", "provider/north")).Len(); taken != 1 {
		t.Errorf("the provider that stays was taken on %d times", taken)
	}
}
