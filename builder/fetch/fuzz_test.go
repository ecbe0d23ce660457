package fetch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// said is a connection on which a server says something, whatever it is asked.
type said struct {
	net.Conn // none: what is not below is not called

	text  *bytes.Reader
	asked chan struct{}
	once  sync.Once
}

// Read says it, once it was asked.
func (s *said) Read(b []byte) (int, error) {
	<-s.asked
	return s.text.Read(b)
}

// Write takes a question.
func (s *said) Write(b []byte) (int, error) {
	s.once.Do(func() { close(s.asked) })
	return len(b), nil
}

// Close ends it.
func (s *said) Close() error {
	s.once.Do(func() { close(s.asked) })
	return nil
}

// saying is a client of servers that say some things, one after the other, before
// they serve what a good one does.
func saying(good string, texts ...[]byte) *Client {
	var mu sync.Mutex // guards texts
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		mu.Lock()
		defer mu.Unlock()
		if len(texts) == 0 {
			return new(net.Dialer).DialContext(ctx, network, good)
		}
		text := texts[0]
		texts = texts[1:]
		return &said{text: bytes.NewReader(text), asked: make(chan struct{})}, nil
	}
	transport := &http.Transport{DialContext: dial, DisableKeepAlives: true, DisableCompression: true}
	return &Client{stall: time.Minute, http: &http.Client{Transport: transport, CheckRedirect: redirect}}
}

// Whatever servers answer, a file that is said to be there is the one that was
// meant; and what they left of it keeps nobody from getting it from a good one.
func FuzzFetch(f *testing.F) {
	data := bytes.Repeat([]byte("poold"), 60)
	hash := sha256.Sum256(data)
	sum := hex.EncodeToString(hash[:])
	head := func(status string, lines ...string) string {
		return "HTTP/1.1 " + status + "\r\n" + strings.Join(append(lines, "", ""), "\r\n")
	}
	whole := head("200 OK", "Content-Length: 300", `ETag: "one"`)
	for _, texts := range [][2]string{
		{whole + string(data), ""},
		{whole + string(data[:100]), head("206 Partial Content", "Content-Range: bytes 100-299/300", "Content-Length: 200") + string(data[100:])},
		{whole + string(data[:100]), head("206 Partial Content", "Content-Range: bytes 0-299/300") + string(data)},
		{whole + string(data[:100]), head("206 Partial Content", "Content-Range: bytes 100-299/300") + "of another file"},
		{whole + string(data[:100]), head("416 Range Not Satisfiable", "Content-Range: bytes */300")},
		{head("200 OK", "Content-Length: 100", `ETag: W/"one"`) + string(data[:100]), head("304 Not Modified")},
		{head("200 OK", "Transfer-Encoding: chunked", "Last-Modified: Wed, 01 Jan 2025 00:00:00 GMT") + "64\r\n" + string(data[:100]), "HTTP/1.1 100 Continue\r\n\r\n"},
		{head("302 Found", "Location: /elsewhere"), head("301 Moved", "Location: file:///etc/passwd")},
		{head("302 Found", "Location: https://127.0.0.1/"), "SSH-2.0-OpenSSH_9.9\r\n"},
		{head("200 OK", "Content-Length: -1"), "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n1234"},
	} {
		f.Add([]byte(texts[0]), []byte(texts[1]), true)
		f.Add([]byte(head("200 OK")+sum+"  disk.img\n"), []byte(texts[0]), false)
	}
	s := &server{data: data, etag: `"one"`}
	good := serveSums(f, s, sum)
	f.Fuzz(func(t *testing.T, first, second []byte, known bool) {
		c := saying(good, first, second)
		defer c.http.CloseIdleConnections()
		path := filepath.Join(t.TempDir(), "disk.img")
		source := Source{URL: "http://" + good + "/disk.img", Checksum: "http://" + good + "/SHA256SUMS"}
		if known {
			source.Checksum = "sha256:" + sum
		}
		// Each may spoil a call, and what the last one left two more: one that goes on
		// with it, and one that finds out that there is no more.
		for range 5 {
			origin, err := c.Fetch(t.Context(), source, path, io.Discard)
			if err != nil {
				continue
			}
			if is, err := os.ReadFile(path); err != nil || origin.Checksum == "sha256:"+sum && !bytes.Equal(is, data) {
				t.Errorf("%d bytes that are not those of %s: %v", len(is), origin.Checksum, err)
			}
			if _, err := os.Stat(path + ".json"); err == nil {
				t.Error("the note is left")
			}
			if known && origin.Checksum != "sha256:"+sum {
				t.Errorf("its checksum is said to be %s", origin.Checksum)
			}
			return
		}
		t.Error("a good server could not mend it")
	})
}

// serveSums serves a file, with its sum beside it, and returns where.
func serveSums(f *testing.F, s *server, sum string) string {
	f.Helper()
	listener, err := new(net.ListenConfig).Listen(f.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	web := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "SUMS") {
			_, _ = io.WriteString(w, sum+"  disk.img\n")
			return
		}
		s.ServeHTTP(w, r)
	})}
	f.Cleanup(func() { _ = web.Close() }) // ends the serving
	go func() { _ = web.Serve(listener) }()
	return listener.Addr().String()
}
