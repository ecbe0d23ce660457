package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"poold/test/demo"
	"poold/test/etcd"
	"poold/test/proc"
	"poold/test/protocol"
)

// A site grows from the etcd inside poold into a cluster, and its etcd is lost
// and restored: by the commands of docs/operations.md. A client with a node
// notices nothing, and keeps its server.
func TestGrow(t *testing.T) {
	t.Parallel()
	cluster := etcd.StartCluster(t, etcd.Options{Members: 3}) // skips where there is none
	site := demo.NewSite(t, poold(), root)
	first := site.Run(poold())
	w := &world{
		t: t, etcd: site.Etcd.Etcd, web: site.Web, clouds: site.Clouds.Clouds,
		needs: []*proc.Process{first, site.Etcd.Process, site.Clouds.Process},
	}
	site.AwaitReady(first)
	w.awaitMinReady()
	r := w.ask("lasting", protocol.Want{Labels: []string{demo.Small}})
	node := w.fulfilled(r, demo.Small)
	w.awaitMinReady()
	before := w.serversOf(node...)

	stop(t, first)
	file := filepath.Join(t.TempDir(), "poold.db")
	save := exec.CommandContext(t.Context(), "sh", "-euc", saveCommand(t))
	save.Dir, save.Env = filepath.Dir(file), append(os.Environ(), "ETCDCTL_API=3", "ETCDCTL_ENDPOINTS="+site.Etcd.Etcd)
	if out, err := save.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	stop(t, site.Etcd.Process)
	cluster.Restore(file)

	grown := site.On(fmt.Sprintf("{endpoints: [%s], lease-ttl: 3s}", strings.Join(cluster.Endpoints(), ", ")))
	second := grown.Run(poold())
	w.etcd, w.web, w.needs = cluster.Endpoints()[0], grown.Web, []*proc.Process{second, site.Clouds.Process}
	grown.AwaitReady(second)
	w.awaitMinReady()
	w.reach(node...)
	// Others may go, where there are more than are kept ready.
	if after := w.serversOf(node...); !slices.Equal(before, after) {
		t.Errorf("the client had the servers %v, and has %v", before, after)
	}
	more := w.ask("more", protocol.Want{Labels: []string{demo.Small}})
	w.reach(w.fulfilled(more, demo.Small)...)
	w.delete(more)
	stop(t, second)
}

// saveCommand is how the document saves etcd.
func saveCommand(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line == "etcdctl snapshot save poold.db" {
			return line
		}
	}
	t.Fatal("the document does not say how to save etcd")
	return ""
}
