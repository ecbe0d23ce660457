package builder

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"poold/pool"
)

// What diskimage-builder cannot make it is not asked for; any other command is.
func TestCommandFormats(t *testing.T) {
	dib, path := []string{"sudo", "/opt/disk-image-create", "-v"}, t.TempDir()
	t.Setenv("PATH", path)
	for _, c := range []struct {
		command    []string
		want, asks string
	}{
		{dib, "qcow2", "qcow2"},
		{dib, "qcow2,raw,tar", "qcow2,raw,tar"},
		{dib, "vhd", "raw"},
		{dib, "qcow2,vhd,vmdk", "qcow2"},
		{dib, "tar,vdi", "tar,raw"},
		{[]string{"./packer"}, "vhd,vmdk", "vhd,vmdk"},
	} {
		image := &pool.Image{Command: c.command, Formats: strings.Split(c.want, ",")}
		if got := strings.Join(commandFormats(image), ","); got != c.asks {
			t.Errorf("for %s %v is asked for %s, want %s", c.want, c.command, got, c.asks)
		}
	}
	if err := os.WriteFile(filepath.Join(path, "vhd-util"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	image := &pool.Image{Command: dib, Formats: []string{"vhd", "qcow2"}}
	if d := cmp.Diff(image.Formats, commandFormats(image)); d != "" {
		t.Errorf("with vhd-util: %s", d)
	}
}

func needQemuImg(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("qemu-img"); err != nil {
		t.Skip("qemu-img is not installed: ", err)
	}
}

// A command that makes one format is enough for all: they hold the same disk,
// of the same size.
func TestConvertsWhatIsMissing(t *testing.T) {
	needQemuImg(t)
	for _, made := range []string{"raw", "qcow2"} {
		t.Run(made, func(t *testing.T) {
			h := newBench(t, fmt.Sprintf(`
while [ "$1" != -o ]; do shift; done
truncate -s 5000192 "$2.disk"; echo boot | dd of="$2.disk" conv=notrunc status=none; echo end | dd of="$2.disk" bs=1 seek=4000000 conv=notrunc status=none
qemu-img convert -f raw -O %s "$2.disk" "$2.%s"; rm "$2.disk"`, made, made))
			h.image.Formats = []string{"vhd", "vmdk", "vdi", "vhdx", "qcow2"}
			if made == "qcow2" {
				h.image.Formats[4] = "raw"
			}
			h.settle(h.builder())
			got := h.store.Snapshot().Builds[0]
			if got.State != pool.BuildReady {
				t.Fatalf("got %s %s", got.State, got.Error)
			}
			first := got.Artifacts[0]
			for i, a := range got.Artifacts {
				c, _ := codecOf(a.Format)
				out, err := exec.CommandContext(t.Context(), "qemu-img", "info", "--output=json", "-f", c.driver, a.Path).Output()
				var info struct {
					Size int64 `json:"virtual-size"`
				}
				if err := errors.Join(err, json.Unmarshal(out, &info)); err != nil || a.Format != h.image.Formats[i] {
					t.Fatalf("%s: %v", a.Format, err)
				}
				// Every format but raw may round up to its own unit.
				if info.Size < 5000192 || info.Size > 5000192+1<<20 || a.Format == "vhd" && info.Size != 5000192 {
					t.Errorf("%s is a disk of %d bytes", a.Format, info.Size)
				}
				compare := []string{"compare", "-f", "vpc", "-F", c.driver, first.Path, a.Path}
				if out, err := exec.CommandContext(t.Context(), "qemu-img", compare...).CombinedOutput(); err != nil {
					t.Errorf("%s: %v %s", a.Format, err, out)
				}
			}
			if n := len(h.ls()); n != 5 {
				t.Errorf("want the five formats and nothing else: %v", h.ls())
			}
		})
	}
}

// A conversion that cannot be made fails the build with what qemu-img says.
func TestConversionFails(t *testing.T) {
	needQemuImg(t)
	h := newBench(t, `while [ "$1" != -o ]; do shift; done; echo no image > "$2.qcow2"`)
	h.settle(h.builder())
	got := h.store.Snapshot().Builds[0]
	if got.State != pool.BuildFailed || !strings.HasPrefix(got.Error, "format raw: convert it from qcow2: exit status 1") ||
		!strings.Contains(got.Error, "not in qcow2 format") {
		t.Errorf("got %s %q", got.State, got.Error)
	}
	if ls := h.ls(); len(ls) > 0 {
		t.Errorf("files are left: %v", ls)
	}
}

// All hashes come of one pass over the data; the holes, as the filesystem has
// them, are known to be zeros.
func TestMeasuresSparseFiles(t *testing.T) {
	const size = 40<<20 + 777
	want := make([]byte, size)
	path := filepath.Join(t.TempDir(), "disk")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	for _, at := range []int64{5 << 20, 17<<20 + 5, size - 3} {
		copy(want[at:], "abc")
		if _, err := f.WriteAt([]byte("abc"), at); err != nil {
			t.Fatal(err)
		}
	}
	var data, next int64
	if err := extents(f, size, func(from, to int64, hole bool) error {
		if from != next || to <= from {
			t.Errorf("after %d come %d to %d", next, from, to)
		}
		if next = to; !hole {
			data += to - from
		} else if !bytes.Equal(want[from:to], make([]byte, to-from)) {
			t.Errorf("no hole is from %d to %d", from, to)
		}
		return nil
	}); err != nil || next != size {
		t.Errorf("ended at %d with %v", next, err)
	}
	if info, _ := f.Stat(); allocated(info) < size/2 && data > size/2 {
		t.Errorf("%d bytes are read of a file that takes %d", data, allocated(info))
	}
	got, err := measureFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	h5, h256, h512 := md5.Sum(want), sha256.Sum256(want), sha512.Sum512(want)
	if d := cmp.Diff(pool.Artifact{
		Path: path, Bytes: size, DiskBytes: got.DiskBytes,
		MD5: hex.EncodeToString(h5[:]), SHA256: hex.EncodeToString(h256[:]), SHA512: hex.EncodeToString(h512[:]),
	}, got); d != "" {
		t.Error(d)
	}
	ended, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	<-ended.Done()
	if _, err := measureFile(ended, path); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("when it is too late: %v", err)
	}
}
