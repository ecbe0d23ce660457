package builder

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"poold/pool"
)

// The command of the demo takes what builders call it with, and makes real
// images: both formats hold the same disk, and no two builds are alike.
func TestDemoCommand(t *testing.T) {
	h := newBench(t, "")
	command, err := filepath.Abs("../deploy/demo/make-image")
	if err != nil {
		t.Fatal(err)
	}
	h.image.Command = []string{command}
	b := h.builder()
	for range 2 {
		h.settle(b)
		h.now = h.now.Add(25 * h.image.RebuildAge)
	}
	s := h.store.Snapshot()
	if len(s.Builds) != 2 || s.Builds[0].State != pool.BuildReady || s.Builds[1].State != pool.BuildReady {
		t.Fatalf("got %v: %s", h.states(), s.Builds[0].Error)
	}
	raw, qcow2 := s.Builds[0].Artifact("raw"), s.Builds[0].Artifact("qcow2")
	if raw.Bytes != 4<<20 || raw.SHA256 == s.Builds[1].Artifact("raw").SHA256 {
		t.Errorf("raw has %d bytes, or two builds are alike", raw.Bytes)
	}
	data, err := os.ReadFile(qcow2.Path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(data, []byte("QFI\xfb\x00\x00\x00\x02")) {
		t.Errorf("no qcow2: % x", data[:8])
	}
	if _, err := exec.LookPath("qemu-img"); err != nil {
		t.Skip("qemu-img is not installed: ", err)
	}
	for _, argv := range [][]string{{"check", qcow2.Path}, {"compare", "-F", "raw", qcow2.Path, raw.Path}} {
		if out, err := exec.CommandContext(t.Context(), "qemu-img", argv...).CombinedOutput(); err != nil {
			t.Errorf("qemu-img %v: %v\n%s", argv, err, out)
		}
	}
}
