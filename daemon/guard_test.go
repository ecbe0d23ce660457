package daemon

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"poold/config"
	"poold/event"
	"poold/pool"
	"poold/test/etcd"
)

const annToken = "ann-0123456789-0123456789"

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), ownerOnlyFile); err != nil {
		t.Fatal(err)
	}
}

// Nobody is asked who he is unless the configuration says how he could tell.
func TestNobodyActs(t *testing.T) {
	g, err := newPeer("one", newModel(t)).guard()
	if g != nil || err != nil {
		t.Errorf("got %v, %v", g, err)
	}
}

// The file of tokens is followed: whoever leaves it is out a second later, and
// everybody is if it cannot be used; the log says so once, without what is in it.
func TestTokensAreFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newPeer("one", newModel(t))
		core, logs := observer.New(zap.ErrorLevel)
		d.log = zap.New(core)
		d.cfg.Web.Tokens = filepath.Join(t.TempDir(), "tokens")
		if _, err := d.guard(); err == nil || !strings.Contains(err.Error(), "no such file") {
			t.Errorf("without the file: %v", err)
		}
		write(t, d.cfg.Web.Tokens, "ann "+annToken)
		g, err := d.guard()
		if err != nil {
			t.Fatal(err)
		}
		want := func(names string) {
			t.Helper()
			var got []string
			for _, h := range g.Holders() {
				got = append(got, h.Name)
			}
			if strings.Join(got, " ") != names {
				t.Errorf("got %v, want %s", got, names)
			}
		}
		want("ann")
		write(t, d.cfg.Web.Tokens, "bob "+annToken)
		want("ann")
		time.Sleep(tokensPause)
		want("bob")
		write(t, d.cfg.Web.Tokens, "bob "+annToken+"\nann "+annToken)
		for range 3 {
			time.Sleep(tokensPause)
			want("")
		}
		write(t, d.cfg.Web.Tokens, "bob "+annToken)
		time.Sleep(tokensPause)
		want("bob")
		if all := logs.All(); len(all) != 1 || !strings.Contains(fmt.Sprint(all[0].ContextMap()), "line 2: two have the same token") ||
			strings.Contains(fmt.Sprint(all[0].ContextMap()), "0123") {
			t.Errorf("the log has %v", all)
		}
	})
}

// What is done on a page is a command like any other: the event tells who and why,
// and this peer sees what was done when the answer comes.
func TestActionOnAPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newPeer("one", newModel(t))
		view := d.view.Load()
		q := &pool.Quota{Provider: "north"}
		if _, err := d.store.Apply(t.Context(), nil, pool.Write{By: pool.Launcher, Quotas: []pool.Change[pool.Quota]{pool.Create(q)}}); err != nil {
			t.Fatal(err)
		}
		pause := pool.Command{Verb: pool.VerbPauseProvider, Target: "north", By: "ann", Reason: "fire"}
		if err := d.operate(t.Context(), pause); !errors.Is(err, pool.ErrUnavailable) {
			t.Errorf("before the records were read: %v", err)
		}
		go func() { _ = view.Run(t.Context()) }() // ends with the test
		if err := view.WaitFor(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		before := view.Snapshot()
		if err := d.operate(t.Context(), pause); err != nil {
			t.Fatal(err)
		}
		after := view.Snapshot()
		if p := after.ProviderPause("north"); p == nil || p.Text() != "paused by ann: fire" {
			t.Errorf("this peer sees %+v", p)
		}
		told := 0
		for _, e := range event.Between(before, after, time.Now()) {
			if e.By == "ann" && e.Reason == "fire" && e.Kept() {
				told++
			}
		}
		if told != 3 { // asked, paused, done
			t.Errorf("%d events tell of it", told)
		}
		if err := d.operate(t.Context(), pool.Command{Verb: pool.VerbPauseProvider, Target: "south"}); !errors.Is(err, pool.ErrNotFound) {
			t.Errorf("a provider that there is not: %v", err)
		}
	})
}

// The port is encrypted, a certificate of the authority tells who shows it, one of
// another authority is refused, and none is needed to read.
func TestWebTLS(t *testing.T) {
	ours, others := etcd.NewAuthority(t), etcd.NewAuthority(t)
	server, ann, eve := ours.Issue("server"), ours.Issue("ann"), others.Issue("eve")
	files := config.TLS{CA: server.CA, Cert: server.Cert, Key: server.Key}
	for want, wrong := range map[string]config.TLS{
		"no such file":      {Cert: "none.pem", Key: server.Key},
		"private key does":  {Cert: server.Cert, Key: ann.Key},
		"no certificate in": {CA: server.Key, Cert: server.Cert, Key: server.Key},
		"authority of":      {CA: "none.pem", Cert: server.Cert, Key: server.Key},
	} {
		if _, err := webTLS(wrong, zap.NewNop()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", wrong, err, want)
		}
	}
	d := newPeer("one", newModel(t))
	d.cfg.Web.TLS = files
	guard, err := d.guard()
	if err != nil {
		t.Fatal(err)
	}
	l := freePort(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.serveWeb(ctx, l) }()
	defer func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("it ended with %v", err)
		}
	}()
	authority, err := server.Load()
	if err != nil {
		t.Fatal(err)
	}
	shows := func(show ...tls.Certificate) (tls.ConnectionState, error) {
		conn, err := (&tls.Dialer{Config: &tls.Config{
			RootCAs: authority.RootCAs, MinVersion: tls.VersionTLS13,
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { // whatever is asked for
				if len(show) == 0 {
					return &tls.Certificate{}, nil
				}
				return &show[0], nil
			},
		}}).DialContext(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			return tls.ConnectionState{}, err
		}
		defer func() { _ = conn.Close() }()
		if _, err = io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"); err == nil {
			_, err = bufio.NewReader(conn).ReadString('\n')
		}
		return conn.(*tls.Conn).ConnectionState(), err //nolint:forcetypeassert // it dials TLS
	}
	pair := func(cert, key string) tls.Certificate {
		t.Helper()
		p, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if state, err := shows(); err != nil || state.PeerCertificates[0].Subject.CommonName != "server" {
		t.Errorf("without a certificate: %v", err)
	}
	if _, err := shows(pair(ann.Cert, ann.Key)); err != nil {
		t.Errorf("ann: %v", err)
	}
	if _, err := shows(pair(eve.Cert, eve.Key)); err == nil {
		t.Error("eve is let in")
	}
	// What the server makes of a connection that it has verified.
	leaf, err := x509.ParseCertificate(pair(ann.Cert, ann.Key).Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}, VerifiedChains: [][]*x509.Certificate{{leaf}}}
	if v, err := guard.Visitor(r); err != nil || v.Name != "ann" {
		t.Errorf("got %+v, %v", v, err)
	}
}

// A certificate that is renewed is shown a minute later; while one of the two files
// is new already, the old pair is.
func TestCertificateIsRenewed(t *testing.T) {
	a := etcd.NewAuthority(t)
	first, second := a.Issue("first"), a.Issue("second")
	dir := t.TempDir()
	files := config.TLS{Cert: filepath.Join(dir, "cert"), Key: filepath.Join(dir, "key")}
	copyFile := func(from, to string) {
		t.Helper()
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		write(t, to, string(text))
	}
	copyFile(first.Cert, files.Cert)
	copyFile(first.Key, files.Key)
	synctest.Test(t, func(t *testing.T) {
		c, err := webTLS(files, zap.NewNop())
		if err != nil {
			t.Fatal(err)
		}
		want := func(name string) {
			t.Helper()
			p, err := c.GetCertificate(nil)
			if err != nil || p == nil || p.Leaf.Subject.CommonName != name {
				t.Errorf("got %v, %v, want %s", p, err, name)
			}
		}
		want("first")
		copyFile(second.Cert, files.Cert)
		time.Sleep(certificatePause)
		want("first")
		copyFile(second.Key, files.Key)
		want("first")
		time.Sleep(certificatePause)
		want("second")
	})
}

// pipes is a listener without a network: time in a test stands still on it.
type pipes struct{ conns chan net.Conn }

func (p *pipes) Accept() (net.Conn, error) {
	c, ok := <-p.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (*pipes) Close() error { return nil }

func (*pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes"} }

// dial opens a connection.
func (p *pipes) dial() net.Conn {
	here, there := net.Pipe()
	p.conns <- there
	return here
}

// Who sends slowly, or takes nothing, is hung up on after a bounded time.
func TestSlowClients(t *testing.T) {
	for name, c := range map[string]struct {
		head string
		// drip is sent once a second after it, and takes says that answers are taken.
		drip  string
		takes bool
		most  time.Duration
	}{
		"a head without an end":     {"GET / HTTP/1.1\r\nHost: x\r\n", "X: y\r\n", true, closeTime},
		"nothing":                   {"", "", true, closeTime},
		"a body without an end":     {"POST /act HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 9999\r\n\r\n", "a", true, 15 * time.Second},
		"a body of a reading":       {"GET /nodes HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n", "a", true, 15 * time.Second},
		"chunks without an end":     {"POST /act HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\na\r\n", true, 15 * time.Second},
		"takes no answer":           {"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", "", false, 3 * time.Minute},
		"takes nothing of a stream": {"GET /live HTTP/1.1\r\nHost: x\r\n\r\n", "", false, 3 * time.Minute},
		"asks once and stays":       {"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", "", true, idleTime + closeTime},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "tokens"), "ann "+annToken)
			synctest.Test(t, func(t *testing.T) {
				d := newPeer("one", newModel(t))
				d.pace = newPace(prometheus.NewRegistry())
				d.cfg.Web.Tokens = filepath.Join(dir, "tokens")
				pages, err := d.pages()
				if err != nil {
					t.Fatal(err)
				}
				d.open.Store(pages)
				ctx, cancel := context.WithCancel(t.Context())
				l := &pipes{conns: make(chan net.Conn)}
				ended := make(chan error, 1)
				go func() { ended <- d.serveWeb(ctx, l) }()
				conn := l.dial()
				began, over := time.Now(), make(chan struct{})
				go func() {
					defer close(over)
					_, err := io.WriteString(conn, c.head)
					for err == nil && time.Since(began) < 2*c.most {
						time.Sleep(time.Second)
						if c.drip != "" {
							_, err = io.WriteString(conn, c.drip)
						}
					}
				}()
				_ = conn.SetReadDeadline(began.Add(2 * c.most)) // a pipe has deadlines
				if c.takes {
					_, _ = io.Copy(io.Discard, conn) // until it is hung up
				} else {
					time.Sleep(c.most)
					if _, err := conn.Read(make([]byte, 1)); err == nil {
						t.Error("it is waited for still")
					}
				}
				if took := time.Since(began); took > c.most {
					t.Errorf("it was waited for for %v", took)
				}
				_ = conn.Close() // it is over
				<-over
				cancel()
				close(l.conns)
				if err := <-ended; err == nil { // whichever of the two it saw first
					t.Error("it ended for no reason")
				}
			})
		})
	}
}

// Whoever opens as many connections as he can gets so many and no more, and once
// they are closed others can come.
func TestManyConnections(t *testing.T) {
	var c connections
	var open []net.Conn
	isOpen := func(conn net.Conn) bool {
		_ = conn.SetReadDeadline(time.Now().Add(-time.Second)) // a pipe has deadlines
		_, err := conn.Read(make([]byte, 1))
		return errors.Is(err, os.ErrDeadlineExceeded)
	}
	add := func() net.Conn {
		_, conn := net.Pipe()
		c.note(conn, http.StateNew)
		return conn
	}
	for range mostConnections {
		open = append(open, add())
	}
	if !isOpen(open[mostConnections-1]) {
		t.Error("one of those that may be is closed")
	}
	much := add()
	if isOpen(much) {
		t.Error("one more is taken")
	}
	c.note(much, http.StateClosed)
	c.note(open[0], http.StateClosed)
	if !isOpen(add()) {
		t.Error("none is taken any more")
	}
}
