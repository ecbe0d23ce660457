// Package monitor runs Debian's Prometheus for tests: it scrapes a running poold,
// and is asked what it makes of that.
package monitor

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"poold/test/demo"
	"poold/test/proc"
)

// Prometheus is one that scrapes a poold every second.
type Prometheus struct {
	*proc.Process

	url string
}

// Start runs a Prometheus with a file of rules, which scrapes the pages at a URL,
// until the test ends. Without an installed one the test is skipped.
func Start(tb testing.TB, web, rules string) *Prometheus {
	tb.Helper()
	if _, err := exec.LookPath("prometheus"); err != nil {
		tb.Skip("prometheus is not installed")
	}
	dir := tb.TempDir()
	rules, err := filepath.Abs(rules)
	if err != nil {
		tb.Fatal(err)
	}
	config := fmt.Sprintf("global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [%q]\n"+
		"scrape_configs: [{job_name: poold, static_configs: [{targets: [%q]}]}]\n", rules, strings.TrimPrefix(web, "http://"))
	name := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(name, []byte(config), 0o600); err != nil {
		tb.Fatal(err)
	}
	port := proc.FreePorts(tb, 1)[0]
	cmd := exec.Command("prometheus", "--config.file="+name, "--storage.tsdb.path="+filepath.Join(dir, "data"), //nolint:noctx,gosec // proc ends it
		fmt.Sprintf("--web.listen-address=127.0.0.1:%d", port))
	return &Prometheus{proc.Start(tb, dir, "prometheus", cmd), proc.Loopback(port)}
}

// Ask asks the API of Prometheus.
func (p *Prometheus) Ask(tb testing.TB, path string, data any) error {
	tb.Helper()
	status, body, err := demo.Ask(tb.Context(), http.MethodGet, p.url+"/api/v1/"+path)
	if err != nil {
		return err
	}
	answer := struct {
		Status, Error string
		Data          any
	}{Data: data}
	if err := json.Unmarshal(body, &answer); err != nil {
		return err
	}
	if answer.Status != "success" {
		return fmt.Errorf("status %d: %s", status, body)
	}
	return nil
}

// Had counts the series of which a query has returned a number at some time since:
// what nothing was observed of is none.
func (p *Prometheus) Had(tb testing.TB, query string, since time.Time) (int, error) {
	tb.Helper()
	now := time.Now()
	const most = 10_000 // points that Prometheus returns of a series
	step := max(time.Second, now.Sub(since)/most)
	var data struct {
		Result []struct{ Values [][2]any } // times, and values as text
	}
	err := p.Ask(tb, fmt.Sprintf("query_range?query=%s&start=%d&end=%d&step=%f",
		url.QueryEscape(query), since.Unix(), now.Unix(), step.Seconds()), &data)
	n := 0
	for _, series := range data.Result {
		if slices.ContainsFunc(series.Values, func(v [2]any) bool { return v[1] != "NaN" }) {
			n++
		}
	}
	return n, err
}

// RuleState is what Prometheus makes of a rule.
type RuleState struct{ Name, Health, State string }

// Rules tells of the rules, by their names.
func (p *Prometheus) Rules(tb testing.TB) (map[string]RuleState, error) {
	tb.Helper()
	var data struct{ Groups []struct{ Rules []RuleState } }
	err := p.Ask(tb, "rules", &data)
	states := map[string]RuleState{}
	for _, g := range data.Groups {
		for _, r := range g.Rules {
			states[r.Name] = r
		}
	}
	return states, err
}

// Alert is an alert that is pending or firing.
type Alert struct {
	Labels map[string]string
	State  string
}

// Alerts lists the alerts that are not silent.
func (p *Prometheus) Alerts(tb testing.TB) ([]Alert, error) {
	tb.Helper()
	var data struct{ Alerts []Alert }
	err := p.Ask(tb, "alerts", &data)
	return data.Alerts, err
}
