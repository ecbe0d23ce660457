package protocol

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Reach connects to a node once for each of its host keys and checks that the
// node presents that key and no other. It does not log in.
func (n Node) Reach(ctx context.Context) error {
	if len(n.HostKeys) == 0 {
		return fmt.Errorf("node %s has no host keys", n.ID)
	}
	for _, want := range n.HostKeys {
		kind, _, _ := strings.Cut(want, " ")
		got, err := n.hostKey(ctx, kind)
		switch {
		case err != nil:
			return fmt.Errorf("node %s at %s: %w", n.ID, n.address(), err)
		case got != want:
			return fmt.Errorf("node %s at %s presents %s; promised was %s", n.ID, n.address(), got, want)
		}
	}
	return nil
}

func (n Node) address() string {
	return net.JoinHostPort(n.InterfaceIP, strconv.Itoa(n.ConnectionPort))
}

// errSeen ends a connection when its host key was seen.
var errSeen = errors.New("the host key was seen")

// hostKey is the node's host key of a kind, as "type base64".
func (n Node) hostKey(ctx context.Context, kind string) (string, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", n.address())
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }() // only what was read counts
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	var seen string
	_, _, _, err = ssh.NewClientConn(conn, n.address(), &ssh.ClientConfig{
		User:              n.Username,
		HostKeyAlgorithms: algorithms(kind),
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			seen = strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
			return errSeen
		},
	})
	if seen == "" {
		return "", err
	}
	return seen, nil
}

// algorithms are the ways to sign with a kind of key: that of RSA's own name is
// refused by servers of today.
func algorithms(kind string) []string {
	if kind == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return []string{kind}
}
