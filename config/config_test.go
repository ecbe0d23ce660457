package config_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"poold/config"
	"poold/internal/golden"
	"poold/pool"
)

// env is the environment of all tests.
func env(name string) (string, bool) {
	v, ok := map[string]string{
		"NODEPOOL_REGION":   "north",
		"NODEPOOL_EMPTY":    "",
		"NODEPOOL_PASSWORD": "hunter2",
		"NODEPOOL_LINES":    "a\nb: c",
	}[name]
	return v, ok
}

// input reads a file of testdata and, if there is one beside it, its secure
// file.
func input(t *testing.T, path string) config.Input {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	in := config.Input{Main: config.Source{Name: filepath.Base(path), Data: data}, Env: env}
	if data, err = os.ReadFile(strings.TrimSuffix(path, ".yaml") + ".secure"); err == nil {
		in.Secure = &config.Source{Name: "secure.yaml", Data: data}
	}
	return in
}

func parse(main string) (*config.Config, []config.Note, error) {
	return config.Parse(config.Input{Main: config.Source{Name: "f", Data: []byte(main)}, Env: env})
}

// TestGood compares what becomes of files without errors.
func TestGood(t *testing.T) {
	files, _ := filepath.Glob("testdata/good/*.yaml")
	if len(files) == 0 {
		t.Fatal("no files")
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			c, notes, err := config.Parse(input(t, path))
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			for _, n := range notes {
				fmt.Fprintln(&out, n)
			}
			enc := json.NewEncoder(&out)
			enc.SetIndent("", " ")
			if err := enc.Encode(c); err != nil {
				t.Fatal(err)
			}
			golden.Equal(t, strings.TrimSuffix(path, ".yaml")+".out", out.String())
		})
	}
}

// TestBad compares the errors of files that have some.
func TestBad(t *testing.T) {
	files, _ := filepath.Glob("testdata/bad/*.yaml")
	if len(files) == 0 {
		t.Fatal("no files")
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			in := input(t, path)
			c, _, err := config.Parse(in)
			if err == nil || c != nil {
				t.Fatalf("got %v and %v, want errors only", c, err)
			}
			wantSound(t, in, err)
			golden.Equal(t, strings.TrimSuffix(path, ".yaml")+".err", err.Error()+"\n")
		})
	}
}

// wantSound checks what holds for all errors: they are sorted, lie inside
// their file and tell no secret.
func wantSound(t *testing.T, in config.Input, err error) {
	t.Helper()
	var all config.Errors
	if !errors.As(err, &all) || len(all) == 0 {
		t.Fatalf("got %v, want config.Errors", err)
	}
	for i, e := range all {
		lines := bytes.Count(in.Main.Data, []byte{'\n'}) + 1
		if in.Secure != nil && e.File == in.Secure.Name {
			lines = bytes.Count(in.Secure.Data, []byte{'\n'}) + 1
		}
		if e.Line < 1 || e.Col < 1 || e.Line > lines && !bytes.ContainsAny(in.Main.Data, "\r\u0085\u2028\u2029") {
			t.Errorf("no such position: %v", e)
		}
		if i > 0 && all[i-1].File == e.File && all[i-1].Line > e.Line {
			t.Errorf("not sorted: %v", e)
		}
		if strings.Contains(e.Error(), "hunter2") {
			t.Errorf("tells a secret: %v", e)
		}
	}
}

// TestDefaults checks that the smallest file has nodepool's defaults.
func TestDefaults(t *testing.T) {
	c, notes, err := parse("providers: [{name: p, cloud: c, pools: [{name: main}]}]\n")
	if err != nil || len(notes) > 0 {
		t.Fatal(notes, err)
	}
	want := &config.Config{
		Catalog: pool.Catalog{Providers: []pool.Provider{{
			Name: "p", Driver: "openstack", Cloud: "c", Rate: time.Second,
			BootTimeout: time.Minute, LaunchTimeout: time.Hour, MaxConcurrency: -1, Priority: 100,
			ImageNameFormat: "{image_name}-{timestamp}", ImageUploadTimeout: time.Hour, MaxUploads: 2,
			Pools: []pool.Pool{{Name: "main", Limits: pool.NoLimits(), AutoFloatingIP: true, Priority: 100}},
		}}},
		Etcd:    config.Etcd{Prefix: "/poold/v1", LeaseTTL: 10 * time.Second},
		Roles:   []pool.Role{pool.RoleAllocator, pool.RoleLauncher, pool.RoleBuilder},
		Web:     config.Web{Port: 8005, ListenAddress: "0.0.0.0", EventAge: 24 * time.Hour},
		Statsd:  config.Statsd{Port: 8125},
		Builder: config.BuilderDirs{LogDir: "/var/log/nodepool/builds", LogRetention: 7, MaxBuilds: 2},
	}
	if diff := cmp.Diff(want, c, cmp.Comparer(func(a, b config.Secret) bool { return a.Reveal() == b.Reveal() })); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestSecureOverrides checks that the password of the secure file wins and is
// readable only on purpose.
func TestSecureOverrides(t *testing.T) {
	c, _, err := config.Parse(config.Input{
		Main:   config.Source{Name: "m", Data: []byte("etcd: {endpoints: ['h:1'], username: u, password: weak}")},
		Secure: &config.Source{Name: "s", Data: []byte("etcd: {password: '%(NODEPOOL_PASSWORD)'}")},
		Env:    env,
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Etcd.Password.Reveal(); got != "hunter2" {
		t.Errorf("got password %q", got)
	}
	if text := fmt.Sprintf("%v %+v", *c, c.Etcd); strings.Contains(text, "hunter2") {
		t.Errorf("printed: %s", text)
	}
}

// TestEmptySecure checks that a secure file may be empty.
func TestEmptySecure(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "---\n"} {
		_, _, err := config.Parse(config.Input{
			Main:   config.Source{Name: "m", Data: []byte("name: a")},
			Secure: &config.Source{Name: "s", Data: []byte(text)},
		})
		if err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestAliasBomb checks that a small file whose aliases stand for billions of
// values is refused soon.
func TestAliasBomb(t *testing.T) {
	var b strings.Builder
	b.WriteString("providers:\n- {name: p0, cloud: c, pools: &p [&q {name: q, labels: &l [&x {name: x}")
	b.WriteString(strings.Repeat(", *x", 2000) + "]}" + strings.Repeat(", *q", 2000) + "]}\n")
	b.WriteString(strings.Repeat("- {name: p, cloud: c, pools: *p}\n", 2000))
	_, _, err := parse(b.String())
	bomb := regexp.MustCompile(`(?m)^f:\d+:\d+: providers\[\d+\].*: the aliases of this file expand to more than`)
	if err == nil || !bomb.MatchString(err.Error()) {
		t.Errorf("got no error that says where")
	}
	var m strings.Builder
	m.WriteString("a0: &a0 {x: 1}\n")
	for i := range 12 {
		fmt.Fprintf(&m, "a%d: &a%d {<<: [%s]}\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i), 10), ", "))
	}
	m.WriteString("etcd: {<<: *a12}\n")
	_, _, err = parse(m.String())
	if err == nil || !strings.Contains(err.Error(), "expand to more than") {
		t.Errorf("merge keys: got no error about it")
	}
}

// TestPositionsThroughEnvironment checks that what the environment puts into a
// line, or adds as lines, does not move the positions of errors.
func TestPositionsThroughEnvironment(t *testing.T) {
	for text, want := range map[string]string{
		"name: %(NODEPOOL_REGION)\nbogus: 1\n":                   `f:2:1: unknown key "bogus"`,
		"name: %(NODEPOOL_LINES)\nbogus: 1\n":                    `f:1:7: unknown key <secret>` + "\n" + `f:2:1: unknown key "bogus"`,
		"webapp: {listen_address: %(NODEPOOL_REGION), port: x}":  `f:1:52: webapp.port: expected an integer, found a string`,
		"webapp: {port: %(NODEPOOL_PASSWORD)}":                   `f:1:16: webapp.port: expected an integer, found a string`,
		"roles: ['%(NODEPOOL_PASSWORD)']":                        `f:1:9: roles[0]: <secret> is not one of allocator, launcher and builder`,
		"name: '%(NODEPOOL_EMPTY)%(NODEPOOL_REGION)'\nétcd: 1\n": `f:2:1: unknown key "étcd" (did you mean "etcd"?)`,
	} {
		_, _, err := parse(text)
		if err == nil || err.Error() != want {
			t.Errorf("%q:\n got %v\nwant %s", text, err, want)
		}
	}
}

// TestUnsetVariable checks that a variable that is not set stays as it is,
// with a note.
func TestUnsetVariable(t *testing.T) {
	c, notes, err := parse("name: 'a%(NODEPOOL_NONE)%(HOME)'\n")
	if err != nil {
		t.Fatal(err)
	}
	if c.Name != "a%(NODEPOOL_NONE)%(HOME)" || len(notes) != 1 || notes[0].Line != 1 || notes[0].Col != 9 {
		t.Errorf("got %q and %v", c.Name, notes)
	}
}

// TestMergeOrder checks which of several values of a key wins.
func TestMergeOrder(t *testing.T) {
	c, _, err := parse(`
webapp: {<<: [&a {port: 1, listen_address: a}, &b {port: 2}], listen_address: own}
etcd:
  embedded: /e
  lease-ttl: 5s
  <<: {lease-ttl: 6s, prefix: &p /merged}
`)
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(c.Web.Port, c.Web.ListenAddress, c.Etcd.LeaseTTL, c.Etcd.Prefix)
	if want := fmt.Sprint(1, "own", 5*time.Second, "/merged"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestExample checks the documented example, with its secure file.
func TestExample(t *testing.T) {
	in := input(t, "../docs/examples/nodepool.yaml")
	secure, err := os.ReadFile("../docs/examples/secure.yaml")
	if err != nil {
		t.Fatal(err)
	}
	in.Secure = &config.Source{Name: "secure.yaml", Data: secure}
	c, notes, err := config.Parse(in)
	if err != nil {
		t.Fatal(err)
	}
	if len(notes) > 0 {
		t.Errorf("got notes %v", notes)
	}
	if len(c.Catalog.Labels) == 0 || len(c.Catalog.Images) == 0 || len(c.Etcd.Endpoints) == 0 {
		t.Errorf("the example shows too little: %+v", c)
	}
}

// TestStaticExample checks the documented example of hosts.
func TestStaticExample(t *testing.T) {
	c, notes, err := config.Parse(input(t, "../docs/examples/static.yaml"))
	if err != nil || len(notes) > 0 {
		t.Fatalf("got %v, notes %v", err, notes)
	}
	slots := 0
	for _, h := range c.Catalog.Providers[0].Pools[0].Hosts {
		slots += h.Slots
	}
	if slots != 6 {
		t.Errorf("the hosts have %d slots, want 6", slots)
	}
}

// FuzzParse checks that no file makes Parse panic, that errors have positions,
// and that what has no errors is fit for use.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/good/*.yaml", "testdata/bad/*.yaml", "../docs/examples/*.yaml"} {
		files, _ := filepath.Glob(pattern)
		for _, path := range files {
			data, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data, []byte("diskimages: [{name: a, env-vars: {B: c}}]"))
		}
	}
	f.Fuzz(func(t *testing.T, main, secure []byte) {
		in := config.Input{
			Main:   config.Source{Name: "m", Data: main},
			Secure: &config.Source{Name: "s", Data: secure}, Env: env,
		}
		c, _, err := config.Parse(in)
		if err != nil {
			var all config.Errors
			if !errors.As(err, &all) || len(all) == 0 {
				t.Fatalf("got %v", err)
			}
			for _, e := range all {
				if e.Line < 1 || e.Col < 1 || e.File == "" || e.Problem == "" {
					t.Errorf("no position or problem: %#v", e)
				}
			}
			return
		}
		for _, p := range c.Catalog.Providers {
			// Hosts do not boot, and are made from no image.
			if p.Name == "" || p.Rate < 0 || p.BootTimeout <= 0 && !p.Static() {
				t.Errorf("unfit provider %+v", p)
			}
			for _, i := range p.Images {
				if c.Catalog.Image(i.Name) == nil {
					t.Errorf("no image %q", i.Name)
				}
			}
			for _, po := range p.Pools {
				for _, l := range po.Labels {
					if c.Catalog.Label(l.Name) == nil || (l.DiskImage == "") == (l.CloudImage == "") && !p.Static() {
						t.Errorf("unfit label %+v", l)
					}
				}
			}
		}
	})
}
