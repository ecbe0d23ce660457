//go:build lab

package lab

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// The real diskimage-builder, called the way nodepool calls it, and what it
// leaves on disk is what the clouds get.
func TestDiskimageBuilder(t *testing.T) {
	s := newSite(t)
	kernel := exec.Command("./tiny-image", "-K", filepath.Join(s.dir, "kernel"), filepath.Join(s.dir, "kernel.raw"))
	if out, err := kernel.CombinedOutput(); err != nil {
		t.Fatalf("tiny-image: %v\n%s", err, out)
	}
	s.configure("diskimage.yaml.tmpl")
	s.run()
	s.awaitUploads(8 * time.Minute)
	s.retire()
}
