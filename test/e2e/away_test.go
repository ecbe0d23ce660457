package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"poold/test/demo"
	"poold/test/etcd"
	"poold/test/proc"
	"poold/test/protocol"
)

// awayFor is how long etcd is away. It is longer than the lease of poold, which
// has no session after that.
const awayFor = 8 * time.Second

// While etcd is away nothing is launched or deleted, nodes stay, and poold and
// poolctl say how things are; when it is back everything goes on by itself. It is
// so whether etcd is dead or only silent.
func TestEtcdAway(t *testing.T) {
	t.Parallel()
	cluster := etcd.StartCluster(t, etcd.Options{})
	at := cluster.Endpoints()[0]
	site := demo.NewSiteOn(t, poold(), root, fmt.Sprintf("{endpoints: [%q], lease-ttl: 3s}", at))
	peer := site.Run(poold())
	w := &world{
		t: t, etcd: at, web: site.Web, clouds: site.Clouds.Clouds, needs: []*proc.Process{peer, site.Clouds.Process},
	}
	site.AwaitReady(peer)
	w.awaitMinReady()
	// Somebody has a node, somebody gives one back that is not deleted yet, and
	// somebody waits for more.
	kept := w.ask("kept", protocol.Want{Labels: []string{demo.Small}})
	node := w.fulfilled(kept, demo.Small)
	for _, c := range []struct {
		what       string
		leave, end func()
	}{
		{"dead", cluster.Members[0].Kill, func() { cluster.Start(0) }},
		{"silent", func() { w.signal(cluster, syscall.SIGSTOP) }, func() { w.signal(cluster, syscall.SIGCONT) }},
	} {
		w.awaitMinReady()
		w.settled()
		c.leave()
		w.isAway(c.what)
		before := w.ids()
		w.forgetCalls()
		if _, why := w.poolctlAs(nil, exitFailed, "--etcd", w.etcd, "node", "list"); !strings.Contains(why, "store unavailable") {
			t.Errorf("%s: poolctl says %s", c.what, why)
		}
		until := time.Now().Add(awayFor)
		w.await("etcd is "+c.what+" for a while", 2*awayFor, func() (string, bool) {
			status, _, err := demo.Ask(t.Context(), http.MethodGet, w.web+"/readyz")
			if status == http.StatusOK || err != nil {
				t.Errorf("/readyz: %d, %v", status, err)
			}
			return "", time.Now().After(until)
		})
		if after := w.ids(); !slices.Equal(before, after) {
			t.Errorf("%s: there were the servers %v, and are %v", c.what, before, after)
		}
		if n := w.changes(); n > 0 {
			t.Errorf("%s: %d calls to make or delete servers", c.what, n)
		}
		w.reach(node...)
		c.end()
		cluster.AwaitHealth()
		site.AwaitReady(peer)
		r := w.ask("after-"+c.what, protocol.Want{Labels: []string{demo.Small}})
		w.reach(w.fulfilled(r, demo.Small)...)
		w.delete(r)
	}
	used := w.serversOf(node...)
	w.delete(kept)
	w.awaitGone(used)
	stop(t, peer)
}

// signal is a signal for etcd.
func (w *world) signal(c *etcd.Cluster, s syscall.Signal) {
	w.t.Helper()
	if err := syscall.Kill(c.Members[0].Pid(), s); err != nil {
		w.t.Fatal(err)
	}
}

// isAway waits until poold and poolctl say that etcd is away.
func (w *world) isAway(how string) {
	w.t.Helper()
	w.await("poold says that etcd is "+how, answerLimit, func() (string, bool) {
		status, body, err := demo.Ask(w.t.Context(), http.MethodGet, w.web+"/readyz")
		if err != nil {
			w.t.Fatal(err)
		}
		return string(body), status == http.StatusServiceUnavailable && strings.Contains(string(body), "no session with etcd")
	})
}

// ids are those of all servers, sorted.
func (w *world) ids() []string {
	w.t.Helper()
	var ids []string
	for _, s := range w.servers() {
		ids = append(ids, s.ID)
	}
	slices.Sort(ids)
	return ids
}

func (w *world) forgetCalls() {
	w.t.Helper()
	for _, c := range w.clouds {
		if err := c.ForgetCalls(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
	}
}

// changes counts the calls that make or delete servers.
func (w *world) changes() int {
	w.t.Helper()
	n := 0
	for _, c := range w.clouds {
		calls, err := c.Calls(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		n += calls["compute POST /servers"] + calls["compute DELETE /servers/{id}"]
	}
	return n
}
