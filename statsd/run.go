package statsd

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.uber.org/zap"

	"poold/pool"
)

const (
	// queued is how many lines wait at most.
	queued = 8192
	// sendEvery is the longest that a line waits for others, and tellEvery the time
	// between two words about how things stand.
	sendEvery, tellEvery = time.Second, 10 * time.Second
	// dialTime bounds the look for the server's address, which is made anew every
	// dialEvery, and sendTime the sending of what waits; calmTime is how long all must
	// go well before it is said that it does.
	dialTime, dialEvery, sendTime, calmTime = 5 * time.Second, time.Minute, time.Second, time.Minute
)

// The variables of nodepool that say where the server is, and the port if nobody
// says one.
const (
	hostVariable = "STATSD_HOST"
	portVariable = "STATSD_PORT"
	defaultPort  = 8125
)

// Leak is a kind of resource that leaks in a provider.
type Leak struct{ Provider, Kind string }

// Config says what to tell whom.
type Config struct {
	// Host and Port are the server's; an empty host leaves both to the environment,
	// and without one there nothing is told.
	Host   string
	Port   int
	Getenv func(string) string
	// Peer is the name of this peer, and Builds whether it builds images.
	Peer   string
	Builds bool
	// Snapshot returns the records as they are now; nil or of revision 0 before the
	// first read. Catalog returns what all peers' configurations have together, Own
	// what this one's has.
	Snapshot     func() *pool.Snapshot
	Catalog, Own func() *pool.Catalog
	// Does tells whether this peer does a duty now.
	Does func(duty string) bool
	// Leaks counts the leaks whose removal this peer asked for since it does the
	// duty for their provider.
	Leaks      func() map[Leak]int64
	Registerer prometheus.Registerer
	Log        *zap.Logger
}

// Teller tells a server. The nil Teller tells nobody.
type Teller struct {
	Config

	address string
	queue   chan string
	lines   *prometheus.CounterVec

	// Everything below belongs to Run. conn is nil while there is no way to the
	// server; dialed is when there last was.
	conn   net.Conn
	dialed time.Time
	// failed is when sending last failed; zero if it has not for a while.
	failed time.Time
	// stood is what was last told of the whole system, and leaked how many leaks
	// were.
	stood  stand
	leaked map[Leak]int64
}

// New returns a Teller, nil if nobody wants to hear.
func New(cfg Config) (*Teller, error) {
	if cfg.Host == "" {
		if err := cfg.environment(); err != nil || cfg.Host == "" {
			return nil, err
		}
	}
	cfg.Log = cfg.Log.Named("statsd")
	t := &Teller{
		Config: cfg, address: net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port)), queue: make(chan string, queued),
		lines: promauto.With(cfg.Registerer).NewCounterVec(prometheus.CounterOpts{
			Name: "poold_statsd_lines_total",
			Help: "Lines for statsd by what became of them: sent, failed, or dropped because too many waited or one was too long.",
		}, []string{"outcome"}),
	}
	for _, outcome := range []string{"sent", "failed", "dropped"} {
		t.lines.WithLabelValues(outcome)
	}
	return t, nil
}

// environment takes over what nodepool's variables say.
func (c *Config) environment() error {
	c.Host, c.Port = c.Getenv(hostVariable), defaultPort
	text := c.Getenv(portVariable)
	if c.Host == "" || text == "" {
		return nil
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 {
		return fmt.Errorf("%s: %q is no port", portVariable, text)
	}
	c.Port = int(port)
	return nil
}

// Tell takes in a write that happened. It never waits.
func (t *Teller) Tell(w *pool.Write) {
	if t == nil {
		return
	}
	for _, line := range happened(w) {
		select {
		case t.queue <- line:
		default:
			t.lines.WithLabelValues("dropped").Inc()
		}
	}
}

// Run sends what is told until ctx ends, and then what is left.
func (t *Teller) Run(ctx context.Context) error {
	if t == nil {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	defer t.hangUp()
	send, tell := time.NewTicker(sendEvery), time.NewTicker(tellEvery)
	defer send.Stop()
	defer tell.Stop()
	for {
		select {
		case <-ctx.Done():
			t.send(context.WithoutCancel(ctx), t.waiting(), time.Now())
			return context.Cause(ctx)
		case <-send.C:
			t.send(ctx, t.waiting(), time.Now())
		case <-tell.C:
			t.send(ctx, t.stands(), time.Now())
		}
	}
}

// waiting takes what waits.
func (t *Teller) waiting() []string {
	var all []string
	for {
		select {
		case line := <-t.queue:
			all = append(all, line)
		default:
			return all
		}
	}
}

// stands are the lines about how things stand, as far as this peer tells of it.
func (t *Teller) stands() []string {
	s := t.Snapshot()
	if s == nil || s.Revision == 0 {
		return nil
	}
	var lines []string
	now := stand{}
	if t.Does("allocator") {
		now.system(s, t.Catalog())
		for gone := range t.stood {
			if _, still := now[gone]; !still {
				lines = append(lines, gauge(gone, 0)) // once: a server keeps what it was last told
			}
		}
		t.stood = maps.Clone(now)
	} else {
		t.stood = nil // another peer tells of it
	}
	if t.Builds {
		now.builder(t.Peer, s, t.Own(), func(provider string) bool { return t.Does("upload/" + provider) })
	}
	for _, name := range slices.Sorted(maps.Keys(now)) {
		lines = append(lines, gauge(name, now[name]))
	}
	return append(lines, t.leaks()...)
}

// leaks are the lines about leaks that were removed since the last ones.
func (t *Teller) leaks() []string {
	var lines []string
	now := t.Leaks()
	for l, n := range now {
		if before := t.leaked[l]; before <= n { // else it was counted anew
			n -= before
		}
		if kind := leakKind(l.Kind); kind != "" && n > 0 {
			lines = append(lines, count(name("provider", l.Provider, "leaked", kind), n))
		}
	}
	t.leaked = now
	return lines
}

// leakKind is nodepool's word for a kind of leak, or "".
func leakKind(kind string) string {
	switch kind {
	case "instance":
		return "instances"
	case "port":
		return "ports"
	case "floating-ip":
		return "floatingips"
	case "volume":
		return "volumes"
	}
	return ""
}

// send sends lines, and counts what became of them.
func (t *Teller) send(ctx context.Context, lines []string, now time.Time) {
	if len(lines) == 0 {
		return
	}
	left := len(lines)
	err := t.dial(ctx, now)
	if err == nil {
		err = t.conn.SetWriteDeadline(now.Add(sendTime))
	}
	for _, packet := range packets(lines) {
		problem := err
		if problem == nil {
			_, problem = t.conn.Write(packet)
		}
		outcome := "sent"
		if problem != nil {
			// Of a packet before this one, if nobody took that: the next is tried all
			// the same.
			outcome = "failed"
			t.failing(problem, now)
		}
		n := bytes.Count(packet, []byte("\n")) + 1
		left -= n
		t.lines.WithLabelValues(outcome).Add(float64(n))
	}
	t.lines.WithLabelValues("dropped").Add(float64(left)) // what fits into no packet
	if !t.failed.IsZero() && now.Sub(t.failed) > calmTime {
		t.failed = time.Time{}
		t.Log.Info("statsd is told again", zap.String("server", t.address))
	}
}

// failing says that sending fails, once: of a server that is not there one hears of
// every other packet.
func (t *Teller) failing(why error, now time.Time) {
	if t.failed.IsZero() {
		t.Log.Warn("statsd is not told", zap.String("server", t.address), zap.Error(why))
	}
	t.failed = now
}

// dial finds the server, now and then anew: its name may be that of another machine
// by now.
func (t *Teller) dial(ctx context.Context, now time.Time) error {
	if t.conn != nil && now.Sub(t.dialed) < dialEvery {
		return nil
	}
	t.hangUp()
	bounded, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(bounded, "udp", t.address)
	if err != nil {
		return err
	}
	t.conn, t.dialed = conn, now
	return nil
}

func (t *Teller) hangUp() {
	if t.conn != nil {
		_ = t.conn.Close() // of a socket that only sends
		t.conn = nil
	}
}
