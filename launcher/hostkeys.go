package launcher

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
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

// NewReach returns the default way to reach an instance: a TCP connection, and
// for SSH one key exchange for each kind of host key.
func NewReach() Reach {
	slots := semaphore.NewWeighted(attemptsMax)
	return func(ctx context.Context, t Target) ([]string, error) {
		a := attempt{slots: slots, address: net.JoinHostPort(t.IP, strconv.Itoa(t.Port))}
		if t.Type != "ssh" && t.Type != "network_cli" && t.Type != "" {
			return nil, a.persist(ctx, a.connect)
		}
		var keys []string
		for _, algorithms := range hostKeyTypes() {
			err := a.persist(ctx, func(ctx context.Context) error {
				key, err := a.hostKey(ctx, algorithms)
				if key != "" {
					keys = append(keys, key)
				}
				return err
			})
			if err != nil {
				return nil, err
			}
		}
		if len(keys) == 0 {
			return nil, errors.New("the SSH server has no host key of a known kind")
		}
		slices.Sort(keys)
		return keys, nil
	}
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
	// What closing says does not matter: the key was seen or it was not.
	hangUp := func() { _ = conn.Close() }
	defer hangUp()
	defer context.AfterFunc(ctx, hangUp)()
	var key string
	config := &ssh.ClientConfig{
		User: "poold", HostKeyAlgorithms: algorithms, Timeout: attemptTimeout,
		HostKeyCallback: func(_ string, _ net.Addr, k ssh.PublicKey) error {
			key = strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k)))
			return errSeen
		},
	}
	client, _, _, err := ssh.NewClientConn(conn, a.address, config)
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
