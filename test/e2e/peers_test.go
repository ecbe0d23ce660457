package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"poold/test/demo"
	"poold/test/proc"
	"poold/test/protocol"
)

// Two peers share a site. Drained, one hands over all that the other can do
// and takes nothing, and it is not missed when it stops; when the other one
// stops, everything comes back.
func TestTwoPeers(t *testing.T) {
	t.Parallel()
	w, site, first := startSite(t)
	beside := site.Beside("beside")
	second := beside.Run(poold())
	beside.AwaitReady(second)
	w.needs = append(w.needs, second)

	main := slices.DeleteFunc(w.peers(), func(p string) bool { return p == "beside" })[0]
	w.poolctl(exitDone, "peer", "drain", main, "--reason", "upgrade")
	w.contains(w.poolctl(exitDone, "peer", "list"), main+" is drained by", "upgrade")
	w.awaitOwner("allocator", "beside")
	for _, c := range w.clouds {
		w.awaitOwner("provider/"+c.Name, "beside")
	}
	r := w.ask("one", protocol.Want{Labels: []string{demo.Small}})
	w.reach(w.fulfilled(r, demo.Small)...)

	stop(t, first)
	w.needs, w.web = w.needs[1:], beside.Web
	before := w.ask("two", protocol.Want{Labels: []string{demo.Small}})
	w.reach(w.fulfilled(before, demo.Small)...)

	again := site.Run(poold())
	site.AwaitReady(again)
	w.needs, w.web = append(w.needs, again), site.Web
	w.poolctl(exitDone, "peer", "undrain", main)
	stop(t, second)
	w.needs = slices.DeleteFunc(w.needs, func(p *proc.Process) bool { return p == second })
	w.awaitOwner("allocator", main)
	for _, c := range w.clouds {
		w.awaitOwner("provider/"+c.Name, main)
	}
	after := w.ask("three", protocol.Want{Labels: []string{demo.Small}})
	w.reach(w.fulfilled(after, demo.Small)...)
	stop(t, again)
	stop(t, site.Clouds.Process)
	stop(t, site.Etcd.Process)
}

// member is a running peer as poolctl lists it.
type member struct {
	Name string   `json:"name"`
	Owns []string `json:"owns"`
}

func (w *world) members() []member {
	w.t.Helper()
	var list struct {
		Items []member `json:"items"`
	}
	if err := json.Unmarshal([]byte(w.poolctl(exitDone, "peer", "list", "-o", "json")), &list); err != nil {
		w.t.Fatal(err)
	}
	return list.Items
}

// peers are the names of the peers that run.
func (w *world) peers() []string {
	w.t.Helper()
	return strings.Fields(w.poolctl(exitDone, "peer", "list", "-o", "name"))
}

// awaitOwner waits until a peer owns something, and nobody else says so.
func (w *world) awaitOwner(what, peer string) {
	w.t.Helper()
	w.await(fmt.Sprintf("%s owns %s", peer, what), answerLimit, func() (string, bool) {
		var owners []string
		all := w.members()
		for _, m := range all {
			if slices.Contains(m.Owns, what) {
				owners = append(owners, m.Name)
			}
		}
		return fmt.Sprint(all), slices.Equal(owners, []string{peer})
	})
}
