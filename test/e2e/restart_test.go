package e2e

import (
	"fmt"
	"slices"
	"testing"

	"poold/test/demo"
	"poold/test/protocol"
)

// A peer that is stopped and started again goes on where it was: it throws no
// server away, makes none anew, and a client in between notices nothing.
func TestRestart(t *testing.T) {
	t.Parallel()
	w, site, first := startSite(t)
	r := w.ask("lasting", protocol.Want{Labels: []string{demo.Small}})
	nodes := w.fulfilled(r, demo.Small)
	w.awaitMinReady()
	before := w.settled()

	stop(t, first)
	for _, c := range w.clouds {
		if err := c.ForgetCalls(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	second := site.Run(poold())
	w.needs[0] = second
	site.AwaitReady(second)
	w.await("the second peer has listed the servers of every cloud", answerLimit, func() (string, bool) {
		seen := ""
		for _, c := range w.clouds {
			calls, err := c.Calls(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if calls["compute GET /servers/detail"] == 0 {
				return fmt.Sprintf("%s was called for %v", c.Name, calls), false
			}
			seen += fmt.Sprint(calls)
		}
		return seen, true
	})
	w.awaitMinReady()
	w.reach(nodes...)
	if after := w.settled(); !slices.Equal(before, after) {
		t.Errorf("before the restart there were the servers %v, after it %v", before, after)
	}
	for _, c := range w.clouds {
		calls, err := c.Calls(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n := calls["compute POST /servers"] + calls["compute DELETE /servers/{id}"]; n > 0 {
			t.Errorf("%s was asked %d times to make or delete servers: %v", c.Name, n, calls)
		}
	}

	used := w.serversOf(nodes...)
	w.delete(r)
	w.awaitGone(used)
	stop(t, second)
	stop(t, site.Clouds.Process)
	stop(t, site.Etcd.Process)
}

// settled waits until there are exactly the servers of the live nodes, all up,
// and returns their ids, sorted.
func (w *world) settled() []string {
	w.t.Helper()
	var ids []string
	w.await("there is one server for every node", answerLimit, func() (string, bool) {
		ids = nil
		up := true
		for _, s := range w.servers() {
			ids = append(ids, s.ID)
			up = up && s.Status == "ACTIVE" && s.Task != "deleting"
		}
		live := 0
		for _, n := range w.nodes() {
			if n.State == "ready" || n.State == "in-use" {
				live++
			} else if n.State != "deleted" {
				up = false
			}
		}
		return fmt.Sprintf("%d servers, %d nodes", len(ids), live), up && live == len(ids)
	})
	slices.Sort(ids)
	return ids
}
