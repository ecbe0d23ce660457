package etcd

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"poold/store/kv/etcdkv"
	"poold/test/proc"
)

// upLimit is how long a cluster may take until it answers, on a machine that
// has other things to do.
const upLimit = 2 * time.Minute

// Options say what a cluster is like. All of it may be left out.
type Options struct {
	// Members is how many there are; 0 is one.
	Members int
	// Files makes clients speak TLS and show a certificate.
	Files etcdkv.TLSFiles
	// Args are further arguments of each member.
	Args []string
	// Hosts are the addresses of the members, which need ports 2379 and 2380
	// then; the loopback with free ports otherwise. In makes a command run
	// where its member is.
	Hosts []string
	In    func(member int, name string, args ...string) *exec.Cmd
}

// Cluster is the installed etcd, each member a process of its own.
type Cluster struct {
	tb      testing.TB
	options Options
	dir     string
	// User is "name:password" for etcdctl, once logins are wanted.
	User    string
	Members []*Member
}

// Member is one etcd.
type Member struct {
	*proc.Process

	name, client, peer, data string
	lives                    int
}

// StartCluster runs etcd until the test ends. Without an installed etcd the
// test is skipped.
func StartCluster(tb testing.TB, o Options) *Cluster {
	tb.Helper()
	for _, name := range []string{"etcd", "etcdctl"} {
		if _, err := exec.LookPath(name); err != nil {
			tb.Skipf("no %s is installed", name)
		}
	}
	if o.In == nil {
		o.In = func(_ int, name string, args ...string) *exec.Cmd {
			return exec.Command(name, args...) //nolint:noctx,gosec // proc ends it
		}
	}
	scheme := "http://"
	if o.Files.Cert != "" {
		scheme = "https://"
	}
	c := &Cluster{tb: tb, options: o, dir: tb.TempDir()}
	for i := range max(1, o.Members) {
		m := &Member{name: fmt.Sprintf("m%d", i), data: filepath.Join(c.dir, fmt.Sprintf("m%d", i))}
		if i < len(o.Hosts) {
			m.client, m.peer = scheme+o.Hosts[i]+":2379", "http://"+o.Hosts[i]+":2380"
		} else {
			ports := proc.FreePorts(tb, 2)
			m.client, m.peer = fmt.Sprintf("%s127.0.0.1:%d", scheme, ports[0]), proc.Loopback(ports[1])
		}
		c.Members = append(c.Members, m)
	}
	for i := range c.Members {
		c.Start(i)
	}
	c.AwaitHealth()
	return c
}

// Endpoints are the URLs of all members.
func (c *Cluster) Endpoints() []string {
	var urls []string
	for _, m := range c.Members {
		urls = append(urls, m.client)
	}
	return urls
}

// Start starts a member, with the data that it has, and does not wait.
func (c *Cluster) Start(i int) {
	c.tb.Helper()
	m := c.Members[i]
	m.lives++
	args := slices.Concat([]string{
		"--name", m.name, "--data-dir", m.data, "--unsafe-no-fsync", "--logger", "zap", "--log-level", "error",
		"--listen-client-urls", m.client, "--advertise-client-urls", m.client,
		"--listen-peer-urls", m.peer, "--initial-advertise-peer-urls", m.peer, "--initial-cluster", c.initial(),
	}, c.tls(), c.options.Args)
	m.Process = proc.Start(c.tb, c.dir, fmt.Sprintf("etcd-%s-%d", m.name, m.lives), c.options.In(i, "etcd", args...))
}

func (c *Cluster) tls() []string {
	f := c.options.Files
	if f.Cert == "" {
		return nil
	}
	return []string{"--cert-file", f.Cert, "--key-file", f.Key, "--trusted-ca-file", f.CA, "--client-cert-auth"}
}

// initial names all members to each of them.
func (c *Cluster) initial() string {
	var all []string
	for _, m := range c.Members {
		all = append(all, m.name+"="+m.peer)
	}
	return strings.Join(all, ",")
}

// AwaitHealth waits until every member answers.
func (c *Cluster) AwaitHealth() {
	c.tb.Helper()
	var needs []*proc.Process
	for _, m := range c.Members {
		needs = append(needs, m.Process)
	}
	proc.Await(c.tb, "etcd answers", upLimit, func() (string, bool) {
		out, err := c.Ctl("endpoint", "health").CombinedOutput()
		return string(out), err == nil
	}, needs...)
}

// Ctl is etcdctl for the cluster.
func (c *Cluster) Ctl(args ...string) *exec.Cmd {
	cmd := c.options.In(-1, "etcdctl", args...)
	cmd.Env = append(cmd.Environ(), c.Environment()...)
	return cmd
}

// Environment is what etcdctl needs to know.
func (c *Cluster) Environment() []string {
	env := []string{"ETCDCTL_API=3", "ETCDCTL_ENDPOINTS=" + strings.Join(c.Endpoints(), ",")}
	if f := c.options.Files; f.Cert != "" {
		env = append(env, "ETCDCTL_CACERT="+f.CA, "ETCDCTL_CERT="+f.Cert, "ETCDCTL_KEY="+f.Key)
	}
	if c.User != "" {
		env = append(env, "ETCDCTL_USER="+c.User)
	}
	return env
}

// Run runs etcdctl and returns what it prints; its failure is the test's.
func (c *Cluster) Run(args ...string) string {
	c.tb.Helper()
	var out, problems bytes.Buffer
	cmd := c.Ctl(args...)
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		c.tb.Fatalf("etcdctl %s: %v: %s", strings.Join(args, " "), err, &problems)
	}
	return out.String()
}

// Leader is the member that leads, as it says itself.
func (c *Cluster) Leader() (int, error) {
	out, _ := c.Ctl("endpoint", "status").Output() // some may not answer
	for line := range strings.Lines(string(out)) {
		// "URL, id, version, size, is leader, is learner, ..."
		fields := strings.Split(line, ", ")
		if len(fields) < 5 || fields[4] != "true" {
			continue
		}
		return slices.Index(c.Endpoints(), fields[0]), nil
	}
	return 0, fmt.Errorf("no member leads: %s", out)
}

// Restore ends all members, and begins anew with a snapshot that etcdctl saved.
func (c *Cluster) Restore(snapshot string) {
	c.tb.Helper()
	for _, m := range c.Members {
		m.Kill()
		if err := os.RemoveAll(m.data); err != nil {
			c.tb.Fatal(err)
		}
	}
	for i, m := range c.Members {
		c.Run("snapshot", "restore", snapshot, "--name", m.name, "--data-dir", m.data,
			"--initial-cluster", c.initial(), "--initial-advertise-peer-urls", m.peer)
		c.Start(i)
	}
	c.AwaitHealth()
}
