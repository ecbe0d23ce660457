//go:build browser

package prometheus

import (
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"poold/test/demo"
	"poold/test/monitor"
	"poold/test/proc"
	"poold/test/protocol"
)

// limit is how long anything may take on a machine that has other things to do.
const limit = 3 * time.Minute

// A real Prometheus scrapes a demo in which something is wrong for a while, an
// image is built, and nodes are made, used and deleted: every rule can be
// evaluated, the alert of what is wrong is raised, every query of the dashboard and
// every measure of an alert has data, and no series is of something that passes.
func TestScrape(t *testing.T) {
	bin := t.TempDir()
	if err := proc.Build(t.Context(), bin, "../../cmd/poold", "../../cmd/poolctl"); err != nil {
		t.Fatal(err)
	}
	d := demo.Start(t, filepath.Join(bin, "poold"), t.TempDir(), "demo")
	began := time.Now()
	s := monitor.Start(t, d.Web, rulesFile)
	poolctl := func(args ...string) {
		out, err := exec.CommandContext(t.Context(), filepath.Join(bin, "poolctl"), append([]string{"--etcd", d.Etcd}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
	}
	rules := monitor.Rules(t, rulesFile)
	poolctl("freeze", "--reason", "a test")
	proc.Await(t, "every rule is evaluated, and the alert is raised", limit, func() (string, bool) {
		states, err := s.Rules(t)
		well := 0
		for _, r := range states {
			if r.Health == "ok" {
				well++
			}
		}
		return fmt.Sprint(states, err), well == len(rules) && states["PooldFrozen"].State != "inactive"
	}, s.Process, d.Process)
	poolctl("unfreeze")
	poolctl("image", "build", demo.Small)

	asked := monitor.Queries(t, dashboardFile)
	for i := range rules {
		asked = append(asked, rules[i].Measure())
	}
	used := 0
	for _, query := range asked {
		proc.Await(t, query, limit, func() (string, bool) {
			n, err := s.Had(t, query, began)
			if n == 0 {
				used++ // rates need something that goes on
				use(t, d, fmt.Sprintf("scrape-%d", used))
			}
			return fmt.Sprint(n, err), err == nil && n > 0
		}, s.Process, d.Process)
	}
	bounded(t, d)
}

// bounded checks that no series is of one node, server, build or request: there
// would be ever more of them.
func bounded(t *testing.T, d *demo.Demo) {
	t.Helper()
	get := func(path string) string {
		status, body, err := demo.Ask(t.Context(), http.MethodGet, d.Web+path)
		if err != nil || status != http.StatusOK {
			t.Fatalf("%s: status %d, %v", path, status, err)
		}
		return string(body)
	}
	ids := []string{"scrape-"}
	for _, kind := range []string{"nodes", "images", "uploads"} {
		for _, m := range regexp.MustCompile(`"(?:id|batch|instance_id|external_id|build)": ?"([^"]+)"`).FindAllStringSubmatch(get("/api/v1/"+kind), -1) {
			ids = append(ids, m[1])
		}
	}
	if len(ids) < 10 {
		t.Errorf("only %v were looked for", ids)
	}
	metrics := get("/metrics")
	for _, id := range ids {
		if strings.Contains(metrics, id) {
			t.Errorf("a series is of %s", id)
		}
	}
}

// use has nodes made, used and deleted.
func use(t *testing.T, d *demo.Demo, id string) {
	t.Helper()
	r, err := protocol.New(d.Etcd, "ci").Ask(t.Context(), id, protocol.Want{Labels: []string{demo.Small, demo.Small}}, 10*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Await(t.Context(), func(a protocol.Answer) bool { return a.State == "fulfilled" }); err != nil {
		t.Fatal(err)
	}
	if err := r.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
}
