package builder

import (
	"bytes"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"poold/pool"
)

// site serves files by their names, with a tag each.
type site struct {
	*httptest.Server
	// mu guards the rest.
	mu    sync.Mutex
	files map[string][]byte
	gets  int
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{files: map[string][]byte{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		data, ok := s.files[r.URL.Path]
		if r.Method == http.MethodGet {
			s.gets++
		}
		s.mu.Unlock()
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("ETag", `"`+sum512(data)[:16]+`"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *site) put(path string, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[path] = data
}

func sum512(data []byte) string {
	sum := sha512.Sum512(data)
	return hex.EncodeToString(sum[:])
}

// disk makes an image of 1 MiB in a format of qemu-img's.
func disk(t *testing.T, driver, content string, options ...string) []byte {
	t.Helper()
	needQemuImg(t)
	raw := make([]byte, 1<<20)
	copy(raw, content)
	dir := t.TempDir()
	from, to := filepath.Join(dir, "raw"), filepath.Join(dir, "image")
	if err := os.WriteFile(from, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	argv := append([]string{"convert", "-f", "raw", "-O", driver}, options...)
	if out, err := exec.CommandContext(t.Context(), "qemu-img", append(argv, from, to)...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	data, err := os.ReadFile(to)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func packed(t *testing.T, program string, data []byte) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, "-c")
	cmd.Stdin = bytes.NewReader(data)
	out, err := cmd.Output()
	if err != nil {
		t.Skip(program, " is not installed: ", err)
	}
	return out
}

// An image that is downloaded is a build like any other, in all the formats
// that are wanted.
func TestDownloads(t *testing.T) {
	for name, c := range map[string]struct {
		file    string
		data    []byte
		formats []string
		same    string // the format that is as it was
	}{
		"qcow2":  {"/d.qcow2", disk(t, "qcow2", "one"), []string{"qcow2", "raw"}, "qcow2"},
		"img":    {"/d.img", disk(t, "raw", "one"), []string{"raw", "vhd"}, "raw"},
		"vmdk":   {"/d.vmdk", disk(t, "vmdk", "one", "-o", "subformat=streamOptimized"), []string{"raw"}, ""},
		"raw.xz": {"/d.raw.xz", packed(t, "xz", disk(t, "raw", "one")), []string{"qcow2"}, ""},
		"gz":     {"/d.qcow2.gz", packed(t, "gzip", disk(t, "qcow2", "one")), []string{"raw"}, ""},
		"zst":    {"/d.zst", packed(t, "zstd", disk(t, "raw", "one")), []string{"raw"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h, s, data := newBench(t, "exit 1"), newSite(t), c.data
			s.put(c.file, data)
			h.image.URL, h.image.Checksum, h.image.Formats = s.URL+c.file, "sha512:"+sum512(data), c.formats
			h.settle(h.builder())
			got := h.store.Snapshot().Builds[0]
			if got.State != pool.BuildReady {
				t.Fatalf("got %s %s", got.State, got.Error)
			}
			if got.Origin == nil || got.Origin.URL != h.image.URL || got.Origin.Checksum != h.image.Checksum {
				t.Errorf("its origin is %+v", got.Origin)
			}
			if a := got.Artifact(c.same); a != nil && a.SHA512 != sum512(data) {
				t.Errorf("the %s file is not what was served", c.same)
			}
			for _, a := range got.Artifacts {
				driver, _ := codecOf(a.Format)
				plain := filepath.Join(t.TempDir(), "plain")
				out, err := exec.CommandContext(t.Context(), "qemu-img", "convert", "-f", driver.driver, "-O", "raw", a.Path, plain).CombinedOutput()
				if err != nil {
					t.Fatalf("%v: %s", err, out)
				}
				content, err := os.ReadFile(plain)
				if err != nil || !bytes.HasPrefix(content, []byte("one\x00")) {
					t.Errorf("%s holds another disk, %v", a.Format, err)
				}
			}
			if n := len(h.ls()); n != len(c.formats) {
				t.Errorf("there are %v", h.ls())
			}
		})
	}
}

// What is not the disk image that was meant is refused, with the reason, and
// nothing of it stays.
func TestRefusesDownloads(t *testing.T) {
	backed, elsewhere := disk(t, "qcow2", "one"), disk(t, "qcow2", "one")
	binary.BigEndian.PutUint64(backed[8:], 0x200)
	binary.BigEndian.PutUint64(elsewhere[72:], 1<<2)
	flat := bytes.Replace(disk(t, "vmdk", "x"), []byte("monolithicSparse"), []byte("monolithicFlat\"\n"), 1)
	for name, c := range map[string]struct {
		file, checksum string
		data           []byte
		want           string
	}{
		"corrupt":      {"/d.img", "sha256:" + strings.Repeat("0", 64), disk(t, "raw", "x"), "the sha256 of what arrived is"},
		"a page":       {"/d.img", "", []byte("<html>log in first"), "it is no disk image"},
		"empty":        {"/d.img", "", []byte{}, "the file is empty"},
		"another name": {"/d.qcow2", "", disk(t, "raw", "x"), "d.qcow2 is no qcow2 image but raw"},
		"backing":      {"/d.qcow2", "", backed, "has a backing file"},
		"data file":    {"/d.qcow2", "", elsewhere, "has its data in another file"},
		"flat vmdk":    {"/d.vmdk", "", flat, "has its data in another file"},
		"torn xz":      {"/d.xz", "", packed(t, "xz", disk(t, "raw", "x"))[:100], "unpack it with xz"},
		"missing":      {"/e.img", "", nil, "404 Not Found"},
	} {
		t.Run(name, func(t *testing.T) {
			h, s := newBench(t, "exit 1"), newSite(t)
			if c.data != nil {
				s.put(c.file, c.data)
			}
			h.image.URL, h.image.Checksum = s.URL+c.file, c.checksum
			b := h.builder()
			h.settle(b)
			got := h.store.Snapshot().Builds[0]
			if got.State != pool.BuildFailed || !strings.HasPrefix(got.Error, "download: ") || !strings.Contains(got.Error, c.want) {
				t.Errorf("got %s %q, want %s", got.State, got.Error, c.want)
			}
			if ls := h.ls(); len(ls) > 0 {
				t.Errorf("files are left: %v", ls)
			}
			if v := Due(h.store.Snapshot(), &h.image, h.now); v.Build || !v.At.After(h.now) {
				t.Errorf("it is not backed off: %+v", v)
			}
		})
	}
}

// When its age is over, an image is downloaded again only if there is another.
func TestDownloadsWhatChanged(t *testing.T) {
	h, s := newBench(t, "exit 1"), newSite(t)
	s.put("/d.img", disk(t, "raw", "one"))
	h.image.URL, h.image.Formats = s.URL+"/d.img", []string{"raw"}
	b := h.builder()
	for range 3 {
		h.settle(b)
		h.now = h.now.Add(25 * time.Hour)
	}
	builds := h.store.Snapshot().BuildsOf("noble")
	if len(builds) != 1 || s.gets != 1 || builds[0].Origin.Checked == nil {
		t.Fatalf("%d builds and %d downloads of a file that never changed; %+v", len(builds), s.gets, builds[0].Origin)
	}
	if v := Due(h.store.Snapshot(), &h.image, h.now.Add(-2*time.Hour)); v.Build {
		t.Errorf("it is due before its age was over: %+v", v)
	}
	s.put("/d.img", disk(t, "raw", "two"))
	h.settle(b)
	builds = h.store.Snapshot().BuildsOf("noble")
	if len(builds) != 2 || builds[0].State != pool.BuildReady || builds[0].Artifacts[0].SHA256 == builds[1].Artifacts[0].SHA256 {
		t.Fatalf("got %v, want one more build", h.states())
	}
	s.Close()
	h.now = h.now.Add(25 * time.Hour)
	h.settle(b)
	if got := h.store.Snapshot().BuildsOf("noble")[0]; got.State != pool.BuildFailed || !strings.Contains(got.Error, "connection refused") {
		t.Errorf("with the server gone: %s %q", got.State, got.Error)
	}
}

// A download that ended early goes on in the next build, also of the next
// poold.
func TestDownloadResumes(t *testing.T) {
	h, data := newBench(t, "exit 1"), disk(t, "raw", "one")
	cut, sent := true, 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"one"`)
		if cut {
			cut = false
			w.Header().Set("Content-Length", "1048576")
			_, _ = w.Write(data[:1<<19])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
		sent = len(data)
		if r.Header.Get("Range") == "bytes=524288-" {
			sent -= 1 << 19
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	}))
	defer server.Close()
	h.image.URL, h.image.Formats, h.image.Checksum = server.URL+"/d", []string{"raw"}, "sha512:"+sum512(data)
	h.settle(h.builder())
	if got := h.store.Snapshot().Builds[0]; got.State != pool.BuildFailed || !strings.Contains(got.Error, "cut") {
		t.Fatalf("got %s %q", got.State, got.Error)
	}
	h.now = h.now.Add(2 * time.Minute)
	h.settle(h.builder())
	if got := h.store.Snapshot().BuildsOf("noble")[0]; got.State != pool.BuildReady || sent != 1<<19 {
		t.Errorf("got %s %q, %d bytes were sent again", got.State, got.Error, sent)
	}
}
