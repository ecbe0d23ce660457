package systemd

import (
	"os/exec"
	"strings"
	"testing"
)

// The units leave poold no more rights than they say: these are tenths of the
// points that systemd-analyze gives, 100 for a unit that leaves everything.
func TestUnits(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd is not installed")
	}
	for unit, most := range map[string]string{"poold.service": "15", "poold-builder.service": "48"} {
		t.Run(unit, func(t *testing.T) {
			unit = "../../deploy/systemd/" + unit
			out, err := exec.CommandContext(t.Context(), "systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold="+most, unit).CombinedOutput()
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
			// What it does not know it ignores, with a word. The program is not there.
			out, _ = exec.CommandContext(t.Context(), "systemd-analyze", "verify", "--man=no", unit).CombinedOutput()
			for line := range strings.Lines(string(out)) {
				if strings.Contains(line, "poold") && !strings.Contains(line, "/usr/bin/poold is not executable") {
					t.Error(strings.TrimSpace(line))
				}
			}
		})
	}
}
