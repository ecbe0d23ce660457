package sim_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"poold/cloud/sim"
)

// freePort finds a port that is free at an address.
func freePort(t *testing.T, addr string) int {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", addr+":0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return port
}

// hostKey does a key exchange and returns the key that the server showed.
func hostKey(addr, algorithm string) (string, error) {
	var key string
	_, err := ssh.Dial("tcp", addr, &ssh.ClientConfig{
		User: "root", Auth: []ssh.AuthMethod{ssh.Password("root")}, HostKeyAlgorithms: []string{algorithm}, Timeout: 5 * time.Second,
		HostKeyCallback: func(_ string, _ net.Addr, k ssh.PublicKey) error {
			key = strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k)))
			return nil
		},
	})
	return key, err
}

// A server answers when it has booted and not before, with the keys that the
// cloud knows and its console shows, lets nobody in, and is silent when it is
// gone.
func TestSSH(t *testing.T) {
	port := freePort(t, "127.77.0.2")
	var offset atomic.Int64
	start := time.Now()
	clock := func() time.Time { return start.Add(time.Duration(offset.Load())) }
	c := sim.New(sim.Config{
		Fixed: netip.MustParsePrefix("127.77.0.0/24"), SSHPort: port, Boot: sim.Always(time.Minute), Images: []string{"ubuntu"},
	}, start)
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan error, 1)
	d := sim.NewSSHD(c, clock)
	go func() { ended <- d.Run(ctx) }()
	made, err := c.CreateServers(clock(), sim.ServerSpec{Name: "p", Flavor: c.Config().Flavors[0].ID, ImageID: c.Images(clock())[0].ID})
	if err != nil {
		t.Fatal(err)
	}
	id := made[0].ID
	addr := netip.AddrPortFrom(netip.MustParseAddr("127.77.0.2"), uint16(port)).String()
	c.Step(clock())
	if _, err := hostKey(addr, ssh.KeyAlgoED25519); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("before it booted it answers %v, want refused", err)
	}
	offset.Store(int64(time.Minute))
	c.Step(clock())
	want, err := c.HostKeys(id)
	if err != nil || len(want) != 2 {
		t.Fatalf("the host keys are %q, %v", want, err)
	}
	console, err := c.Console(clock(), id, 0)
	for i, algorithm := range []string{ssh.KeyAlgoECDSA256, ssh.KeyAlgoED25519} {
		key, dialed := eventually(func() (string, error) { return hostKey(addr, algorithm) })
		if key != want[i] {
			t.Errorf("it shows %q, want %q", key, want[i])
		}
		if dialed == nil || !strings.Contains(dialed.Error(), "unable to authenticate") {
			t.Errorf("the login ends in %v, want refused", dialed)
		}
		if err != nil || !strings.Contains(console, key) {
			t.Errorf("the console shows %q, %v, want %q in it", console, err, key)
		}
	}
	if err := c.DeleteServer(clock(), id); err != nil {
		t.Fatal(err)
	}
	c.Step(clock())
	_, err = eventually(func() (string, error) {
		_, err := hostKey(addr, ssh.KeyAlgoED25519)
		if err != nil && strings.Contains(err.Error(), "refused") {
			return "", nil
		}
		return "", errors.New("connection refused is awaited")
	})
	if err != nil {
		t.Error("it still answers when it is gone")
	}
	done := errors.New("done")
	cancel(done)
	if err := <-ended; !errors.Is(err, done) {
		t.Errorf("Run ended with %v, want the cause", err)
	}
}

// eventually tries until nothing refuses the connection any more, for a few
// seconds at most.
func eventually(try func() (string, error)) (string, error) {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	var out string
	var err error
	for range 1000 {
		if out, err = try(); err == nil || !strings.Contains(err.Error(), "connection refused") {
			return out, err
		}
		<-ticker.C
	}
	return out, err
}

// Time passes by itself: a server boots though nobody asks the cloud anything
// after it was made.
func TestSSHWithoutACall(t *testing.T) {
	port := freePort(t, "127.78.0.2")
	c := sim.New(sim.Config{
		Fixed: netip.MustParsePrefix("127.78.0.0/24"), SSHPort: port, Images: []string{"ubuntu"},
		Build: sim.Always(50 * time.Millisecond), Boot: sim.Always(50 * time.Millisecond),
	}, time.Now())
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- sim.NewSSHD(c, time.Now).Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("it ended with %v", err)
		}
	}()
	// When the first one answers, nothing else is expected to happen.
	for _, ip := range []string{"127.78.0.2", "127.78.0.3"} {
		if _, err := c.CreateServers(time.Now(), sim.ServerSpec{
			Name: "a", Min: 1, Max: 1, Flavor: c.Config().Flavors[0].ID, ImageID: c.Images(time.Now())[0].ID,
		}); err != nil {
			t.Fatal(err)
		}
		addr := net.JoinHostPort(ip, strconv.Itoa(port))
		if key, err := eventually(func() (string, error) { return hostKey(addr, ssh.KeyAlgoED25519) }); key == "" {
			t.Errorf("%s never answers: %v", ip, err)
		}
	}
}

// Host keys differ from server to server and from cloud to cloud.
func TestHostKeysDiffer(t *testing.T) {
	var all []string
	for _, name := range []string{"a", "b"} {
		c := sim.New(sim.Config{Name: name}, time.Time{})
		for _, id := range []string{"1", "2"} {
			keys, err := c.HostKeys(id)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, keys...)
		}
	}
	slices.Sort(all)
	if len(slices.Compact(all)) != 8 {
		t.Errorf("there are equal keys among %q", all)
	}
}
