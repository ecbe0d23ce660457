package e2e

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"poold/test/proc"
)

// host is a machine that somebody has: an SSH server at a port. It is sshd
// where there is one, else a server in this process.
type host struct {
	t           *testing.T
	dir, name   string
	labels      string
	port, slots int
	key         ssh.Signer
	process     *proc.Process
	listener    net.Listener
	starts      int
}

// sshd is the program, "" if there is none. Where POOLD_SSHD is set it has to
// be there.
func sshd() string {
	if path := os.Getenv("POOLD_SSHD"); path != "" {
		return path
	}
	path := "/usr/sbin/sshd"
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

func newHost(t *testing.T, name string, slots int, labels string) *host {
	t.Helper()
	h := &host{t: t, dir: t.ArtifactDir(), name: name, slots: slots, labels: labels, port: proc.FreePorts(t, 1)[0]}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if h.key, err = ssh.NewSignerFromKey(private); err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(h.file("key"), pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	h.start()
	return h
}

func (h *host) file(kind string) string { return filepath.Join(h.dir, h.name+"."+kind) }

// start has the server answer, and stop makes it be gone.
func (h *host) start() {
	h.t.Helper()
	if sshd() == "" {
		h.listen()
		return
	}
	if os.Geteuid() == 0 {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			h.t.Fatal(err)
		}
	}
	h.starts++
	cmd := exec.Command(sshd(), "-D", "-e", "-f", "/dev/null", "-h", h.file("key"),
		"-o", "PidFile=none", "-o", "UsePAM=no", "-o", fmt.Sprint("Port=", h.port), "-o", "ListenAddress=127.0.0.1")
	h.process = proc.Start(h.t, h.dir, fmt.Sprint(h.name, "-", h.starts), cmd)
	proc.Await(h.t, h.name+" listens", answerLimit, func() (string, bool) {
		return h.process.Output(), strings.Contains(h.process.Output(), "Server listening")
	}, h.process)
}

func (h *host) stop() {
	h.t.Helper()
	if h.process != nil {
		h.process.Kill()
		<-h.process.Exited()
		return
	}
	_ = h.listener.Close()
}

func (h *host) listen() {
	h.t.Helper()
	var config net.ListenConfig
	var err error
	if h.listener, err = config.Listen(h.t.Context(), "tcp", fmt.Sprint("127.0.0.1:", h.port)); err != nil {
		h.t.Fatal(err)
	}
	server := &ssh.ServerConfig{NoClientAuth: true}
	server.AddHostKey(h.key)
	listener := h.listener
	h.t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				_, _, _, _ = ssh.NewServerConn(conn, server) //nolint:dogsled // nobody logs in
			}()
		}
	}()
}

// id is how the host is called as a zone.
func (h *host) id() string { return fmt.Sprint("zuul@127.0.0.1:", h.port) }

func (h *host) publicKey() string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(h.key.PublicKey())))
}

// config is the host in the configuration, with the host key that is expected.
func (h *host) config(key string) string {
	return fmt.Sprintf("          - {name: 127.0.0.1, connection-port: %d, max-parallel-jobs: %d, labels: [%s], host-key: %s}\n",
		h.port, h.slots, h.labels, key)
}
