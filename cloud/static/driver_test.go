package static_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"golang.org/x/crypto/ssh"

	"poold/cloud"
	"poold/cloud/cloudtest"
	"poold/cloud/static"
	"poold/pool"
)

// server greets as an SSH server does.
type server struct {
	listener net.Listener
	greeting string
	contacts atomic.Int64
	key      string
}

func newKey(t *testing.T) string {
	t.Helper()
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}

func serve(t *testing.T, greeting string) *server {
	t.Helper()
	s := &server{greeting: greeting, key: newKey(t)}
	var config net.ListenConfig
	var err error
	if s.listener, err = config.Listen(t.Context(), "tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.listener.Close() })
	go func() {
		for {
			conn, err := s.listener.Accept()
			if err != nil {
				return
			}
			s.contacts.Add(1)
			_, _ = conn.Write([]byte(s.greeting))
			if s.greeting != "" {
				_ = conn.Close()
			}
		}
	}()
	return s
}

const greeting = "SSH-2.0-test\r\n"

func (s *server) port() int {
	addr, ok := s.listener.Addr().(*net.TCPAddr)
	if !ok {
		panic("not TCP")
	}
	return addr.Port
}

func (s *server) host(slots int, labels ...string) pool.Host {
	return pool.Host{
		Name: "127.0.0.1", Labels: labels, Slots: slots, Checking: true, Timeout: 5 * time.Second,
		Connection: pool.Connection{Type: "ssh", Port: s.port(), Username: "zuul"},
	}
}

func provider(hosts ...pool.Host) pool.Provider {
	return pool.Provider{Name: "suite", Driver: pool.DriverStatic, Pools: []pool.Pool{{Name: "main", Hosts: hosts}}}
}

func open(p pool.Provider, scan static.Scan, lent ...*pool.Node) *static.Driver {
	return static.New(static.Config{
		Provider: p, Installation: "ours", Lent: lent, Scan: scan, Now: time.Now, Log: zap.NewNop(),
	})
}

// scan reads the key of a server.
func (s *server) scan(context.Context, string, int) ([]string, error) { return []string{s.key}, nil }

// The static driver keeps the contract that those of clouds keep. What it has
// not, such as floating IPs and a project that others share, is left out.
func TestDriverConformance(t *testing.T) {
	cloudtest.Run(t, func(t *testing.T) cloudtest.Env {
		t.Helper()
		s := serve(t, greeting)
		h := s.host(4, "plain")
		return cloudtest.Env{Driver: open(provider(h), s.scan), Installation: "ours", Lent: true, Zone: h.ID()}
	})
}

// An owner knows from the records what those before it lent, and lends none of
// that again.
func TestWhatIsLentIsKnownFromTheRecords(t *testing.T) {
	s := serve(t, greeting)
	h := s.host(3, "plain")
	node := func(state pool.NodeState, index int) *pool.Node {
		return &pool.Node{
			ID: pool.NodeID(fmt.Sprint(state)), Provider: "suite", State: state, AZ: h.ID(), Batch: "b", BatchIndex: index, BatchSize: 4,
		}
	}
	pending := node(pool.NodePending, 0)
	pending.Batch = ""
	d := open(provider(h), s.scan, node(pool.NodeBuilding, 1), node(pool.NodeInUse, 2), node(pool.NodeDeleted, 3), pending)
	listing, err := d.Instances(t.Context(), cloud.ListMark{})
	var names []string
	for _, i := range listing.Instances {
		names = append(names, i.Name)
		if i.ID != h.ID()+"/"+i.Name || i.Status != cloud.StatusActive || i.Mark.Batch != "b" || i.AZ != h.ID() {
			t.Errorf("%+v", i)
		}
	}
	if err != nil || !slices.Equal(names, []string{"b-1", "b-2"}) {
		t.Errorf("lent are %v, %v", names, err)
	}
	spec := cloud.BatchSpec{Mark: cloud.Mark{Installation: "ours"}, Name: "c", Count: 2, AZ: h.ID()}
	if err := d.Create(t.Context(), spec); !errors.Is(err, cloud.Capacity) {
		t.Errorf("two more than fit: %v", err)
	}
	spec.Count = 1
	if err := d.Create(t.Context(), spec); err != nil {
		t.Errorf("one that fits: %v", err)
	}
}

// However many ask at once, no host is lent more often than it has slots.
func TestNeverMoreThanTheSlots(t *testing.T) {
	s := serve(t, greeting)
	h := s.host(7, "plain")
	d := open(provider(h), s.scan)
	var lent atomic.Int64
	var all sync.WaitGroup
	for k := range 40 {
		all.Go(func() {
			n := 1 + k%3
			spec := cloud.BatchSpec{Mark: cloud.Mark{Installation: "ours"}, Name: fmt.Sprint("b", k), Count: n, AZ: h.ID()}
			if d.Create(t.Context(), spec) == nil {
				lent.Add(int64(n))
			}
		})
	}
	all.Wait()
	listing, err := d.Instances(t.Context(), cloud.ListMark{})
	if err != nil || int64(len(listing.Instances)) != lent.Load() || lent.Load() != 7 {
		t.Errorf("%d are lent, %d listed, %v, want all 7", lent.Load(), len(listing.Instances), err)
	}
}

// What is wrong with a host is told in words that stay the same, so that a
// record of it is not written again and again.
func TestFactsSayWhyAHostIsDown(t *testing.T) {
	good, mute, other, gone, web := serve(t, greeting), serve(t, ""), serve(t, greeting), serve(t, greeting), serve(t, "HTTP/1.1 400 what?\r\n")
	_ = gone.listener.Close()
	hanging, changed, missing := mute.host(1, "l"), other.host(1, "l"), good.host(1, "l")
	hanging.Timeout = 200 * time.Millisecond
	wanted := newKey(t)
	changed.HostKeys = []string{wanted}
	missing.Name = "no-such-host.invalid"
	matching, unchecked, windows := good.host(1, "l"), gone.host(1, "l"), mute.host(1, "l")
	matching.HostKeys = []string{good.key}
	unchecked.Checking, unchecked.Connection.Username = false, "nobody"
	windows.Connection.Type, windows.Connection.Username = "winrm", "admin"
	p := provider(matching, hanging, changed, missing, gone.host(1, "l"), web.host(1, "l"), unchecked, windows)
	scan := func(_ context.Context, _ string, port int) ([]string, error) {
		for _, s := range []*server{good, other} {
			if s.port() == port {
				return []string{s.key}, nil
			}
		}
		return nil, errors.New("nobody")
	}
	d := open(p, scan)
	facts, err := d.Facts(t.Context())
	if err != nil || len(facts.Zones) != 8 {
		t.Fatalf("facts: %+v, %v", facts, err)
	}
	tail := func(key string) string { return "ssh-ed25519 ..." + key[len(key)-16:] }
	want := map[string]string{
		hanging.ID():             "it does not answer within 200ms",
		changed.ID():             "it does not show the host key that is configured, " + tail(wanted) + ", but " + tail(other.key),
		missing.ID():             "its name cannot be resolved: ",
		p.Pools[0].Hosts[4].ID(): "connection refused",
		p.Pools[0].Hosts[5].ID(): "it does not greet as an SSH server: EOF",
	}
	for zone, why := range facts.Down {
		if want[zone] == "" || !strings.HasPrefix(why, want[zone]) {
			t.Errorf("%s is down: %q, want %q", zone, why, want[zone])
		}
		delete(want, zone)
	}
	if len(want) > 0 {
		t.Errorf("not down: %v", want)
	}
}

// A look is new enough, or it is made; those who wait for one share the next.
// A host that did not answer may be another one when it does.
func TestProveLooksWhenItMust(t *testing.T) {
	s := serve(t, greeting)
	h := s.host(2, "l")
	var scans atomic.Int64
	d := open(provider(h), func(context.Context, string, int) ([]string, error) {
		scans.Add(1)
		return []string{s.key}, nil
	})
	spec := cloud.BatchSpec{Mark: cloud.Mark{Installation: "ours"}, Name: "b", Count: 1, AZ: h.ID()}
	if err := d.Create(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	id := h.ID() + "/b"
	prove := func(after time.Time) error {
		_, err := d.Prove(t.Context(), id, after)
		return err
	}
	start := time.Now()
	for range 3 {
		if err := prove(start); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.contacts.Load(); n != 1 || scans.Load() != 1 {
		t.Errorf("three proofs of one time made %d contacts and %d scans, want one", n, scans.Load())
	}
	var all sync.WaitGroup
	later := time.Now()
	for range 20 {
		all.Go(func() {
			if err := prove(later); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := s.contacts.Load(); n != 2 || scans.Load() != 1 {
		t.Errorf("twenty later proofs made %d contacts and %d scans, want one contact more", n-1, scans.Load())
	}
	_ = s.listener.Close()
	if err := prove(start); err != nil {
		t.Errorf("a proof of before it died: %v", err)
	}
	if err := prove(time.Now()); !errors.Is(err, cloud.Capacity) || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("a proof of a dead host: %v", err)
	}
}
