package daemon

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"poold"
	"poold/config"
	"poold/peers"
	"poold/pool"
	"poold/store"
	"poold/store/kv"
	"poold/store/kv/memkv"
)

// An image is unbuilt if it has builds and no running peer builds it. What a peer
// of another version builds is not known.
func TestUnbuilt(t *testing.T) {
	snap := func() *pool.Snapshot {
		return &pool.Snapshot{
			Builds: []*pool.Build{{Image: "left"}, {Image: "left"}, {Image: "theirs"}, {Image: "ours"}, {Image: "sent"}},
			Members: []*pool.Member{
				{Name: "one", Images: []string{"left"}, Builds: []string{"left"}}, // as of before
				{Name: "two", Images: []string{"sent", "theirs"}, Builds: []string{"theirs"}},
			},
		}
	}
	for name, c := range map[string]struct {
		change func(*pool.Snapshot)
		want   string
	}{
		"as it is":                   {func(*pool.Snapshot) {}, "left sent"},
		"a peer says nothing":        {func(s *pool.Snapshot) { s.Members[1].Builds = nil }, "left"},
		"a peer builds nothing":      {func(s *pool.Snapshot) { s.Members[1].Builds = []string{} }, "left sent theirs"},
		"a peer cannot be read":      {func(s *pool.Snapshot) { s.Unreadable = []string{"/poold/v1/members/three"} }, ""},
		"something else cannot be":   {func(s *pool.Snapshot) { s.Unreadable = []string{"/poold/v1/nodes/p/three"} }, "left sent"},
		"there are no builds":        {func(s *pool.Snapshot) { s.Builds = nil }, ""},
		"nobody else runs right now": {func(s *pool.Snapshot) { s.Members = nil }, "left sent theirs"},
	} {
		t.Run(name, func(t *testing.T) {
			s := snap()
			c.change(s)
			if got := strings.Join(unbuilt(s, "one", []string{"ours"}), " "); got != c.want {
				t.Errorf("unbuilt are %q, want %q", got, c.want)
			}
		})
	}
}

// What this peer built it keeps at once; what another one did, once that is
// missed for longer than a restart takes; and only a builder keeps anything.
func TestKeeping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := newModel(t)
		d := newPeer("one", mem)
		d.cfg.Roles = []pool.Role{pool.RoleBuilder}
		go func() { _ = d.view.Load().Run(t.Context()) }()
		for _, image := range []string{"mine", "theirs", "built"} {
			b := &pool.Build{Image: image, ID: "1", State: pool.BuildBuilding}
			if _, err := d.store.Apply(t.Context(), nil, pool.Write{By: pool.Builder, Builds: []pool.Change[pool.Build]{pool.Create(b)}}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		builds := func(names ...string) *config.Config {
			cfg := &config.Config{}
			for _, name := range names {
				cfg.Catalog.Images = append(cfg.Catalog.Images, pool.Image{Name: name, URL: "http://x"})
			}
			return cfg
		}
		before := &setup{cfg: builds("built", "mine")}
		want := func(when string, all ...string) {
			t.Helper()
			if got := d.files.keeping(builds("built"), before); !slices.Equal(got, all) {
				t.Errorf("%s: kept are %v, want %v", when, got, all)
			}
		}
		want("at once", "mine")
		pass(peers.RestartGrace - time.Second)
		want("after less than a restart", "mine")
		pass(time.Second)
		want("after a restart", "mine", "theirs")
		before = &setup{cfg: builds("built"), kept: []string{"mine", "theirs"}}
		want("later", "mine", "theirs")
		before = &setup{cfg: builds("built")}
		d.files.keeping(builds("built", "mine", "theirs"), before) // they are built again
		want("gone again")
		pass(peers.RestartGrace)
		want("gone again for long", "mine", "theirs")
		d.cfg.Roles = []pool.Role{pool.RoleLauncher}
		want("of who is no builder")
	})
}

const imagesConfig = `
name: one
roles: [builder]
images-dir: DIR/images
build-log-dir: DIR/logs
diskimages:
  - name: stays
    formats: [raw]
    elements: [vm]
  - name: leaves
    formats: [raw]
    elements: [vm]
`

// awaitBuilds waits until the builds are as they should be, for as long as ctx lets it.
func awaitBuilds(ctx context.Context, t *testing.T, d *Daemon, what string, enough func([]*pool.Build) bool) {
	t.Helper()
	for {
		var builds []*pool.Build
		if view := d.view.Load(); view != nil {
			builds = view.Snapshot().Builds
		}
		if enough(builds) {
			return
		}
		if ctx.Err() != nil {
			var is []string
			for _, b := range builds {
				is = append(is, fmt.Sprintf("%s/%s %s", b.Image, b.ID, b.State))
			}
			t.Fatalf("%s: never, there are %v", what, is)
		}
		pause(20 * time.Millisecond)
	}
}

// An image that leaves every configuration keeps its build until an operator
// deletes that: its file goes, and the image that stays notices nothing.
func TestAnImageLeaves(t *testing.T) {
	dir := t.TempDir()
	bin := filepath.Join(dir, pool.DefaultBuilder)
	if err := os.WriteFile(bin, poold.DemoImageScript(), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	text := strings.ReplaceAll(imagesConfig, "DIR", dir)
	file := filepath.Join(dir, "nodepool.yaml")
	rewrite(t, file, text)
	o := Options{ConfigFile: file, Log: zap.NewNop()}
	d := newFollower(t, o)
	db := memkv.New(time.Now())
	(&economy{t: t}).run(d, db)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	awaitBuilds(ctx, t, d, "both are built", func(builds []*pool.Build) bool {
		return len(builds) == 2 && builds[0].State == pool.BuildReady && builds[1].State == pool.BuildReady
	})
	head, _, _ := strings.Cut(text, "  - name: leaves")
	rewrite(t, file, head)
	for !slices.Equal(d.setup().kept, []string{"leaves"}) {
		if ctx.Err() != nil {
			t.Fatal("nobody keeps it")
		}
		pause(20 * time.Millisecond)
	}
	left := d.view.Load().Snapshot().BuildsOf("leaves")[0]
	path := left.Artifacts[0].Path
	if _, err := os.Stat(path); err != nil || left.State != pool.BuildReady {
		t.Errorf("it went by itself: %s, %v", left.State, err)
	}
	records := store.New(kv.KV(db), "", zap.NewNop())
	command := &pool.Command{V: pool.RecordVersion, ID: "c", Verb: pool.VerbDeleteBuild, Target: "leaves/" + left.ID, By: "ann"}
	if _, err := records.PutCommand(ctx, command); err != nil {
		t.Fatal(err)
	}
	awaitBuilds(ctx, t, d, "it is deleted", func(builds []*pool.Build) bool {
		_, err := os.Stat(path)
		return os.IsNotExist(err) && slices.ContainsFunc(builds, func(b *pool.Build) bool { return b.ID == left.ID && b.State == pool.BuildDeleted })
	})
	if c, err := records.Command(ctx, "c"); err != nil || !c.Done || c.Error != "" {
		t.Errorf("the command is %+v, %v", c, err)
	}
	if err := d.tidyUp(); err != nil {
		t.Error(err)
	}
	logs, err := filepath.Glob(filepath.Join(dir, "logs", "leaves-*"))
	if err != nil || len(logs) != 0 {
		t.Errorf("logs are left: %v, %v", logs, err)
	}
	stays := d.view.Load().Snapshot().BuildsOf("stays")
	if _, err := os.Stat(stays[0].Artifacts[0].Path); err != nil || len(stays) != 1 || stays[0].State != pool.BuildReady {
		t.Errorf("of the image that stays there are %d builds, %v", len(stays), err)
	}
}
