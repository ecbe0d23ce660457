//go:build browser

package trouble

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// proxy is a way to etcd that can become slow: as from a disk that is, each answer
// comes late, and they do not wait for one another.
type proxy struct {
	address string
	to      string
	// delay is how late answers come, in nanoseconds.
	delay atomic.Int64
}

func startProxy(t *testing.T, to string) *proxy {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{address: l.Addr().String(), to: to}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	t.Cleanup(func() {
		cancel()
		_ = l.Close() // nobody connects any more
	})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(ctx, c)
		}
	}()
	return p
}

// serve connects one client to etcd, until one of them hangs up.
func (p *proxy) serve(ctx context.Context, client net.Conn) {
	var d net.Dialer
	server, err := d.DialContext(ctx, "tcp", p.to)
	if err != nil {
		_ = client.Close() // it tries again
		return
	}
	closeBoth := func() {
		_ = client.Close()
		_ = server.Close() // both are to end
	}
	defer context.AfterFunc(ctx, closeBoth)()
	go p.pass(client, server, func() time.Duration { return 0 })
	p.pass(server, client, func() time.Duration { return time.Duration(p.delay.Load()) })
	closeBoth()
}

// parcel is what came, and when it is due.
type parcel struct {
	data []byte
	due  time.Time
}

// pass passes on what comes from one, each part so much later.
func (*proxy) pass(from, to net.Conn, late func() time.Duration) {
	const most = 1 << 16
	road := make(chan parcel, most)
	go func() {
		defer close(road)
		for {
			buf := make([]byte, most)
			n, err := from.Read(buf)
			if n > 0 {
				road <- parcel{buf[:n], time.Now().Add(late())}
			}
			if err != nil {
				return
			}
		}
	}()
	for p := range road {
		time.Sleep(time.Until(p.due))
		if _, err := to.Write(p.data); err != nil {
			_ = from.Close() // which ends the reading
		}
	}
	_ = to.Close() // nothing more comes
}
