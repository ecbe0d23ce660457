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
	"strings"
	"testing"

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

// Results counts what a query returns.
func (p *Prometheus) Results(tb testing.TB, query string) (int, error) {
	tb.Helper()
	var data struct{ Result []any }
	err := p.Ask(tb, "query?query="+url.QueryEscape(query), &data)
	return len(data.Result), err
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
