package builder

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"poold/pool"
)

const (
	// killGrace is how long a command may clean up after SIGTERM.
	killGrace = 10 * time.Second
	// tailBytes is how much of a log goes into the record of a failed build.
	tailBytes = 2048
	// marker names, in the environment of every process of a build, the
	// build.
	marker = "POOLD_BUILD="
)

// arguments returns what diskimage-builder is called with.
func arguments(image *pool.Image, output string) []string {
	formats := commandFormats(image)
	argv := append(slices.Clone(image.Command),
		"-x", "-t", strings.Join(formats, ","), "--checksum", "--no-tmpfs")
	if slices.Contains(formats, "qcow2") {
		argv = append(argv, "--qemu-img-options", "compat=0.10")
	}
	argv = append(argv, "-o", output)
	for _, e := range image.Elements {
		argv = append(argv, strings.Fields(e)...)
	}
	return argv
}

// environment returns what the command is run with: poold's own environment,
// what the calling convention asks for, and the recipe's.
func environment(dirs Dirs, image *pool.Image, build string) []string {
	name := base(image.Name, build)
	env := append(os.Environ(),
		"ELEMENTS_PATH="+dirs.Elements,
		"DIB_RELEASE="+image.Release,
		"DIB_IMAGE_NAME="+image.Name,
		"DIB_IMAGE_FILENAME="+filepath.Join(dirs.Images, name),
		"DIB_SHOW_IMAGE_USAGE=1")
	for _, k := range slices.Sorted(maps.Keys(image.Env)) {
		env = append(env, k+"="+image.Env[k])
	}
	return append(env, "TMP_DIR="+tempDir(dirs, image, build), marker+name)
}

// command runs the build command to its end and returns nil if it succeeded.
// When ctx ends it gets SIGTERM, and SIGKILL after the grace. In every case its
// whole process group and cgroup are gone on return; if poold dies, the kernel
// kills the command itself, and the next builder the rest.
func (b *Builder) command(ctx context.Context, build string, log *os.File) error {
	// The death signal is sent when the thread that forked ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cgroup := cgroupPath(base(b.image.Name, build))
	cmd, err := b.started(ctx, build, log, cgroup)
	if err != nil {
		return errors.Join(err, killCgroup(cgroup))
	}
	err = cmd.Wait()
	// What the command left behind in its group: a failure to kill it means
	// that there is nothing.
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	left := killCgroup(cgroup)
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return errors.Join(err, left)
}

// started starts the command with all that keeps it together which the kernel
// lets poold have: a cgroup, out of which no process gets, and mounts of its
// own, which go with its last process.
func (b *Builder) started(ctx context.Context, build string, log *os.File, cgroup string) (*exec.Cmd, error) {
	dir := openCgroup(cgroup)
	if dir != nil {
		defer dir.Close() //nolint:errcheck // it is only a handle
	}
	argv := arguments(&b.image, filepath.Join(b.dirs.Images, base(b.image.Name, build)))
	var errs error
	for _, flags := range []uintptr{syscall.CLONE_NEWNS, 0} {
		for _, in := range []*os.File{dir, nil} {
			cmd := exec.CommandContext(ctx, argv[0], argv[1:]...) //nolint:gosec // the configuration says what to run
			cmd.Env = environment(b.dirs, &b.image, build)
			cmd.Dir = b.dirs.Images
			cmd.Stdout, cmd.Stderr = log, log
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Unshareflags: flags}
			if in != nil {
				cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(in.Fd())
			}
			cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
			cmd.WaitDelay = b.grace
			if errs = cmd.Start(); errs == nil {
				return cmd, nil
			}
		}
	}
	return nil, errs
}

// reap kills what is left of a build whose poold died: the death signal
// reaches the command itself, not the processes it started. Processes that
// poold may not look at are left.
func reap(image, build string) error {
	procs, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		return err
	}
	mark := []byte(marker + base(image, build))
	var errs []error
	for _, path := range procs {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			continue
		}
		// The handle is taken first: the id may belong to another process
		// once the environment has been read.
		process, err := os.FindProcess(pid)
		if err != nil {
			continue
		}
		env, err := os.ReadFile(path)
		if err == nil && slices.ContainsFunc(bytes.Split(env, []byte{0}), func(v []byte) bool { return bytes.Equal(v, mark) }) {
			if err := process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
				errs = append(errs, fmt.Errorf("kill a survivor of build %s: %w", build, err))
			}
		}
		errs = append(errs, process.Release())
	}
	return errors.Join(errs...)
}

// tail returns the last lines of a log, in at most tailBytes bytes.
func tail(log *os.File) string {
	end, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return ""
	}
	text := make([]byte, min(end, tailBytes))
	n, err := log.ReadAt(text, end-int64(len(text)))
	if err != nil && !errors.Is(err, io.EOF) {
		return ""
	}
	text = text[:n]
	if end > tailBytes {
		_, text, _ = bytes.Cut(text, []byte("\n"))
	}
	return strings.TrimSpace(strings.ToValidUTF8(string(text), "?"))
}
