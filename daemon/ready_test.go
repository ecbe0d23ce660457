package daemon

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"poold/cloud/sim"
	"poold/pool"
)

const readyConfig = `
name: one
labels: [{name: command}, {name: console}]
providers:
  - name: north
    cloud: north
    rate: 0
    cloud-images: [{name: noble, username: ubuntu, connection-port: %d}]
    pools:
      - name: main
        networks: [private]
        auto-floating-ip: false
        labels:
          - name: command
            cloud-image: noble
            flavor-name: small
            public-key: %q
            ready-command: echo up
            ready-key-file: %s
          - {name: console, cloud-image: noble, flavor-name: small, ready-console: '(?m)^cloud-init finished'}
etcd: {endpoints: ["http://127.0.0.1:1"]}
`

// From the configuration to the node: a node is handed out when a command on it
// went well, run with the key that poold brought there, or when its console says
// so, and not before.
func TestReadyAsTheLabelSays(t *testing.T) {
	public, private, err1 := ed25519.GenerateKey(rand.Reader)
	block, err2 := ssh.MarshalPrivateKey(private, "")
	line, err3 := ssh.NewPublicKey(public)
	file := filepath.Join(t.TempDir(), "key")
	if err := errors.Join(err1, err2, err3, os.WriteFile(file, pem.EncodeToMemory(block), 0o600)); err != nil {
		t.Fatal(err)
	}
	// Servers answer at addresses of their own, where the port is free as well.
	l := freePort(t)
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	const settle = 2 * time.Second
	cfg := sim.Config{
		Images: []string{"noble"}, Fixed: netip.MustParsePrefix("127.92.0.0/24"), SSHPort: port, Settle: sim.Always(settle),
	}
	began := time.Now()
	e := runOver(t, cfg, fmt.Sprintf(readyConfig, cfg.SSHPort, ssh.MarshalAuthorizedKey(line), file))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	ended := make(chan error, 1)
	go func() { ended <- sim.NewSSHD(e.cloud, time.Now).Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the SSH servers ended with %v", err)
		}
	}()
	r, err := e.client.Create(ctx, "both", pool.Request{Labels: []string{"command", "console"}, MaxLifetime: "1h"}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	a, err := r.Wait(ctx)
	if err != nil || a.State != pool.AllocationFulfilled {
		t.Fatalf("got %+v, %v", a, err)
	}
	if took := time.Since(began); took < settle {
		t.Errorf("the nodes are ready after %s, before they have settled", took)
	}
	commands := 0
	for _, server := range e.cloud.Truth(time.Now()) {
		for _, ran := range e.cloud.Ran(server.ID) {
			commands++
			if ran.User != "ubuntu" || ran.Command != "echo up" {
				t.Errorf("there ran %+v", ran)
			}
		}
	}
	consoles := e.cloud.Calls()["compute POST /servers/{id}/action"]
	if commands != 1 || consoles < 1 {
		t.Errorf("%d commands ran, want one; a console was looked at %d times", commands, consoles)
	}
	if err := r.Close(ctx); err != nil {
		t.Fatal(err)
	}
}
