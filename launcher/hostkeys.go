package launcher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"poold/internal/sleep"
)

const (
	// attemptTimeout bounds one connection, its key exchange included: a
	// connection to an address that is not configured yet hangs long.
	attemptTimeout = 10 * time.Second
	// attemptPauseMin to attemptPauseMax are between attempts at one target.
	attemptPauseMin = 100 * time.Millisecond
	attemptPauseMax = 2 * time.Second
	// attemptsMax is how many connections are tried at a time.
	attemptsMax = 200
)

// hostKeyTypes are the kinds of host keys that are read, each by the
// algorithms that present it.
func hostKeyTypes() [][]string {
	return [][]string{
		{ssh.KeyAlgoED25519},
		{ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521},
		{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSA},
	}
}

// dialer is how nodes are talked to by default.
type dialer struct {
	// slots are shared by all attempts to connect, commands by what runs on
	// nodes once connected.
	slots, commands *semaphore.Weighted
}

func newDialer() *dialer {
	return &dialer{slots: semaphore.NewWeighted(attemptsMax), commands: semaphore.NewWeighted(commandsMax)}
}

// NewReach returns the default [Reach], for whoever wants host keys read as
// they are here.
func NewReach() Reach { return newDialer().reach }

func (d *dialer) attempt(t Target) attempt {
	return attempt{slots: d.slots, address: net.JoinHostPort(t.IP, strconv.Itoa(t.Port))}
}

// reach is the default [Reach]: a TCP connection, and for SSH one key exchange
// for each kind of host key.
func (d *dialer) reach(ctx context.Context, t Target) ([]string, error) {
	a := d.attempt(t)
	if t.Type != "ssh" && t.Type != "network_cli" && t.Type != "" {
		return nil, a.persist(ctx, a.connect)
	}
	keys, err := a.hostKeys(ctx)
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, errors.New("the SSH server has no host key of a known kind")
	}
	slices.Sort(keys)
	return keys, nil
}

// hostKeys reads the host key of each kind that the target has. Until it
// answers one connection is tried, then those for all other kinds at once.
func (a attempt) hostKeys(ctx context.Context) ([]string, error) {
	kinds := hostKeyTypes()
	keys := make([]string, len(kinds))
	read := func(ctx context.Context, kind int) error {
		return a.persist(ctx, func(ctx context.Context) (err error) {
			keys[kind], err = a.hostKey(ctx, kinds[kind])
			return err
		})
	}
	if err := read(ctx, 0); err != nil {
		return nil, err
	}
	g, ctx := errgroup.WithContext(ctx)
	for kind := 1; kind < len(kinds); kind++ {
		g.Go(func() error { return read(ctx, kind) })
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(keys, func(key string) bool { return key == "" }), nil
}

// attempt is how one target is tried.
type attempt struct {
	slots   *semaphore.Weighted
	address string
}

// persist tries until it works or ctx ends.
func (a attempt) persist(ctx context.Context, try func(ctx context.Context) error) error {
	for pause := attemptPauseMin; ; pause = min(2*pause, attemptPauseMax) {
		err := a.once(ctx, try)
		if err == nil {
			return nil
		}
		if ended := sleep.For(ctx, pause); ended != nil {
			return fmt.Errorf("%w: %w", ended, err)
		}
	}
}

// once takes a slot for one try. The slots are for tries and not for targets,
// so that those that do not answer do not keep others waiting between tries.
func (a attempt) once(ctx context.Context, try func(ctx context.Context) error) error {
	if err := a.slots.Acquire(ctx, 1); err != nil {
		return err
	}
	defer a.slots.Release(1)
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	return try(ctx)
}

func (a attempt) connect(ctx context.Context) error {
	conn, err := a.dial(ctx)
	if err != nil {
		return err
	}
	return conn.Close()
}

// dial connects; the connection ends with ctx.
func (a attempt) dial(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", a.address)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	return conn, nil
}

// errSeen ends a key exchange as soon as the server has proven its key.
var errSeen = errors.New("host key seen")

// hostKey returns the host key that the server presents for the algorithms, as
// "type base64", or "" if it has none of that kind.
func (a attempt) hostKey(ctx context.Context, algorithms []string) (string, error) {
	conn, err := a.dial(ctx)
	if err != nil {
		return "", err
	}
	defer hangUp(conn)
	defer context.AfterFunc(ctx, func() { hangUp(conn) })()
	return keyShown(conn, a.address, algorithms)
}

// keyShown is the host key that whoever is at the other end of a connection
// presents.
func keyShown(conn net.Conn, address string, algorithms []string) (string, error) {
	var key string
	config := &ssh.ClientConfig{
		User: "poold", HostKeyAlgorithms: algorithms, Timeout: attemptTimeout,
		HostKeyCallback: func(_ string, _ net.Addr, k ssh.PublicKey) error {
			key = keyLine(k)
			return errSeen
		},
	}
	client, _, _, err := ssh.NewClientConn(conn, address, config)
	if err == nil {
		return "", errors.Join(errors.New("the server took no notice of the refused key"), client.Close())
	}
	if key != "" {
		return key, nil
	}
	if refused, ok := errors.AsType[*ssh.AlgorithmNegotiationError](err); ok && refused.What == "host key" {
		return "", nil
	}
	return "", err
}

// keyLine is a public key as "type base64".
func keyLine(k ssh.PublicKey) string { return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k))) }

// hangUp ends what may have ended already. What closing says does not matter:
// what was wanted was had or it was not.
func hangUp(c io.Closer) { _ = c.Close() }
