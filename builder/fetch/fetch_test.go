package fetch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// server serves one file, and does with it what it is told.
type server struct {
	*httptest.Server
	data []byte
	etag string

	// mu guards the rest.
	mu sync.Mutex
	// serve answers instead, if it is set.
	serve func(w http.ResponseWriter, r *http.Request) bool
	// sent is how many bytes were sent, asked the ranges and conditions.
	sent  int
	asked []string
}

func newServer(t *testing.T, size int) *server {
	t.Helper()
	s := &server{data: make([]byte, size), etag: `"one"`}
	for i := range s.data {
		s.data[i] = byte(i * 7 >> 3)
	}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	serve := s.serve
	s.asked = append(s.asked, r.Method+" "+r.URL.Path+" "+r.Header.Get("Range")+r.Header.Get("If-None-Match")+r.Header.Get("If-Modified-Since"))
	s.mu.Unlock()
	if serve != nil && serve(w, r) {
		return
	}
	if s.etag != "" {
		w.Header().Set("ETag", s.etag)
	}
	http.ServeContent(&counted{w, s}, r, "", time.Time{}, bytes.NewReader(s.data))
}

type counted struct {
	http.ResponseWriter
	s *server
}

func (c *counted) Write(p []byte) (int, error) {
	c.s.mu.Lock()
	c.s.sent += len(p)
	c.s.mu.Unlock()
	return c.ResponseWriter.Write(p)
}

func (s *server) source() Source {
	sum := sha256.Sum256(s.data)
	return Source{URL: s.URL + "/disk.img", Checksum: "sha256:" + hex.EncodeToString(sum[:])}
}

// cutAfter sends so much of what is asked for, and then cuts the connection;
// so often.
func (s *server) cutAfter(n, times int) {
	s.serve = func(w http.ResponseWriter, r *http.Request) bool {
		if times--; times < 0 {
			return false
		}
		from := 0
		if text, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes="); ok {
			from, _ = strconv.Atoi(strings.TrimSuffix(text, "-"))
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(s.data)-1, len(s.data)))
		}
		w.Header().Set("ETag", s.etag)
		w.Header().Set("Content-Length", strconv.Itoa(len(s.data)-from))
		if from > 0 {
			w.WriteHeader(http.StatusPartialContent)
		}
		_, _ = w.Write(s.data[from : from+n])
		if f, ok := w.(http.Flusher); ok {
			f.Flush()
		}
		panic(http.ErrAbortHandler)
	}
}

func fetchInto(t *testing.T, c *Client, src Source, path string) (Origin, string, error) {
	t.Helper()
	var log strings.Builder
	o, err := c.Fetch(t.Context(), src, path, &log)
	return o, log.String(), err
}

func same(t *testing.T, path string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v; want %d", len(got), err, len(want))
	}
	if _, err := os.Stat(path + ".json"); err == nil {
		t.Error("the note is left")
	}
}

// A file arrives whole, however often the connection is cut, as long as each
// brings something.
func TestFetch(t *testing.T) {
	s := newServer(t, 5<<20+3)
	path := filepath.Join(t.TempDir(), "d")
	s.cutAfter(1<<20, 4)
	o, log, err := fetchInto(t, New(), s.source(), path)
	if err != nil {
		t.Fatal(err, log)
	}
	same(t, path, s.data)
	if o.ETag != s.etag || o.Checksum != s.source().Checksum || strings.Count(log, "going on") != 4 || s.sent != 1<<20+3 {
		t.Errorf("got %+v, %d bytes in the end\n%s", o, s.sent, log)
	}
}

// What an earlier call received is not asked for again, unless the server has
// another file by now.
func TestResume(t *testing.T) {
	for _, changed := range []bool{false, true} {
		s := newServer(t, 3<<20)
		path := filepath.Join(t.TempDir(), "d")
		s.cutAfter(1000, 1)
		if _, _, err := fetchInto(t, New(), s.source(), path); !errors.Is(err, errCut) {
			t.Fatalf("the first connection was cut: %v", err)
		}
		want := len(s.data) - 1000
		if changed {
			s.data, s.etag, want = append([]byte("new"), s.data...), `"two"`, len(s.data)+3
		}
		if _, log, err := fetchInto(t, New(), s.source(), path); err != nil {
			t.Fatal(err, log)
		}
		if same(t, path, s.data); s.sent != want {
			t.Errorf("changed %v: %d bytes were sent again, want %d", changed, s.sent, want)
		}
	}
}

// What cannot be told from another file is begun anew.
func TestNothingToResumeBy(t *testing.T) {
	s := newServer(t, 1<<20)
	s.etag = ""
	path := filepath.Join(t.TempDir(), "d")
	s.cutAfter(1000, 1)
	if _, _, err := fetchInto(t, New(), s.source(), path); err == nil {
		t.Fatal("the first connection was cut")
	}
	if _, _, err := fetchInto(t, New(), s.source(), path); err != nil || s.sent != len(s.data) {
		t.Errorf("%v, %d bytes were sent", err, s.sent)
	}
	same(t, path, s.data)
}

// Each way in which a server misbehaves ends the call with what was wrong, and
// the next call gets the file.
func TestMisbehaviour(t *testing.T) {
	for name, c := range map[string]struct {
		serve func(w http.ResponseWriter, r *http.Request) bool
		want  string
	}{
		"corrupt": {func(w http.ResponseWriter, _ *http.Request) bool {
			_, _ = w.Write(make([]byte, 4096))
			return true
		}, "the sha256 of what arrived is "},
		"refused": {func(w http.ResponseWriter, _ *http.Request) bool {
			http.Error(w, "no", http.StatusForbidden)
			return true
		}, "403 Forbidden"},
		"redirected for ever": {func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
			return true
		}, "redirected more than 5 times"},
		"redirected to a file": {func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
			return true
		}, "unsupported protocol scheme"},
		"silent": {func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("x"))
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			return true
		}, "no data for 200ms"},
		"another part": {func(w http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("Range") == "" {
				w.Header().Set("ETag", `"one"`)
				w.Header().Set("Content-Length", "4096")
				_, _ = w.Write(make([]byte, 10))
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			}
			w.Header().Set("Content-Range", "bytes 0-9/4096")
			w.WriteHeader(http.StatusPartialContent)
			return true
		}, "asked for bytes 10- the server sent"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, 4096)
			path, client := filepath.Join(t.TempDir(), "d"), New()
			if name == "silent" {
				client.stall = 200 * time.Millisecond
			}
			s.serve = c.serve
			_, _, err := fetchInto(t, client, s.source(), path)
			if name == "another part" {
				_, _, err = fetchInto(t, client, s.source(), path)
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
			s.mu.Lock()
			s.serve = nil
			s.mu.Unlock()
			client.stall = time.Minute
			if _, log, err := fetchInto(t, client, s.source(), path); err != nil {
				t.Fatal(err, log)
			}
			same(t, path, s.data)
		})
	}
}

// A server that never ends is ended by the context, with its cause.
func TestEndless(t *testing.T) {
	s := newServer(t, 1)
	s.serve = func(w http.ResponseWriter, r *http.Request) bool {
		for r.Context().Err() == nil {
			_, _ = w.Write(make([]byte, 1<<10))
		}
		return true
	}
	enough := errors.New("enough")
	ctx, cancel := withCause(t)
	path := filepath.Join(t.TempDir(), "d")
	go func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for range tick.C {
			if info, err := os.Stat(path); err == nil && info.Size() > 10<<10 {
				cancel(enough)
				return
			}
		}
	}()
	if _, err := New().Fetch(ctx, s.source(), path, &strings.Builder{}); !errors.Is(err, enough) {
		t.Errorf("got %v", err)
	}
}

// Nothing leads from https to http.
func TestNoDowngrade(t *testing.T) {
	plain := newServer(t, 10)
	secure := httptest.NewTLSServer(http.RedirectHandler(plain.URL, http.StatusFound))
	defer secure.Close()
	c := New()
	c.http.Transport = secure.Client().Transport
	_, _, err := fetchInto(t, c, Source{URL: secure.URL + "/x"}, filepath.Join(t.TempDir(), "d"))
	if err == nil || !strings.Contains(err.Error(), "redirected from https to http") {
		t.Errorf("got %v", err)
	}
}

// A file of sums says what the file must be, in all the ways that are used.
func TestSums(t *testing.T) {
	s := newServer(t, 100)
	hash := strings.TrimPrefix(s.source().Checksum, "sha256:")
	other := strings.Repeat("0", 64)
	for _, sums := range []string{
		other + "  other.img\n" + hash + "  disk.img\n",
		hash + " *./disk.img\n", "SHA256 (other.img) = " + other + "\nSHA256 (disk.img) = " + hash + "\n", strings.ToUpper(hash) + "\n",
	} {
		s.serve = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/SUMS" {
				_, _ = w.Write([]byte(sums))
			}
			return r.URL.Path == "/SUMS"
		}
		src := Source{URL: s.URL + "/disk.img", Checksum: s.URL + "/SUMS"}
		path := filepath.Join(t.TempDir(), "d")
		o, _, err := fetchInto(t, New(), src, path)
		if err != nil || o.Checksum != "sha256:"+hash {
			t.Errorf("%q: %v %+v", sums, err, o)
		}
	}
	s.serve = nil
	src := Source{URL: s.URL + "/disk.img", Checksum: s.URL + "/SUMS"}
	if _, _, err := fetchInto(t, New(), src, filepath.Join(t.TempDir(), "d")); err == nil || !strings.Contains(err.Error(), "no checksum of disk.img") {
		t.Errorf("got %v", err)
	}
}

// Whether there is another file is asked as cheaply as can be.
func TestChanged(t *testing.T) {
	s := newServer(t, 100)
	c, path := New(), filepath.Join(t.TempDir(), "d")
	known, unknown := s.source(), Source{URL: s.source().URL}
	local := Source{URL: "file://" + filepath.Join(t.TempDir(), "disk")}
	write := func(text string) {
		if err := os.WriteFile(strings.TrimPrefix(local.URL, "file://"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a disk")
	for _, step := range []struct {
		name  string
		src   Source
		alter func()
		want  string
	}{
		{"by a checksum that is given", known, func() { s.etag = `"two"` }, ""},
		{"by the tag", unknown, func() {}, `HEAD /disk.img "two"`},
		{"by the tag of another", unknown, func() { s.etag = `"three"` }, `HEAD /disk.img "two" changed`},
		{"by a file", local, func() {}, ""},
		{"by a file that is another", local, func() { write("another disk") }, " changed"},
	} {
		o, _, err := fetchInto(t, c, step.src, path)
		if err != nil {
			t.Fatal(err)
		}
		s.asked = nil
		step.alter()
		changed, err := c.Changed(t.Context(), step.src, o)
		got := strings.Join(s.asked, ",")
		if changed {
			got += " changed"
		}
		if err != nil || got != step.want {
			t.Errorf("%s: got %q %v, want %q", step.name, got, err, step.want)
		}
	}
}

func withCause(t *testing.T) (context.Context, context.CancelCauseFunc) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	t.Cleanup(func() { cancel(nil) })
	return ctx, cancel
}

// A server that says that a file is longer than it is spoils one call: what came of
// it is not gone on with for ever.
func TestLongerThanItIs(t *testing.T) {
	s := newServer(t, 3000)
	path, c := filepath.Join(t.TempDir(), "disk.img"), New()
	s.serve = func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("ETag", s.etag)
		w.Header().Set("Content-Length", "7000")
		_, _ = w.Write(s.data[:1000])
		if f, ok := w.(http.Flusher); ok {
			f.Flush()
		}
		panic(http.ErrAbortHandler)
	}
	if _, _, err := fetchInto(t, c, s.source(), path); err == nil {
		t.Error("a part of it is said to be all")
	}
	s.mu.Lock()
	s.serve = nil
	s.mu.Unlock()
	for range 3 {
		if _, _, err := fetchInto(t, c, s.source(), path); err == nil {
			same(t, path, s.data)
			return
		}
	}
	t.Error("a good server could not mend it")
}
