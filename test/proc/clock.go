package proc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// ClockVariable is by how much the clock of a program that [BuildWithClock] built
// is wrong, as a duration; empty is not at all.
const ClockVariable = "POOLD_CLOCK_OFFSET"

// clockOffset is what the package time gets besides.
const clockOffset = `
// clockOffset is by how many seconds the clock of this process is wrong.
func clockOffset() int64 {
	text, _ := syscall.Getenv("` + ClockVariable + `")
	d, _ := ParseDuration(text)
	return int64(d / Second)
}
`

// BuildWithClock is [Build] of programs whose clock can be set: the clock of the
// machine cannot be moved. They are built with a package time that adds what
// [ClockVariable] says to the machine's clock; timers are not touched.
func BuildWithClock(ctx context.Context, dir string, args ...string) error {
	out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("find the package time: %w", err)
	}
	original := filepath.Join(strings.TrimSpace(string(out)), "src", "time", "time.go")
	text, err := os.ReadFile(original)
	if err != nil {
		return fmt.Errorf("change the package time: %w", err)
	}
	changed := string(text) + clockOffset
	for before, after := range map[string]string{
		"\n\tsec, nsec, mono := runtimeNow()\n": "\n\tsec, nsec, mono := runtimeNow()\n\tsec += clockOffset()\n",
		"\n\t\"math/bits\"\n":                   "\n\t\"math/bits\"\n\t\"syscall\"\n",
	} {
		if strings.Count(changed, before) != 1 {
			return errors.New("change the package time: it is not as it was in Go 1.26")
		}
		changed = strings.Replace(changed, before, after, 1)
	}
	file, overlay := filepath.Join(dir, "time.go"), filepath.Join(dir, "overlay.json")
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{original: file}})
	if err != nil {
		return fmt.Errorf("change the package time: %w", err)
	}
	err = errors.Join(os.WriteFile(file, []byte(changed), 0o600), os.WriteFile(overlay, replace, 0o600)) //nolint:gosec // dir is the test's
	if err != nil {
		return fmt.Errorf("change the package time: %w", err)
	}
	return Build(ctx, dir, append([]string{"-overlay", overlay}, args...)...)
}
