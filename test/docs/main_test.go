package docs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"poold/test/proc"
)

// root is where the repository is.
const root = "../.."

// insideVariable says to a test that it has a network and folders of its own: it is
// the folder of the binaries.
const insideVariable = "POOLD_DOCS_INSIDE"

// bin is the folder of the binaries, which are built once.
var bin string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if bin = os.Getenv(insideVariable); bin != "" {
		if err := furnish(); err != nil {
			_, _ = fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}
	return proc.RunBuilt(m, &bin, root+"/cmd/poold", root+"/cmd/poolctl")
}

// inside runs a test again, in namespaces of its own, so that it can use the ports
// and the folders that documents name, whoever else uses them on this machine.
func inside(t *testing.T) {
	t.Helper()
	if err := namespaced(exec.Command("ip", "link", "set", "lo", "up")).Run(); err != nil {
		t.Skipf("no namespaces can be made here: %v", err)
	}
	cmd := namespaced(exec.Command("/proc/self/exe",
		"-test.run", t.Name(), "-test.v", "-test.timeout", "0", "-test.artifacts", "-test.outputdir", t.ArtifactDir()))
	cmd.Env = append(os.Environ(), insideVariable+"="+bin)
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	runtime.LockOSThread() // the signal comes when the thread ends
	defer runtime.UnlockOSThread()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if strings.Contains(string(out), "--- SKIP") {
		t.Skipf("%s", out)
	}
	t.Logf("%s", out)
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
func furnish() error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keep mounts to oneself: %w", err)
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("ip link set lo up: %w: %s", err, out)
	}
	dir, err := os.MkdirTemp(bin, "root")
	if err != nil {
		return err
	}
	// What cannot be read is nothing that a document needs.
	_ = exec.Command("cp", "-a", "/etc", filepath.Join(dir, "etc")).Run()
	for _, folder := range []string{"etc", "var/lib", "var/log", "srv"} {
		if _, err := os.Stat("/" + folder); err != nil {
			continue // not everybody has it
		}
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
