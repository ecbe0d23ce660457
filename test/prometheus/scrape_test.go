//go:build browser

package prometheus

import (
	"fmt"
	"os/exec"
	"path/filepath"
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

// A real Prometheus scrapes a demo in which nodes are made, used and deleted and
// something is wrong: every query of the dashboard has data, every rule can be
// evaluated, and the alert of what is wrong is raised.
func TestScrape(t *testing.T) {
	bin := t.TempDir()
	if err := proc.Build(t.Context(), bin, "../../cmd/poold", "../../cmd/poolctl"); err != nil {
		t.Fatal(err)
	}
	d := demo.Start(t, filepath.Join(bin, "poold"), t.TempDir(), "demo")
	s := monitor.Start(t, d.Web, rulesFile)
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
			n, err := s.Results(t, query)
			return fmt.Sprint(err), err == nil && n > 0
		}, s.Process, d.Process)
	}
	proc.Await(t, "every rule is evaluated, and the alert is raised", limit, func() (string, bool) {
		var data struct {
			Groups []struct {
				Rules []struct{ Name, Health, State string }
			}
		}
		err := s.Ask(t, "rules", &data)
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
