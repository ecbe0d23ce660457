//go:build lab

package lab

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"poold/test/proc"
)

// etcd is the distribution's etcd as a process of its own.
type etcd struct {
	dir       string
	url, peer string
	lives     int
	process   *proc.Process
}

// startEtcd starts an empty one.
func startEtcd(t *testing.T, dir string) *etcd {
	t.Helper()
	ports := proc.FreePorts(t, 2)
	e := &etcd{dir: dir, url: proc.Loopback(ports[0]), peer: proc.Loopback(ports[1])}
	e.start(t)
	return e
}

func (e *etcd) data() string { return filepath.Join(e.dir, "etcd") }

// start starts it with the data that there is.
func (e *etcd) start(t *testing.T) {
	t.Helper()
	e.lives++
	e.process = proc.Start(t, e.dir, fmt.Sprintf("etcd-%d", e.lives), exec.Command("etcd", "--name", "lab",
		"--data-dir", e.data(), "--unsafe-no-fsync", "--logger", "zap", "--log-level", "error",
		"--listen-client-urls", e.url, "--advertise-client-urls", e.url,
		"--listen-peer-urls", e.peer, "--initial-advertise-peer-urls", e.peer,
		"--initial-cluster", "lab="+e.peer))
	proc.Await(t, "etcd answers", time.Minute, func() (string, bool) {
		out, err := e.ctl("endpoint", "health").CombinedOutput()
		return string(out), err == nil
	}, e.process)
}

// wipe ends it, loses all its data and starts it anew.
func (e *etcd) wipe(t *testing.T) {
	t.Helper()
	e.process.Kill()
	if err := os.RemoveAll(e.data()); err != nil {
		t.Fatal(err)
	}
	e.start(t)
}

// save writes a snapshot, as operators do for a backup.
func (e *etcd) save(t *testing.T) string {
	t.Helper()
	file := filepath.Join(e.dir, "backup.db")
	e.run(t, "snapshot", "save", file)
	return file
}

// restore ends it and goes on from a snapshot.
func (e *etcd) restore(t *testing.T, file string) {
	t.Helper()
	e.process.Kill()
	if err := os.RemoveAll(e.data()); err != nil {
		t.Fatal(err)
	}
	e.run(t, "snapshot", "restore", file, "--name", "lab", "--data-dir", e.data(),
		"--initial-cluster", "lab="+e.peer, "--initial-advertise-peer-urls", e.peer)
	e.start(t)
}

// run runs etcdctl.
func (e *etcd) run(t *testing.T, args ...string) string {
	t.Helper()
	var out, problems bytes.Buffer
	cmd := e.ctl(args...)
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		t.Fatal(fmt.Errorf("etcdctl %s: %w: %s", strings.Join(args, " "), err, &problems))
	}
	return out.String()
}

// ctl is etcdctl for this etcd.
func (e *etcd) ctl(args ...string) *exec.Cmd {
	return exec.Command("etcdctl", append([]string{"--endpoints", e.url}, args...)...)
}
