package launcher

import (
	"io"
	"net"
	"testing"
	"time"
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
