package proc

import (
	"fmt"
	"net"
	"testing"
	"time"
)

// The shortest and the longest time between two looks of Await.
const (
	shortestTick = 100 * time.Millisecond
	longestTick  = time.Second
)

// Await looks again and again until look says done; a short limit makes it
// look more often. After the limit, or when one of the programs has ended, it
// fails the test with what was awaited and what was seen last. The test may be
// another than the one that started the programs.
func Await(tb testing.TB, what string, limit time.Duration, look func() (seen string, done bool), needs ...*Process) {
	tb.Helper()
	begin := time.Now()
	tick := time.NewTicker(min(max(limit/200, shortestTick), longestTick))
	defer tick.Stop()
	for {
		seen, done := look()
		if done {
			tb.Logf("after %5.1f s: %s", time.Since(begin).Seconds(), what)
			return
		}
		for _, p := range needs {
			p.needed(tb)
		}
		if time.Since(begin) > limit {
			tb.Fatalf("waited %v for: %s; last seen: %s", limit, what, seen)
		}
		select {
		case <-tick.C:
		case <-tb.Context().Done():
			tb.Fatalf("the test ended while waiting for: %s", what)
		}
	}
}

// FreePorts finds ports of the loopback interface that nobody uses.
func FreePorts(tb testing.TB, n int) []int {
	tb.Helper()
	ports := make([]int, 0, n)
	var config net.ListenConfig
	for range n {
		listener, err := config.Listen(tb.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			tb.Fatal(err)
		}
		defer func() { _ = listener.Close() }() // all at the end, so that they differ
		address, ok := listener.Addr().(*net.TCPAddr)
		if !ok {
			tb.Fatalf("a TCP listener at %v", listener.Addr())
		}
		ports = append(ports, address.Port)
	}
	return ports
}

// Loopback is the URL of a port of the loopback interface.
func Loopback(port int) string { return fmt.Sprintf("http://127.0.0.1:%d", port) }
