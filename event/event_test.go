package event

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"poold/pool"
)

func begin() time.Time { return time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC) }

func at(minutes int) time.Time { return begin().Add(time.Duration(minutes) * time.Minute) }

// said is what events say, each in a line.
func said(events []Event) []string {
	var lines []string
	for _, e := range events {
		lines = append(lines, fmt.Sprintf("%s %s %s: %s -> %s by %s (%s) after %.0f", e.At.Format("15:04"), e.Kind, e.Name, e.From, e.To, e.By, e.Reason, e.Seconds))
	}
	return lines
}

func TestEveryMoveOfANode(t *testing.T) {
	first := (&pool.Node{ID: "a", Provider: "p", Created: at(0)}).Moved(pool.NodePending, pool.Allocator, "wanted", at(0))
	last := first.Moved(pool.NodeBuilding, pool.Launcher, "batch", at(1)).Moved(pool.NodeReady, pool.Launcher, "", at(3))
	other := &pool.Node{ID: "b", Provider: "p"}
	gone := &pool.Node{ID: "c", Provider: "p"}
	got := said(Between(
		&pool.Snapshot{Nodes: []*pool.Node{first, other, gone}}, &pool.Snapshot{Nodes: []*pool.Node{last, other}}, at(9)))
	want := []string{
		"03:01 node a: pending -> building by launcher (batch) after 60",
		"03:03 node a: building -> ready by launcher () after 120",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if all := Of(&pool.Snapshot{Nodes: []*pool.Node{last}}, at(9)); len(all) != 3 || all[0].To != "pending" {
		t.Errorf("the records tell %v", said(all))
	}
}

// A log that is kept tells which server served a request, long after both are
// gone.
func TestWhichServerServedARequest(t *testing.T) {
	node := &pool.Node{ID: "a", Provider: "p", InstanceID: "server-1", Image: "i", Build: "b"}
	waits := &pool.Allocation{Client: "ci", ID: "7", State: pool.AllocationWaiting, Created: at(0), Since: at(0)}
	given := *waits
	given.State, given.Since = pool.AllocationFulfilled, at(2)
	given.Nodes = []pool.AllocatedNode{{ID: "a", Provider: "p", Label: "l", Image: "i"}}
	got := Between(
		&pool.Snapshot{Nodes: []*pool.Node{node}, Allocations: []*pool.Allocation{waits}},
		&pool.Snapshot{Nodes: []*pool.Node{node}, Allocations: []*pool.Allocation{&given}}, at(9))
	want := []Event{{
		At: at(2), Kind: Request, Name: "ci/7", From: "waiting", To: "fulfilled", By: "allocator", Seconds: 120,
		Served: []Served{{Node: "a", Label: "l", Provider: "p", Instance: "server-1", Image: "i", Build: "b"}},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if !got[0].Kept() {
		t.Error("it is not kept")
	}
}

func TestWhatHumansDo(t *testing.T) {
	asked := &pool.Command{ID: "1", Verb: pool.VerbHold, Node: "a", By: "ann@desk", Reason: "look", At: at(1)}
	done := *asked
	done.Done = true
	refused := pool.Command{ID: "2", Verb: pool.VerbBuild, Target: "i", By: "bob", At: at(2), Done: true, Error: "no such image"}
	ended := &pool.Command{ID: "4", Verb: pool.VerbUnpauseProvider, Target: "p", By: "eve", Reason: "mended", At: at(5), Done: true}
	others := &pool.Command{ID: "5", Verb: pool.VerbUnpauseImage, Target: "p", By: "bob", At: at(6), Done: true}
	explain := &pool.Command{ID: "3", Verb: pool.VerbExplain, Target: "ci/1"}
	thaw := &pool.Command{ID: "6", Verb: pool.VerbUnfreeze, By: "eve", Reason: "it is out", At: at(7), Done: true}
	undrain := &pool.Command{ID: "7", Verb: pool.VerbUndrainPeer, Target: "two", By: "bob", At: at(8), Done: true}
	thawed := Between(&pool.Snapshot{Freeze: &pool.Freeze{At: at(4)}}, &pool.Snapshot{Commands: []*pool.Command{thaw}}, at(9))
	got := Between(
		&pool.Snapshot{
			Commands: []*pool.Command{asked}, Pauses: []*pool.Pause{{Image: "i"}, {Provider: "p"}}, Drains: []*pool.Drain{{Peer: "two"}, {Peer: "three"}},
		},
		&pool.Snapshot{
			Commands: []*pool.Command{&done, &refused, explain, ended, others, undrain}, Drains: []*pool.Drain{{Peer: "one", By: "ann", At: at(3)}},
			Freeze: &pool.Freeze{By: "ann", Reason: "fire", At: at(4)},
		}, at(9))
	got = append(got, thawed...)
	lines := said(got)
	for _, line := range []string{
		"03:09 freeze launching: frozen -> unfrozen by eve (it is out) after 0",
		"03:09 drain two: drained -> undrained by bob () after 0",
		"03:09 drain three: drained -> undrained by  () after 0",
		"03:02 command image-build i:  -> asked by bob () after 0",
		"03:03 drain one:  -> drained by ann () after 0",
		"03:04 freeze launching:  -> frozen by ann (fire) after 0",
		"03:09 command node-hold a: asked -> done by ann@desk (look) after 0",
		"03:09 command image-build i: asked -> refused by bob (no such image) after 0",
		"03:09 pause i: paused -> unpaused by  () after 0",
		"03:09 pause p: paused -> unpaused by eve (mended) after 0",
		"03:05 command provider-unpause p:  -> asked by eve (mended) after 0",
		"03:09 command provider-unpause p: asked -> done by eve (mended) after 0",
	} {
		if !slices.Contains(lines, line) {
			t.Errorf("nobody says %q", line)
		}
	}
	if len(lines) != 18 {
		t.Errorf("got %q", lines)
	}
	for i := range got {
		if !got[i].Human() {
			t.Errorf("no human did %q", lines[i])
		}
	}
}

// Timelines that forget their beginning tell each move once all the same.
func TestUploads(t *testing.T) {
	up := &pool.Upload{Image: "i", Build: "b", Provider: "p"}
	var got []string
	before := &pool.Snapshot{}
	for i := range 60 {
		up = up.Moved(pool.UploadUploading, at(i))
		after := &pool.Snapshot{Uploads: []*pool.Upload{up}}
		got = append(got, said(Between(before, after, at(99)))...)
		before = after
	}
	if len(got) != 60 {
		t.Errorf("%d events of 60 moves", len(got))
	}
}

func TestRequestsAndPeers(t *testing.T) {
	r, m := &pool.Request{Client: "ci", ID: "1", Labels: []string{"l"}}, &pool.Member{Name: "one", Started: at(1)}
	s := &pool.Snapshot{Requests: []*pool.Request{r}, Members: []*pool.Member{m}}
	got := append(said(Between(&pool.Snapshot{}, s, at(5))), said(Between(s, &pool.Snapshot{}, at(6)))...)
	want := []string{
		"03:01 peer one:  -> joined by  () after 0", "03:05 request ci/1:  -> requested by ci () after 0",
		"03:06 request ci/1:  -> gone by ci () after 0", "03:06 peer one: joined -> left by  () after 0",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// What the records have no time of happened when somebody saw it, and not when they
// were read.
func TestThePast(t *testing.T) {
	s := &pool.Snapshot{
		Requests: []*pool.Request{{Client: "ci", ID: "1", CreateRevision: 5}, {Client: "ci", ID: "2", CreateRevision: 9}, {Client: "ci", ID: "3"}},
		Allocations: []*pool.Allocation{
			{Client: "ci", ID: "1", RequestRevision: 5, State: pool.AllocationFulfilled, Created: at(2), Since: at(3)},
			{Client: "ci", ID: "2", RequestRevision: 8, State: pool.AllocationWaiting, Created: at(4), Since: at(4)},
		},
		Commands: []*pool.Command{{ID: "1", Verb: pool.VerbBuild, Target: "i", By: "ann", At: at(5), Done: true}},
	}
	want := []string{
		"03:02 request ci/1:  -> requested by ci () after 0", "03:03 request ci/1:  -> fulfilled by allocator () after 60",
		"03:04 request ci/2:  -> waiting by allocator () after 0",
		"03:05 command image-build i:  -> asked by ann () after 0", "03:05 command image-build i: asked -> done by ann () after 0",
		"03:30 request ci/2:  -> requested by ci () after 0", "03:30 request ci/3:  -> requested by ci () after 0",
	}
	if diff := cmp.Diff(want, said(Of(s, at(30)))); diff != "" {
		t.Error(diff)
	}
}
