package prometheus

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"poold/test/monitor"
	"poold/web/model"
)

const (
	rulesFile     = "../../deploy/prometheus/rules.yml"
	rulesTests    = "../../deploy/prometheus/rules_test.yml"
	dashboardFile = "../../deploy/grafana/poold.json"
	runbookFile   = "../../docs/runbook.md"
	metricsFile   = "../../docs/metrics.md"
)

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Each class of trouble has an alert, and each alert an entry in the runbook, a
// test that fires it, and one in which it is silent.
func TestEveryTroubleHasAnAlert(t *testing.T) {
	runbook, tests := read(t, runbookFile), read(t, rulesTests)
	var classes []string
	for _, c := range model.Classes() {
		classes = append(classes, c.Name)
	}
	for _, r := range monitor.Rules(t, rulesFile) {
		entry, ok := strings.CutPrefix(r.Annotations.Runbook, "docs/runbook.md#")
		if !ok || !strings.Contains(runbook, "\n## "+entry+"\n") {
			t.Errorf("%s has no entry %q in the runbook", r.Alert, r.Annotations.Runbook)
		}
		if n := strings.Count(tests, "alertname: "+r.Alert); n < 3 {
			t.Errorf("%s is looked at %d times in the tests", r.Alert, n)
		}
		if strings.Contains(r.Expr, `class="`+entry+`"`) {
			classes = slices.DeleteFunc(classes, func(c string) bool { return c == entry })
		}
	}
	if len(classes) > 0 {
		t.Errorf("classes of trouble without an alert: %v", classes)
	}
	if entries := strings.Count(runbook, "\n## "); entries != len(monitor.Rules(t, rulesFile)) {
		t.Errorf("%d entries in the runbook, %d alerts", entries, len(monitor.Rules(t, rulesFile)))
	}
}

// Whatever alerts and dashboard ask for is there.
func TestQueriesUseMetricsThatExist(t *testing.T) {
	known := read(t, metricsFile)
	name := regexp.MustCompile(`poold_[a-z_]+`)
	asked := monitor.Queries(t, dashboardFile)
	for _, r := range monitor.Rules(t, rulesFile) {
		asked = append(asked, r.Expr)
	}
	if len(asked) < 30 {
		t.Fatalf("only %d queries", len(asked))
	}
	for _, query := range asked {
		for _, metric := range name.FindAllString(query, -1) {
			if !strings.Contains(known, "`"+strings.TrimSuffix(metric, "_bucket")+"`") {
				t.Errorf("no metric %s: %s", metric, query)
			}
		}
	}
}

// promtool fires every alert from recorded series.
func TestAlertsFire(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed (Debian's prometheus has it)")
	}
	for _, args := range [][]string{{"check", "rules", rulesFile}, {"test", "rules", rulesTests}} {
		if out, err := exec.CommandContext(t.Context(), promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}
