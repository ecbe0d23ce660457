package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"poold"
	"poold/client"
	"poold/cloud/sim"
	"poold/cloud/sim/openstackapi"
	"poold/config"
	"poold/pool"
	"poold/store"
	"poold/store/kv"
	"poold/store/kv/memkv"
)

// filesLimit bounds every wait: what is quick is so by far.
const filesLimit = 2 * time.Minute

// site is peers with different files, over simulated clouds.
type site struct {
	t       *testing.T
	db      *memkv.KV
	records *store.Store
	client  *client.Client
	files   map[string]*config.Config
	stops   map[string]func()
	// names are the clouds by provider.
	clouds map[string]*sim.Cloud
}

// newSite reads the files of peers, by the peers' names, and makes the clouds that
// they speak of.
func newSite(t *testing.T, files map[string]config.Source) *site {
	t.Helper()
	s := &site{t: t, db: memkv.New(time.Now()), files: map[string]*config.Config{}, stops: map[string]func(){}, clouds: map[string]*sim.Cloud{}}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	t.Cleanup(cancel)
	go func() { _ = s.db.Run(ctx) }()
	s.records = store.New(s.db, "", zap.NewNop())
	bin := filepath.Join(t.TempDir(), pool.DefaultBuilder)
	if err := os.WriteFile(bin, poold.DemoImageScript(), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", filepath.Dir(bin)+":"+os.Getenv("PATH"))
	for name, source := range files {
		cfg, _, err := config.Parse(config.Input{Main: source})
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		cfg.Name, cfg.Builder.ImagesDir, cfg.Builder.LogDir = name, filepath.Join(dir, "images"), filepath.Join(dir, "logs")
		for i := range cfg.Catalog.Providers {
			for j := range cfg.Catalog.Providers[i].Pools {
				labels := cfg.Catalog.Providers[i].Pools[j].Labels
				for k := range labels {
					labels[k].HostKeyChecking = false // nobody listens in the simulated servers
				}
			}
		}
		s.files[name] = cfg
	}
	var err error
	if s.client, err = client.New(s.db, "", "ci"); err != nil {
		t.Fatal(err)
	}
	return s
}

// serve serves every cloud and region of the files, with the flavors and key
// pairs that they want.
func (s *site) serve() {
	s.t.Helper()
	regions := map[string]map[string]*sim.Config{}
	of := map[*sim.Config][]string{}
	for _, cfg := range s.files {
		for i := range cfg.Catalog.Providers {
			p := &cfg.Catalog.Providers[i]
			if regions[p.Cloud] == nil {
				regions[p.Cloud] = map[string]*sim.Config{}
			}
			c := regions[p.Cloud][p.Region]
			if c == nil {
				c = &sim.Config{Name: p.Cloud, Region: p.Region}
				regions[p.Cloud][p.Region] = c
			}
			of[c] = append(of[c], p.Name)
			want(c, p)
		}
	}
	entries := map[string]any{}
	for name, all := range regions {
		var simulated []*sim.Cloud
		for _, c := range all {
			made := sim.New(*c, time.Now())
			simulated = append(simulated, made)
			for _, p := range of[c] {
				s.clouds[p] = made
			}
		}
		server := httptest.NewServer(openstackapi.New(time.Now, simulated...))
		s.t.Cleanup(server.Close)
		entries[name] = map[string]any{"auth": map[string]any{
			"auth_url": server.URL + "/v3", "username": "ci", "password": "secret", "project_name": "ci",
			"user_domain_name": "Default", "project_domain_name": "Default",
		}}
	}
	text, err := json.Marshal(map[string]any{"clouds": entries})
	if err != nil {
		s.t.Fatal(err)
	}
	name := filepath.Join(s.t.TempDir(), "clouds.yaml")
	if err := os.WriteFile(name, text, 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.t.Setenv("OS_CLIENT_CONFIG_FILE", name)
}

// want has a cloud have what a provider's labels are made of.
func want(c *sim.Config, p *pool.Provider) {
	for i := range p.Pools {
		for k := range p.Pools[i].Labels {
			l := &p.Pools[i].Labels[k]
			f := pool.Flavor{Name: l.FlavorName, Cores: 1, RAMMiB: max(l.MinRAMMiB, 1024), DiskGB: 10}
			if !slices.ContainsFunc(c.Flavors, func(has pool.Flavor) bool { return has.Name == f.Name && has.RAMMiB == f.RAMMiB }) {
				c.Flavors = append(c.Flavors, f)
			}
			if l.KeyName != "" && !slices.Contains(c.KeyPairs, l.KeyName) {
				c.KeyPairs = append(c.KeyPairs, l.KeyName)
			}
		}
	}
}

// start runs a peer until stop or the end of the test.
func (s *site) start(name string) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.t.Context()))
	ended := make(chan struct{})
	d, listener := newDaemon(s.files[name], Options{Version: "v1", Log: zaptest.NewLogger(s.t).Named(name)}), freePort(s.t)
	go func() {
		defer close(ended)
		_ = d.workOn(ctx, kv.KV(s.db), listener)
	}()
	s.stops[name] = func() {
		cancel()
		<-ended
	}
}

// stop ends a peer as SIGTERM does.
func (s *site) stop(name string) {
	if stop := s.stops[name]; stop != nil {
		stop()
		delete(s.stops, name)
	}
}

// ask makes a request for one node.
func (s *site) ask(id, label string, change func(r *pool.Request)) *client.Request {
	s.t.Helper()
	want := pool.Request{Labels: []string{label}, MaxLifetime: "1h"}
	if change != nil {
		change(&want)
	}
	r, err := s.client.Create(s.t.Context(), id, want, time.Minute)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// served waits for a request, and returns its node.
func (s *site) served(r *client.Request) pool.AllocatedNode {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), filesLimit)
	defer cancel()
	a, err := r.Wait(ctx)
	if err != nil || a.State != pool.AllocationFulfilled {
		s.t.Fatalf("request %s: %+v, %v", r.Ref().ID, a, err)
	}
	return a.Nodes[0]
}

// await waits until something is so of the records.
func (s *site) await(what string, is func(snap *pool.Snapshot) bool) *pool.Snapshot {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), filesLimit)
	defer cancel()
	for {
		snap, err := s.records.Read(ctx)
		if err != nil {
			s.t.Fatalf("%s: %v", what, err)
		}
		if is(snap) {
			return snap
		}
		pause(50 * time.Millisecond)
	}
}

// going are the nodes of a provider that were given up without having been used.
func going(snap *pool.Snapshot, provider string) []string {
	var list []string
	for _, n := range snap.Nodes {
		_, used := n.Entered(pool.NodeUsed)
		if n.Provider == provider && (n.State == pool.NodeDeleting || n.State == pool.NodeDeleted) && !used {
			list = append(list, fmt.Sprintf("%s (%s): %s", n.ID, n.Label, n.Reason))
		}
	}
	return list
}

// wants is what a site must do with three files: first and other are labels that
// only nl01 and nl02 have, by provider.
type wants struct{ first, other, provider string }

// serveUnion checks that peers with different files serve the union, and what
// happens when one is taken away and comes back.
func (s *site) serveUnion(w wants) {
	t := s.t
	t.Helper()
	s.serve()
	for name := range s.files {
		s.start(name)
		defer s.stop(name)
	}
	nobody := s.ask("nobody", "nobody-has-this", nil)
	s.served(s.ask("first", w.first, nil))
	idle := s.ask("idle", w.other, func(r *pool.Request) { r.Accept = pool.AcceptExplicit })
	node := s.served(idle)
	if node.Provider != w.provider {
		t.Fatalf("%s comes from %s", w.other, node.Provider)
	}
	if err := idle.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), filesLimit)
	defer cancel()
	if a, err := nobody.Wait(ctx); err != nil || a.State != pool.AllocationFailed || !strings.Contains(a.Error, "no label is called") {
		t.Errorf("a label that nobody has: %+v, %v", a, err)
	}
	snap := s.await("the node is given back", func(snap *pool.Snapshot) bool {
		return slices.ContainsFunc(snap.Nodes, func(n *pool.Node) bool { return n.ID == node.ID && n.State == pool.NodeReady && n.AllocatedTo == nil })
	})
	if got := snap.Disputes(); len(got) > 0 {
		t.Errorf("the files contradict each other in %v", got)
	}
	for _, m := range snap.Members {
		for _, key := range m.Owns {
			kind, _, _ := strings.Cut(key, "/")
			if builds := m.Name == "builder"; builds != (kind == "image" || kind == "upload") && kind != "allocator" {
				t.Errorf("%s owns %s", m.Name, key)
			}
		}
	}

	s.stop("nl02")
	s.await("the peer is gone", func(snap *pool.Snapshot) bool {
		return !slices.ContainsFunc(snap.Members, func(m *pool.Member) bool { return m.Name == "nl02" })
	})
	if got := s.served(s.ask("ready", w.other, nil)); got.ID != node.ID {
		t.Errorf("got node %s without the peer, want the ready %s", got.ID, node.ID)
	}
	waits := s.ask("waits", w.other, nil)
	snap = s.await("the next request waits", func(snap *pool.Snapshot) bool { return snap.Answers()[waits.Ref()] != nil })
	if a := snap.Answers()[waits.Ref()]; a.State != pool.AllocationWaiting {
		t.Errorf("without the peer the request is %s: %s", a.State, a.Error)
	}
	for p := range s.clouds {
		if list := going(snap, p); len(list) > 0 {
			t.Errorf("nodes of %s go: %s", p, strings.Join(list, "; "))
		}
	}
	s.start("nl02")
	s.served(waits)
}

func TestPeersWithDifferentFiles(t *testing.T) {
	files := map[string]config.Source{}
	for _, name := range []string{"nl01", "nl02", "builder"} {
		text, err := os.ReadFile(filepath.Join("testdata", "files", name+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = config.Source{Name: name + ".yaml", Data: text}
	}
	newSite(t, files).serveUnion(wants{first: "jammy", other: "focal-large", provider: "south"})
}

// The files of a real site, which are not part of this repository. Its builder's
// file is of another year than nl02's: it gets the providers of that, as it had
// them then, and builds two images only.
func TestRealPeersWithDifferentFiles(t *testing.T) {
	dir := os.Getenv("POOLD_CORPUS")
	if dir == "" {
		t.Skip("POOLD_CORPUS does not name a folder with real configuration files")
	}
	files := map[string]config.Source{}
	for name, file := range map[string]string{
		"nl01": "openstack__project-config__5b7316cf__nl01.opendev.org.yaml",
		"nl02": "openstack__project-config__16549b86__nl02.openstack.org.yaml", "builder": "openstack__project-config__5b7316cf__nodepool.yaml",
	} {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = config.Source{Name: file, Data: text}
	}
	s := newSite(t, files)
	built := []string{"ubuntu-bionic", "ubuntu-jammy"}
	builds := &s.files["builder"].Catalog
	for i := range builds.Images {
		builds.Images[i].Paused = !slices.Contains(built, builds.Images[i].Name)
	}
	for _, p := range s.files["nl02"].Catalog.Providers {
		p.Pools = nil
		p.Images = slices.DeleteFunc(slices.Clone(p.Images), func(use pool.ProviderImage) bool { return !slices.Contains(built, use.Name) })
		builds.Providers = append(builds.Providers, p)
	}
	s.serveUnion(wants{first: "ubuntu-jammy", other: "ubuntu-bionic-limestone-debug", provider: "limestone-regionone"})
}
