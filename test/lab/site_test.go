//go:build lab

package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"poold/test/proc"
	"poold/test/protocol"
)

// Limits of waiting, for a machine that has other things to do.
const (
	soon = 5 * time.Minute  // what poold does by itself
	long = 20 * time.Minute // what the cloud works on
	// patience is for one call: those of all tests queue before a few processes.
	patience = 4 * time.Minute
)

// sweeps is how long it takes a leak to be found and removed: poold looks 30 s
// after its start, 2 minutes after a suspicion, and suspects nothing younger
// than 2 minutes.
const sweeps = 30*time.Second + 2*time.Minute + 30*time.Second

// site is one installation of poold: an etcd, one peer and a tenant of the
// cloud. What it has in common with other sites is the machine and the cloud.
type site struct {
	dir       string
	port      int // of poold's web pages
	tenant    *tenant
	etcd      *etcd
	ci        *protocol.Client
	poold     *proc.Process
	lives     int // of poold
	file      keys
	providers []keys
	// before is what the tenant held before poold came: to be found again.
	before inventory
	// agreed says that an operator let the sweep remove things.
	agreed bool
}

// newSite starts an etcd beside a tenant; poold does not run yet. The test ends
// with retire, which is the judge: a site that was not judged fails.
func newSite(t *testing.T, n *tenant) *site {
	t.Helper()
	s := &site{dir: t.TempDir(), port: proc.FreePorts(t, 1)[0], tenant: n, before: n.inventory(t)}
	t.Cleanup(func() {
		if s.before != nil && !t.Failed() {
			t.Error("the test ended without a look at what is left")
		}
	})
	s.etcd = startEtcd(t, s.dir)
	s.ci = protocol.New(s.etcd.url, "lab")
	return s
}

// start is a site of its own tenant with poold running on these providers.
func start(t *testing.T, providers ...keys) *site {
	t.Helper()
	var regions []string
	for _, p := range providers {
		cloud, _ := p["cloud"].(string)
		regions = append(regions, cloud)
	}
	s := newSite(t, newTenant(t, regions...))
	s.run(t, nil, providers...)
	return s
}

// run starts poold on a configuration.
func (s *site) run(t *testing.T, more keys, providers ...keys) {
	t.Helper()
	s.configure(t, more, providers...)
	s.again(t)
}

// again starts poold on the configuration that there is.
func (s *site) again(t *testing.T) {
	t.Helper()
	binary, err := filepath.Abs(filepath.Join("..", "..", "bin", "poold"))
	if err != nil {
		t.Fatal(err)
	}
	s.lives++
	cmd := exec.Command(binary, "-c", filepath.Join(s.dir, "nodepool.yaml"))
	cmd.Env = append(os.Environ(), "OS_CLIENT_CONFIG_FILE="+s.tenant.file)
	s.poold = proc.Start(t, s.dir, fmt.Sprintf("poold-%d", s.lives), cmd)
	s.await(t, "poold is healthy", soon, func() (string, bool) {
		status, _, err := s.fetch(t, "/healthz")
		return fmt.Sprint(status, err), status == http.StatusOK
	})
}

// stop ends poold, which agrees.
func (s *site) stop(t *testing.T) {
	t.Helper()
	s.poold.Stop()
}

// fetch reads a page of poold.
func (s *site) fetch(t *testing.T, path string) (int, string, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, proc.Loopback(s.port)+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, "", err
	}
	text, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(text), errors.Join(err, answer.Body.Close())
}

// metric is the sum of a metric of poold over those label values that hold
// all the words, such as `outcome="ok"`.
func (s *site) metric(t *testing.T, name string, words ...string) float64 {
	t.Helper()
	status, text, err := s.fetch(t, "/metrics")
	if err != nil || status != http.StatusOK {
		t.Fatalf("metrics: %d, %v", status, err)
	}
	sum := 0.0
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), name+"{")
		if !ok || slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(rest, w) }) {
			continue
		}
		value, err := strconv.ParseFloat(rest[strings.LastIndex(rest, " ")+1:], 64)
		if err != nil {
			t.Fatalf("metric %s: %v", line, err)
		}
		sum += value
	}
	return sum
}

// poolctl runs poolctl on the site's etcd.
func (s *site) poolctl(t *testing.T, args ...string) string {
	t.Helper()
	binary := filepath.Join("..", "..", "bin", "poolctl")
	out, err := exec.Command(binary, append([]string{"--etcd", s.etcd.url}, args...)...).Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			out = exit.Stderr
		}
		t.Fatalf("poolctl %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// record is what poolctl shows of a node.
type record struct {
	ID, State, Label, Failure, Reason, Evidence string
	Instance                                    string `json:"instance_id"`
}

// records are the nodes of the last hour.
func (s *site) records(t *testing.T) []record {
	t.Helper()
	var all struct{ Items []record }
	if err := json.Unmarshal([]byte(s.poolctl(t, "node", "list", "--all", "-o", "json")), &all); err != nil {
		t.Fatal(err)
	}
	return all.Items
}

// failures are the nodes that failed.
func (s *site) failures(t *testing.T) []record {
	t.Helper()
	return slices.DeleteFunc(s.records(t), func(r record) bool { return r.Failure == "" })
}

// await is proc.Await for something that poold has to do.
func (s *site) await(t *testing.T, what string, limit time.Duration, look func() (string, bool)) {
	t.Helper()
	proc.Await(t, what, limit, look, s.poold, s.etcd.process)
}

// ours lists the servers that poold made in a cloud.
func (s *site) ours(t *testing.T, cloud string) []server {
	t.Helper()
	return slices.DeleteFunc(s.tenant.regions[cloud].servers(t), func(v server) bool {
		_, there := s.before[cloud+" server "+v.ID]
		return there
	})
}

// awaitUp waits until poold has exactly n servers in a cloud, all up.
func (s *site) awaitUp(t *testing.T, cloud string, n int) {
	t.Helper()
	s.await(t, fmt.Sprintf("%d servers are up in %s", n, cloud), long, func() (string, bool) {
		servers := s.ours(t, cloud)
		down := slices.ContainsFunc(servers, func(v server) bool { return v.Status != "ACTIVE" })
		return describe(servers), len(servers) == n && !down
	})
}

func describe(servers []server) string {
	var all []string
	for _, v := range servers {
		all = append(all, v.String())
	}
	return fmt.Sprint(len(all), all)
}

// server finds the server of a node in use: the one at its address. Nova hears
// of floating IPs some time after they are attached.
func (s *site) server(t *testing.T, n protocol.Node) server {
	t.Helper()
	var found server
	s.await(t, "a server is up at the address of node "+n.ID, soon, func() (string, bool) {
		servers := s.ours(t, n.Provider)
		at := slices.IndexFunc(servers, func(v server) bool {
			return n.InterfaceIP != "" && v.has(n.InterfaceIP) && v.Status == "ACTIVE"
		})
		if at < 0 {
			return n.InterfaceIP + " is not among " + describe(servers), false
		}
		found = servers[at]
		return "", true
	})
	// The list does not show everything, such as server groups.
	var answer struct{ Server server }
	s.tenant.regions[n.Provider].get(t, compute, "/servers/"+found.ID, &answer)
	return answer.Server
}

// retire restarts poold with a file that wants nothing, and is the judge: soon
// the tenant holds what it held before, unchanged, and nothing else; nothing
// was forgotten for the sweep to find; no node has failed.
func (s *site) retire(t *testing.T) {
	t.Helper()
	s.retireAfterFailures(t)
	for _, f := range s.failures(t) {
		// The lab is slow to answer where the machine has much to do. What such a
		// node left has been looked for above.
		if strings.Contains(f.Reason, "no answer within api_timeout") {
			t.Logf("the cloud did not answer for %v: %+v", patience, f)
			continue
		}
		t.Errorf("a node has failed: %+v", f)
	}
}

// stays watches for a while that nothing is wrong with what the tenant holds.
func (s *site) stays(t *testing.T, what string, limit time.Duration, wrong func(now inventory) string) {
	t.Helper()
	until := time.Now().Add(limit)
	s.await(t, what, limit+soon, func() (string, bool) {
		if trouble := wrong(s.tenant.inventory(t)); trouble != "" {
			t.Fatalf("%s is not so: %s", what, trouble)
		}
		return "", time.Now().After(until)
	})
}

// retireAfterFailures is retire where the cloud had reason to fail nodes.
func (s *site) retireAfterFailures(t *testing.T) {
	t.Helper()
	leaks := s.metric(t, "poold_launcher_leaks_total")
	s.stop(t)
	for _, p := range s.providers {
		for _, key := range []string{"pools", "cloud-images", "diskimages"} {
			delete(p, key)
		}
	}
	s.run(t, nil, s.providers...)
	// A provider without any image is taken for a mistake.
	if uploads := strings.Fields(s.poolctl(t, "upload", "list", "-o", "name")); len(uploads) > 0 {
		s.poolctl(t, append([]string{"upload", "delete", "--reason", "the test is over"}, uploads...)...)
	}
	s.await(t, "the cloud is as it was before", long, func() (string, bool) {
		differences := s.before.differences(s.tenant.inventory(t))
		return differences, differences == ""
	})
	if leaks += s.metric(t, "poold_launcher_leaks_total"); leaks > 0 && !s.agreed {
		t.Errorf("%v things were forgotten and found by the sweep", leaks)
	}
	s.before = nil
	s.stop(t)
}
