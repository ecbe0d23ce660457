package proc

import (
	"fmt"
	"math/rand/v2"
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

// Ports between these are not among those that Linux gives to connections: no
// connection takes one before the program listens that it is for.
const (
	lowestPort  = 10000
	highestPort = 32767
)

// FreePorts finds ports of the loopback interface that nobody uses.
func FreePorts(tb testing.TB, n int) []int {
	tb.Helper()
	ports := make([]int, 0, n)
	var config net.ListenConfig
	for tries := 0; len(ports) < n; tries++ {
		port := lowestPort + rand.IntN(highestPort-lowestPort+1) //nolint:gosec // no secret
		listener, err := config.Listen(tb.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			if tries > 100*n {
				tb.Fatal(err)
			}
			continue // somebody has it
		}
		defer func() { _ = listener.Close() }() // all at the end, so that they differ
		ports = append(ports, port)
	}
	return ports
}

// Loopback is the URL of a port of the loopback interface.
func Loopback(port int) string { return fmt.Sprintf("http://127.0.0.1:%d", port) }
