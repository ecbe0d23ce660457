//go:build chaos

package chaos

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"
)

// weather is what a door does to what passes.
type weather struct {
	// delay is how long each piece is held up, at most.
	delay time.Duration
	// breaks is which percentage of pieces break their connection.
	breaks int
	// silent says that connections are half open: whoever has one is never told
	// that nobody is at its other end.
	silent bool
}

// door is where a peer goes in to another host: it copies what passes, and can do
// harm to it that the network of the kernel cannot.
type door struct {
	ip, to string

	mu      sync.Mutex // guards what follows
	weather weather
	// turned is closed and replaced when the weather changes.
	turned chan struct{}
	open   []net.Conn
}

// door opens one at an address of its own, to an address, until the test ends.
func (n *network) door(number, port int, to string) *door {
	n.t.Helper()
	d := &door{ip: fmt.Sprintf("10.77.0.%d", number), to: to, turned: make(chan struct{})}
	n.run("ip", "addr", "add", d.ip+"/24", "dev", "br0")
	var lc net.ListenConfig
	l, err := lc.Listen(n.t.Context(), "tcp", fmt.Sprintf("%s:%d", d.ip, port))
	if err != nil {
		n.t.Fatal(err)
	}
	var passing sync.WaitGroup
	passing.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			passing.Go(func() { d.pass(c) })
		}
	})
	n.t.Cleanup(func() {
		_ = l.Close()
		d.turn(weather{})
		d.slam()
		passing.Wait()
	})
	return d
}

// turn changes the weather.
func (d *door) turn(w weather) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.weather = w
	close(d.turned)
	d.turned = make(chan struct{})
}

// slam ends all connections.
func (d *door) slam() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.open {
		_ = c.Close()
	}
}

func (d *door) now() (weather, <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.weather, d.turned
}

func (d *door) keep(c net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open = append(d.open, c)
}

func (d *door) leave(c net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	_ = c.Close()
	d.open = slices.DeleteFunc(d.open, func(o net.Conn) bool { return o == c })
}

// pass copies one connection both ways until either end is closed.
func (d *door) pass(in net.Conn) {
	d.keep(in)
	defer d.leave(in)
	out, err := net.DialTimeout("tcp", d.to, 5*time.Second)
	if err != nil {
		return
	}
	d.keep(out)
	defer d.leave(out)
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
		both.Go(func() {
			d.copy(way[0], way[1])
			_ = in.Close()
			_ = out.Close()
		})
	}
	both.Wait()
}

// copy copies one way, with what the weather does to it.
func (d *door) copy(from io.Reader, to io.Writer) {
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		for w, turned := d.now(); w.silent; w, turned = d.now() {
			<-turned // the end of a connection is not told either
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return
		}
		w, turned := d.now()
		if w.breaks > rand.IntN(100) {
			return
		}
		if w.delay > 0 {
			timer := time.NewTimer(rand.N(w.delay))
			select {
			case <-timer.C:
			case <-turned:
			}
			timer.Stop()
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// doors are how a peer reaches the members of etcd, and the clouds.
type doors struct {
	etcd  []*door
	cloud *door
}

// openDoors opens those of a peer.
func (s *spread) openDoors(peer int) doors {
	s.t.Helper()
	first := 100 + 10*peer
	d := doors{cloud: s.door(first+9, 5000, s.ip+":5000")}
	for j, h := range s.etcdHosts {
		d.etcd = append(d.etcd, s.door(first+j, 2379, h.ip+":2379"))
	}
	return d
}

// ips are the addresses of doors.
func ipsOf(all ...*door) []string {
	var ips []string
	for _, d := range all {
		ips = append(ips, d.ip)
	}
	return ips
}

// turned is a fault of doors.
func turned(w weather, all ...*door) func() error {
	for _, d := range all {
		d.turn(w)
	}
	return func() error {
		for _, d := range all {
			d.turn(weather{})
		}
		return nil
	}
}

// A door lets everything pass as it is, and holds up, breaks or silences it only
// in bad weather.
func TestDoor(t *testing.T) {
	if !inNetwork(t) {
		return
	}
	n := newNetwork(t)
	l, err := net.Listen("tcp", n.ip+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			go func() { _, _ = io.Copy(c, c) }()
		}
	}()
	d := n.door(100, 7000, l.Addr().String())
	echo := func(within time.Duration) error {
		c, err := net.Dial("tcp", d.ip+":7000")
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		if err := c.SetDeadline(time.Now().Add(within)); err != nil {
			return err
		}
		if _, err := c.Write([]byte("hello")); err != nil {
			return err
		}
		got := make([]byte, 5)
		_, err = io.ReadFull(c, got)
		if err == nil && string(got) != "hello" {
			err = fmt.Errorf("it became %q", got)
		}
		return err
	}
	if err := echo(time.Minute); err != nil {
		t.Error(err)
	}
	for name, w := range map[string]weather{"broken": {breaks: 100}, "silent": {silent: true}} {
		heal := turned(w, d)
		if err := echo(2 * time.Second); err == nil {
			t.Errorf("%s: it came through", name)
		}
		if err := heal(); err != nil {
			t.Error(err)
		}
		if err := echo(time.Minute); err != nil {
			t.Errorf("after it was %s: %v", name, err)
		}
	}
}
