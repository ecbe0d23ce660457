package export

import (
	"bytes"
	"context"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"poold/cloud"
	"poold/pool"
)

// cloudOf has one image.
type cloudOf struct {
	data []byte
	hash string
	// ranges says that parts can be asked for.
	ranges bool

	// mu guards the rest.
	mu sync.Mutex
	// reads are the offsets that were asked for; read answers one instead, if
	// it is set.
	reads []int64
	read  func(from int64) (io.Reader, error)
	// statuses are the next ones of the image.
	statuses  []cloud.ImageStatus
	snapshots []cloud.SnapshotSpec
	deleted   []string
}

func newCloud(size int) *cloudOf {
	c := &cloudOf{data: make([]byte, size), ranges: true}
	for i := range c.data {
		c.data[i] = byte(i * 13 >> 2)
	}
	sum := sha512.Sum512(c.data)
	c.hash = hex.EncodeToString(sum[:])
	return c
}

func (c *cloudOf) FindImage(_ context.Context, name string) (string, error) {
	if name != "golden" {
		return "", &cloud.Error{Kind: cloud.NotFound, Op: "find image"}
	}
	return "image-1", nil
}

func (c *cloudOf) Snapshot(_ context.Context, spec cloud.SnapshotSpec) (string, error) {
	c.snapshots = append(c.snapshots, spec)
	return "snapshot-1", nil
}

func (c *cloudOf) Source(_ context.Context, id string) (cloud.Source, error) {
	status := cloud.ImageActive
	if len(c.statuses) > 0 {
		status, c.statuses = c.statuses[0], c.statuses[1:]
	}
	return cloud.Source{Format: "qcow2", Image: cloud.Image{
		ID: id, Status: status, Bytes: int64(len(c.data)), HashAlgo: "sha512", Hash: c.hash,
	}}, nil
}

func (c *cloudOf) ReadImage(_ context.Context, _ string, from, to int64) (io.ReadCloser, int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reads = append(c.reads, from)
	if !c.ranges {
		return io.NopCloser(bytes.NewReader(c.data)), 0, nil
	}
	if c.read != nil {
		if data, err := c.read(from); data != nil || err != nil {
			return io.NopCloser(data), from, err
		}
	}
	return io.NopCloser(bytes.NewReader(c.data[from:to])), from, nil
}

func (c *cloudOf) DeleteImage(_ context.Context, id string) error {
	c.deleted = append(c.deleted, id)
	return nil
}

func (c *cloudOf) export(t *testing.T, of pool.SnapshotOf, path string) (exported, error) {
	t.Helper()
	e := &Exporter{Driver: c, Provider: "north", Installation: "inst", segment: 1000, delay: time.Millisecond}
	var log strings.Builder
	build := &pool.Build{Image: "noble", ID: "b1", Record: pool.Record{Revision: 7}}
	origin, format, err := e.Export(t.Context(), Spec{Of: of, Build: build}, path, &log)
	return exported{origin, format, log.String()}, err
}

type exported struct {
	origin      *pool.Origin
	format, log string
}

func (c *cloudOf) arrived(t *testing.T, path string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, c.data) {
		t.Errorf("%d bytes, %v; want %d", len(got), err, len(c.data))
	}
	if _, err := os.Stat(path + ".json"); err == nil {
		t.Error("the note is left")
	}
}

// An image comes in parts, each once, with what it is.
func TestImage(t *testing.T) {
	c, path := newCloud(9500), filepath.Join(t.TempDir(), "d")
	got, err := c.export(t, pool.SnapshotOf{Image: "golden"}, path)
	if err != nil {
		t.Fatal(err, got.log)
	}
	origin, format := got.origin, got.format
	c.arrived(t, path)
	if origin.Provider != "north" || origin.ImageID != "image-1" || origin.Checksum != "sha512:"+c.hash || format != "qcow2" {
		t.Errorf("got %+v as %s", origin, format)
	}
	slices.Sort(c.reads)
	if want := []int64{0, 1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 9000}; !slices.Equal(c.reads, want) {
		t.Errorf("read were %v", c.reads)
	}
	if len(c.snapshots)+len(c.deleted) > 0 {
		t.Errorf("somebody's image was touched: %v %v", c.snapshots, c.deleted)
	}
	e := &Exporter{Driver: c, Provider: "north"}
	if !e.Unchanged(t.Context(), pool.SnapshotOf{Image: "golden"}, origin) ||
		e.Unchanged(t.Context(), pool.SnapshotOf{Image: "other"}, origin) || e.Unchanged(t.Context(), pool.SnapshotOf{Server: "s"}, origin) {
		t.Error("it is not known whether it changed")
	}
}

// A server is taken by a snapshot with the mark of its build, which is deleted
// in every case.
func TestServer(t *testing.T) {
	c, path := newCloud(2500), filepath.Join(t.TempDir(), "d")
	c.statuses = []cloud.ImageStatus{cloud.ImageQueued, cloud.ImageSaving}
	if got, err := c.export(t, pool.SnapshotOf{Server: "golden"}, path); err != nil {
		t.Fatal(err, got.log)
	}
	c.arrived(t, path)
	want := cloud.SnapshotSpec{Server: "golden", Name: "poold-export-noble-b1", Mark: cloud.Mark{
		Installation: "inst", Provider: "north", Upload: "noble/b1", Revision: 7,
	}}
	if len(c.snapshots) != 1 || c.snapshots[0] != want || !slices.Equal(c.deleted, []string{"snapshot-1"}) {
		t.Errorf("asked for %+v, deleted %v", c.snapshots, c.deleted)
	}
	for name, broken := range map[string]func(c *cloudOf){
		"the cloud broke the image": func(c *cloudOf) { c.statuses = []cloud.ImageStatus{cloud.ImageSaving, cloud.ImageBroken} },
		"it is a reference":         func(c *cloudOf) { c.data = nil },
		"of what arrived is":        func(c *cloudOf) { c.hash = "another" },
		"not-found": func(c *cloudOf) {
			c.read = func(int64) (io.Reader, error) { return nil, &cloud.Error{Kind: cloud.NotFound} }
		},
	} {
		c, path := newCloud(2500), filepath.Join(t.TempDir(), "d")
		broken(c)
		_, err := c.export(t, pool.SnapshotOf{Server: "golden"}, path)
		if err == nil || !strings.Contains(err.Error(), name) || len(c.deleted) != 1 {
			t.Errorf("%s: got %v, deleted %v", name, err, c.deleted)
		}
	}
}

// Data that is cut, and calls that fail for the moment, are asked for again;
// what arrived is not.
func TestCut(t *testing.T) {
	c, path := newCloud(3500), filepath.Join(t.TempDir(), "d")
	trouble := map[int64][]error{
		1000: {&cloud.Error{Kind: cloud.Transient}, &cloud.Error{Kind: cloud.RateLimited}}, 2000: {nil},
	}
	c.read = func(from int64) (io.Reader, error) {
		if len(trouble[from]) == 0 {
			return nil, nil
		}
		err := trouble[from][0]
		trouble[from] = trouble[from][1:]
		if err == nil {
			return bytes.NewReader(c.data[from : from+10]), nil
		}
		return nil, err
	}
	if got, err := c.export(t, pool.SnapshotOf{Image: "golden"}, path); err != nil {
		t.Fatal(err, got.log)
	}
	c.arrived(t, path)
	slices.Sort(c.reads)
	if want := []int64{0, 1000, 1000, 1000, 2000, 2000, 3000}; !slices.Equal(c.reads, want) {
		t.Errorf("read were %v", c.reads)
	}
}

// The next build goes on where one ended, with the same image; with another it
// begins anew.
func TestResume(t *testing.T) {
	for _, same := range []bool{true, false} {
		c, path := newCloud(3500), filepath.Join(t.TempDir(), "d")
		refused := errors.New("no longer the owner")
		c.read = func(from int64) (io.Reader, error) {
			if from == 2000 {
				return nil, refused
			}
			return nil, nil
		}
		if _, err := c.export(t, pool.SnapshotOf{Image: "golden"}, path); !errors.Is(err, refused) {
			t.Fatal(err)
		}
		before := len(c.reads)
		c.read, c.reads = nil, nil
		of := pool.SnapshotOf{Image: "golden"}
		if !same {
			of = pool.SnapshotOf{Server: "golden"}
		}
		if got, err := c.export(t, of, path); err != nil {
			t.Fatal(err, got.log)
		}
		c.arrived(t, path)
		if got := len(c.reads); before != 4 || same && got != 1 || !same && got != 4 {
			t.Errorf("same %v: %d were read before, then %v", same, before, c.reads)
		}
	}
}

// A cloud without ranges sends one stream.
func TestNoRanges(t *testing.T) {
	c, path := newCloud(3500), filepath.Join(t.TempDir(), "d")
	c.ranges = false
	if got, err := c.export(t, pool.SnapshotOf{Image: "golden"}, path); err != nil || !strings.Contains(got.log, "one stream") {
		t.Fatal(err, got.log)
	}
	c.arrived(t, path)
}
