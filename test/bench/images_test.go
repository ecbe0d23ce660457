//go:build bench

package bench

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"poold/cloud/sim"
	"poold/pool"
	"poold/test/proc"
)

const (
	// imageBytes is the size of the image, imageRate what each cloud takes a
	// second.
	imageBytes = 1 << 30
	imageRate  = 20_000_000
)

// makeImage is an image builder: random data, which nothing can compress and
// no file system leaves out, in the file that "-o" names.
const makeImage = `#!/bin/sh
set -eu
while [ $# -gt 0 ]; do
	case $1 in -o) output=$2 ;; esac
	shift
done
head -c %d /dev/urandom >"$output.raw"
`

// One image of 1 GiB to several clouds at once.
func TestImages(t *testing.T) {
	wire := wireTime(t)
	peers := map[int]string{1: "1.16", 3: "1.21", 6: "2.83"}
	for _, clouds := range []int{1, 3, 6, 12} {
		t.Run(strconv.Itoa(clouds), func(t *testing.T) {
			w := imageSite(t, clouds)
			took := w.uploaded(t, clouds)
			imageRow(t, fmt.Sprintf("to %d clouds", clouds), peers[clouds], took, wire, w.poold)
		})
	}
	t.Run("cold", func(t *testing.T) {
		const clouds = 12
		w := imageSite(t, clouds)
		w.pausedBuild(t)
		began := time.Now()
		w.run()
		w.uploaded(t, clouds)
		imageRow(t, fmt.Sprintf("to %d clouds, not in the page cache, from poold's start", clouds), "", time.Since(began), wire, w.poold)
	})
}

// An image that goes as segments to an object store, several at once, and is made of
// them by a task there: memory must not grow with it.
func TestSegments(t *testing.T) {
	const clouds = 3
	for _, size := range []int{imageBytes / 4, imageBytes} {
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			w := prepareImages(t, clouds, size, sim.Config{UploadRate: imageRate, NoHashes: true, MaxObject: 5 << 30})
			w.method = "task"
			w.write(t, w.imageYAML(false))
			w.uploaded(t, clouds)
			add(t, row{
				measured: fmt.Sprintf("%d MiB image in segments to %d clouds: peak memory", size>>20, clouds),
				value:    fmt.Sprintf("%d MB", peak(t, w.poold)/1_000_000), goal: "60 MB",
			})
		})
	}
}

func imageRow(tb testing.TB, what, peer string, took, wire time.Duration, poold *proc.Process) {
	tb.Helper()
	goal := "1.15; -; 60 MB"
	add(tb, row{
		measured: "1 GiB image " + what + ": all ready, over the wire time of one; read from disk, over its size; peak memory",
		value: fmt.Sprintf("%s, %.2f; %.2f; %d MB", duration(took), float64(took)/float64(wire),
			float64(readFromDisk(tb, poold))/imageBytes, peak(tb, poold)/1_000_000),
		goal: goal, nodepool: peer, floor: "one PUT of it " + duration(wire), ratio: fmt.Sprintf("%.2f", float64(took)/float64(wire)),
	})
}

// imageSite is a site whose poold builds an image for each of its clouds.
func imageSite(tb testing.TB, clouds int) *site {
	tb.Helper()
	w := prepareImages(tb, clouds, imageBytes, sim.Config{UploadRate: imageRate, NoHashes: true})
	w.write(tb, w.imageYAML(false))
	return w
}

// prepareImages is a site of alike clouds whose poold builds an image of a size, and
// has no configuration yet.
func prepareImages(tb testing.TB, clouds, size int, cloud sim.Config) *site {
	tb.Helper()
	regions := make([]region, clouds)
	for i := range regions {
		regions[i].Config = cloud
	}
	w := prepare(tb, setup{regions: regions})
	tb.Cleanup(func() { _ = os.RemoveAll(filepath.Join(w.dir, "images")) }) // it is large
	if err := os.WriteFile(filepath.Join(w.dir, "make-image"), fmt.Appendf(nil, makeImage, size), 0o700); err != nil {
		tb.Fatal(err)
	}
	return w
}

func (w *site) write(tb testing.TB, yaml string) {
	tb.Helper()
	if err := os.WriteFile(w.config, []byte(yaml), 0o600); err != nil {
		tb.Fatal(err)
	}
}

// imageYAML is the configuration; paused clouds get no uploads.
func (w *site) imageYAML(paused bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, `etcd: {endpoints: [%q], lease-ttl: 3s}
webapp: {port: %s, listen_address: 127.0.0.1}
images-dir: %s
build-log-dir: %s
diskimages: [{name: big, formats: [raw], dib-cmd: %s}]
providers:
`, w.etcd.Etcd, w.web[strings.LastIndex(w.web, ":")+1:], filepath.Join(w.dir, "images"), filepath.Join(w.dir, "logs"),
		filepath.Join(w.dir, "make-image"))
	for i := range w.setup.regions {
		fmt.Fprintf(&b, "  - {name: p%d, cloud: bench, region-name: R%d, rate: 0, image-upload-method: %s, diskimages: [{name: big, pause: %v}], pools: []}\n",
			i, i, cmp.Or(w.method, "auto"), paused)
	}
	return b.String()
}

// uploaded runs poold, unless it runs, until all clouds have the image, and
// returns how long that took from the end of the build.
func (w *site) uploaded(tb testing.TB, clouds int) time.Duration {
	tb.Helper()
	if w.poold == nil {
		w.run()
	}
	var last time.Time
	proc.Await(quiet{tb}, fmt.Sprintf("%d clouds have the image", clouds), 10*time.Minute, func() (string, bool) {
		ready := 0
		for _, u := range w.records().Uploads {
			if u.State == pool.UploadReady {
				ready++
				last = later(last, u.Since)
			}
			if u.State == pool.UploadFailed || u.Attempts > 0 {
				tb.Fatalf("an upload failed: %s", u.Error)
			}
		}
		return strconv.Itoa(ready), ready == clouds
	}, w.poold, w.cloud.Process, w.etcd.Process)
	return last.Sub(w.builds(tb)[0].Since)
}

// pausedBuild builds the image without any upload, ends poold, and takes the
// image out of the page cache.
func (w *site) pausedBuild(tb testing.TB) {
	tb.Helper()
	w.write(tb, w.imageYAML(true))
	w.run()
	proc.Await(quiet{tb}, "the image is built", 5*time.Minute, func() (string, bool) {
		b := w.records().Builds
		return fmt.Sprint(len(b)), len(b) > 0 && b[0].State == pool.BuildReady
	}, w.poold)
	w.poold.Stop()
	file, err := os.OpenFile(w.builds(tb)[0].Artifacts[0].Path, os.O_RDWR, 0)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = file.Close() }() // it is unchanged
	if err := file.Sync(); err != nil { // what is not on disk yet would stay
		tb.Fatal(err)
	}
	if err := unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		tb.Fatal(err)
	}
	w.write(tb, w.imageYAML(false))
}

// builds are the builds; there must be one.
func (w *site) builds(tb testing.TB) []*pool.Build {
	tb.Helper()
	b := w.records().Builds
	if len(b) != 1 {
		tb.Fatalf("%d builds", len(b))
	}
	return b
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// wireTime is how long one cloud takes for as many bytes, sent by nothing but
// an HTTP client, of zeros that were never on a disk.
func wireTime(tb testing.TB) time.Duration {
	tb.Helper()
	c := startSimulator(tb, tb.ArtifactDir(), region{Config: sim.Config{UploadRate: imageRate, NoHashes: true}})
	u := c.user()
	_, text := u.call(http.MethodPost, c.url+"/R0/image/v2/images", `{"name":"wire","disk_format":"raw","container_format":"bare"}`)
	var made struct{ ID string }
	if err := json.Unmarshal(text, &made); err != nil {
		tb.Fatal(err)
	}
	req, err := http.NewRequestWithContext(tb.Context(), http.MethodPut, c.url+"/R0/image/v2/images/"+made.ID+"/file", zeros{})
	if err != nil {
		tb.Fatal(err)
	}
	req.ContentLength = imageBytes
	req.Header.Set("Content-Type", "application/octet-stream")
	req.Header.Set("X-Auth-Token", u.token)
	began := time.Now()
	answer, err := http.DefaultClient.Do(req)
	if err != nil || answer.StatusCode != http.StatusNoContent {
		tb.Fatalf("send: %v, %+v", err, answer)
	}
	_ = answer.Body.Close() // it is empty
	took := time.Since(began)
	c.Stop()
	return took
}

// zeros are as many zeros as are wanted.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// readFromDisk is how many bytes a process has had fetched from a disk: what
// the page cache has is not among them.
func readFromDisk(tb testing.TB, p *proc.Process) int64 {
	tb.Helper()
	return procField(tb, p, "io", "read_bytes:")
}

// peak is the most memory that a process has had, in bytes.
func peak(tb testing.TB, p *proc.Process) int64 {
	tb.Helper()
	return procField(tb, p, "status", "VmHWM:") << 10
}

func procField(tb testing.TB, p *proc.Process, file, name string) int64 {
	tb.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.Pid(), file))
	if err != nil {
		tb.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				tb.Fatal(err)
			}
			return n
		}
	}
	tb.Fatalf("no %s in %s", name, file)
	return 0
}
