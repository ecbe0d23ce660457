package launcher

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/semaphore"

	"poold/cloud"
	"poold/cloud/sim"
	"poold/pool"
)

// site is a launcher over a simulated cloud whose servers really answer SSH,
// in real time.
type site struct {
	*world

	sim     *sim.Cloud
	keyFile string
	public  string
}

// subnets are the addresses of the next site's servers.
var subnets atomic.Int32

// newSite makes a cloud like cfg, and a launcher whose label runs a command.
func newSite(t *testing.T, cfg sim.Config, command string) *site {
	t.Helper()
	prefix := netip.PrefixFrom(netip.AddrFrom4([4]byte{127, 90, byte(subnets.Add(1)), 0}), 24)
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Fixed, cfg.SSHPort, cfg.Images = prefix, l.Addr().(*net.TCPAddr).Port, []string{"debian"}
	hangUp(l)
	s := &site{sim: sim.New(cfg, time.Now())}
	s.keyFile, s.public = newKey(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- sim.NewSSHD(s.sim, time.Now).Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the SSH servers ended with %v", err)
		}
	})
	s.world = newWorld(t)
	s.cfg.Driver = sim.NewDriver(s.sim, time.Now, cloud.Open{}, "inst")
	s.cfg.Reach = nil
	ls := s.label()
	ls.Networks, ls.PublicKey, ls.ConsoleLog = nil, s.public, false
	ls.ReadyCommand, ls.ReadyKeyFile, ls.ReadyTimeout = command, s.keyFile, 20*time.Second
	return s
}

// newKey makes a key pair, and returns the file of its private half and the
// line of its public one.
func newKey(t *testing.T) (file, public string) {
	t.Helper()
	pub, private, err1 := ed25519.GenerateKey(rand.Reader)
	block, err2 := ssh.MarshalPrivateKey(private, "")
	line, err3 := ssh.NewPublicKey(pub)
	file = filepath.Join(t.TempDir(), "key")
	if err := errors.Join(err1, err2, err3, os.WriteFile(file, pem.EncodeToMemory(block), 0o600)); err != nil {
		t.Fatal(err)
	}
	return file, keyLine(line)
}

func (s *site) label() *pool.LabelSpec { return &s.cfg.Provider.Pools[0].Labels[0] }

// launch adds a node and waits until it is ready or failed.
func (s *site) launch() *pool.Node {
	s.t.Helper()
	s.add()
	return s.outcome()
}

func (s *site) add() {
	w := pool.Write{By: pool.Allocator}
	n := &pool.Node{
		V: 1, ID: "n1", Provider: "p", Pool: "main", Label: "small", Created: time.Now().UTC(),
		FlavorID: s.sim.Config().Flavors[0].ID, ImageID: s.sim.Images(time.Now())[0].ID,
	}
	n.Type, n.Port, n.Username = "ssh", s.sim.Config().SSHPort, "tester"
	w.Nodes = append(w.Nodes, pool.Create(n.Moved(pool.NodePending, pool.Allocator, "demand", time.Now())))
	if _, err := s.store.apply(w); err != nil {
		s.t.Fatal(err)
	}
}

// outcome waits until the node is ready, or has failed.
func (s *site) outcome() *pool.Node {
	s.t.Helper()
	var n *pool.Node
	s.await("the node is ready or failed", func() bool {
		n = s.store.node("n1")
		return n.State == pool.NodeReady || n.Failure != ""
	})
	return n
}

func (s *site) await(what string, done func() bool) {
	s.t.Helper()
	for range 3000 {
		if done() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.t.Fatalf("waited in vain until %s; the node is %+v", what, s.store.node("n1"))
}

// server is the id of the only server, gone or not; "" before there is one.
func (s *site) server() string {
	if id := s.store.node("n1").InstanceID; id != "" {
		return id
	}
	for _, server := range s.sim.Truth(time.Now()) {
		return server.ID
	}
	return ""
}

// ran are the commands that ran on it.
func (s *site) ran() []sim.Ran { return s.sim.Ran(s.server()) }

func (s *site) failed(n *pool.Node, kind pool.Kind, reason string) {
	s.t.Helper()
	if n.Failure != kind || !strings.Contains(n.Reason, reason) {
		s.t.Errorf("the node is %s with %s: %s, want %s with %q", n.State, n.Failure, n.Reason, kind, reason)
	}
}

// A node is ready when its command ended well, and says how long it took to
// answer and to get there.
func TestReadyCommand(t *testing.T) {
	t.Parallel()
	s := newSite(t, sim.Config{}, "echo fine")
	s.start()
	defer s.end()
	n := s.launch()
	if n.State != pool.NodeReady || n.Evidence != "" || len(n.HostKeys) != 2 {
		t.Errorf("the node is %+v", n)
	}
	if !strings.HasPrefix(n.Reason, "reachable after ") || !strings.Contains(n.Reason, ", ready after ") {
		t.Errorf("it is ready because %q", n.Reason)
	}
	if ran := s.ran(); len(ran) != 1 || ran[0] != (sim.Ran{User: "tester", Command: "echo fine", Sent: 5}) {
		t.Errorf("there ran %+v", ran)
	}
}

// A command that ends otherwise fails the node, which keeps what it said, but
// for what is no text.
func TestReadyCommandFails(t *testing.T) {
	t.Parallel()
	s := newSite(t, sim.Config{}, "echo cannot reach \xffthe\x1b[2J mirror;echo giving up;exit 3")
	s.start()
	defer s.end()
	n := s.launch()
	s.failed(n, pool.KindUnreachable, "the ready-command ended with exit status 3: giving up")
	if n.Evidence != "cannot reach the[2J mirror\ngiving up" {
		t.Errorf("it keeps %q", n.Evidence)
	}
	if ran := s.ran(); len(ran) != 1 {
		t.Errorf("there ran %+v, want it once", ran)
	}
}

// A command that does not end is given up in its time, which is not the boot's.
func TestReadyCommandHangs(t *testing.T) {
	t.Parallel()
	s := newSite(t, sim.Config{}, "echo waiting for godot;hang")
	s.label().ReadyTimeout = 500 * time.Millisecond
	s.start()
	defer s.end()
	n := s.launch()
	s.failed(n, pool.KindUnreachable, "not ready within the ready timeout: the ready-command did not end")
	if n.Evidence != "waiting for godot" {
		t.Errorf("it keeps %q", n.Evidence)
	}
}

// A node that prints without end costs neither memory nor time: what is read
// is bounded, and what is kept.
func TestReadyCommandFloods(t *testing.T) {
	t.Parallel()
	s := newSite(t, sim.Config{}, "flood")
	s.start()
	defer s.end()
	n := s.launch()
	s.failed(n, pool.KindUnreachable, errFlood.Error())
	if len(n.Evidence) > evidenceBytes || !strings.Contains(n.Evidence, "water water") {
		t.Errorf("it keeps %d bytes: %.40q", len(n.Evidence), n.Evidence)
	}
	// What is on its way when we hang up is the window of the connection.
	const window = 4 << 20
	if ran := s.ran(); len(ran) != 1 || ran[0].Sent < outputMax || ran[0].Sent > outputMax+window {
		t.Errorf("there ran %+v, want about %d bytes sent", ran, outputMax)
	}
}

// What is kept of an output does not grow with it.
func TestTailIsBounded(t *testing.T) {
	t.Parallel()
	full := 0
	out := &tail{full: func() { full++ }}
	var err error
	for n := 0; err == nil; n++ {
		if n > outputMax {
			t.Fatal("it takes more than it may")
		}
		_, err = out.Write([]byte(strings.Repeat("x", n*997)))
		if len(out.kept) > evidenceBytes || cap(out.kept) > 4*evidenceBytes {
			t.Fatalf("it keeps %d bytes in %d", len(out.kept), cap(out.kept))
		}
	}
	if !errors.Is(err, errFlood) || full != 1 {
		t.Errorf("it ended with %v, and said so %d times", err, full)
	}
}

// A node that shows another host key than the one that was read is told
// nothing.
func TestReadyCommandOnlyForTheSameNode(t *testing.T) {
	t.Parallel()
	s := newSite(t, sim.Config{}, "echo secret")
	reach := newDialer().reach
	s.cfg.Reach = func(ctx context.Context, to Target) ([]string, error) {
		keys, err := reach(ctx, to)
		s.sim.Rekey(s.server())
		return keys, err
	}
	s.start()
	defer s.end()
	s.failed(s.launch(), pool.KindUnreachable, errOtherHostKey.Error())
	if ran := s.ran(); len(ran) != 0 {
		t.Errorf("there ran %+v", ran)
	}
}

// A login that is refused is tried again: the key may not be there yet.
func TestReadyCommandWaitsForTheKey(t *testing.T) {
	t.Parallel()
	s := newSite(t, sim.Config{Settle: sim.Always(time.Second)}, "exit 0")
	s.start()
	defer s.end()
	began := time.Now()
	if n := s.launch(); n.State != pool.NodeReady || time.Since(began) < time.Second {
		t.Errorf("the node is %s after %s: %s", n.State, time.Since(began), n.Reason)
	}
}

// Without the key that lets us in the node fails in its time, and says why.
func TestReadyCommandWithTheWrongKey(t *testing.T) {
	t.Parallel()
	s := newSite(t, sim.Config{}, "exit 0")
	s.label().ReadyKeyFile, _ = newKey(t)
	s.label().ReadyTimeout = 0
	s.cfg.Provider.BootTimeout = 2 * time.Second
	s.start()
	defer s.end()
	n := s.launch()
	s.failed(n, pool.KindUnreachable, "not up within the boot timeout")
	s.failed(n, pool.KindUnreachable, "unable to authenticate")
}

// A connection that is lost is made again, as after a reboot.
func TestReadyCommandAfterALostConnection(t *testing.T) {
	t.Parallel()
	s := newSite(t, sim.Config{}, "drop;echo back")
	s.start()
	defer s.end()
	if n := s.launch(); n.State != pool.NodeReady {
		t.Errorf("the node is %s: %s", n.State, n.Reason)
	}
	if ran := s.ran(); len(ran) != 2 {
		t.Errorf("there ran %+v, want it twice", ran)
	}
}

// Whoever takes over from a launcher that died while the command ran runs it
// again; nobody takes the node for ready before.
func TestReadyCommandAfterACrash(t *testing.T) {
	t.Parallel()
	s := newSite(t, sim.Config{}, "hang")
	s.start()
	s.add()
	s.await("the command runs", func() bool { return len(s.ran()) == 1 })
	s.end()
	if n := s.store.node("n1"); n.State != pool.NodeBuilding {
		t.Errorf("the node is %s when its launcher died", n.State)
	}
	s.label().ReadyCommand = "exit 0"
	s.start()
	defer s.end()
	if n := s.outcome(); n.State != pool.NodeReady {
		t.Errorf("the node is %s: %s", n.State, n.Reason)
	}
	if ran := s.ran(); len(ran) != 2 {
		t.Errorf("there ran %+v, want two", ran)
	}
}

// Without anything to check the node is ready as before.
func TestWithoutReadyCommand(t *testing.T) {
	t.Parallel()
	s := newSite(t, sim.Config{Settle: sim.Always(time.Hour)}, "")
	s.start()
	defer s.end()
	if n := s.launch(); n.State != pool.NodeReady || n.Reason != "reachable" || len(s.ran()) != 0 {
		t.Errorf("the node is %s: %s; there ran %+v", n.State, n.Reason, s.ran())
	}
}

// A label that no node could be found ready for makes no servers, and what is
// wrong with its key file says nothing of what is in it.
func TestReadyCommandWithoutKey(t *testing.T) {
	const secret = "Zm9vYmFy"
	bad := filepath.Join(t.TempDir(), "bad")
	text := "-----BEGIN " + secret + "-----\n" + secret + "\n-----END " + secret + "-----\n"
	if err := os.WriteFile(bad, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"/nowhere/key": "no such file", bad: "is no private key"} {
		bubble(t, func(w *world) {
			ls := &w.cfg.Provider.Pools[0].Labels[0]
			ls.ReadyCommand, ls.ReadyKeyFile = "true", file
			w.start()
			w.store.add("a")
			pass(20 * time.Second)
			n := w.store.node("a")
			if n.Failure != pool.KindInvalid || !strings.Contains(n.Reason, want) || strings.Contains(n.Reason, secret) {
				t.Errorf("it failed with %s: %s", n.Failure, n.Reason)
			}
			if w.cloud.called("create") != 0 {
				t.Error("a server was made in vain")
			}
			w.end()
		})
	}
}

// blind hides the consoles of a cloud.
type blind struct{ cloud.Driver }

// A console that nobody can show cannot be waited for.
func TestReadyConsoleWithoutConsole(t *testing.T) {
	bubble(t, func(w *world) {
		w.cfg.Provider.Pools[0].Labels[0].ReadyConsole = "done"
		w.cfg.Driver = blind{w.cloud}
		w.start()
		w.store.add("a")
		pass(20 * time.Second)
		if n := w.store.node("a"); n.Failure != pool.KindInvalid || !strings.Contains(n.Reason, "the driver shows no consoles") {
			t.Errorf("it failed with %s: %s", n.Failure, n.Reason)
		}
		if w.cloud.called("create") != 0 {
			t.Error("a server was made in vain")
		}
		w.end()
	})
}

// printing is a cloud whose consoles show something after a time.
type printing struct {
	*fakeCloud

	at    time.Time
	looks []time.Time
	lanes []cloud.Lane
	most  int
	now   int
}

func (c *printing) Console(ctx context.Context, _ string, _ int) (string, error) {
	c.mu.Lock()
	c.looks, c.lanes = append(c.looks, time.Now()), append(c.lanes, cloud.LaneOf(ctx))
	c.now++
	c.most = max(c.most, c.now)
	c.mu.Unlock()
	time.Sleep(100 * time.Millisecond)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now--
	if time.Now().Before(c.at) {
		return "booting\nstill", fail(cloud.NotFound)
	}
	return "booting\ncloud-init finished at last", nil
}

// The console is looked at every now and then, once the node is reachable,
// until it matches; though it may not be there at first.
func TestReadyConsole(t *testing.T) {
	bubble(t, func(w *world) {
		w.cfg.Provider.Pools[0].Labels[0].ReadyConsole = `(?m)^cloud-init finished`
		c := &printing{fakeCloud: w.cloud, at: time.Now().Add(40 * time.Second)}
		w.cfg.Driver = c
		w.start()
		w.store.add(ids(6)...)
		pass(35 * time.Second)
		w.want(pool.NodeBuilding, 6)
		pass(15 * time.Second)
		w.want(pool.NodeReady, 6)
		if n := w.store.node("n000"); !strings.Contains(n.Reason, ", ready after ") {
			t.Errorf("it is ready because %q", n.Reason)
		}
		looks := len(c.looks)
		if looks < 6*4 || looks > 6*9 || c.most > consolesMax {
			t.Errorf("looked %d times at six consoles in half a minute, at %d at a time", looks, c.most)
		}
		if slices.ContainsFunc(c.lanes, func(l cloud.Lane) bool { return l != cloud.LaneFinish }) {
			t.Errorf("looked in lanes %v", c.lanes)
		}
		pass(time.Minute)
		if len(c.looks) != looks {
			t.Error("still looks at consoles of nodes that are ready")
		}
		w.end()
	})
}

// A console that never matches fails the node in its time, with its end kept,
// whether or not the boot would have had longer.
func TestReadyConsoleNever(t *testing.T) {
	for timeout, want := range map[time.Duration]string{
		0: "not up within the boot timeout", 20 * time.Second: "not ready within the ready timeout",
	} {
		bubble(t, func(w *world) {
			ls := &w.cfg.Provider.Pools[0].Labels[0]
			ls.ReadyConsole, ls.ReadyTimeout, ls.ConsoleLog = "login:", timeout, false
			w.start()
			w.store.add("a")
			pass(15 * time.Second)
			w.want(pool.NodeBuilding, 1)
			pass(time.Minute)
			n := w.store.node("a")
			if n.Failure != pool.KindUnreachable || !strings.Contains(n.Reason, want) || n.Evidence != "kernel panic" {
				t.Errorf("it failed with %s: %s, and keeps %q", n.Failure, n.Reason, n.Evidence)
			}
			w.end()
		})
	}
}

// Nodes whose commands take long keep no others from being reached: what runs
// takes none of the slots of those who try.
func TestReadyCommandsHoldUpNobody(t *testing.T) {
	t.Parallel()
	s := newSite(t, sim.Config{}, "hang")
	d := &dialer{slots: semaphore.NewWeighted(1), commands: semaphore.NewWeighted(commandsMax)}
	s.cfg.Reach, s.cfg.Run = d.reach, d.run
	s.start()
	defer s.end()
	s.add()
	s.await("the command runs", func() bool { return len(s.ran()) == 1 })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	at := s.sim.Truth(time.Now())[0].Addresses[0].IP
	if keys, err := d.reach(ctx, Target{IP: at, Port: s.sim.Config().SSHPort, Type: "ssh"}); err != nil || len(keys) != 2 {
		t.Errorf("while a command runs another node is reached with %q, %v", keys, err)
	}
}

// A node that is not wanted any more does not wait for its command, nor does
// anybody wait for the node.
func TestReadyCommandOfANodeGivenUp(t *testing.T) {
	bubble(t, func(w *world) {
		ls := &w.cfg.Provider.Pools[0].Labels[0]
		ls.ReadyCommand = "hang"
		ls.ReadyKeyFile, _ = newKey(t)
		var running atomic.Int32
		w.cfg.Run = func(ctx context.Context, _ Command) (string, error) {
			running.Add(1)
			<-ctx.Done()
			running.Add(-1)
			return "", context.Cause(ctx)
		}
		w.start()
		w.store.add(ids(3)...)
		pass(15 * time.Second)
		if running.Load() != 3 {
			t.Fatalf("%d commands run, want 3", running.Load())
		}
		w.store.move(pool.NodeDeleting, ids(3)[0])
		pass(10 * time.Second)
		if running.Load() != 2 || w.store.node(ids(3)[0]).State != pool.NodeDeleted {
			t.Errorf("%d commands run after a node was given up, want 2; it is %s", running.Load(), w.store.node(ids(3)[0]).State)
		}
		w.end()
	})
}
