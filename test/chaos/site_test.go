//go:build chaos

package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"poold/cloud/sim"
	"poold/cloud/sim/openstackapi"
	"poold/test/demo"
	"poold/test/etcd"
	"poold/test/proc"
)

const (
	// members is how many etcd and how many poold there are, regions how many
	// providers, and most how many nodes each may have.
	members = 3
	regions = 3
	most    = 8
	// wrongClock is by how much the clocks of two peers are wrong, one each way.
	wrongClock = 10 * time.Minute
	// cloudLogin is the password of the simulated clouds.
	cloudLogin = "word-that-nobody-may-read"
	label      = "small"
	// perSecond is how many calls a second each group of providers may make: few
	// enough that they wait for their turn most of the time.
	perSecond = 10
)

// spread is a site over a network: three etcd, three poold, and simulated
// clouds beside the test.
type spread struct {
	*network

	etcd      *etcd.Cluster
	etcdHosts []host
	peers     []*proc.Process
	peerHosts []host
	doors     []doors
	// offsets are by how much the clocks of the peers are wrong.
	offsets []time.Duration
	lives   int
	// wrong is by how much the clock of each life of a peer was, by its log.
	wrong    map[string]time.Duration
	dir      string
	clouds   []*sim.Cloud
	launches *launches
	gate     *gate
	alien    []stranger
}

func newSpread(t *testing.T) *spread {
	t.Helper()
	s := &spread{
		network: newNetwork(t), dir: t.TempDir(), peers: make([]*proc.Process, members),
		offsets: []time.Duration{0, wrongClock, -wrongClock}, wrong: map[string]time.Duration{},
	}
	if err := proc.BuildWithClock(t.Context(), bin, "-tags", "chaos", root+"/cmd/poold"); err != nil {
		t.Fatal(err)
	}
	var ips []string
	for i := range members {
		s.etcdHosts = append(s.etcdHosts, s.host(fmt.Sprintf("etcd%d", i), 11+i))
		s.peerHosts = append(s.peerHosts, s.host(fmt.Sprintf("peer%d", i), 21+i))
		ips = append(ips, s.etcdHosts[i].ip)
	}
	s.serveClouds()
	s.etcd = etcd.StartCluster(t, etcd.Options{Members: members, Hosts: ips, In: func(i int, name string, args ...string) *exec.Cmd {
		if i < 0 {
			return exec.Command(name, args...)
		}
		return s.etcdHosts[i].command(name, args...)
	}})
	for i := range members {
		s.doors = append(s.doors, s.openDoors(i))
		s.configure(i)
		s.startPeer(i)
	}
	return s
}

// serveClouds serves the clouds at the address of the test.
func (s *spread) serveClouds() {
	s.t.Helper()
	for i := range regions {
		const ms = time.Millisecond
		s.clouds = append(s.clouds, sim.New(sim.Config{
			Name: "chaos", Region: fmt.Sprintf("R%d", i), Password: cloudLogin, Seed: uint64(i + 1), Images: []string{"ubuntu"}, Cells: 2,
			Fixed: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(100 + i)}), 16),
			Build: sim.Dist{Min: 200 * ms, Mean: 500 * ms, Max: 2000 * ms}, Delete: sim.Dist{Min: 100 * ms, Mean: 300 * ms, Max: 1000 * ms},
			Latency: sim.Dist{Min: 2 * ms, Mean: 10 * ms, Max: 100 * ms},
		}, time.Now()))
	}
	var lc net.ListenConfig
	l, err := lc.Listen(s.t.Context(), "tcp", s.ip+":5000")
	if err != nil {
		s.t.Fatal(err)
	}
	s.alien = s.strangers()
	s.gate = &gate{next: openstackapi.New(time.Now, s.clouds...), came: map[string][]time.Time{}}
	s.launches = &launches{next: s.gate, names: map[string]int{}}
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.t.Context()))
	var done sync.WaitGroup
	done.Go(func() { _ = openstackapi.Serve(ctx, l, s.launches) }) // it ends with the test
	s.t.Cleanup(func() {
		cancel()
		done.Wait()
	})
}

// launches notes by name what is asked to be launched. What the cloud refused
// for its token was not: it is asked again with another.
type launches struct {
	next http.Handler

	mu    sync.Mutex // guards names
	names map[string]int
}

func (l *launches) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/servers") {
		text, err := io.ReadAll(r.Body)
		var asked struct{ Server struct{ Name string } }
		if err = errors.Join(err, json.Unmarshal(text, &asked)); err == nil {
			o := &observed{ResponseWriter: w}
			w = o
			defer l.note(asked.Server.Name, o) // also when the connection is cut
		}
		r.Body = io.NopCloser(bytes.NewReader(text))
	}
	l.next.ServeHTTP(w, r)
}

// note counts a launch that was answered, or not.
func (l *launches) note(name string, o *observed) {
	if o.status == http.StatusUnauthorized {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.names[name]++
}

// observed is an answer that is being given.
type observed struct {
	http.ResponseWriter

	status int
}

func (o *observed) WriteHeader(status int) {
	o.status = status
	o.ResponseWriter.WriteHeader(status)
}

// doubled lists the batches that were asked for more than once (I7).
func (l *launches) doubled() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []string
	for name, n := range l.names {
		if n > 1 {
			all = append(all, fmt.Sprintf("batch %s was asked for %d times", name, n))
		}
	}
	return all
}

// configure writes the files of a peer.
func (s *spread) configure(i int) {
	s.t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "name: peer%d\netcd:\n  endpoints: [%s]\n  lease-ttl: 4s\nwebapp: {port: 8005}\n",
		i, strings.Join(ipsOf(s.doors[i].etcd...), ":2379, ")+":2379")
	fmt.Fprintf(&b, "labels:\n  - {name: %s, min-ready: 3}\nproviders:\n", label)
	for p := range regions {
		fmt.Fprintf(&b, `  - name: p%d
    cloud: chaos
    region-name: R%d
    rate-group: g%d
    rate: %v
    boot-timeout: 60
    cloud-images: [{name: ubuntu}]
    pools:
      - name: main
        max-servers: %d
        networks: [private]
        auto-floating-ip: false
        host-key-checking: false
        labels: [{name: %s, cloud-image: ubuntu, flavor-name: small}]
`, p, p, p, 1.0/perSecond, most, label)
	}
	clouds := fmt.Sprintf(`clouds: {chaos: {auth: {auth_url: "http://%s:5000/v3", username: ci, password: %s, project_name: ci,
  user_domain_name: Default, project_domain_name: Default}}}`, s.doors[i].cloud.ip, cloudLogin)
	for name, text := range map[string]string{s.config(i): b.String(), s.cloudsFile(i): clouds} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *spread) cloudsFile(i int) string {
	return filepath.Join(s.dir, fmt.Sprintf("clouds%d.yaml", i))
}

func (s *spread) config(i int) string { return filepath.Join(s.dir, fmt.Sprintf("peer%d.yaml", i)) }

// startPeer starts a peer, and does not wait.
func (s *spread) startPeer(i int) {
	s.t.Helper()
	s.lives++
	cmd := s.peerHosts[i].command(poold(), "-c", s.config(i), "--log-level", "debug")
	cmd.Env = append(os.Environ(), "OS_CLIENT_CONFIG_FILE="+s.cloudsFile(i), proc.ClockVariable+"="+s.offsets[i].String())
	name := fmt.Sprintf("poold-%d-%d", i, s.lives)
	s.wrong[name+".log"] = s.offsets[i]
	s.peers[i] = proc.Start(s.t, s.dir, name, cmd)
}

// servers are all servers in all clouds, as the clouds know them, but the
// strangers.
func (s *spread) servers() []demo.Server {
	var all []demo.Server
	for _, c := range s.clouds {
		for _, v := range c.Truth(time.Now()) {
			if slices.ContainsFunc(s.alien, func(a stranger) bool { return a.id == v.ID }) {
				continue
			}
			d := demo.Server{ID: v.ID, Name: v.Name, Status: v.Status, Task: v.Task}
			for _, a := range v.Addresses {
				d.Addresses = append(d.Addresses, demo.Address{IP: a.IP})
			}
			all = append(all, d)
		}
	}
	return all
}
