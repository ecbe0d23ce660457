package proc

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// Build compiles programs of this module into dir, with further arguments for
// "go build" such as "-race" in front of the packages.
func Build(ctx context.Context, dir string, args ...string) error {
	args = append([]string{"build", "-o", dir + "/"}, args...)
	cmd := exec.CommandContext(ctx, "go", args...) //nolint:gosec // the tests say what to build
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// RunBuilt runs the tests of a package with programs that [Build] puts into a folder
// for them, which bin is told. It returns the exit status.
func RunBuilt(tests interface{ Run() int }, bin *string, args ...string) int {
	dir, err := os.MkdirTemp("", "poold-test")
	if err == nil {
		defer func() { _ = os.RemoveAll(dir) }() // it is a temporary folder
		*bin = dir
		err = Build(context.Background(), dir, args...)
	}
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return tests.Run()
}

// CanRace tells whether programs can be built with the race detector: it needs
// cgo and a C compiler.
func CanRace(ctx context.Context) bool {
	out, err := exec.CommandContext(ctx, "go", "env", "CGO_ENABLED", "CC").Output()
	if err != nil {
		return false
	}
	enabled, compiler, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	_, err = exec.LookPath(compiler)
	return enabled == "1" && err == nil
}
