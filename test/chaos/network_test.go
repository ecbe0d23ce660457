//go:build chaos

package chaos

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// insideVariable is set in a process of this test that has a network of its
// own.
const insideVariable = "POOLD_CHAOS_INSIDE"

// inNetwork runs a test again as a process that has a network of its own, and
// returns true there. Without the rights for that the test is skipped.
func inNetwork(t *testing.T) bool {
	t.Helper()
	if os.Getenv(insideVariable) != "" {
		return true
	}
	if os.Geteuid() != 0 {
		t.Skip("only root makes networks")
	}
	for _, name := range []string{"ip", "iptables", "etcd", "etcdctl"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("no %s is installed", name)
		}
	}
	args := []string{
		"-test.run", "^" + t.Name() + "$", "-test.v", "-test.timeout", "0",
		"-for", lasts.String(), "-plant=" + strconv.FormatBool(*plant),
	}
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), insideVariable+"="+bin)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if err := cmd.Run(); err != nil {
		t.Error(err)
	}
	return false
}

// host is a network namespace with one address, beside others at a bridge.
type host struct{ name, ip string }

// network is the bridge, at which the test is, too.
type network struct {
	t  *testing.T
	ip string
}

func newNetwork(t *testing.T) *network {
	t.Helper()
	n := &network{t: t, ip: "10.77.0.1"}
	n.run("ip", "link", "set", "lo", "up")
	n.run("ip", "link", "add", "br0", "type", "bridge")
	n.run("ip", "addr", "add", n.ip+"/24", "dev", "br0")
	n.run("ip", "link", "set", "br0", "up")
	return n
}

// host makes a namespace, until the test ends.
func (n *network) host(name string, number int) host {
	n.t.Helper()
	h := host{name: fmt.Sprintf("poold%d-%s", os.Getpid(), name), ip: fmt.Sprintf("10.77.0.%d", number)}
	n.run("ip", "netns", "add", h.name)
	n.t.Cleanup(func() { n.run("ip", "netns", "del", h.name) })
	n.run("ip", "link", "add", "to-"+name, "type", "veth", "peer", "name", "eth0", "netns", h.name)
	n.run("ip", "link", "set", "to-"+name, "master", "br0", "up")
	n.run("ip", "-n", h.name, "addr", "add", h.ip+"/24", "dev", "eth0")
	n.run("ip", "-n", h.name, "link", "set", "lo", "up")
	n.run("ip", "-n", h.name, "link", "set", "eth0", "up")
	return h
}

// run runs a command of the network's; its failure is the test's.
func (n *network) run(name string, args ...string) {
	n.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		n.t.Error(fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out))
	}
}

// command is a program that runs on the host.
func (h host) command(name string, args ...string) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", h.name, name}, args...)...)
}

// way is in which direction a host is cut off.
type way string

const (
	in   way = "INPUT"
	out  way = "OUTPUT"
	both way = ""
)

// cut drops what comes to a host from others, or goes to them; heal ends all of
// that.
func (h host) cut(to way, others ...string) error {
	var all error
	for _, other := range others {
		for chain, flag := range map[way]string{in: "-s", out: "-d"} {
			if to == both || to == chain {
				all = errors.Join(all, h.iptables("-A", string(chain), flag, other, "-j", "DROP"))
			}
		}
	}
	return all
}

func (h host) heal() error { return errors.Join(h.iptables("-F", "INPUT"), h.iptables("-F", "OUTPUT")) }

func (h host) iptables(args ...string) error {
	if text, err := h.command("iptables", append([]string{"-w"}, args...)...).CombinedOutput(); err != nil {
		return fmt.Errorf("iptables %s: %w: %s", strings.Join(args, " "), err, text)
	}
	return nil
}
