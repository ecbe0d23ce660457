//go:build browser

package browser

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"poold/test/demo"
	"poold/test/proc"
	"poold/test/protocol"
)

// root is where the repository is.
const root = "../.."

// limit is how long anything may take on a machine that has other things to do.
const limit = 2 * time.Minute

// bin is the folder of the binaries, which are built once.
var bin string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if _, err := exec.LookPath("chromium"); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "chromium is not installed: the pages were not opened in a browser")
		return 0
	}
	return proc.RunBuilt(m, &bin, root+"/cmd/poold", root+"/cmd/poolctl")
}

// site is a running demo, to be looked at.
type site struct {
	*demo.Demo
}

func startSite(t *testing.T) *site {
	t.Helper()
	return &site{demo.Start(t, filepath.Join(bin, "poold"), t.TempDir(), "demo")}
}

// ask makes a request that lives as long as the test.
func (s *site) ask(t *testing.T, id string, labels ...string) *protocol.Request {
	t.Helper()
	r, err := protocol.New(s.Etcd, "browser").Ask(t.Context(), id, protocol.Want{Labels: labels}, 10*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// fulfilled waits for the nodes of a request.
func (s *site) fulfilled(t *testing.T, r *protocol.Request) []protocol.Node {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	a, err := r.Await(ctx, func(a protocol.Answer) bool { return a.State == "fulfilled" || a.State == "failed" })
	if err != nil || a.State != "fulfilled" {
		t.Fatalf("%s: %v %+v", r.Name(), err, a)
	}
	return a.Nodes
}

// fault makes a cloud of the demo misbehave.
func (s *site) fault(t *testing.T, cloud string, fault map[string]any) {
	t.Helper()
	body, err := json.Marshal(fault)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range s.Clouds {
		if c.Name != cloud {
			continue
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.URL+"/sim/faults", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close() // only the status counts
		if answer.StatusCode >= http.StatusBadRequest {
			t.Fatalf("fault of %s: status %d", cloud, answer.StatusCode)
		}
		return
	}
	t.Fatalf("there is no cloud %s", cloud)
}

// list reads a list of the JSON API.
func (s *site) list(t *testing.T, kind string) []map[string]any {
	t.Helper()
	_, body, err := demo.Ask(t.Context(), http.MethodGet, s.Web+"/api/v1/"+kind)
	var answer struct {
		Items []map[string]any `json:"items"`
	}
	if err == nil {
		err = json.Unmarshal(body, &answer)
	}
	if err != nil {
		t.Fatal(err)
	}
	return answer.Items
}
