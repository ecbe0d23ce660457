package daemon

import (
	"context"
	"fmt"
	"maps"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap/zaptest"

	"poold/client"
	"poold/cloud/sim"
	"poold/cloud/sim/openstackapi"
	"poold/config"
	"poold/pool"
	"poold/store/kv"
	"poold/store/kv/memkv"
)

const economyConfig = `
name: one
labels: [{name: noble}]
providers:
  - name: north
    cloud: north
    rate: 0
    cloud-images: [{name: noble}]
    pools:
      - name: main
        networks: [private]
        availability-zones: [nova]
        host-key-checking: false
        auto-floating-ip: %v
        labels: [{name: noble, cloud-image: noble, flavor-name: small, public-key: %q}]
etcd: {endpoints: ["http://127.0.0.1:1"]}
`

const economyKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKur4e4eBhpuGBbUoumM0vTc3aA2U7D11bZl3BJXKguE x"

// economy is a whole poold over a simulated OpenStack.
type economy struct {
	t      *testing.T
	cloud  *sim.Cloud
	client *client.Client
}

func newEconomy(t *testing.T, floating string) *economy {
	t.Helper()
	return runOver(t, sim.Config{
		Images: []string{"noble"}, Floating: netip.MustParsePrefix("203.0.113.0/24"),
	}, fmt.Sprintf(economyConfig, floating, economyKey))
}

// runOver runs a poold with a configuration over a simulated OpenStack.
func runOver(t *testing.T, simulated sim.Config, text string) *economy {
	t.Helper()
	e := &economy{t: t, cloud: sim.New(simulated, time.Now())}
	e.serveCloud()
	cfg, _, err := config.Parse(config.Input{
		Main: config.Source{Name: "nodepool.yaml", Data: []byte(text)},
	})
	if err != nil {
		t.Fatal(err)
	}
	db := memkv.New(time.Now())
	e.run(newDaemon(cfg, Options{Log: zaptest.NewLogger(t)}), db)
	if e.client, err = client.New(db, "", "ci"); err != nil {
		t.Fatal(err)
	}
	return e
}

// serveCloud serves the cloud, and has drivers know it as "north".
func (e *economy) serveCloud() {
	e.t.Helper()
	server := httptest.NewServer(openstackapi.New(time.Now, e.cloud))
	e.t.Cleanup(server.Close)
	clouds := filepath.Join(e.t.TempDir(), "clouds.yaml")
	e.t.Setenv("OS_CLIENT_CONFIG_FILE", clouds)
	e.writeClouds(clouds, server.URL, "secret")
}

func (e *economy) writeClouds(file, url, password string) {
	e.t.Helper()
	if err := os.WriteFile(file, fmt.Appendf(nil, `clouds: {north: {region_name: RegionOne, auth: {auth_url: "%s/v3", `+
		`username: ci, password: %s, project_name: ci, user_domain_name: Default, project_domain_name: Default}}}`, url, password), 0o600); err != nil {
		e.t.Fatal(err)
	}
}

// run runs a peer until the test ends.
func (e *economy) run(d *Daemon, db *memkv.KV) {
	e.t.Helper()
	ctx, cancel := context.WithCancel(e.t.Context())
	ended := make(chan struct{})
	listener := freePort(e.t)
	go func() { _ = db.Run(ctx) }()
	go func() {
		defer close(ended)
		_ = d.workOn(ctx, kv.KV(db), listener)
	}()
	e.t.Cleanup(func() {
		cancel()
		<-ended
	})
}

// lives takes n nodes together through all their life.
func (e *economy) lives(id string, n int) {
	e.t.Helper()
	want := pool.Request{MaxLifetime: "1h"}
	for range n {
		want.Labels = append(want.Labels, "noble")
	}
	ctx, cancel := context.WithTimeout(e.t.Context(), time.Minute)
	defer cancel()
	r, err := e.client.Create(ctx, id, want, time.Minute)
	if err != nil {
		e.t.Fatal(err)
	}
	a, err := r.Wait(ctx)
	if err != nil || a.State != pool.AllocationFulfilled || len(a.Nodes) != n {
		e.t.Fatalf("got %+v, %v", a, err)
	}
	for _, node := range a.Nodes {
		if floats := strings.HasPrefix(node.InterfaceIP, "203.0.113."); floats != (len(e.cloud.FloatingIPs(time.Now())) > 0) {
			e.t.Errorf("%s is reached at %s", node.ID, node.InterfaceIP)
		}
	}
	if err := r.Close(ctx); err != nil {
		e.t.Fatal(err)
	}
	for len(e.cloud.Truth(time.Now()))+len(e.cloud.FloatingIPs(time.Now())) > 0 {
		if err := ctx.Err(); err != nil {
			e.t.Fatalf("not all is gone: %v", err)
		}
		pause(50 * time.Millisecond)
	}
}

func pause(d time.Duration) { <-time.After(d) }

// split tells the calls that change something from those that do not.
func split(calls map[string]int) (changing, looking map[string]int) {
	changing, looking = maps.Clone(calls), maps.Clone(calls)
	maps.DeleteFunc(changing, func(call string, _ int) bool { return strings.Contains(call, " GET ") })
	maps.DeleteFunc(looking, func(call string, _ int) bool { return !strings.Contains(call, " GET ") })
	return changing, looking
}

// A node's life costs its share of one create, one delete, and with a floating
// IP one more of each. What cannot change is asked for once, whatever number
// of nodes live. How many lists of ports there are is a matter of who asks
// while another one waits, and not of this test.
func TestCallsOfALife(t *testing.T) {
	const n = 6
	for floating, want := range map[string]map[string]int{
		"false": {"compute POST /servers": 2, "compute DELETE /servers/{id}": 2 * n},
		"true": {
			"compute POST /servers": 2, "compute DELETE /servers/{id}": 2 * n,
			"network POST /floatingips": 2 * n, "network DELETE /floatingips/{id}": 2 * n,
		},
	} {
		t.Run("floating "+floating, func(t *testing.T) {
			e := newEconomy(t, floating)
			e.lives("first", n)
			e.lives("second", n)
			want["identity POST /auth/tokens"], want["compute POST /os-keypairs"] = 1, 1
			changing, looking := split(e.cloud.Calls())
			if diff := cmp.Diff(want, changing); diff != "" {
				t.Errorf("calls that change something (-want +got):\n%s", diff)
			}
			t.Logf("calls that do not: %v", looking)
			for call, most := range map[string]int{
				"compute GET /flavors/detail": 1, "compute GET /os-availability-zone": 1,
				// By name for the servers, and all of them for their addresses.
				"network GET /networks": 2, "network GET /routers": 0, "network GET /subnets": 0,
				"network GET /floatingips/{id}": 0, "compute GET /servers/{id}": 0,
			} {
				if looking[call] > most {
					t.Errorf("%s was made %d times, want %d at most", call, looking[call], most)
				}
			}
		})
	}
}
