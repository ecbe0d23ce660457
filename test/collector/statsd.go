package collector

import (
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Statsd is a statsd server that keeps what it is told.
type Statsd struct {
	// Port is where it listens, on the loopback.
	Port int

	// mu guards lines.
	mu    sync.Mutex
	lines []string
}

// StartStatsd runs a server until the test ends. A packet that would not be taken
// everywhere fails the test.
func StartStatsd(tb testing.TB) *Statsd {
	tb.Helper()
	const most = 1432 // of an Ethernet frame
	conn, err := new(net.ListenConfig).ListenPacket(tb.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	s := &Statsd{Port: conn.LocalAddr().(*net.UDPAddr).Port}
	ended := make(chan struct{})
	tb.Cleanup(func() {
		_ = conn.Close() // ends the reading
		<-ended
	})
	go func() {
		defer close(ended)
		packet := make([]byte, 1<<16)
		for {
			n, _, err := conn.ReadFrom(packet)
			if err != nil {
				return
			}
			if n > most {
				tb.Errorf("a packet of %d bytes", n)
			}
			s.mu.Lock()
			s.lines = append(s.lines, strings.Split(string(packet[:n]), "\n")...)
			s.mu.Unlock()
		}
	}()
	return s
}

// Lines are those that it was told so far.
func (s *Statsd) Lines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.lines)
}
