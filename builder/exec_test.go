package builder

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"poold/pool"
)

func alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func pidIn(t *testing.T, path string) int {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// waitGone waits until the kernel is done with a process that was killed.
func waitGone(t *testing.T, pid int) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 500 {
		if !alive(pid) {
			return
		}
		<-tick.C
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
	t.Fatalf("process %d is still alive", pid)
}

// A build that takes too long is killed with all its processes, those
// included that ignore SIGTERM, and fails.
func TestTimeoutKillsTheGroup(t *testing.T) {
	h := newBench(t, `trap '' TERM; sleep 1000 & echo $! > "$PIDS"; while :; do wait; done`)
	pids := filepath.Join(t.TempDir(), "pid")
	h.image.Env["PIDS"] = pids
	h.image.BuildTimeout = 2 * time.Second
	b := h.builder()
	b.grace = 100 * time.Millisecond
	h.settle(b)
	waitGone(t, pidIn(t, pids))
	if got := h.store.Snapshot().Builds[0]; got.State != pool.BuildFailed || !strings.Contains(got.Error, "build timeout of 2s") {
		t.Errorf("got %s %q", got.State, got.Error)
	}
}

// runsInChild names, in the environment of a test run by a test, the file for
// the command's process id.
const runsInChild = "POOLD_TEST_PIDS"

// The command dies with poold, also if poold had no chance to see to it.
func TestKilledWithItsBuilder(t *testing.T) {
	if pids := os.Getenv(runsInChild); pids != "" {
		h := newBench(t, `echo $$ > "$PIDS.new"; mv "$PIDS.new" "$PIDS"; while :; do sleep 1; done`)
		h.image.Env["PIDS"] = pids
		h.settle(h.builder())
		return
	}
	pids := filepath.Join(t.TempDir(), "pid")
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledWithItsBuilder$")
	child.Env = append(os.Environ(), runsInChild+"="+pids, "TMPDIR="+t.TempDir())
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	waitFile(t, pids)
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()
	waitGone(t, pidIn(t, pids))
}

// waitFile waits until a process has made a file.
func waitFile(t *testing.T, path string) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 2000 {
		if _, err := os.Stat(path); err == nil {
			return
		}
		<-tick.C
	}
	t.Fatalf("%s never appeared", path)
}

// What is mounted in a directory is never removed through.
func TestRemoveTreeDetachesMounts(t *testing.T) {
	dir, source := t.TempDir(), t.TempDir()
	precious := filepath.Join(source, "precious")
	inner := filepath.Join(dir, "build.tmp", "mnt dev")
	if err := errors.Join(os.MkdirAll(inner, 0o755), os.WriteFile(precious, nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount(source, inner, "", syscall.MS_BIND, ""); err != nil {
		t.Skip("needs to mount: ", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(inner, syscall.MNT_DETACH) })
	if err := removeTree(filepath.Join(dir, "build.tmp")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(precious); err != nil {
		t.Errorf("removed through a mount: %v", err)
	}
	if _, err := os.Stat(filepath.Dir(inner)); err == nil {
		t.Error("the directory is still there")
	}
}
