//go:build chaos

package chaos

import (
	"fmt"
	"io"
	"net"
	"testing"
	"time"
)

// A door lets everything pass as it is, and holds up, breaks or silences it only
// in bad weather.
func TestDoor(t *testing.T) {
	if !InNetwork(t, bin) {
		return
	}
	n := NewNetwork(t)
	l, err := net.Listen("tcp", n.ip+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go echo(l)
	d := n.door(100, map[int]string{7000: l.Addr().String()})
	if err := hello(d.ip+":7000", time.Minute); err != nil {
		t.Error(err)
	}
	for name, w := range map[string]weather{"broken": {breaks: 100}, "deaf": {losses: 100}, "silent": {silent: true}} {
		heal := turned(w, d)
		if err := hello(d.ip+":7000", 2*time.Second); err == nil {
			t.Errorf("%s: it came through", name)
		}
		if err := heal(); err != nil {
			t.Error(err)
		}
		if err := hello(d.ip+":7000", time.Minute); err != nil {
			t.Errorf("after it was %s: %v", name, err)
		}
	}
}

// A port of the loopback is let out of one network and into another.
func TestLoopback(t *testing.T) {
	dir := t.TempDir()
	if Inside() == "" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		go echo(l)
		LetOut(t, dir, l.Addr().(*net.TCPAddr).Port)
	}
	if !InNetwork(t, dir) {
		return
	}
	ports := NewNetwork(t).LetIn(Inside())
	if len(ports) != 1 {
		t.Fatalf("the ports are %v", ports)
	}
	if err := hello(fmt.Sprintf("127.0.0.1:%d", ports[0]), time.Minute); err != nil {
		t.Error(err)
	}
}

// echo sends back what comes.
func echo(l net.Listener) {
	for c, err := l.Accept(); err == nil; c, err = l.Accept() {
		go func() { _, _ = io.Copy(c, c) }()
	}
}

// hello tells whether something that was sent to an address comes back.
func hello(address string, within time.Duration) error {
	c, err := net.Dial("tcp", address)
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
