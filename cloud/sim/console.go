package sim

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// hostKeys makes the private host keys of a server that were changed so often.
// They are not kept: they follow from its id.
func (c *Cloud) hostKeys(id string, rekeyed int) ([]ssh.Signer, error) {
	if rekeyed > 0 {
		id = fmt.Sprintf("%s/%d", id, rekeyed)
	}
	seed := sha256.Sum256(append(c.secret[:], id...))
	scalar := sha256.Sum256(seed[:])
	scalar[0] &= 0x7f // below the order of the curve, whatever the hash is
	ec, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar[:])
	if err != nil {
		return nil, fmt.Errorf("make a host key: %w", err)
	}
	signers := make([]ssh.Signer, 2)
	for i, key := range []any{ed25519.NewKeyFromSeed(seed[:]), ec} {
		if signers[i], err = ssh.NewSignerFromKey(key); err != nil {
			return nil, fmt.Errorf("make a host key: %w", err)
		}
	}
	return signers, nil
}

// HostKeys returns the public host keys of a server, each as "type base64",
// sorted. They are the same for all its life, unless they are changed.
func (c *Cloud) HostKeys(id string) ([]string, error) {
	signers, err := c.hostKeys(id, c.rekeyed(id))
	if err != nil {
		return nil, err
	}
	return publicKeys(signers), nil
}

// publicKeys are the public halves as "type base64", sorted.
func publicKeys(signers []ssh.Signer) []string {
	keys := make([]string, len(signers))
	for i, s := range signers {
		keys[i] = strings.TrimSpace(string(ssh.MarshalAuthorizedKey(s.PublicKey())))
	}
	slices.Sort(keys)
	return keys
}

// Console returns the last lines of what a server printed; all of them if
// lines is not positive. It prints its host keys when it has booted.
func (c *Cloud) Console(now time.Time, id string, lines int) (string, error) {
	c.lock(now)
	defer c.mu.Unlock()
	s, err := c.find(id)
	if err != nil {
		return "", err
	}
	if s.active.IsZero() {
		return "", failf(statusConflict, "Instance %s is not ready", id)
	}
	out := []string{"[    0.000000] Linux version 6.1.0-sim", "[    1.000000] Freeing unused kernel memory"}
	if !s.booted.IsZero() {
		signers, err := c.hostKeys(id, s.rekeyed)
		if err != nil {
			return "", err
		}
		out = append(out, "-----BEGIN SSH HOST KEY KEYS-----")
		for _, k := range publicKeys(signers) {
			out = append(out, k+" root@"+s.name)
		}
		out = append(out, "-----END SSH HOST KEY KEYS-----", s.name+" login: ")
		if !now.Before(s.settled) {
			out = append(out, "cloud-init finished")
		}
	}
	if lines > 0 && lines < len(out) {
		out = out[len(out)-lines:]
	}
	return strings.Join(out, "\n"), nil
}

// KeyPairs returns the key pairs by name.
func (c *Cloud) KeyPairs() []KeyPair {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.SortedFunc(maps.Values(c.keyPairs), func(a, b KeyPair) int { return strings.Compare(a.Name, b.Name) })
}

// CreateKeyPair takes in a public key.
func (c *Cloud) CreateKeyPair(k KeyPair) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, found := c.keyPairs[k.Name]; found {
		return failf(statusConflict, "Key pair '%s' already exists.", k.Name)
	}
	c.keyPairs[k.Name] = k
	return nil
}

// DeleteKeyPair forgets a public key.
func (c *Cloud) DeleteKeyPair(name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, found := c.keyPairs[name]; !found {
		return failf(statusNotFound, "Keypair %s not found for user %s", name, c.userID)
	}
	delete(c.keyPairs, name)
	return nil
}

// reachable notes that a server may answer elsewhere than before.
func (c *Cloud) reachable(s *server) {
	if c.listening == 0 {
		return
	}
	c.changed[s.id] = true
	c.rouse()
}

// rouse makes whoever answers for the servers look again.
func (c *Cloud) rouse() {
	if c.listening == 0 {
		return
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// answersAt returns where a server answers now.
func (s *server) answersAt() []netip.Addr {
	if s.booted.IsZero() || !s.gone.IsZero() {
		return nil
	}
	var at []netip.Addr
	for _, a := range s.addrs {
		at = append(at, netip.MustParseAddr(a.IP))
	}
	return at
}

func hexBytes(b ...byte) string {
	parts := make([]string, len(b))
	for i := range b {
		parts[i] = hex.EncodeToString(b[i : i+1])
	}
	return strings.Join(parts, ":")
}
