package demo

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"poold/test/proc"
)

// Site is an etcd and simulated clouds as processes of their own, and a peer
// of poold that can be ended and started again beside them.
type Site struct {
	tb     testing.TB
	dir    string
	base   string // what the configurations of all peers begin with
	config string
	name   string
	root   string
	runs   int

	Etcd, Clouds *Demo
	// Web is the URL of the peer's pages.
	Web string
}

// NewSite starts the etcd and the clouds with the binary poold, and writes a
// configuration for peers: the demo's own, of the repository at root, with the
// places filled in. "go test -artifacts" keeps what they write.
func NewSite(tb testing.TB, poold, root string) *Site {
	tb.Helper()
	etcd := Start(tb, poold, tb.ArtifactDir(), "etcd", "--only", "etcd")
	s := NewSiteOn(tb, poold, root, fmt.Sprintf("{endpoints: [%q], lease-ttl: 3s}", etcd.Etcd))
	s.Etcd = etcd
	return s
}

// NewSiteOn is NewSite with an etcd that is there already; etcd says where, as
// the configuration of poold does.
func NewSiteOn(tb testing.TB, poold, root, etcd string) *Site {
	tb.Helper()
	s := &Site{tb: tb, dir: tb.ArtifactDir(), root: root}
	s.Clouds = Start(tb, poold, s.dir, "clouds", "--only", "clouds")
	port := proc.FreePorts(tb, 1)[0]
	s.Web = proc.Loopback(port)
	s.base = s.copy(filepath.Join(root, "nodepool.yaml"), "base.yaml",
		"\netcd: "+etcd+"\nwebapp:\n  listen_address: 127.0.0.1\n")
	s.config = s.copy(s.base, "nodepool.yaml", fmt.Sprintf("  port: %d\n", port))
	s.copy(filepath.Join(root, "deploy", "demo", "make-image"), "make-image", "")
	return s
}

// Beside is the same site with another peer, which has a name and no images.
func (s *Site) Beside(name string) *Site {
	s.tb.Helper()
	port := proc.FreePorts(s.tb, 1)[0]
	other := *s
	other.Web, other.name = proc.Loopback(port), name
	other.config = s.copy(s.base, name+".yaml", fmt.Sprintf("  port: %d\nname: %s\nroles: [allocator, launcher]\n", port, name))
	return &other
}

// On is the same site with a peer of the same name whose etcd is elsewhere.
func (s *Site) On(etcd string) *Site {
	s.tb.Helper()
	port := proc.FreePorts(s.tb, 1)[0]
	other := *s
	other.Web, other.runs = proc.Loopback(port), s.runs
	base := s.copy(filepath.Join(s.root, "nodepool.yaml"), "moved-base.yaml", "\netcd: "+etcd+"\nwebapp:\n  listen_address: 127.0.0.1\n")
	other.base, other.config = base, s.copy(base, "moved.yaml", fmt.Sprintf("  port: %d\n", port))
	return &other
}

// copy copies a file into the site under a name, with more at its end.
func (s *Site) copy(name, as, more string) string {
	s.tb.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		s.tb.Fatal(err)
	}
	to := filepath.Join(s.dir, as)
	if err := os.WriteFile(to, append(text, more...), 0o700); err != nil { //nolint:gosec // a script among them
		s.tb.Fatal(err)
	}
	return to
}

// Run starts the peer, and does not wait. Of further variables for its
// environment the last ones win.
func (s *Site) Run(poold string, env ...string) *proc.Process {
	s.tb.Helper()
	return s.RunWith(poold, nil, env...)
}

// Amend changes the configuration of the peer.
func (s *Site) Amend(change func(text string) string) {
	s.tb.Helper()
	text, err := os.ReadFile(s.config)
	if err != nil {
		s.tb.Fatal(err)
	}
	if err := os.WriteFile(s.config, []byte(change(string(text))), 0o600); err != nil {
		s.tb.Fatal(err)
	}
}

// RunWith is Run with more arguments.
func (s *Site) RunWith(poold string, args []string, env ...string) *proc.Process {
	s.tb.Helper()
	s.runs++
	cmd := exec.Command(poold, append([]string{"-c", s.config}, args...)...) //nolint:noctx,gosec // proc ends it
	cmd.Env = append(os.Environ(), "OS_CLIENT_CONFIG_FILE="+s.Clouds.CloudsFile, "NODEPOOL_DEMO_DIR="+s.dir)
	cmd.Env = append(cmd.Env, env...)
	return proc.Start(s.tb, s.dir, fmt.Sprintf("poold%s-%d", s.name, s.runs), cmd)
}

// AwaitReady waits until the peer says that it can do its work.
func (s *Site) AwaitReady(peer *proc.Process) {
	s.tb.Helper()
	proc.Await(s.tb, "poold is ready for work", time.Minute, func() (string, bool) {
		status, body, err := Ask(s.tb.Context(), http.MethodGet, s.Web+"/readyz")
		return fmt.Sprintf("%d %s %v", status, body, err), status == http.StatusOK
	}, peer)
}
