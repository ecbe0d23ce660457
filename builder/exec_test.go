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
		h.image.Name = filepath.Base(filepath.Dir(pids)) // its cgroup is nobody else's
		h.settle(h.builder())
		return
	}
	pids := filepath.Join(t.TempDir(), "killed-"+strconv.Itoa(os.Getpid()), "pid")
	if err := os.Mkdir(filepath.Dir(pids), 0o755); err != nil {
		t.Fatal(err)
	}
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
	if left, _ := filepath.Glob(cgroupPath(filepath.Base(filepath.Dir(pids)) + "-*")); len(left) == 1 {
		if err := killCgroup(left[0]); err != nil {
			t.Error(err)
		}
	}
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

// mountRights skips where this process may not mount.
func mountRights(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, ""); err != nil {
		t.Skip("needs to mount: ", err)
	}
	if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
}

// What is mounted in a directory is never removed through.
func TestDiscardDetachesMounts(t *testing.T) {
	mountRights(t)
	h := newBench(t, "")
	source := t.TempDir()
	precious := filepath.Join(source, "precious")
	temp := tempDir(h.dirs, &h.image, "x")
	outer, inner := filepath.Join(temp, "mnt"), filepath.Join(temp, "mnt", "the dev")
	if err := errors.Join(
		os.MkdirAll(outer, 0o755), os.WriteFile(precious, nil, 0o644),
		syscall.Mount("none", outer, "tmpfs", 0, ""), os.Mkdir(inner, 0o755), syscall.Mount(source, inner, "", syscall.MS_BIND, ""),
	); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Unmount(inner, syscall.MNT_DETACH)
		_ = syscall.Unmount(outer, syscall.MNT_DETACH)
	})
	if err := discard(h.dirs, &h.image, "x", []string{temp}); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(precious); err != nil {
		t.Errorf("removed through a mount: %v", err)
	}
	if _, err := os.Stat(temp); err == nil {
		t.Error("the directory is still there")
	}
}

// attach attaches a loop device to a new file.
func attach(t *testing.T, file string) (device string) {
	t.Helper()
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Truncate(file, 1<<20)); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "losetup", "-f", "--show", file).Output()
	if err != nil {
		t.Skip("needs loop devices: ", err)
	}
	device = strings.TrimSpace(string(out))
	t.Cleanup(func() { _ = exec.Command("losetup", "-d", device).Run() })
	return device
}

func attached(device string) string {
	return backingFile("/sys/block/" + filepath.Base(device) + "/loop/backing_file")
}

// A build's loop devices are detached, also those whose file was removed, and
// no others.
func TestDiscardDetachesLoops(t *testing.T) {
	h := newBench(t, "")
	id, other := "ab0123456789", "ab0123456780"
	temp := tempDir(h.dirs, &h.image, id)
	if err := os.MkdirAll(temp, 0o755); err != nil {
		t.Fatal(err)
	}
	inTemp := attach(t, filepath.Join(temp, "disk"))
	gone := attach(t, filepath.Join(h.dirs.Images, "noble-"+id+".raw"))
	foreign := attach(t, filepath.Join(h.dirs.Images, "noble-"+other+".raw"))
	if err := os.Remove(filepath.Join(h.dirs.Images, "noble-"+id+".raw")); err != nil {
		t.Fatal(err)
	}
	if err := discard(h.dirs, &h.image, id, []string{temp}); err != nil {
		t.Error(err)
	}
	if attached(inTemp) != "" || attached(gone) != "" {
		t.Errorf("still attached: %q and %q", attached(inTemp), attached(gone))
	}
	if attached(foreign) == "" {
		t.Error("the loop device of another build was detached")
	}
}

// escape starts a process that no process group, no session and no environment
// tells to be a build's.
const escape = `
env -i setsid sh -c 'echo $$ > "$1.new"; mv "$1.new" "$1"; exec sleep 1000' - "$PIDS" &
while [ ! -e "$PIDS" ]; do sleep 0.01; done
`

// needCgroup skips where there is nothing that would catch such a process.
func needCgroup(t *testing.T) {
	t.Helper()
	path := cgroupPath("noble-test" + strconv.Itoa(os.Getpid()))
	dir := openCgroup(path)
	if dir == nil {
		t.Skip("needs cgroups (version 2)")
	}
	if err := errors.Join(dir.Close(), killCgroup(path)); err != nil {
		t.Fatal(err)
	}
}

// A build that leaves processes, mounts and a loop device, in ways that are
// hardest to follow, leaves nothing of it: neither if it succeeds nor if it
// hangs until its time is up.
func TestLeavesNothing(t *testing.T) {
	mountRights(t)
	needCgroup(t)
	for _, c := range []struct {
		name, end, why string
		state          pool.BuildState
		timeout        time.Duration
	}{
		{"succeeds", "", "", pool.BuildReady, time.Minute},
		{"fails", "exit 9", "exit status 9", pool.BuildFailed, time.Minute},
		{"hangs", "trap '' TERM; while :; do sleep 1000; done", "build timeout of 8s", pool.BuildFailed, 8 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newBench(t, produce+`
truncate -s 4M "$TMP_DIR/disk" && mkfs.ext4 -q -O ^has_journal "$TMP_DIR/disk" && mkdir "$TMP_DIR/mnt"
dev=$(losetup -f --show "$TMP_DIR/disk") && echo "$dev" > "$DEVICE"
mount -t tmpfs none "$ELSEWHERE" && mount "$dev" "$TMP_DIR/mnt" && mkdir "$TMP_DIR/mnt/proc" && mount -t proc none "$TMP_DIR/mnt/proc" || exit 3
`+escape+c.end)
			pids, device := filepath.Join(t.TempDir(), "pid"), filepath.Join(t.TempDir(), "device")
			elsewhere := t.TempDir()
			h.image.Env["PIDS"], h.image.Env["DEVICE"], h.image.Env["ELSEWHERE"] = pids, device, elsewhere
			h.image.BuildTimeout = c.timeout
			b := h.builder()
			b.grace = 100 * time.Millisecond
			h.settle(b)
			waitGone(t, pidIn(t, pids))
			got := h.store.Snapshot().Builds[0]
			if got.State != c.state || !strings.Contains(got.Error, c.why) {
				t.Errorf("got %s %q", got.State, got.Error)
			}
			dev, err := os.ReadFile(device)
			if err != nil {
				t.Fatalf("%v: %s", err, got.Error)
			}
			if file := attached(strings.TrimSpace(string(dev))); strings.Contains(file, got.ID) {
				t.Errorf("%s is attached to %s", dev, file)
			}
			if left, err := mountsBelow(h.dirs.Images); err != nil || len(left) > 0 {
				t.Errorf("mounted are %v, %v", left, err)
			}
			if left, err := mountsBelow(elsewhere); err != nil || len(left) > 0 {
				t.Errorf("mounted elsewhere are %v, %v", left, err)
			}
			if ls := strings.Join(h.ls(), " "); strings.Contains(ls, ".tmp") || c.state == pool.BuildFailed && ls != "" {
				t.Errorf("files are left: %s", ls)
			}
			if _, err := os.Stat(cgroupPath("noble-" + got.ID)); err == nil {
				t.Error("the cgroup is left")
			}
			log, err := os.ReadFile(got.Log)
			if err != nil || !strings.Contains(string(log), "\npoold: ") || !strings.Contains(string(log), c.why) {
				t.Errorf("the log does not say how it ended: %v\n%s", err, log)
			}
		})
	}
}

// After a crash of poold the next builder finds what a build left that has
// neither a mark nor a file.
func TestRestartKillsByCgroup(t *testing.T) {
	needCgroup(t)
	h := newBench(t, produce)
	id := "ab0123456789"
	h.store.Builds = []*pool.Build{{
		Image: "noble", ID: id, State: pool.BuildBuilding, Builder: "p1", Since: t0, Created: t0,
		Record: pool.Record{Revision: 1},
	}}
	h.image.Paused = true
	path := cgroupPath("noble-" + id)
	dir := openCgroup(path)
	t.Cleanup(func() { _ = killCgroup(path) })
	survivor := exec.CommandContext(t.Context(), "sleep", "1000")
	survivor.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())}
	if err := errors.Join(survivor.Start(), dir.Close()); err != nil {
		t.Fatal(err)
	}
	h.settle(h.builder())
	if _, err := os.Stat(path); err == nil {
		t.Error("the cgroup is left")
		_ = killCgroup(path)
	}
	if err := survivor.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("the survivor ended with %v", err)
	}
}

// smallDisk mounts a filesystem of 256 MiB for the images.
func smallDisk(t *testing.T, h *bench) {
	t.Helper()
	mountRights(t)
	err := errors.Join(os.MkdirAll(h.dirs.Images, 0o755), syscall.Mount("none", h.dirs.Images, "tmpfs", 0, "size=256m"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(h.dirs.Images, syscall.MNT_DETACH) })
}

// A build that fills the disk is stopped while others still have room there.
func TestStopsBeforeTheDiskIsFull(t *testing.T) {
	full := filepath.Join(t.TempDir(), "full")
	h := newBench(t, `
trap '' TERM
fill() { dd if=/dev/zero bs=$1 count=1 status=none >> "$TMP_DIR/disk" || { : > "$FULL"; exit 5; }; }
fill 235M; while :; do fill 128K; sleep 0.05; done`)
	smallDisk(t, h)
	h.image.Env["FULL"] = full
	b := h.builder()
	b.grace = 100 * time.Millisecond
	h.settle(b)
	got := h.store.Snapshot().Builds[0]
	if got.State != pool.BuildFailed || !strings.Contains(got.Error, "before the disk of "+h.dirs.Images+" was full") {
		t.Errorf("got %s %q", got.State, got.Error)
	}
	if _, err := os.Stat(full); err == nil {
		t.Error("the disk was full")
	}
	if ls := h.ls(); len(ls) > 0 {
		t.Errorf("files are left: %v", ls)
	}
}

// A build that will not find the room that the last one took is not begun.
func TestRefusesWithoutRoom(t *testing.T) {
	h := newBench(t, produce+`dd if=/dev/zero of="$out.raw" bs=1M count=100 status=none`)
	smallDisk(t, h)
	b := h.builder()
	h.settle(b)
	if got := h.store.Snapshot().Builds[0]; got.State != pool.BuildReady || diskUse(got) < 100<<20 {
		t.Fatalf("got %s %q, using %d", got.State, got.Error, diskUse(got))
	}
	if err := os.WriteFile(filepath.Join(h.dirs.Images, "other"), make([]byte, 60<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	h.now = h.now.Add(25 * time.Hour)
	h.settle(b)
	got := h.store.Snapshot().BuildsOf("noble")[0]
	if got.State != pool.BuildFailed || !strings.HasPrefix(got.Error, "not enough room in "+h.dirs.Images) || got.Log == "" {
		t.Errorf("got %s %q", got.State, got.Error)
	}
	log, err := os.ReadFile(got.Log)
	if err != nil || strings.Contains(string(log), "args:") {
		t.Errorf("the command was run, or there is no log: %v", err)
	}
}
