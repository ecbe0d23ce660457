package sim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// handshakeLimit bounds how long a client may take to log in.
const handshakeLimit = 30 * time.Second

// SSHD lets the booted servers of a cloud answer SSH, each at its own
// addresses, which must be loopback ones, with its own host keys. Whoever has
// the key of a server's key pair can log in once the server has settled, and
// run the few commands that [Cloud.Ran] tells of. A server that has not
// booted, or is gone, refuses connections.
type SSHD struct {
	cloud *Cloud
	now   func() time.Time

	// lines belong to the goroutine of Run, as does wg's end.
	lines map[string]map[netip.Addr]*line
	wg    sync.WaitGroup
}

// NewSSHD returns what lets the servers of a cloud answer; there may be one
// for a cloud.
func NewSSHD(c *Cloud, now func() time.Time) *SSHD {
	return &SSHD{cloud: c, now: now, lines: map[string]map[netip.Addr]*line{}}
}

// Run answers until ctx ends, whose cause it then returns, or until it cannot
// listen at an address. It moves the cloud's time forward as it passes.
func (d *SSHD) Run(ctx context.Context) error {
	d.cloud.setListening(1)
	defer func() {
		d.cloud.setListening(-1)
		for id := range d.lines {
			d.hangUp(id, nil)
		}
		d.wg.Wait()
	}()
	for {
		next := d.cloud.Step(d.now())
		for id, addrs := range d.cloud.takeChanged() {
			if err := d.answer(ctx, id, addrs); err != nil {
				return err
			}
		}
		if err := d.wait(ctx, next); err != nil {
			return err
		}
	}
}

// wait returns when something is due or changed.
func (d *SSHD) wait(ctx context.Context, next time.Time) error {
	var due <-chan time.Time
	if !next.IsZero() {
		timer := time.NewTimer(next.Sub(d.now()))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-d.cloud.wake:
	case <-due:
	}
	return nil
}

// answer makes a server answer at these addresses and at no others.
func (d *SSHD) answer(ctx context.Context, id string, addrs []netip.Addr) error {
	d.hangUp(id, addrs)
	if len(addrs) == 0 {
		return nil
	}
	lines := d.lines[id]
	if lines == nil {
		lines = map[netip.Addr]*line{}
		d.lines[id] = lines
	}
	for _, addr := range addrs {
		if lines[addr] != nil {
			continue
		}
		if !addr.IsLoopback() {
			return fmt.Errorf("answer SSH at %s: it is not a loopback address", addr)
		}
		var lc net.ListenConfig
		//nolint:gosec // a port fits
		at := netip.AddrPortFrom(addr, uint16(d.cloud.cfg.SSHPort))
		l, err := lc.Listen(ctx, "tcp", at.String())
		if err != nil {
			return fmt.Errorf("answer SSH: %w", err)
		}
		lines[addr] = newLine(l, func() (*ssh.ServerConfig, error) { return d.config(id) }, func(conn *ssh.ServerConn, channels <-chan ssh.NewChannel) {
			d.session(id, conn, channels)
		})
		d.wg.Go(lines[addr].serve)
	}
	return nil
}

// hangUp stops a server from answering but at these addresses.
func (d *SSHD) hangUp(id string, but []netip.Addr) {
	for addr, l := range d.lines[id] {
		kept := false
		for _, b := range but {
			kept = kept || b == addr
		}
		if !kept {
			l.close()
			delete(d.lines[id], addr)
		}
	}
	if len(d.lines[id]) == 0 {
		delete(d.lines, id)
	}
}

// config is how a server lets clients in now.
func (d *SSHD) config(id string) (*ssh.ServerConfig, error) {
	signers, err := d.cloud.hostKeys(id, d.cloud.rekeyed(id))
	if err != nil {
		return nil, err
	}
	config := &ssh.ServerConfig{
		ServerVersion: "SSH-2.0-OpenSSH_9.6",
		PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if !d.cloud.admits(id, key, d.now()) {
				return nil, errNotAdmitted
			}
			return &ssh.Permissions{}, nil
		},
	}
	for _, s := range signers {
		config.AddHostKey(s)
	}
	return config, nil
}

// line is an address at which a server answers.
type line struct {
	listener net.Listener
	config   func() (*ssh.ServerConfig, error)
	session  func(conn *ssh.ServerConn, channels <-chan ssh.NewChannel)

	mu     sync.Mutex // guards what follows
	closed bool
	conns  map[net.Conn]bool
	wg     sync.WaitGroup
}

var errNotAdmitted = errors.New("the key lets nobody in here")

func newLine(
	l net.Listener, config func() (*ssh.ServerConfig, error), session func(*ssh.ServerConn, <-chan ssh.NewChannel),
) *line {
	return &line{listener: l, config: config, session: session, conns: map[net.Conn]bool{}}
}

// serve takes connections until the line is closed.
func (l *line) serve() {
	defer l.wg.Wait()
	for {
		conn, err := l.listener.Accept()
		if err != nil {
			return // closed
		}
		l.mu.Lock()
		if l.closed {
			l.mu.Unlock()
			_ = conn.Close()
			return
		}
		l.conns[conn] = true
		l.mu.Unlock()
		l.wg.Go(func() { l.talk(conn) })
	}
}

// talk does the key exchange and lets the client in, or refuses it.
func (l *line) talk(conn net.Conn) {
	defer func() {
		l.mu.Lock()
		delete(l.conns, conn)
		l.mu.Unlock()
		_ = conn.Close()
	}()
	// The kernel's clock, not the cloud's, which may stand still.
	timer := time.AfterFunc(handshakeLimit, func() { _ = conn.Close() })
	defer timer.Stop()
	config, err := l.config()
	if err != nil {
		return
	}
	client, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return // refused, or it only wanted to know the keys
	}
	timer.Stop()
	go ssh.DiscardRequests(requests)
	l.session(client, channels)
}

func (l *line) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	_ = l.listener.Close()
	for conn := range l.conns {
		_ = conn.Close()
	}
}

// setListening notes that servers are listened for, or no longer. The first
// time all servers count as changed.
func (c *Cloud) setListening(delta int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listening += delta
	for _, s := range c.live {
		c.reachable(s)
	}
}

// takeChanged returns where the servers answer that changed since it was
// asked last.
func (c *Cloud) takeChanged() map[string][]netip.Addr {
	c.mu.Lock()
	defer c.mu.Unlock()
	addrs := make(map[string][]netip.Addr, len(c.changed))
	for id := range c.changed {
		addrs[id] = nil
		if s := c.servers[id]; s != nil {
			addrs[id] = s.answersAt()
		}
	}
	clear(c.changed)
	return addrs
}
