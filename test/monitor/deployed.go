package monitor

import (
	"encoding/json"
	"os"
	"regexp"
	"testing"

	"gopkg.in/yaml.v3"
)

// Rule is an alert as it is deployed.
type Rule struct {
	Alert, Expr string
	Annotations struct{ Summary, Runbook string }
}

// threshold is what the measure of an alert is compared with.
var threshold = regexp.MustCompile(` (>|==) \d+$`)

// Measure is what the alert compares with its threshold: there is one, whether or
// not anything is wrong.
func (r *Rule) Measure() string { return threshold.ReplaceAllString(r.Expr, "") }

// Rules reads the alerts of a file.
func Rules(tb testing.TB, name string) []Rule {
	tb.Helper()
	var file struct{ Groups []struct{ Rules []Rule } }
	if err := yaml.Unmarshal(read(tb, name), &file); err != nil {
		tb.Fatal(err)
	}
	var all []Rule
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	for _, r := range all {
		if !threshold.MatchString(r.Expr) {
			tb.Fatalf("%s is compared with no threshold: %s", r.Alert, r.Expr)
		}
	}
	return all
}

// Queries reads those of a dashboard.
func Queries(tb testing.TB, name string) []string {
	tb.Helper()
	var file struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	if err := json.Unmarshal(read(tb, name), &file); err != nil {
		tb.Fatal(err)
	}
	var all []string
	for _, p := range file.Panels {
		for _, q := range p.Targets {
			all = append(all, q.Expr)
		}
	}
	return all
}

func read(tb testing.TB, name string) []byte {
	tb.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		tb.Fatal(err)
	}
	return text
}
