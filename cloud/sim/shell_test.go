package sim_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"poold/cloud/sim"
)

// newKey makes a private key of which there is one for each letter.
func newKey(t *testing.T, letter string) ssh.Signer {
	t.Helper()
	key, err := ssh.NewSignerFromKey(ed25519.NewKeyFromSeed([]byte(strings.Repeat(letter, ed25519.SeedSize))))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// The key of a server's key pair lets its holder in once the server has
// settled, and nobody else's does; its console says when. What runs there is
// told, with its output and exit status. The host keys can change.
func TestSSHCommands(t *testing.T) {
	const ip = "127.79.0.2"
	port := freePort(t, ip)
	var offset atomic.Int64
	start := time.Now()
	clock := func() time.Time { return start.Add(time.Duration(offset.Load())) }
	ours := newKey(t, "a")
	c := sim.New(sim.Config{
		Fixed: netip.MustParsePrefix("127.79.0.0/24"), SSHPort: port, Images: []string{"ubuntu"}, Settle: sim.Always(time.Minute),
	}, start)
	if err := c.CreateKeyPair(sim.KeyPair{Name: "ours", PublicKey: string(ssh.MarshalAuthorizedKey(ours.PublicKey()))}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- sim.NewSSHD(c, clock).Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("it ended with %v", err)
		}
	}()
	made, err := c.CreateServers(clock(), sim.ServerSpec{
		Name: "p", Flavor: c.Config().Flavors[0].ID, ImageID: c.Images(clock())[0].ID, KeyName: "ours",
	})
	if err != nil {
		t.Fatal(err)
	}
	id := made[0].ID
	shown := ""
	run := func(key ssh.Signer, command string) (string, error) {
		return eventually(func() (string, error) {
			client, err := ssh.Dial("tcp", net.JoinHostPort(ip, strconv.Itoa(port)), &ssh.ClientConfig{
				User: "root", Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, HostKeyAlgorithms: []string{ssh.KeyAlgoED25519},
				HostKeyCallback: func(_ string, _ net.Addr, k ssh.PublicKey) error {
					shown = strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k)))
					return nil
				},
			})
			if err != nil {
				return "", err
			}
			defer func() { _ = client.Close() }()
			session, err := client.NewSession()
			if err != nil {
				return "", err
			}
			out, err := session.CombinedOutput(command)
			return string(out), err
		})
	}
	finished := func() bool {
		text, err := c.Console(clock(), id, 0)
		return err == nil && strings.Contains(text, "cloud-init finished")
	}
	if _, err := run(ours, "exit 0"); err == nil || !strings.Contains(err.Error(), "unable to authenticate") || finished() {
		t.Errorf("before it settled a login ends in %v", err)
	}
	offset.Store(int64(time.Minute))
	if _, err := run(newKey(t, "b"), "exit 0"); err == nil || !strings.Contains(err.Error(), "unable to authenticate") || !finished() {
		t.Errorf("with another key a login ends in %v", err)
	}
	out, err := run(ours, "echo one;echo two;exit 3;echo three")
	exit, ok := errors.AsType[*ssh.ExitError](err)
	if !ok || exit.ExitStatus() != 3 || out != "one\ntwo\n" {
		t.Errorf("it printed %q and ended with %v", out, err)
	}
	out, err = run(ours, "reboot")
	if exit, ok = errors.AsType[*ssh.ExitError](err); !ok || exit.ExitStatus() != 127 || !strings.Contains(out, "reboot: not found") {
		t.Errorf("what it cannot do ends with %q, %v", out, err)
	}
	before := shown
	c.Rekey(id)
	known, err := c.HostKeys(id)
	if _, ran := run(ours, "drop;echo here"); ran != nil || err != nil || shown == before || !slices.Contains(known, shown) {
		t.Errorf("after a change it shows %s, before %s: %v", shown, before, ran)
	}
	var ran []string
	for _, r := range c.Ran(id) {
		ran = append(ran, r.User+" "+r.Command+" "+strconv.FormatInt(r.Sent, 10))
	}
	want := []string{"root echo one;echo two;exit 3;echo three 8", "root reboot 22", "root drop;echo here 5"}
	if !slices.Equal(ran, want) {
		t.Errorf("there ran %q, want %q", ran, want)
	}
}
