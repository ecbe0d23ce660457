package builder

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	// cgroupStart begins the name of the cgroup of a build.
	cgroupStart = "poold-build-"
	// killWait is how long the kernel is given to end what was killed, or to
	// let go of a device that was detached; killLook is the time between two
	// looks.
	killWait = 10 * time.Second
	killLook = 20 * time.Millisecond
)

// cgroupPath is the directory of the cgroup that holds the processes of a
// build, whatever session, process group or user they choose for themselves:
// below poold's own cgroup. It is "" where there are no cgroups (version 2).
func cgroupPath(name string) string {
	mounted, root := cgroupMount()
	own, err := os.ReadFile("/proc/self/cgroup")
	if mounted == "" || err != nil {
		return ""
	}
	for line := range strings.Lines(string(own)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return filepath.Join(mounted, strings.TrimPrefix(path, root), cgroupStart+name)
		}
	}
	return ""
}

// cgroupMount returns where cgroups (version 2) are mounted, and which of them
// is the root of the mount.
func cgroupMount() (at, root string) {
	table, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return "", ""
	}
	defer table.Close() //nolint:errcheck // it was only read
	for lines := bufio.NewScanner(table); lines.Scan(); {
		where, what, ok := strings.Cut(lines.Text(), " - ")
		if fields := strings.Fields(where); ok && len(fields) > 4 && strings.HasPrefix(what, "cgroup2 ") {
			return fields[4], strings.TrimSuffix(fields[3], "/")
		}
	}
	return "", ""
}

// openCgroup makes the cgroup of a build, for a process to be started in. It
// returns nil where poold may not: the process group and the mark in the
// environment are what is left then.
func openCgroup(path string) *os.File {
	if path == "" {
		return nil
	}
	if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) { //nolint:gosec // as the kernel makes them
		return nil
	}
	dir, err := os.Open(path)
	if err != nil {
		return nil
	}
	return dir
}

// killCgroup kills all that is in the cgroup of a build, waits until it is
// gone, and removes the cgroup with those that were made below it.
func killCgroup(path string) error {
	if path == "" {
		return nil
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := os.WriteFile(filepath.Join(path, "cgroup.kill"), []byte("1"), 0); err != nil {
		return fmt.Errorf("kill what is left of a build: %w", err)
	}
	var below []string
	if err := filepath.WalkDir(path, func(p string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			below = append(below, p)
		}
		return err
	}); err != nil {
		return err
	}
	// A cgroup can be removed once the last process in it has ended.
	for _, dir := range slices.Backward(below) {
		err := eventually(func() error { return os.Remove(dir) })
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("processes of a build do not end: %w", err)
		}
	}
	return nil
}

// eventually repeats what the kernel may take a moment for.
func eventually(try func() error) error {
	tick := time.NewTicker(killLook)
	defer tick.Stop()
	err := try()
	for range killWait / killLook {
		if err == nil {
			break
		}
		<-tick.C
		err = try()
	}
	return err
}
