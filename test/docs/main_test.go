package docs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"poold/test/proc"
)

// root is where the repository is.
const root = "../.."

// insideVariable says to a test that it has a network and folders of its own: it is
// the folder that they are in.
const insideVariable = "POOLD_DOCS_INSIDE"

// outside is why it has none, if so.
var outside error

func TestMain(m *testing.M) { os.Exit(run(m)) }

// run runs the tests in namespaces of their own, so that they can use the ports and
// the folders that the documents name, whoever else uses them on this machine.
func run(m *testing.M) int {
	if dir := os.Getenv(insideVariable); dir != "" {
		outside = furnish(dir)
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "poold-docs")
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }() // it is a temporary folder
	if err := proc.Build(context.Background(), dir, root+"/cmd/poold", root+"/cmd/poolctl"); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		return 1
	}
	outside = namespaced(exec.Command("true")).Run()
	if outside != nil {
		outside = fmt.Errorf("no namespaces can be made here: %w", outside)
		return m.Run()
	}
	cmd := namespaced(exec.Command("/proc/self/exe", os.Args[1:]...))
	cmd.Env = append(os.Environ(), insideVariable+"="+dir)
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	runtime.LockOSThread() // the signal comes when the thread ends
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		if ended, ok := errors.AsType[*exec.ExitError](err); ok {
			return ended.ExitCode()
		}
		_, _ = fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// namespaced gives a program a network and mounts of its own, and where it takes that
// the rights to them.
func namespaced(cmd *exec.Cmd) *exec.Cmd {
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	return cmd
}

// furnish makes the loopback interface work, and puts a copy over /etc and empty
// folders over others, for this process and those that it starts.
func furnish(dir string) error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keep mounts to oneself: %w", err)
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("ip link set lo up: %w: %s", err, out)
	}
	// What cannot be read is nothing that a document needs.
	_ = exec.Command("cp", "-a", "/etc", filepath.Join(dir, "etc")).Run()
	for _, folder := range []string{"etc", "var/lib", "var/log", "srv"} {
		from := filepath.Join(dir, folder)
		if err := os.MkdirAll(from, 0o755); err != nil {
			return err
		}
		if err := syscall.Mount(from, "/"+folder, "", syscall.MS_BIND, ""); err != nil {
			return fmt.Errorf("put a folder over /%s: %w", folder, err)
		}
	}
	return nil
}

// needNamespaces skips a test where it would be in somebody's way.
func needNamespaces(t *testing.T) string {
	t.Helper()
	if outside != nil {
		t.Skip(outside)
	}
	return os.Getenv(insideVariable)
}
