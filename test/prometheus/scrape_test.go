//go:build browser

package prometheus

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
	"time"

	"poold/test/demo"
	"poold/test/proc"
	"poold/test/protocol"
)

// limit is how long anything may take on a machine that has other things to do.
const limit = 3 * time.Minute

// server is a Prometheus that scrapes a demo.
type server struct {
	*proc.Process

	url string
}

func startPrometheus(t *testing.T, target string) *server {
	t.Helper()
	dir := t.TempDir()
	rulesPath, err := filepath.Abs(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf("global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [%q]\n"+
		"scrape_configs: [{job_name: poold, static_configs: [{targets: [%q]}]}]\n", rulesPath, target)
	name := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(name, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	port := proc.FreePorts(t, 1)[0]
	cmd := exec.Command("prometheus", "--config.file="+name, "--storage.tsdb.path="+filepath.Join(dir, "data"),
		fmt.Sprintf("--web.listen-address=127.0.0.1:%d", port))
	return &server{proc.Start(t, dir, "prometheus", cmd), proc.Loopback(port)}
}

// ask asks the API of Prometheus.
func (s *server) ask(t *testing.T, path string, data any) error {
	t.Helper()
	status, body, err := demo.Ask(t.Context(), http.MethodGet, s.url+"/api/v1/"+path)
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

// A real Prometheus scrapes a demo in which nodes are made, used and deleted and
// something is wrong: every query of the dashboard has data, every rule can be
// evaluated, and the alert of what is wrong is raised.
func TestScrape(t *testing.T) {
	if _, err := exec.LookPath("prometheus"); err != nil {
		t.Skip("prometheus is not installed")
	}
	bin := t.TempDir()
	if err := proc.Build(t.Context(), bin, "../../cmd/poold", "../../cmd/poolctl"); err != nil {
		t.Fatal(err)
	}
	d := demo.Start(t, filepath.Join(bin, "poold"), t.TempDir(), "demo")
	s := startPrometheus(t, strings.TrimPrefix(d.Web, "http://"))
	r, err := protocol.New(d.Etcd, "ci").Ask(t.Context(), "1", protocol.Want{Labels: []string{demo.Small, demo.Small}}, 10*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Await(t.Context(), func(a protocol.Answer) bool { return a.State == "fulfilled" }); err != nil {
		t.Fatal(err)
	}
	if err := r.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), filepath.Join(bin, "poolctl"), "--etcd", d.Etcd, "freeze", "--reason", "a test").CombinedOutput()
	if err != nil {
		t.Fatalf("freeze: %v: %s", err, out)
	}
	for _, query := range queries(t) {
		proc.Await(t, query, limit, func() (string, bool) {
			var data struct{ Result []any }
			err := s.ask(t, "query?query="+url.QueryEscape(query), &data)
			return fmt.Sprint(err, data.Result), err == nil && len(data.Result) > 0
		}, s.Process, d.Process)
	}
	proc.Await(t, "every rule is evaluated, and the alert is raised", limit, func() (string, bool) {
		var data struct {
			Groups []struct {
				Rules []struct{ Name, Health, State string }
			}
		}
		err := s.ask(t, "rules", &data)
		if err != nil || len(data.Groups) == 0 {
			return fmt.Sprint(err), false
		}
		well, raised := 0, ""
		for _, r := range data.Groups[0].Rules {
			if r.Health == "ok" {
				well++
			}
			if r.State != "inactive" {
				raised += r.Name + " "
			}
		}
		return fmt.Sprint(data), well == len(rules(t)) && strings.Contains(raised, "PooldFrozen ")
	}, s.Process, d.Process)
}
