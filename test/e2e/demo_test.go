package e2e

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"poold/test/demo"
	"poold/test/protocol"
)

// What docs/protocol.md promises holds for a client that knows only that page,
// and what poold shows meanwhile is true. Every part of the test leaves the
// demo as it found it.
func TestDemo(t *testing.T) { //nolint:tparallel // its parts share a demo
	t.Parallel()
	w, d := startDemo(t)
	for _, part := range []struct {
		name string
		run  func(w *world)
	}{
		{"two nodes", twoNodes},
		{"a client that dies", deadClient},
		{"the same id again", sameIDAgain},
		{"accepted explicitly", accepted},
		{"never accepted", neverAccepted},
		{"released early", releasedEarly},
		{"held for a human", held},
		{"impossible", impossible},
		{"poolctl", poolctlShows},
		{"poolctl's exit codes", exitCodes},
		{"web", pages},
	} {
		t.Run(part.name, func(t *testing.T) {
			inner := w.in(t)
			inner.awaitMinReady()
			part.run(inner)
		})
	}
	stop(t, d.Process)
}

// Two nodes in one request are from one place, can be reached with the host
// keys that were promised, and are destroyed and replaced afterwards.
func twoNodes(w *world) {
	r := w.ask("two", protocol.Want{Labels: []string{demo.Small, demo.Small}})
	nodes := w.fulfilled(r, demo.Small, demo.Small)
	if nodes[0].ID == nodes[1].ID || nodes[0].InterfaceIP == nodes[1].InterfaceIP {
		w.t.Errorf("the same node twice: %+v", nodes)
	}
	for _, n := range nodes {
		if n.State != "in-use" || n.ConnectionType != "ssh" || n.Username == "" {
			w.t.Errorf("not what a client needs: %+v", n)
		}
	}
	w.reach(nodes...)
	used := w.serversOf(nodes...)
	w.delete(r)
	w.awaitGone(used)
	w.awaitMinReady()
	w.await("the used nodes are deleted", answerLimit, func() (string, bool) {
		states := w.node(nodes[0].ID).State + " " + w.node(nodes[1].ID).State
		return states, states == "deleted deleted"
	})
}

// A client that vanishes without a word strands nothing: its nodes are on
// their way out within its lease and five seconds.
func deadClient(w *world) {
	const ttl = 10 * time.Second
	r, err := protocol.New(w.etcd, "e2e").Ask(w.t.Context(), "dies", protocol.Want{Labels: []string{demo.Small}}, ttl)
	if err != nil {
		w.t.Fatal(err)
	}
	used := w.serversOf(w.fulfilled(r, demo.Small)...)
	outlived := time.Now().Add(ttl + 2*time.Second)
	w.await("the client lives longer than its lease was granted for", answerLimit, func() (string, bool) {
		return "not yet", time.Now().After(outlived)
	})
	if left := w.standing(used); len(left) != 1 {
		w.t.Fatal("the lease was kept alive and the server is gone")
	}
	bound := time.Until(r.Abandon()) + ttl + 5*time.Second
	w.await("the server is being deleted", bound, func() (string, bool) {
		left := w.standing(used)
		return fmt.Sprint(left), len(left) == 0
	})
	w.awaitGone(used)
}

// An id that is made anew at once is a new request: it gets new nodes and
// never sees the old answer.
func sameIDAgain(w *world) {
	want := protocol.Want{Labels: []string{demo.Small}}
	first := w.ask("again", want)
	before := w.fulfilled(first, demo.Small)
	w.delete(first)
	second := w.ask("again", want)
	if second.Revision <= first.Revision {
		w.t.Fatalf("revision %d after %d", second.Revision, first.Revision)
	}
	after := w.fulfilled(second, demo.Small)
	if after[0].ID == before[0].ID || after[0].InterfaceIP == before[0].InterfaceIP {
		w.t.Errorf("the second request got the first one's node: %+v", after)
	}
	w.reach(after...)
	used := w.serversOf(after...)
	w.delete(second)
	w.awaitGone(used)
}

// With accept explicit nothing is shown before it is accepted.
func accepted(w *world) {
	r := w.ask("explicit", protocol.Want{Labels: []string{demo.Small, demo.Small}, Accept: "explicit"})
	hidden := w.fulfilled(r, demo.Small, demo.Small)
	for _, n := range hidden {
		if n.State != "ready" || n.InterfaceIP != "" || len(n.HostKeys) != 0 {
			w.t.Errorf("shown before it was accepted: %+v", n)
		}
	}
	if err := r.Rewrite(w.t.Context(), func(v *protocol.Want) { v.Accepted = true }); err != nil {
		w.t.Fatal(err)
	}
	a := w.awaitAnswer(r, "in use", func(a protocol.Answer) bool {
		return !slices.ContainsFunc(a.Nodes, func(n protocol.Node) bool { return n.State != "in-use" })
	})
	for i, n := range a.Nodes {
		if n.ID != hidden[i].ID {
			w.t.Errorf("accepted was %s, given is %s", hidden[i].ID, n.ID)
		}
	}
	w.reach(a.Nodes...)
	used := w.serversOf(a.Nodes...)
	w.delete(r)
	w.awaitGone(used)
}

// Nodes that were offered and not accepted go back to the pool untouched.
func neverAccepted(w *world) {
	r := w.ask("declined", protocol.Want{Labels: []string{demo.Large}, Accept: "explicit"})
	id := w.fulfilled(r, demo.Large)[0].ID
	w.delete(r)
	w.await("the node is back in the pool", answerLimit, func() (string, bool) {
		n := w.node(id)
		return fmt.Sprintf("%+v", n), n.State == "ready" && n.AllocatedTo == nil
	})
}

// A node that is released early goes, the others stay.
func releasedEarly(w *world) {
	r := w.ask("early", protocol.Want{Labels: []string{demo.Small, demo.Small}})
	nodes := w.fulfilled(r, demo.Small, demo.Small)
	servers := w.serversOf(nodes...)
	if err := r.Rewrite(w.t.Context(), func(v *protocol.Want) { v.Release = []string{nodes[0].ID} }); err != nil {
		w.t.Fatal(err)
	}
	a := w.awaitAnswer(r, "one released", func(a protocol.Answer) bool {
		return len(a.Nodes) == 2 && a.Nodes[0].State == "released"
	})
	if a.Nodes[1].State != "in-use" {
		w.t.Errorf("the other node is %s", a.Nodes[1].State)
	}
	w.awaitGone(servers[:1])
	w.reach(nodes[1])
	w.delete(r)
	w.awaitGone(servers)
}

// A node that is held outlives its request, until a human lets it go.
func held(w *world) {
	r := w.ask("hold", protocol.Want{Labels: []string{demo.Small}})
	n := w.fulfilled(r, demo.Small)[0]
	server := w.serversOf(n)
	err := r.Rewrite(w.t.Context(), func(v *protocol.Want) {
		v.Hold = &protocol.Hold{Nodes: []string{n.ID}, Reason: "why did it fail", TTL: "1h"}
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.awaitAnswer(r, "held", func(a protocol.Answer) bool { return len(a.Nodes) == 1 && a.Nodes[0].State == "hold" })
	w.delete(r)
	w.await("the allocation is gone", answerLimit, func() (string, bool) {
		a, err := r.Answer(w.t.Context())
		return fmt.Sprintf("%+v %v", a, err), err == nil && a.State == ""
	})
	if got := w.node(n.ID); got.State != "hold" {
		w.t.Errorf("the held node is %+v", got)
	}
	w.reach(n)
	w.poolctl(0, "node", "unhold", n.ID)
	w.awaitGone(server)
}

// What can never be served fails, and says why.
func impossible(w *world) {
	hundred := slices.Repeat([]string{demo.Small}, 100)
	for id, labels := range map[string][]string{"unknown": {"no-such-label"}, "large": hundred, "none": {}} {
		r := w.ask("impossible-"+id, protocol.Want{Labels: labels})
		a := w.awaitAnswer(r, "failed", func(a protocol.Answer) bool { return a.State == "fulfilled" || a.State == "failed" })
		if a.State != "failed" || a.Error == "" || len(a.Nodes) != 0 {
			w.t.Errorf("%s: %+v", id, a)
		}
		w.t.Logf("%s: %s", id, a.Error)
		w.delete(r)
	}
}
