package launcher

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"poold/pool"
)

// serveSSH answers on a free port of the loopback with the host keys, after it
// hung up on the first few connections, and returns the port.
func serveSSH(t *testing.T, hangUps int, signers ...crypto.Signer) (int, []string) {
	t.Helper()
	config := &ssh.ServerConfig{NoClientAuth: true}
	var keys []string
	for _, s := range signers {
		signer, err := ssh.NewSignerFromSigner(s)
		if err != nil {
			t.Fatal(err)
		}
		config.AddHostKey(signer)
		keys = append(keys, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey()))))
	}
	slices.Sort(keys)
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { hangUp(l) })
	go func() {
		for n := 0; ; n++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if n < hangUps {
				hangUp(conn)
				continue
			}
			go func() {
				defer hangUp(conn)
				if sc, _, _, err := ssh.NewServerConn(conn, config); err == nil {
					hangUp(sc)
				}
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port, keys
}

func signers(t *testing.T) (ed, ec, rs crypto.Signer) {
	t.Helper()
	_, edKey, err1 := ed25519.GenerateKey(rand.Reader)
	ecKey, err2 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	rsKey, err3 := rsa.GenerateKey(rand.Reader, 2048)
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	return edKey, ecKey, rsKey
}

// All host keys of a server are read, however many kinds it has, though it
// hangs up at first.
func TestReachReadsHostKeys(t *testing.T) {
	t.Parallel()
	ed, ec, rs := signers(t)
	for name, set := range map[string][]crypto.Signer{"three kinds": {ed, ec, rs}, "one kind": {ec}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			port, want := serveSSH(t, 2, set...)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			got, err := newDialer().reach(ctx, Target{IP: "127.0.0.1", Port: port, Type: "ssh"})
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("got %q, %v, want %q", got, err, want)
			}
		})
	}
}

// Once a server answers, its other keys are read at the same time.
func TestReachReadsHostKeysTogether(t *testing.T) {
	t.Parallel()
	ed, ec, rs := signers(t)
	port, want := serveSSH(t, 0, ed, ec, rs)
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer hangUp(l)
	go func() { // lets the first one through, and the others in pairs
		for n := 0; ; n++ {
			conns := make([]net.Conn, min(n, 1)+1)
			for i := range conns {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				conns[i] = conn
			}
			for _, conn := range conns {
				go relay(conn, port)
			}
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	got, err := newDialer().reach(ctx, Target{IP: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, Type: "ssh"})
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

// relay passes on what a client and the server at a port say.
func relay(client net.Conn, port int) {
	defer hangUp(client)
	server, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return
	}
	go func() {
		defer hangUp(server)
		_, _ = io.Copy(server, client) // the client notices
	}()
	_, _ = io.Copy(client, server)
}

// What is not SSH only has to take a connection.
func TestReachConnects(t *testing.T) {
	t.Parallel()
	port, _ := serveSSH(t, 1000)
	keys, err := newDialer().reach(t.Context(), Target{IP: "127.0.0.1", Port: port, Type: "winrm"})
	if err != nil || keys != nil {
		t.Errorf("got %q, %v", keys, err)
	}
}

// A target that takes connections and says nothing, or refuses them, is given
// up when the context ends, with its cause.
func TestReachEndsWithItsContext(t *testing.T) {
	t.Parallel()
	var lc net.ListenConfig
	silent, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer hangUp(silent)
	closed, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	hangUp(closed)
	for name, addr := range map[string]net.Addr{"silent": silent.Addr(), "refusing": closed.Addr()} {
		ctx, cancel := context.WithTimeoutCause(t.Context(), 300*time.Millisecond, errBootTimeout)
		began := time.Now()
		_, err := newDialer().reach(ctx, Target{IP: "127.0.0.1", Port: addr.(*net.TCPAddr).Port, Type: "ssh"})
		cancel()
		if !errors.Is(err, errBootTimeout) || time.Since(began) > 5*time.Second {
			t.Errorf("%s: %v after %v", name, err, time.Since(began))
		}
	}
}

func TestConnectAddress(t *testing.T) {
	t.Parallel()
	floating := pool.Address{IP: "10.1.1.1", Version: 4, Floating: true}
	public := pool.Address{IP: "203.0.113.5", Version: 4}
	private := pool.Address{IP: "192.168.1.1", Version: 4}
	v6 := pool.Address{IP: "2001:db8::1", Version: 6}
	for name, c := range map[string]struct {
		in   []pool.Address
		want string
	}{
		"a floating IP before all":  {[]pool.Address{v6, private, public, floating}, floating.IP},
		"public before private":     {[]pool.Address{private, v6, public}, public.IP},
		"IPv4 before IPv6":          {[]pool.Address{v6, private}, private.IP},
		"IPv6 if there is no other": {[]pool.Address{v6}, v6.IP},
		"nothing":                   {[]pool.Address{{IP: "nonsense"}}, ""},
	} {
		if got := connectAddress(c.in); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

// Without host key checking an active node is ready though nothing answers.
func TestWithoutHostKeyChecking(t *testing.T) {
	bubble(t, func(w *world) {
		w.cfg.Provider.Pools[0].Labels[0].HostKeyChecking = false
		w.cfg.Reach = func(context.Context, Target) ([]string, error) { return nil, errors.New("nobody there") }
		w.start()
		w.store.add("n1")
		pass(20 * time.Second)
		w.want(pool.NodeReady, 1)
		if n := w.store.node("n1"); len(n.HostKeys) != 0 {
			w.t.Errorf("host keys %v", n.HostKeys)
		}
		w.end()
	})
}
