package proc

import (
	"context"
	"fmt"
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
