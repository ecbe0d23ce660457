package uploader

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"poold/pool"
)

// A canary's upload serves once a node made from it was reached; it fails after
// three that were not, but only if there is another to serve.
func TestTrial(t *testing.T) {
	node := func(id, image string, failure pool.Kind, states ...pool.NodeState) *pool.Node {
		n := &pool.Node{ID: pool.NodeID(id), Provider: "pr", ImageID: image, Failure: failure, Reason: "as told"}
		for _, s := range states {
			n = n.Moved(s, pool.Launcher, "as told", time.Unix(1, 0))
		}
		return n
	}
	building := node("n1", "x", "", pool.NodeBuilding)
	reached := node("n2", "x", "", pool.NodeReady, pool.NodeInUse, pool.NodeDeleted)
	unreachable := func(id string) *pool.Node {
		return node(id, "x", pool.KindUnreachable, pool.NodeFailed, pool.NodeDeleted)
	}
	for _, c := range []struct {
		name   string
		nodes  []*pool.Node
		tried  []pool.NodeID
		alone  bool
		change func(*pool.Provider)
		state  pool.UploadState // "" is no change
		counts int
		said   string
	}{
		{name: "none yet"},
		{name: "on its way", nodes: []*pool.Node{building}},
		{name: "reached, and gone since", nodes: []*pool.Node{reached}, state: pool.UploadReady, said: "node n2 was reached"},
		{name: "of another image", nodes: []*pool.Node{node("n3", "y", "", pool.NodeReady)}},
		{name: "once not reached", nodes: []*pool.Node{unreachable("n3")}, state: pool.UploadTrial, counts: 1},
		{name: "counted already", nodes: []*pool.Node{unreachable("n3")}, tried: []pool.NodeID{"n3"}},
		{name: "no quota says nothing", nodes: []*pool.Node{node("n3", "x", pool.KindQuota, pool.NodeFailed)}},
		{name: "a full cloud says nothing", nodes: []*pool.Node{node("n3", "x", pool.KindCapacity, pool.NodeFailed)}},
		{
			name: "the third time", nodes: []*pool.Node{unreachable("n5")}, tried: []pool.NodeID{"n3", "n4"},
			state: pool.UploadFailed, counts: 3, said: "none of 3 nodes made from it was reached, last n5: as told (unreachable)",
		},
		{
			name: "the third time, with no other", nodes: []*pool.Node{unreachable("n5")}, tried: []pool.NodeID{"n3", "n4"}, alone: true,
			state: pool.UploadTrial, counts: 3,
		},
		{
			name: "the others were remembered only", tried: []pool.NodeID{"n3", "n4", "n5"},
			state: pool.UploadFailed, counts: 3, said: "none of 3 nodes made from it was reached",
		},
		{
			name: "at last", nodes: []*pool.Node{unreachable("n5"), reached}, tried: []pool.NodeID{"n3", "n4"}, alone: true,
			state: pool.UploadReady, said: "node n2 was reached",
		},
		{
			name: "no longer wanted", change: func(p *pool.Provider) { p.Images[0].Canary = false },
			state: pool.UploadReady, said: "no canary is wanted",
		},
		{
			name: "no label uses it", change: func(p *pool.Provider) { p.Pools = nil },
			state: pool.UploadReady, said: "no canary is wanted",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := pool.Provider{
				Name: "pr", Images: []pool.ProviderImage{{Name: "a", Canary: true}},
				Pools: []pool.Pool{{Labels: []pool.LabelSpec{{Name: "l", DiskImage: "a"}}}},
			}
			if c.change != nil {
				c.change(&p)
			}
			u := &pool.Upload{Image: "a", Build: "2", Provider: "pr", State: pool.UploadTrial, ExternalID: "x", Tried: c.tried}
			s := &pool.Snapshot{
				Nodes: c.nodes, Uploads: []*pool.Upload{u},
				Builds: []*pool.Build{{Image: "a", ID: "2", State: pool.BuildReady, Created: time.Unix(2, 0)}},
			}
			if !c.alone {
				s.Builds = append(s.Builds, &pool.Build{Image: "a", ID: "1", State: pool.BuildReady, Created: time.Unix(1, 0)})
				s.Uploads = append(s.Uploads, &pool.Upload{Image: "a", Build: "1", Provider: "pr", State: pool.UploadReady, ExternalID: "old"})
			}
			plan := Decide(View{Snapshot: s, Provider: &p, Peer: "p1", Format: "raw"}, time.Unix(3, 0))
			if len(plan.Retire)+len(plan.Create)+len(plan.Delete)+len(plan.Send) > 0 {
				t.Errorf("more than a trial: %+v", plan)
			}
			if c.state == "" {
				if len(plan.Trials) != 0 {
					t.Errorf("changed to %+v", plan.Trials[0].After)
				}
				return
			}
			if len(plan.Trials) != 1 {
				t.Fatalf("%d changes", len(plan.Trials))
			}
			got := plan.Trials[0].After
			said := ""
			if n := len(got.Timeline); n > 0 {
				said = got.Timeline[n-1].Reason
			}
			if got.State != c.state || c.counts > 0 && len(got.Tried) != c.counts || said != c.said {
				t.Errorf("%s, tried %v, %q; want %s, %d, %q", got.State, got.Tried, said, c.state, c.counts, c.said)
			}
			if (got.Withdrawn != "") != (c.state == pool.UploadFailed) {
				t.Errorf("withdrawn: %q", got.Withdrawn)
			}
		})
	}
}

// From the upload to the verdict: one that failed its trial is deleted and not
// made again, and the one before is kept; the next build is tried anew.
func TestCanaryRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a")
		b.provider.Pools = []pool.Pool{{Labels: []pool.LabelSpec{{Name: "l", DiskImage: "a"}}}}
		b.build("a", "1")
		stop := b.run()
		pass(time.Minute)
		first := b.want("a", "1", pool.UploadReady)
		stop()
		b.provider.Images[0].Canary = true
		stop = b.run()
		b.build("a", "2")
		pass(time.Minute)
		tried := b.want("a", "2", pool.UploadTrial)
		b.exactly(first, tried)
		for _, id := range []pool.NodeID{"n1", "n2"} {
			b.outcome(id, tried, pool.KindTimeout)
		}
		stop()
		defer b.run()() // another uploader goes on where this one was
		b.store.Edit(func() { b.store.Nodes = nil })
		pass(time.Minute)
		if u := b.want("a", "2", pool.UploadTrial); len(u.Tried) != 2 {
			t.Errorf("tried %v", u.Tried)
		}
		b.outcome("n3", tried, pool.KindUnreachable)
		pass(time.Hour)
		refused := b.want("a", "2", pool.UploadDeleted)
		if !strings.HasPrefix(refused.Withdrawn, "refused: none of 3 nodes") {
			t.Errorf("withdrawn: %q", refused.Withdrawn)
		}
		b.exactly(first)
		b.build("a", "3")
		pass(time.Minute)
		next := b.want("a", "3", pool.UploadTrial)
		b.outcome("n4", next, "")
		b.exactly(first, b.want("a", "3", pool.UploadReady))
		if c := b.ask(pool.VerbRetryUpload, "2"); c.Error == "" {
			t.Error("an upload that is superseded is made again")
		}
	})
}

// outcome is a node made from an upload that failed, or was reached.
func (b *bench) outcome(id pool.NodeID, u *pool.Upload, failure pool.Kind) {
	b.t.Helper()
	state := pool.NodeFailed
	if failure == "" {
		state = pool.NodeReady
	}
	n := (&pool.Node{ID: id, Provider: "pr", Image: "a", ImageID: u.ExternalID, Failure: failure}).Moved(state, pool.Launcher, "as told", time.Now())
	b.store.Edit(func() { b.store.Nodes = append(b.store.Nodes, n) })
	pass(10 * time.Second)
}

// An image that vanished while it is tried is made again, and one of a newer
// build makes the trial needless.
func TestTrialOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a")
		b.provider.Images[0].Canary = true
		b.provider.Pools = []pool.Pool{{Labels: []pool.LabelSpec{{Name: "l", DiskImage: "a"}}}}
		b.build("a", "1")
		defer b.run()()
		pass(time.Minute)
		tried := b.want("a", "1", pool.UploadTrial)
		if err := b.cloud.DeleteImage(t.Context(), tried.ExternalID); err != nil {
			t.Fatal(err)
		}
		pass(12 * time.Minute)
		again := b.want("a", "1", pool.UploadTrial)
		if again.ExternalID == tried.ExternalID {
			t.Error("the image that vanished is still on record")
		}
		b.build("a", "2")
		pass(time.Minute)
		b.want("a", "1", "none")
		b.exactly(b.want("a", "2", pool.UploadTrial))
	})
}
