package builder

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// The logs of an image whose name begins with another one's are not that
// one's.
func TestPruneLogs(t *testing.T) {
	dirs := Dirs{Logs: t.TempDir(), LogRetention: 2}
	begin := time.Now()
	for _, image := range []string{"ubuntu", "ubuntu-jammy"} {
		for k := range 4 {
			path := logPath(dirs, image, fmt.Sprintf("%012d", k))
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			at := begin.Add(time.Duration(k) * time.Minute)
			if err := os.Chtimes(path, at, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := pruneLogs(dirs, "ubuntu"); err != nil {
		t.Fatal(err)
	}
	left, _ := filepath.Glob(filepath.Join(dirs.Logs, "*"))
	if len(left) != 2+4 {
		t.Errorf("left are %v", left)
	}
	dirs.LogRetention = -1
	if err := pruneLogs(dirs, "ubuntu-jammy"); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dirs.Logs, "*")); len(left) != 2+4 {
		t.Errorf("left are %v, want all kept", left)
	}
}
