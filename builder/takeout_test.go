package builder

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"poold/builder/export"
	"poold/cloud"
	"poold/pool"
)

// shelf is a cloud with one image.
type shelf struct {
	data   []byte
	id     string
	format string
	finds  int
}

func (s *shelf) FindImage(context.Context, string) (string, error) {
	s.finds++
	return s.id, nil
}

func (*shelf) Snapshot(context.Context, cloud.SnapshotSpec) (string, error) { return "snapshot", nil }
func (*shelf) DeleteImage(context.Context, string) error                    { return nil }

func (s *shelf) Source(_ context.Context, id string) (cloud.Source, error) {
	return cloud.Source{Format: s.format, Image: cloud.Image{
		ID: id, Status: cloud.ImageActive, Bytes: int64(len(s.data)), HashAlgo: "sha512", Hash: sum512(s.data),
	}}, nil
}

func (s *shelf) ReadImage(_ context.Context, _ string, from, to int64) (io.ReadCloser, int64, error) {
	return io.NopCloser(bytes.NewReader(s.data[from:to])), from, nil
}

func (h *bench) taker(s *shelf, of pool.SnapshotOf) *Builder {
	of.Provider = "north"
	h.image.SnapshotOf, h.image.RebuildAge = &of, 0
	b := h.builder()
	b.export = &export.Exporter{Driver: s, Provider: "north", Installation: "i"}
	return b
}

// An image that is taken out of a cloud is a build like any other: once,
// unless it has an age; then if there is another image.
func TestTakesOut(t *testing.T) {
	h := newBench(t, "exit 1")
	s := &shelf{data: disk(t, "qcow2", "one"), id: "image-1", format: "qcow2"}
	b := h.taker(s, pool.SnapshotOf{Image: "golden"})
	h.settle(b)
	got := h.store.Snapshot().Builds[0]
	if got.State != pool.BuildReady || got.Artifact("qcow2") == nil || got.Artifact("raw") == nil {
		t.Fatalf("got %s %s", got.State, got.Error)
	}
	if a := got.Artifact("qcow2"); a.SHA512 != sum512(s.data) || got.Origin.Checksum != "sha512:"+a.SHA512 || got.Origin.ImageID != "image-1" {
		t.Errorf("it is not what the cloud has: %+v %+v", a, got.Origin)
	}
	h.now = h.now.Add(1000 * time.Hour)
	h.settle(b)
	if len(h.store.Snapshot().Builds) != 1 || s.finds != 1 {
		t.Errorf("taken again, or looked for: %v, %d", h.states(), s.finds)
	}
	b = h.taker(s, pool.SnapshotOf{Image: "golden"})
	b.image.RebuildAge = 24 * time.Hour
	h.settle(b)
	if len(h.store.Snapshot().Builds) != 1 {
		t.Errorf("taken again though it is the same: %v", h.states())
	}
	s.id, s.data = "image-2", disk(t, "qcow2", "two")
	h.now = h.now.Add(25 * time.Hour)
	h.settle(b)
	if got := h.store.Snapshot().BuildsOf("noble"); len(got) != 2 || got[0].State != pool.BuildReady {
		t.Errorf("got %v, want the other image, too", h.states())
	}
}

// What a cloud says of an image is not believed.
func TestRefusesToTakeOut(t *testing.T) {
	for want, s := range map[string]*shelf{
		"is no raw image but qcow2": {data: disk(t, "qcow2", "one"), id: "i", format: "raw"},
		`it has the format "ami"`:   {data: disk(t, "raw", "one"), id: "i", format: "ami"},
	} {
		h := newBench(t, "exit 1")
		h.settle(h.taker(s, pool.SnapshotOf{Server: "golden"}))
		got := h.store.Snapshot().Builds[0]
		if got.State != pool.BuildFailed || !strings.HasPrefix(got.Error, "take it from north: ") || !strings.Contains(got.Error, want) {
			t.Errorf("got %s %q, want %s", got.State, got.Error, want)
		}
		if ls := h.ls(); len(ls) > 0 {
			t.Errorf("files are left: %v", ls)
		}
	}
}
