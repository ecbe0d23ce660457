package launcher

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/ssh"
)

// Whatever a node says instead of a greeting and a key exchange ends with an
// error or no key, soon, and in no panic.
func FuzzSSH(f *testing.F) {
	for _, said := range []string{
		"", "SSH-2.0-OpenSSH_9.2\r\n", "SSH-1.99-x\n", "SSH-2.0-x\r\n\x00\x00\x00\x0c\x0a\x14", "HTTP/1.1 400 Bad Request\r\n\r\n",
		"Not allowed at this time\r\n", "SSH-2.0-x\r\n\xff\xff\xff\xff\x04\x14", "pre\r\nlines\r\nSSH-2.0-x\r\n",
	} {
		f.Add([]byte(said))
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		ours, theirs := net.Pipe()
		if err := ours.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		go func() {
			go func() { _, _ = io.Copy(io.Discard, theirs) }() // ends with the pipe
			_, _ = theirs.Write(said)
			_ = theirs.Close()
		}()
		for _, kind := range hostKeyTypes()[:1] {
			if key, err := keyShown(ours, "node:22", kind); key != "" && err == nil {
				t.Errorf("a key without an exchange: %q", key)
			}
		}
		_ = ours.Close()
	})
}

// Whatever a node shows for a host key, and for the proof that it has it, only
// the key that it has is taken for one.
func FuzzHostKeys(f *testing.F) {
	private := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	own, err := ssh.NewSignerFromKey(private)
	if err != nil {
		f.Fatal(err)
	}
	genuine := own.PublicKey().Marshal()
	f.Add(genuine, []byte{})
	f.Add(genuine, make([]byte, ed25519.SignatureSize))
	f.Add(append(bytes.Clone(genuine), 0), []byte{})
	f.Add(genuine[:len(genuine)-1], []byte{})
	f.Add([]byte("\x00\x00\x00\x07ssh-rsa\x00\x00\x00\x01\x03\x00\x00\x00\x02\x00\xff"), []byte("x"))
	f.Add([]byte("\x00\x00\x00\x13ecdsa-sha2-nistp256\x00\x00\x00\x08nistp256\x00\x00\x00\x01\x04"), []byte("x"))
	f.Add([]byte("\xff\xff\xff\xff"), []byte("x"))
	f.Fuzz(func(t *testing.T, shown, proof []byte) {
		ours, theirs := socketPair(t)
		server := &ssh.ServerConfig{NoClientAuth: true}
		server.KeyExchanges = []string{ssh.KeyExchangeCurve25519}
		server.AddHostKey(&impostor{Signer: own, blob: shown, proof: proof})
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, _, _, _ = ssh.NewServerConn(theirs, server) // it is hung up on
			_ = theirs.Close()
		}()
		key, err := keyShown(ours, "node:22", hostKeyTypes()[0])
		_ = ours.Close()
		<-ended
		honest := bytes.Equal(shown, genuine) && len(proof) == 0
		switch {
		case honest && err != nil:
			t.Errorf("an honest node is refused: %v", err)
		case key != "" && key != keyLine(own.PublicKey()):
			t.Errorf("%q is taken for a key", key)
		}
	})
}

// socketPair is a connection, both of whose ends may speak first.
func socketPair(t *testing.T) (ours, theirs net.Conn) {
	t.Helper()
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]net.Conn
	for i, fd := range pair {
		file := os.NewFile(uintptr(fd), "pair")
		ends[i], err = net.FileConn(file)
		if err = errors.Join(err, file.Close()); err != nil {
			t.Fatal(err)
		}
		if err := ends[i].SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	return ends[0], ends[1]
}

// impostor signs as a key does, but shows other bytes for it; with a proof it
// does not even sign.
type impostor struct {
	ssh.Signer

	blob, proof []byte
}

func (i *impostor) PublicKey() ssh.PublicKey { return impostorKey{i.Signer.PublicKey(), i.blob} }

func (i *impostor) Sign(rand io.Reader, data []byte) (*ssh.Signature, error) {
	if len(i.proof) > 0 {
		return &ssh.Signature{Format: ssh.KeyAlgoED25519, Blob: i.proof}, nil
	}
	return i.Signer.Sign(rand, data)
}

type impostorKey struct {
	ssh.PublicKey

	blob []byte
}

func (k impostorKey) Marshal() []byte { return k.blob }

// Of whatever a node prints, on its console or for the ready command, an end is
// kept that is bounded, and is text: nothing in it is for a terminal.
func FuzzEvidence(f *testing.F) {
	f.Add("login: \x1b]0;title\x07\x1b[2J\n", "\u009b31m\xff\u202e")
	f.Add(strings.Repeat("ä", evidenceBytes), "\r\n\t")
	f.Add("", "\n \n")
	f.Fuzz(func(t *testing.T, first, second string) {
		out := &tail{full: func() {}}
		for _, part := range []string{first, second} {
			if n, err := out.Write([]byte(part)); err == nil && n != len(part) {
				t.Errorf("%d of %d bytes were taken", n, len(part))
			}
		}
		for _, kept := range []string{clip(first, lineMax), out.text(), lastLine(out.text())} {
			if len(kept) > evidenceBytes || !utf8.ValidString(kept) || strings.ContainsFunc(kept, func(r rune) bool { return !shown(r) }) {
				t.Errorf("%q and %q: kept %q", first, second, kept)
			}
		}
		if line := lastLine(out.text()); len(line) > lineMax || strings.Contains(line, "\n") {
			t.Errorf("%q is no line", line)
		}
		if len(out.kept) > evidenceBytes {
			t.Errorf("%d bytes are in memory", len(out.kept))
		}
	})
}
