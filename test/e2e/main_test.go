package e2e

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"poold/test/demo"
	"poold/test/proc"
	"poold/test/protocol"
)

// root is where the repository is.
const root = "../.."

// The limits of waiting. They are long because machines are shared; what is
// quick is so by far.
const (
	answerLimit = 2 * time.Minute
	goneLimit   = time.Minute
	stopLimit   = 20 * time.Second
)

// bin is the folder of the binaries, which are built once.
var bin string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	// Most of the time of most tests is waiting.
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	args := []string{root + "/cmd/poold", root + "/cmd/poolctl"}
	if proc.CanRace(context.Background()) {
		args = append([]string{"-race"}, args...)
	}
	return proc.RunBuilt(m, &bin, args...)
}

func poold() string { return filepath.Join(bin, "poold") }

// world is a running poold with what it works on, to be looked at from
// outside.
type world struct {
	t         *testing.T
	etcd, web string
	clouds    []demo.Cloud
	// needs are the programs without which nothing can be waited for.
	needs []*proc.Process
}

// startDemo runs the demo.
func startDemo(t *testing.T) (*world, *demo.Demo) {
	t.Helper()
	d := demo.Start(t, poold(), t.TempDir(), "demo")
	return &world{t: t, etcd: d.Etcd, web: d.Web, clouds: d.Clouds, needs: []*proc.Process{d.Process}}, d
}

// startSite runs a peer beside an etcd and clouds that are processes of their own,
// and waits until its nodes are ready. The peer is the first that the world needs.
func startSite(t *testing.T) (*world, *demo.Site, *proc.Process) {
	t.Helper()
	site := demo.NewSite(t, poold(), root)
	first := site.Run(poold())
	w := &world{
		t: t, etcd: site.Etcd.Etcd, web: site.Web, clouds: site.Clouds.Clouds,
		needs: []*proc.Process{first, site.Etcd.Process, site.Clouds.Process},
	}
	site.AwaitReady(first)
	w.awaitMinReady()
	return w, site, first
}

// in is the world for a subtest.
func (w *world) in(t *testing.T) *world {
	t.Helper()
	inner := *w
	inner.t = t
	return &inner
}

// await is proc.Await for something that the programs have to do.
func (w *world) await(what string, limit time.Duration, look func() (string, bool)) {
	w.t.Helper()
	proc.Await(w.t, what, limit, look, w.needs...)
}

// ask makes a request of the client "e2e" that lives for a minute after its
// client.
func (w *world) ask(id string, want protocol.Want) *protocol.Request {
	w.t.Helper()
	r, err := protocol.New(w.etcd, "e2e").Ask(w.t.Context(), id, want, time.Minute)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// awaitAnswer waits until enough is true of the answer to a request.
func (w *world) awaitAnswer(r *protocol.Request, what string, enough func(protocol.Answer) bool) protocol.Answer {
	w.t.Helper()
	ctx, cancel := context.WithTimeoutCause(w.t.Context(), answerLimit, fmt.Errorf("%s: not within %v", what, answerLimit))
	defer cancel()
	a, err := r.Await(ctx, enough)
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

// fulfilled waits until a request is fulfilled with the labels in order.
func (w *world) fulfilled(r *protocol.Request, labels ...string) []protocol.Node {
	w.t.Helper()
	a := w.awaitAnswer(r, "fulfilled or failed", func(a protocol.Answer) bool {
		return a.State == "fulfilled" || a.State == "failed"
	})
	if a.State == "failed" {
		w.t.Fatalf("%s failed: %s", r.Name(), a.Error)
	}
	var got []string
	for _, n := range a.Nodes {
		got = append(got, n.Label)
		if n.Provider != a.Nodes[0].Provider || n.Pool != a.Nodes[0].Pool || n.AZ != a.Nodes[0].AZ {
			w.t.Errorf("%s has nodes from several places: %+v", r.Name(), a.Nodes)
		}
	}
	if !slices.Equal(got, labels) {
		w.t.Fatalf("%s asked for %v and got %v", r.Name(), labels, got)
	}
	return a.Nodes
}

// reach checks that nodes answer with the host keys that were promised.
func (w *world) reach(nodes ...protocol.Node) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), answerLimit)
	defer cancel()
	for _, n := range nodes {
		if err := n.Reach(ctx); err != nil {
			w.t.Error(err)
		}
	}
}

// delete ends a request.
func (w *world) delete(r *protocol.Request) {
	w.t.Helper()
	if err := r.Delete(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// servers are all servers in all clouds.
func (w *world) servers() []demo.Server {
	w.t.Helper()
	var all []demo.Server
	for _, c := range w.clouds {
		servers, err := c.Servers(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, servers...)
	}
	return all
}

// serversOf finds the servers that have the addresses of nodes.
func (w *world) serversOf(nodes ...protocol.Node) []string {
	w.t.Helper()
	all := w.servers()
	var ids []string
	for _, n := range nodes {
		at := slices.IndexFunc(all, func(s demo.Server) bool { return slices.Contains(s.Addresses, demo.Address{IP: n.InterfaceIP}) })
		if at < 0 {
			w.t.Fatalf("no server has the address of %+v", n)
		}
		ids = append(ids, all[at].ID)
	}
	return ids
}

// standing are those of the servers that still exist and are not being
// deleted.
func (w *world) standing(ids []string) []string {
	w.t.Helper()
	var left []string
	for _, s := range w.servers() {
		if slices.Contains(ids, s.ID) && s.Task != "deleting" {
			left = append(left, s.ID)
		}
	}
	return left
}

// awaitGone waits until servers do not exist any more.
func (w *world) awaitGone(ids []string) {
	w.t.Helper()
	w.await(fmt.Sprintf("%d used servers are gone", len(ids)), goneLimit, func() (string, bool) {
		all := w.servers()
		left := slices.ContainsFunc(all, func(s demo.Server) bool { return slices.Contains(ids, s.ID) })
		return fmt.Sprintf("%v of which none may be left: %+v", ids, all), !left
	})
}

// awaitMinReady waits until as many nodes are ready as the configuration
// keeps.
func (w *world) awaitMinReady() {
	w.t.Helper()
	w.await("the ready nodes are replaced", answerLimit, func() (string, bool) {
		ready := map[string]int{}
		for _, n := range w.nodes() {
			if n.State == "ready" && n.AllocatedTo == nil {
				ready[n.Label]++
			}
		}
		return fmt.Sprint(ready), ready[demo.Small] >= demo.SmallReady && ready[demo.Large] >= demo.LargeReady
	})
}

// node is a node as the web lists show it.
type node struct {
	ID          string          `json:"id"`
	Label       string          `json:"label"`
	State       string          `json:"state"`
	AllocatedTo json.RawMessage `json:"allocated_to"`
	InstanceID  string          `json:"instance_id"`
	InterfaceIP string          `json:"interface_ip"`
}

// nodes are the nodes that the web lists show.
func (w *world) nodes() []node {
	w.t.Helper()
	var list struct {
		Items []node `json:"items"`
	}
	if err := json.Unmarshal(w.page("/api/v1/nodes"), &list); err != nil {
		w.t.Fatal(err)
	}
	return list.Items
}

// node is one of them, or the zero node.
func (w *world) node(id string) node {
	w.t.Helper()
	for _, n := range w.nodes() {
		if n.ID == id {
			return n
		}
	}
	return node{}
}

// page is the body of a page that must be there.
func (w *world) page(path string) []byte {
	w.t.Helper()
	status, body, err := demo.Ask(w.t.Context(), http.MethodGet, w.web+path)
	if err != nil || status != http.StatusOK {
		w.t.Fatalf("%s: %d, %v: %s", path, status, err, body)
	}
	return body
}

// stop ends a program as systemd does, within a bound, and looks for data
// races in what it said.
func stop(t *testing.T, p *proc.Process) {
	t.Helper()
	begin := time.Now()
	p.Stop()
	if took := time.Since(begin); took > stopLimit {
		t.Errorf("it took %v to stop; it should take less than %v", took, stopLimit)
	}
	if strings.Contains(p.Output(), "DATA RACE") {
		t.Error("the race detector found something")
	}
}
