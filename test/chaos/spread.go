//go:build chaos || lab

package chaos

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"poold/test/etcd"
	"poold/test/proc"
)

// members is how many etcd and how many poold there are.
const members = 3

// Files are what a peer reads.
type Files struct {
	// Nodepool is nodepool.yaml without what each peer has of its own: its name,
	// etcd and the web pages.
	Nodepool string
	// Clouds is clouds.yaml.
	Clouds string
}

// spread is a site over a network: three etcd and three poold. The clouds are
// beside the test.
type spread struct {
	*Network

	options   *Options
	etcd      *etcd.Cluster
	etcdHosts []host
	peers     []*proc.Process
	peerHosts []host
	doors     []doors
	// offsets are by how much the clocks of the peers are wrong.
	offsets []time.Duration
	lives   int
	// wrong is by how much the clock of each life of a peer was, by its log.
	wrong map[string]time.Duration
	dir   string
}

func newSpread(t *testing.T, n *Network, o *Options) *spread {
	t.Helper()
	s := &spread{
		Network: n, options: o, dir: t.TempDir(), peers: make([]*proc.Process, members),
		offsets: make([]time.Duration, members), wrong: map[string]time.Duration{},
	}
	copy(s.offsets, o.Offsets)
	var ips []string
	for i := range members {
		s.etcdHosts = append(s.etcdHosts, s.host(fmt.Sprintf("etcd%d", i), 11+i))
		s.peerHosts = append(s.peerHosts, s.host(fmt.Sprintf("peer%d", i), 21+i))
		ips = append(ips, s.etcdHosts[i].ip)
	}
	s.etcd = etcd.StartCluster(t, etcd.Options{Members: members, Hosts: ips, In: func(i int, name string, args ...string) *exec.Cmd {
		if i < 0 {
			return exec.Command(name, args...) //nolint:noctx,gosec // who runs it ends it
		}
		return s.etcdHosts[i].command(name, args...)
	}})
	for i := range members {
		s.doors = append(s.doors, s.openDoors(i))
		s.configure(i, o.Files)
		s.startPeer(i)
	}
	return s
}

// doors are how a peer reaches the members of etcd, and the clouds.
type doors struct {
	etcd  []*door
	cloud *door
}

// openDoors opens those of a peer.
func (s *spread) openDoors(peer int) doors {
	s.t.Helper()
	first := 100 + 10*peer
	d := doors{cloud: s.door(first+9, s.options.Services)}
	for j, h := range s.etcdHosts {
		d.etcd = append(d.etcd, s.door(first+j, map[int]string{2379: h.ip + ":2379"}))
	}
	return d
}

// configure writes the files of a peer.
func (s *spread) configure(i int, files func(clouds string) Files) {
	s.t.Helper()
	own := fmt.Sprintf("name: peer%d\netcd:\n  endpoints: [%s]\n  lease-ttl: 4s\nwebapp: {port: 8005}\n",
		i, strings.Join(ipsOf(s.doors[i].etcd...), ":2379, ")+":2379")
	f := files(s.doors[i].cloud.ip)
	for name, text := range map[string]string{s.config(i): own + f.Nodepool, s.cloudsFile(i): f.Clouds} {
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
	cmd := s.peerHosts[i].command(s.options.Poold, "-c", s.config(i), "--log-level", "debug")
	cmd.Env = append(os.Environ(), "OS_CLIENT_CONFIG_FILE="+s.cloudsFile(i), proc.ClockVariable+"="+s.offsets[i].String())
	name := fmt.Sprintf("poold-%d-%d", i, s.lives)
	s.wrong[name+".log"] = s.offsets[i]
	s.peers[i] = proc.Start(s.t, s.dir, name, cmd)
}

// Restart has each peer end, as systemd has it, and then all begin again with
// other files.
func (s *spread) Restart(files func(clouds string) Files) {
	s.t.Helper()
	s.Stop()
	for i := range members {
		s.configure(i, files)
		s.startPeer(i)
	}
}

// Stop has each peer end, as systemd has it.
func (s *spread) Stop() {
	s.t.Helper()
	for _, p := range s.peers {
		p.Stop()
	}
}

// Await is [proc.Await] for something that the peers have to do.
func (s *spread) Await(what string, limit time.Duration, look func() (seen string, done bool)) {
	s.t.Helper()
	proc.Await(s.t, what, limit, look, s.peers...)
}
