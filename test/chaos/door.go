//go:build chaos || lab

package chaos

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// weather is what a door does to what passes.
type weather struct {
	// delay is how long each piece is held up, at most.
	delay time.Duration
	// breaks is which percentage of pieces break their connection, and losses
	// which percentage of those that come back.
	breaks, losses int
	// silent says that connections are half open: whoever has one is never told
	// that nobody is at its other end.
	silent bool
}

// door is where a peer goes in to another host: it copies what passes, and can do
// harm to it that the network of the kernel cannot.
type door struct {
	ip string

	mu      sync.Mutex // guards what follows
	weather weather
	// turned is closed and replaced when the weather changes.
	turned chan struct{}
	open   []net.Conn
}

// door opens one at an address of its own until the test ends. Its ports lead to
// addresses.
func (n *Network) door(number int, ports map[int]string) *door {
	n.t.Helper()
	d := &door{ip: fmt.Sprintf("10.77.0.%d", number), turned: make(chan struct{})}
	n.ipRoute("addr", "add", d.ip+"/24", "dev", "br0")
	for port, to := range ports {
		dialer := net.Dialer{Timeout: 5 * time.Second}
		dial := func() (net.Conn, error) { return dialer.Dial("tcp", to) }
		d.lead(n.t, "tcp", fmt.Sprintf("%s:%d", d.ip, port), dial)
	}
	return d
}

// lead has the door listen at an address, and lead from there to what is dialed.
func (d *door) lead(t *testing.T, network, from string, dial func() (net.Conn, error)) {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), network, from)
	if err != nil {
		t.Fatal(err)
	}
	var passing sync.WaitGroup
	passing.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			passing.Go(func() { d.pass(c, dial) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		d.turn(weather{})
		d.slam()
		passing.Wait()
	})
}

// LetOut makes ports of this network's loopback sockets in a folder, until the
// test ends: a process with a network of its own sees the same files.
func LetOut(t *testing.T, dir string, ports ...int) {
	t.Helper()
	d := &door{turned: make(chan struct{})}
	for _, port := range ports {
		dial := func() (net.Conn, error) { return net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)) } //nolint:noctx // the loopback tells at once
		d.lead(t, "unix", filepath.Join(dir, strconv.Itoa(port)), dial)
	}
}

// LetIn has the loopback of this network have the ports that [LetOut] made sockets
// in a folder, and returns them.
func (n *Network) LetIn(dir string) []int {
	n.t.Helper()
	sockets, err := os.ReadDir(dir)
	if err != nil {
		n.t.Fatal(err)
	}
	d := &door{turned: make(chan struct{})}
	var ports []int
	for _, socket := range sockets {
		port, err := strconv.Atoi(socket.Name())
		if err != nil {
			n.t.Fatal(err)
		}
		dial := func() (net.Conn, error) { return net.Dial("unix", filepath.Join(dir, socket.Name())) } //nolint:noctx // so does a socket
		d.lead(n.t, "tcp", fmt.Sprintf("127.0.0.1:%d", port), dial)
		ports = append(ports, port)
	}
	return ports
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
func (d *door) pass(inside net.Conn, dial func() (net.Conn, error)) {
	d.keep(inside)
	defer d.leave(inside)
	outside, err := dial()
	if err != nil {
		return
	}
	d.keep(outside)
	defer d.leave(outside)
	var passing sync.WaitGroup
	for to, ends := range map[way][2]net.Conn{out: {inside, outside}, in: {outside, inside}} {
		passing.Go(func() {
			d.copy(to, ends[0], ends[1])
			_ = inside.Close()
			_ = outside.Close()
		})
	}
	passing.Wait()
}

// risk is which percentage of what goes one way breaks its connection.
func (w weather) risk(to way) int {
	if to == in {
		return w.breaks + w.losses
	}
	return w.breaks
}

// copy copies one way, with what the weather does to it.
func (d *door) copy(to way, source io.Reader, target io.Writer) {
	buf := make([]byte, 16<<10)
	for {
		n, err := source.Read(buf)
		for w, turned := d.now(); w.silent; w, turned = d.now() {
			<-turned // the end of a connection is not told either
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return
		}
		w, turned := d.now()
		if w.risk(to) > rand.IntN(100) { //nolint:gosec // weather
			return
		}
		if w.delay > 0 {
			timer := time.NewTimer(rand.N(w.delay)) //nolint:gosec // weather
			select {
			case <-timer.C:
			case <-turned:
			}
			timer.Stop()
		}
		if _, err := target.Write(buf[:n]); err != nil {
			return
		}
	}
}

// ipsOf are the addresses of doors.
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
