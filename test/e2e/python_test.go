package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"poold/pool"
	"poold/test/demo"
)

// The client in Python runs a command on nodes and gives them back; and goes on
// with what it asked for before it was restarted.
func TestPython(t *testing.T) {
	t.Parallel()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("there is no python3")
	}
	w, d := startDemo(t)
	w.awaitMinReady()
	run := func(args ...string) []pool.AllocatedNode {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), python, args...)
		cmd.Env = append(os.Environ(), "PYTHONPATH="+filepath.Join(root, "docs/examples"), "PYTHONDONTWRITEBYTECODE=1", "ETCD="+w.etcd)
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("python3 %q: %v", args, err)
		}
		var nodes []pool.AllocatedNode
		if err := json.Unmarshal(out, &nodes); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return nodes
	}
	const beforeTheLease = 40 * time.Second // which would give the nodes back after 60
	gone := func(nodes []pool.AllocatedNode) {
		t.Helper()
		for _, n := range nodes {
			w.await("node "+string(n.ID)+" is given back", beforeTheLease, func() (string, bool) {
				state := w.node(string(n.ID)).State
				return state, slices.Contains([]string{"used", "deleting", "deleted"}, state)
			})
		}
	}
	nodes := run(filepath.Join(root, "docs/examples/poold.py"), "--etcd", w.etcd, "--client", "python", demo.Small, demo.Small,
		"--", "sh", "-c", `echo "$POOLD_NODES"`)
	if len(nodes) != 2 || nodes[0].Label != demo.Small || nodes[0].InterfaceIP == "" || len(nodes[0].HostKeys) == 0 {
		t.Errorf("the command found %+v", nodes)
	}
	gone(nodes)
	const ask = "import json, os, poold\nc = poold.Client(os.environ['ETCD'], 'python')\n"
	before := run("-c", ask+"print(json.dumps(c.ask(['"+demo.Small+"'], id='again').wait(100)), flush=True); os._exit(0)")
	after := run("-c", ask+"r = c.resume('again'); print(json.dumps(r.wait(100))); r.release()")
	if len(before) != 1 || len(after) != 1 || before[0].ID != after[0].ID {
		t.Errorf("before the restart %+v, after it %+v", before, after)
	}
	gone(after)
	stop(t, d.Process)
}
