package static

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"

	"poold/pool"
)

// keysFor is how long host keys that were read are believed without another
// look at them, as long as the host answers. One that did not answer may be
// another when it does.
const keysFor = 10 * time.Minute

// bannerMax is how much an SSH server may say before its banner.
const bannerMax = 4 << 10

// host is a host and what was seen of it.
type host struct {
	conf *pool.Host
	scan Scan
	now  func() time.Time
	log  *zap.Logger
	// turn is held by whoever looks, and guards what follows.
	turn chan struct{}
	// began is when the last look began that came to something; zero, never.
	began time.Time
	// keys were read by the look that began at scanned.
	keys    []string
	scanned time.Time
	problem error

	mu        sync.Mutex // guards what follows
	addresses []pool.Address
}

func newHost(conf *pool.Host, cfg Config) *host {
	h := &host{
		conf: conf, scan: cfg.Scan, now: cfg.Now, turn: make(chan struct{}, 1),
		log: cfg.Log.With(zap.String("provider", cfg.Provider.Name), zap.String("host", conf.ID())),
	}
	if ip, err := netip.ParseAddr(conf.Name); err == nil {
		h.addresses = []pool.Address{addressOf(ip)}
	}
	return h
}

func addressOf(ip netip.Addr) pool.Address {
	version := 6
	if ip = ip.Unmap(); ip.Is4() {
		version = 4
	}
	return pool.Address{IP: ip.String(), Version: version}
}

// known are the addresses of the host, once they are.
func (h *host) known() []pool.Address {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.addresses
}

// ssh tells whether the host has host keys to be read.
func (h *host) ssh() bool {
	return h.conf.Connection.Type == "ssh" || h.conf.Connection.Type == "network_cli"
}

// look returns the host's keys if a look that began at or after a time found
// it well, and makes one if there was none.
func (h *host) look(ctx context.Context, after time.Time) ([]string, error) {
	select {
	case h.turn <- struct{}{}:
		defer func() { <-h.turn }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if !h.began.IsZero() && !h.began.Before(after) {
		return h.keys, h.problem
	}
	began := h.now()
	bounded, cancel := context.WithTimeout(ctx, h.conf.Timeout)
	defer cancel()
	err := h.see(bounded, began)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx) // which says nothing about the host
	}
	h.tell(err)
	if err != nil {
		h.keys = nil
	}
	h.began, h.problem = began, err
	return h.keys, err
}

// tell logs that the host is gone, or is back.
func (h *host) tell(err error) {
	switch was := h.problem; {
	case err != nil && (was == nil || was.Error() != err.Error()):
		h.log.Warn("host is not lent", zap.Error(err))
	case err == nil && was != nil:
		h.log.Info("host is lent again")
	}
}

// see looks at the host.
func (h *host) see(ctx context.Context, began time.Time) error {
	addresses, err := h.resolve(ctx)
	if err != nil {
		return h.plain(err)
	}
	if !h.conf.Checking {
		h.keys = h.conf.HostKeys
		return nil
	}
	if err := h.answer(ctx, addresses); err != nil {
		return h.plain(err)
	}
	if !h.ssh() || h.keys != nil && began.Before(h.scanned.Add(keysFor)) {
		return nil
	}
	keys, err := h.scan(ctx, h.conf.Name, h.conf.Connection.Port)
	if err != nil {
		return fmt.Errorf("its host keys cannot be read: %w", h.plain(err))
	}
	for _, want := range h.conf.HostKeys {
		if !slices.Contains(keys, want) {
			return fmt.Errorf("it does not show the host key that is configured, %s, but %s",
				short(want), strings.Join(shorts(keys), ", "))
		}
	}
	h.keys, h.scanned = keys, began
	return nil
}

// short is the type of a key and the end of it, enough to tell it from others.
func short(key string) string {
	const end = 16
	kind, text, _ := strings.Cut(key, " ")
	return kind + " ..." + text[max(0, len(text)-end):]
}

func shorts(keys []string) []string {
	all := make([]string, 0, len(keys))
	for _, k := range keys {
		all = append(all, short(k))
	}
	return all
}

// resolve finds the addresses of the host. Of one that nothing may connect to,
// it is no failure if there are none.
func (h *host) resolve(ctx context.Context) ([]netip.Addr, error) {
	ip, err := netip.ParseAddr(h.conf.Name)
	if err == nil {
		return []netip.Addr{ip}, nil
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", h.conf.Name)
	if err != nil && h.conf.Checking {
		return nil, err
	}
	addresses := make([]pool.Address, 0, len(found))
	for _, ip := range found {
		addresses = append(addresses, addressOf(ip))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.addresses = addresses
	return found, nil
}

// answer connects to the first address that takes a connection, and waits for
// what an SSH server says first: one that hangs takes connections, too.
func (h *host) answer(ctx context.Context, addresses []netip.Addr) error {
	var failed error
	for _, ip := range addresses {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(ip.Unmap().String(), strconv.Itoa(h.conf.Connection.Port)))
		if err != nil {
			if failed == nil {
				failed = err
			}
			continue
		}
		return h.greeting(ctx, conn)
	}
	return failed
}

func (h *host) greeting(ctx context.Context, conn net.Conn) error {
	defer func() { _ = conn.Close() }() // nothing was sent
	if !h.ssh() {
		return nil
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	lines := bufio.NewReaderSize(conn, bannerMax)
	for range bannerMax {
		line, err := lines.ReadSlice('\n')
		switch {
		case strings.HasPrefix(string(line), "SSH-"):
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return fmt.Errorf("it does not greet as an SSH server: %w", err)
		}
	}
	return errors.New("it does not greet as an SSH server")
}

// plain is an error without what differs each time, such as our own port.
func (h *host) plain(err error) error {
	var dns *net.DNSError
	var number syscall.Errno
	switch {
	case errors.As(err, &dns):
		return fmt.Errorf("its name cannot be resolved: %s", dns.Err)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("it does not answer within %s", h.conf.Timeout)
	case errors.As(err, &number):
		return number
	}
	return err
}
