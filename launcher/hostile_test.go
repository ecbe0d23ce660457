package launcher

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"poold/pool"
)

// mostHeard is what a node can say on one connection at most that nobody reads:
// the kernel's buffers at both ends.
const mostHeard = 64 << 20

// Whoever answers on a node's port instead of an SSH server, and however he does,
// is hung up on, and no key is believed: what is read of him has a bound.
func TestHostileNodes(t *testing.T) {
	t.Parallel()
	endless := func(what string) func(net.Conn) int {
		chunk := []byte(strings.Repeat(what, 1<<16/len(what)))
		return func(conn net.Conn) int {
			said := 0
			for {
				n, err := conn.Write(chunk)
				if said += n; err != nil || said > mostHeard {
					return said
				}
			}
		}
	}
	once := func(what string) func(net.Conn) int {
		return func(conn net.Conn) int {
			n, err := conn.Write([]byte(what))
			if err == nil {
				_, _ = conn.Read(make([]byte, 1<<16)) // until it is hung up on
			}
			return n
		}
	}
	for name, speak := range map[string]func(net.Conn) int{
		"a greeting without end":          endless("SSH-2.0-x"),
		"lines before it without end":     endless("welcome\r\n"),
		"greetings without end":           endless("SSH-2.0-x\r\n"),
		"zeros":                           endless("\x00"),
		"escapes":                         endless("\x1b[2J\x1b]0;x\x07"),
		"HTTP":                            once("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"),
		"garbage after the greeting":      once("SSH-2.0-x\r\n" + strings.Repeat("\xa5", 1<<16)),
		"a packet of four GiB":            once("SSH-2.0-x\r\n\xff\xff\xff\xff\x04\x14"),
		"half a greeting":                 once("SSH-2.0-"),
		"a greeting and nothing":          once("SSH-2.0-x\r\n"),
		"an offer of nothing at all":      once("SSH-2.0-x\r\n\x00\x00\x00\x5c\x0a\x14" + strings.Repeat("\x00", 90)),
		"a greeting that is no version 2": once("SSH-1.5-x\r\n"),
		"a byte and no more for minutes":  once("S"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			port, said := listen(t, speak)
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errBootTimeout)
			defer cancel()
			keys, err := newDialer().reach(ctx, Target{IP: "127.0.0.1", Port: port, Type: "ssh"})
			if len(keys) > 0 || !errors.Is(err, errBootTimeout) {
				t.Errorf("got keys %q, %v", keys, err)
			}
			if most := said(); most > mostHeard {
				t.Errorf("%d bytes were taken on one connection", most)
			}
		})
	}
}

// listen has connections to a port of the loopback served. When they have ended it
// tells how much was said on one of them at most.
func listen(t *testing.T, speak func(net.Conn) int) (port int, said func() int) {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var served sync.WaitGroup
	most := 0
	served.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			served.Go(func() {
				defer hangUp(conn)
				n := speak(conn)
				mu.Lock()
				defer mu.Unlock()
				most = max(most, n)
			})
		}
	})
	return l.Addr().(*net.TCPAddr).Port, func() int {
		hangUp(l)
		served.Wait()
		return most
	}
}

// shouting is a cloud whose consoles show megabytes, and commands for terminals.
type shouting struct {
	*fakeCloud

	// looked is called when a console was looked at.
	looked func()
}

func (s shouting) Console(context.Context, string, int) (string, error) {
	s.looked()
	return strings.Repeat("\x1b[2J\u009b31mnoise\x07\r\n", 1<<18) + "\x1b]0;x\x07the end", nil
}

// Of a console with megabytes the end is kept, as text, and nothing more is held
// while a node is waited for.
func TestHostileConsole(t *testing.T) {
	bubble(t, func(w *world) {
		ls := &w.cfg.Provider.Pools[0].Labels[0]
		ls.ReadyConsole, ls.ReadyTimeout = "login:", 20*time.Second
		w.cfg.Driver = shouting{w.cloud, func() {}}
		w.start()
		w.store.add("a")
		pass(time.Minute)
		n := w.store.node("a")
		if n.Failure != pool.KindUnreachable || !strings.HasSuffix(n.Evidence, "the end") || len(n.Evidence) > evidenceBytes ||
			strings.ContainsFunc(n.Evidence, func(r rune) bool { return !shown(r) }) {
			t.Errorf("it failed with %s, and keeps %d bytes: %q", n.Failure, len(n.Evidence), n.Evidence)
		}
		w.end()
	})
	for _, pattern := range []string{"never", "the end"} {
		ctx, cancel := context.WithCancel(t.Context())
		l := &Launcher{console: shouting{looked: cancel}, consoles: newDialer().slots}
		if text, _ := l.awaitConsole(ctx, "a", pattern); len(text) > evidenceBytes || !strings.HasSuffix(text, "the end") {
			t.Errorf("%d bytes are held for %q", len(text), pattern)
		}
		cancel()
	}
}
