//go:build chaos || lab

package chaos

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// insideVariable is set in a process of a test that has a network of its own,
// to what its parent has for it.
const insideVariable = "POOLD_CHAOS_INSIDE"

// Inside is what the parent of a process with a network of its own has for it;
// empty in every other process.
func Inside() string { return os.Getenv(insideVariable) }

// probe makes what a network needs, and lets go of it.
const probe = `ip link set lo up && ip link add br0 type bridge && ip netns add "$0" || exit
trap 'ip netns del "$0"' EXIT
ip link add to-it type veth peer name eth0 netns "$0" && ip netns exec "$0" iptables -w -A INPUT -s 10.77.0.9 -j DROP`

// InNetwork runs a test again as a process that has a network of its own, with
// more arguments, and returns true there, where [Inside] returns what it was
// given. Where no network can be made the test is skipped.
func InNetwork(t *testing.T, inside string, args ...string) bool {
	t.Helper()
	if Inside() != "" {
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
	apart := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	try := exec.CommandContext(t.Context(), "sh", "-c", probe, fmt.Sprintf("poold%d-probe", os.Getpid())) //nolint:gosec // a number
	try.SysProcAttr = apart
	if out, err := try.CombinedOutput(); err != nil {
		t.Skipf("no network can be made here: %v: %s", err, out)
	}
	args = append([]string{"-test.run", "^" + t.Name() + "$", "-test.v", "-test.timeout", "0"}, args...)
	cmd := exec.Command("/proc/self/exe", args...) //nolint:noctx,gosec // this test again, which cleans up after itself
	cmd.Env = append(os.Environ(), insideVariable+"="+inside)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = apart
	if err := cmd.Run(); err != nil {
		t.Error(err)
	}
	return false
}

// host is a network namespace with one address, beside others at a bridge.
type host struct{ name, ip string }

// Network is the bridge, at which the test is, too.
type Network struct {
	t  *testing.T
	ip string
}

// NewNetwork makes one in a process that has a network of its own.
func NewNetwork(t *testing.T) *Network {
	t.Helper()
	n := &Network{t: t, ip: "10.77.0.1"}
	n.ipRoute("link", "set", "lo", "up")
	n.ipRoute("link", "add", "br0", "type", "bridge")
	n.ipRoute("addr", "add", n.ip+"/24", "dev", "br0")
	n.ipRoute("link", "set", "br0", "up")
	return n
}

// host makes a namespace, until the test ends.
func (n *Network) host(name string, number int) host {
	n.t.Helper()
	h := host{name: fmt.Sprintf("poold%d-%s", os.Getpid(), name), ip: fmt.Sprintf("10.77.0.%d", number)}
	n.ipRoute("netns", "add", h.name)
	n.t.Cleanup(func() { n.ipRoute("netns", "del", h.name) })
	n.ipRoute("link", "add", "to-"+name, "type", "veth", "peer", "name", "eth0", "netns", h.name)
	n.ipRoute("link", "set", "to-"+name, "master", "br0", "up")
	n.ipRoute("-n", h.name, "addr", "add", h.ip+"/24", "dev", "eth0")
	n.ipRoute("-n", h.name, "link", "set", "lo", "up")
	n.ipRoute("-n", h.name, "link", "set", "eth0", "up")
	return h
}

// ipRoute runs ip; its failure is the test's.
func (n *Network) ipRoute(args ...string) {
	n.t.Helper()
	cmd := exec.Command("ip", args...) //nolint:noctx,gosec // also when the test is over
	if out, err := cmd.CombinedOutput(); err != nil {
		n.t.Error(fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out))
	}
}

// command is a program that runs on the host.
func (h host) command(name string, args ...string) *exec.Cmd {
	args = append([]string{"netns", "exec", h.name, name}, args...)
	return exec.Command("ip", args...) //nolint:noctx,gosec // who runs it ends it
}

// way is in which direction a host is cut off, or something passes a door.
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
