package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"poold/test/demo"
	"poold/test/proc"
	"poold/test/protocol"
)

// rack is hosts, and a peer of poold that lends them.
type rack struct {
	*world

	dir, config string
	// head is the configuration down to the hosts.
	head  string
	runs  int
	hosts []*host
	etcd  *demo.Demo

	mu sync.Mutex // guards held
	// held is who has which slot.
	held map[string]string
}

// newRack starts an etcd and a peer that lends hosts.
func newRack(t *testing.T, hosts ...*host) *rack {
	t.Helper()
	dir := t.ArtifactDir()
	r := &rack{dir: dir, hosts: hosts, held: map[string]string{}, etcd: demo.Start(t, poold(), dir, "etcd", "--only", "etcd")}
	port := proc.FreePorts(t, 1)[0]
	r.world = &world{t: t, etcd: r.etcd.Etcd, web: proc.Loopback(port), needs: []*proc.Process{nil, r.etcd.Process}}
	r.config = filepath.Join(dir, "nodepool.yaml")
	r.head = fmt.Sprintf("etcd: {endpoints: [%q], lease-ttl: 3s}\nwebapp: {port: %d, listen_address: 127.0.0.1}\n", r.etcd.Etcd, port) +
		// More than there are slots: each has something standing ready, whichever
		// label it is for.
		"labels: [{name: plain, min-ready: 4}, {name: other, min-ready: 4}]\nproviders:\n  - name: rack\n    driver: static\n    pools:\n      - name: main\n        nodes:\n"
	var lines []string
	for _, h := range hosts {
		lines = append(lines, h.config(h.publicKey()))
	}
	r.configure(lines...)
	r.run()
	return r
}

// configure writes the configuration with the lines of hosts.
func (r *rack) configure(lines ...string) {
	r.t.Helper()
	text := r.head + strings.Join(lines, "")
	if err := os.WriteFile(r.config, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// run starts the peer.
func (r *rack) run() {
	r.t.Helper()
	r.runs++
	cmd := exec.Command(poold(), "-c", r.config)
	r.needs[0] = proc.Start(r.t, r.dir, fmt.Sprint("poold-", r.runs), cmd)
	r.await("poold is ready for work", answerLimit, func() (string, bool) {
		status, body, err := demo.Ask(r.t.Context(), http.MethodGet, r.web+"/readyz")
		return fmt.Sprintf("%d %s %v", status, body, err), status == http.StatusOK
	})
}

// ready counts the ready nodes of each host.
func (r *rack) ready() map[string]int {
	r.t.Helper()
	_, body, err := demo.Ask(r.t.Context(), http.MethodGet, r.web+"/api/v1/nodes")
	if err != nil {
		r.t.Fatal(err)
	}
	var page struct {
		Items []struct {
			State string `json:"state"`
			AZ    string `json:"az"`
		} `json:"items"`
	}
	if err := json.Unmarshal(body, &page); err != nil {
		r.t.Fatal(err)
	}
	count := map[string]int{}
	for _, n := range page.Items {
		if n.State == "ready" {
			count[n.AZ]++
		}
	}
	return count
}

// awaitReady waits until each slot of the hosts, and no other, stands ready.
func (r *rack) awaitReady(what string, hosts ...*host) {
	r.t.Helper()
	want := map[string]int{}
	for _, h := range hosts {
		want[h.id()] = h.slots
	}
	r.await(what, answerLimit, func() (string, bool) {
		got := r.ready()
		return fmt.Sprint(got), fmt.Sprint(got) == fmt.Sprint(want)
	})
}

// use has a node of a label, and then gives it back. It fails the test if
// somebody else has the slot at the same time.
func (r *rack) use(ctx context.Context, id, label string) (protocol.Node, error) {
	request, err := protocol.New(r.world.etcd, "e2e").Ask(ctx, id, protocol.Want{Labels: []string{label}}, time.Minute)
	if err != nil {
		return protocol.Node{}, err
	}
	a, err := request.Wait(ctx)
	if err != nil {
		return protocol.Node{}, err
	}
	if a.State != "fulfilled" || len(a.Nodes) != 1 || a.Nodes[0].Slot == nil {
		return protocol.Node{}, fmt.Errorf("%s: %+v", id, a)
	}
	n := a.Nodes[0]
	if err := r.hold(id, n); err != nil {
		return n, err
	}
	if err := n.Reach(ctx); err != nil {
		return n, fmt.Errorf("%s got %s, which is not there: %w", id, n.AZ, err)
	}
	r.letGo(n)
	return n, request.Delete(ctx)
}

func (r *rack) hold(id string, n protocol.Node) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	seat := fmt.Sprint(n.AZ, " slot ", *n.Slot)
	if other := r.held[seat]; other != "" {
		return fmt.Errorf("%s and %s have %s", id, other, seat)
	}
	for _, h := range r.hosts {
		if h.id() == n.AZ && *n.Slot >= h.slots {
			return fmt.Errorf("%s got %s of %d slots", id, seat, h.slots)
		}
	}
	r.held[seat] = id
	return nil
}

func (r *rack) letGo(n protocol.Node) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.held, fmt.Sprint(n.AZ, " slot ", *n.Slot))
}

// burst has many clients use nodes at once, each several times, and returns how
// often each host was lent.
func (r *rack) burst(name string, clients, times int, labels ...string) map[string]int {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 2*answerLimit)
	defer cancel()
	var mu sync.Mutex
	lent := map[string]int{}
	var all sync.WaitGroup
	for k := range clients {
		all.Go(func() {
			for i := range times {
				n, err := r.use(ctx, fmt.Sprint(name, "-", k, "-", i), labels[(k+i)%len(labels)])
				if err != nil {
					r.t.Error(err)
					return
				}
				mu.Lock()
				lent[n.AZ]++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return lent
}

// all has a set that needs every slot of every host, and gives it back.
func (r *rack) all(name string, labels ...string) {
	r.t.Helper()
	request := r.ask(name+"-all", protocol.Want{Labels: labels})
	nodes := r.awaitAnswer(request, "all slots at once", func(a protocol.Answer) bool { return a.State == "fulfilled" }).Nodes
	for _, n := range nodes {
		if err := r.hold(name+"-all", n); err != nil {
			r.t.Error(err)
		}
	}
	r.reach(nodes...)
	for _, n := range nodes {
		r.letGo(n)
	}
	r.delete(request)
}

// Hosts that are there already are lent while they are there, each slot to one
// client at a time.
func TestStaticHosts(t *testing.T) {
	one, two, three := newHost(t, "one", 1, "plain"), newHost(t, "two", 2, "plain, other"), newHost(t, "three", 1, "other")
	r := newRack(t, one, two, three)
	r.awaitReady("every slot is ready", one, two, three)

	r.burst("burst", 8, 4, "plain", "other")
	r.all("burst", "plain", "plain", "other", "other")
	r.awaitReady("every slot is ready again", one, two, three)

	// One dies: from then on nobody gets it, and nobody waits for it.
	one.stop()
	if lent := r.burst("dead", 6, 3, "plain"); lent[one.id()] > 0 {
		t.Errorf("a dead host was lent: %v", lent)
	}
	r.awaitReady("the dead host's slots are not", two, three)
	one.start()
	r.awaitReady("it is back", one, two, three)
	r.burst("back", 6, 3, "plain")
	r.all("back", "plain", "plain", "plain", "other")
	r.awaitReady("every slot is ready in the end", one, two, three)
}

// A peer that dies while nodes are in use takes nothing from anybody, and the
// next one gives nothing twice. A host that shows another key than the
// configured one is not lent; one that left the configuration is no more.
func TestStaticHostsOutliveThePeer(t *testing.T) {
	one, two := newHost(t, "one", 1, "plain"), newHost(t, "two", 2, "plain")
	r := newRack(t, one, two)
	r.awaitReady("every slot is ready", one, two)
	set := r.ask("set", protocol.Want{Labels: []string{"plain", "plain", "plain"}})
	nodes := r.awaitAnswer(set, "a set of all slots", func(a protocol.Answer) bool { return a.State == "fulfilled" }).Nodes
	for _, n := range nodes {
		if err := r.hold("set", n); err != nil {
			t.Error(err)
		}
	}
	r.reach(nodes...)
	late := r.ask("late", protocol.Want{Labels: []string{"plain"}})
	r.awaitAnswer(late, "the next one waits", func(a protocol.Answer) bool { return a.State == "waiting" && len(a.Reasons) > 0 })

	r.needs[0].Kill()
	<-r.needs[0].Exited()
	// Meanwhile the second host is said to be another one, and the first is
	// taken off.
	three := newHost(t, "three", 2, "plain")
	r.configure(two.config(three.publicKey()), three.config(three.publicKey()))
	r.run()
	got := r.awaitAnswer(late, "the new host serves who waits", func(a protocol.Answer) bool { return a.State == "fulfilled" }).Nodes
	if got[0].AZ != three.id() {
		t.Errorf("late got %+v, want a slot of %s", got[0], three.id())
	}
	a, err := set.Answer(t.Context())
	if err != nil || !slices.EqualFunc(a.Nodes, nodes, func(a, b protocol.Node) bool { return a.ID == b.ID && a.State == "in-use" && a.AZ == b.AZ }) {
		t.Errorf("after the restart the set has %+v, %v, want %+v", a.Nodes, err, nodes)
	}
	r.delete(set)
	r.delete(late)
	r.awaitReady("only the new host is ready", three)
	if lent := r.burst("after", 5, 2, "plain"); lent[three.id()] != 10 {
		t.Errorf("lent: %v", lent)
	}
}
