//go:build chaos

package chaos

import (
	"context"
	"flag"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

// at cuts the list of boundaries: the whole of it takes an hour.
var at = flag.String("at", "", "only boundaries whose names match this")

// reachLimit is how long it may take until poold is at a boundary.
const reachLimit = 2 * time.Minute

// boundary is a place between a write and a call where poold dies.
type boundary struct {
	name string
	// what is "write" or "call", text what it holds, and count which of those
	// that hold it: the form that the environment variable POOLD_CRASH has.
	what, text string
	count      int
	// first says that it is there only as long as an installation is new.
	first bool
}

// boundaries are all of them, the first ones first. States are matched
// together with the field before or after them, because every record of a
// node holds all of its earlier states.
func boundaries() []boundary {
	node := func(state string) string { return `"label":"ubuntu-noble","state":"` + state + `"` }
	upload := func(state string) string { return `"provider":"demo-north","state":"` + state + `"` }
	imported := func(state string) string { return `"provider":"demo-west","state":"` + state + `"` }
	tasked := func(state string) string { return `"provider":"demo-south","state":"` + state + `"` }
	return []boundary{
		{"installation", "write", "/installation", 1, true},
		{"facts asked", "call", "GET /flavors/detail", 1, true},
		{"quota", "write", "/quota/demo-north", 1, true},
		{"build begun", "write", "/builds/", 1, false},
		{"build ready", "write", `"artifacts":`, 1, false},
		{"upload pending", "write", upload("pending"), 1, false},
		{"image made", "call", "POST /v2/images", 1, false},
		{"upload uploading", "write", upload("uploading"), 1, false},
		{"image sent", "call", "PUT /v2/images/{id}/file", 1, false},
		{"image looked at", "call", "GET /v2/images/{id}", 1, false},
		{"image looked at when it is whole", "call", "GET /v2/images/{id}", 4, false},
		{"upload ready", "write", upload("ready"), 1, false},
		{"upload to be imported", "write", imported("pending"), 1, false},
		{"upload to be staged", "write", imported("uploading"), 1, false},
		{"what a cloud imports is asked", "call", "GET /v2/info/import", 1, false},
		{"image staged", "call", "PUT /v2/images/{id}/stage", 1, false},
		{"import asked for", "call", "POST /v2/images/{id}/import", 1, false},
		{"imported upload ready", "write", imported("ready"), 1, false},
		{"upload by task", "write", tasked("uploading"), 1, false},
		{"what the object store takes is asked", "call", "GET /info", 1, false},
		{"container made", "call", "PUT /{container}", 1, false},
		{"first segment sent", "call", "PUT /{container}/{object}", 1, false},
		{"last segment sent", "call", "PUT /{container}/{object}", 4, false},
		{"object joined", "call", "HEAD /{container}/{object}", 1, false},
		{"task begun", "call", "POST /v2/tasks", 1, false},
		{"task on record", "write", `"task":`, 1, false},
		{"task looked at", "call", "GET /v2/tasks/{id}", 2, false},
		{"image described", "call", "PATCH /v2/images/{id}", 1, false},
		{"upload by task ready", "write", tasked("ready"), 1, false},
		{"first object deleted", "call", "DELETE /{container}/{object}", 1, false},
		{"member", "write", "/members/", 1, false},
		{"allocator owned", "write", "/owners/allocator", 1, false},
		{"provider owned", "write", "/owners/provider/", 2, false},
		{"image owned", "write", "/owners/image/", 1, false},
		{"uploads owned", "write", "/owners/upload/", 2, false},
		{"token", "call", "POST /auth/tokens", 1, false},
		{"request waiting or fulfilled", "write", "/allocations/chaos/", 1, false},
		{"node pending", "write", node("pending"), 1, false},
		{"node building", "write", node("building"), 1, false},
		{"server made", "call", "POST /servers", 1, false},
		{"servers listed", "call", "GET /servers/detail", 3, false},
		{"node ready", "write", node("ready"), 1, false},
		{"request fulfilled", "write", `"state":"fulfilled"`, 2, false},
		{"node in use", "write", node("in-use"), 1, false},
		{"node used", "write", node("used"), 1, false},
		{"node deleting", "write", node("deleting"), 1, false},
		{"server deleted", "call", "DELETE /servers/{id}", 1, false},
		{"node deleted", "write", node("deleted"), 1, false},
		{"upload deleting", "write", upload("deleting"), 1, false},
		{"image deleted", "call", "DELETE /v2/images/{id}", 1, false},
		{"upload deleted", "write", upload("deleted"), 1, false},
		{"build of a new image begun", "write", "/builds/", 1, false},
		{"second server made", "call", "POST /servers", 2, false},
	}
}

// poold may die at each boundary between a write and a call, just before and
// just after: nothing is lost, doubled or left behind.
func TestKilledAtBoundaries(t *testing.T) {
	only, err := regexp.Compile(*at)
	if err != nil {
		t.Fatal(err)
	}
	tr := newTrial(t)
	kills := 0
	for i, b := range boundaries() {
		if testing.Short() && i%5 != 0 || !only.MatchString(b.name) {
			continue
		}
		for _, when := range []string{"before", "after"} {
			tr.dieAt(when, b)
			kills++
		}
	}
	t.Logf("%d boundaries reached", kills)
	tr.judge()
}

// dieAt runs poold until it has died at a boundary, and then without one until
// it can do its work again. Clients are at it all the time.
func (tr *trial) dieAt(when string, b boundary) {
	tr.t.Helper()
	if tr.peer != nil && !b.first {
		tr.peer.Stop()
	}
	name := when + ": " + b.name
	began := time.Now()
	tr.peer = tr.site.Run(poold(), fmt.Sprintf("POOLD_CRASH=%s|%s|%s|%d", when, b.what, b.text, b.count))
	if !b.first {
		tr.start(tr.t, 3, tr.jobs(3, fmt.Sprintf("boundary-%d", began.UnixNano())))
		tr.buildImages()
	}
	limit := time.NewTimer(reachLimit)
	defer limit.Stop()
	select {
	case <-tr.peer.Exited():
		if !tr.peer.Killed() {
			tr.peer.Alive() // it says how it ended
		}
		tr.peer = nil
	case <-limit.C:
		tr.t.Fatalf("%s: poold did not get there within %v", name, reachLimit)
	}
	tr.t.Logf("after %5.1f s: died %s", time.Since(began).Seconds(), name)
	if b.first {
		return // one that lived would end what is new
	}
	tr.peer = tr.site.Run(poold())
	tr.site.AwaitReady(tr.peer)
}

// buildImages asks for new images, as an operator does, until the peer has
// died. A peer that dies leaves the wish in etcd, for the next one.
func (tr *trial) buildImages() {
	ctx, cancel := context.WithCancel(tr.t.Context())
	peer := tr.peer
	go func() {
		defer cancel()
		<-peer.Exited()
	}()
	go func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for ctx.Err() == nil {
			// It is refused while another build runs, and asks again.
			_ = exec.CommandContext(ctx, filepath.Join(bin, "poolctl"),
				"--etcd", tr.etcd, "image", "build", "ubuntu-noble").Run()
			<-tick.C
		}
	}()
}
