package model

import (
	"testing"
	"time"

	"poold/pool"
)

// The sums of labels, providers and all are of the same nodes.
func TestCounts(t *testing.T) {
	in := well()
	limits := pool.NoLimits()
	limits.Instances = 4
	in.Records.Quotas[0].Limits, in.Records.Quotas[0].Foreign = limits, pool.Resources{Instances: 1}
	for i, state := range []pool.NodeState{
		pool.NodePending, pool.NodeBuilding, pool.NodeReady, pool.NodeInUse, pool.NodeHold, pool.NodeFailed, pool.NodeUsed,
		pool.NodeDeleting, pool.NodeDeleted,
	} {
		in.Records.Nodes = append(in.Records.Nodes, &pool.Node{
			ID: pool.NodeID(rune('a' + i)), Provider: "east", Label: "noble", State: state, Since: noon(), Resources: pool.Resources{Instances: 1},
		})
	}
	in.wait("ci", "1", time.Second, pool.Reason{})
	s := New(*in)
	want := Counts{Building: 2, Ready: 1, InUse: 1, Held: 1, Failed: 1, Leaving: 2}
	if s.Counts != want || s.Label("noble").Counts != want || s.Provider("east").Counts != want {
		t.Errorf("got %+v, %+v, %+v", s.Counts, s.Label("noble").Counts, s.Provider("east").Counts)
	}
	if s.Waiting != 1 || s.Label("noble").Waiting != 1 {
		t.Errorf("%d and %d are waited for", s.Waiting, s.Label("noble").Waiting)
	}
	g := s.Provider("east").Gauges
	if len(g) != 1 || g[0] != (Gauge{"instances", 8, 1, 4}) || !g[0].Full() || g[0].Percent() != 100 {
		t.Errorf("got %+v", g)
	}
}

// A cell shows what serves, and what comes.
func TestMatrix(t *testing.T) {
	in := well()
	in.Records.Builds = append(in.Records.Builds, &pool.Build{Image: "noble", ID: "2", State: pool.BuildReady, Created: before(time.Hour)})
	in.Records.Uploads = []*pool.Upload{
		{Image: "noble", Build: "1", Provider: "east", State: pool.UploadReady},
		{Image: "noble", Build: "2", Provider: "east", State: pool.UploadUploading, Bytes: 200, SentBytes: 50},
	}
	c := New(*in).Images.Rows[0].Cells[0]
	if c.Serving == nil || c.Serving.Build != "1" || !c.Behind || !c.Built.Equal(before(2*time.Hour)) || c.Percent() != 25 {
		t.Errorf("got %+v", c)
	}
	in.Records.Uploads[1].State = pool.UploadReady
	if c = New(*in).Images.Rows[0].Cells[0]; c.Behind || c.Coming != nil || c.Serving.Build != "2" {
		t.Errorf("got %+v", c)
	}
}

// Who is served next comes first, whatever the names.
func TestQueueOrder(t *testing.T) {
	in := well()
	early, first := 100, 1
	in.Records.Requests = []*pool.Request{
		{Client: "a", ID: "late", CreateRevision: 9},
		{Client: "b", ID: "early", CreateRevision: 2, Priority: &early},
		{Client: "c", ID: "urgent", CreateRevision: 12, Priority: &first},
	}
	q := New(*in).Queue
	if len(q) != 3 || q[0].ID != "urgent" || q[1].ID != "early" || q[2].ID != "late" {
		t.Errorf("got %+v", q)
	}
}

// The buckets of launch times hold every launch once.
func TestBoots(t *testing.T) {
	var nodes []*pool.Node
	for _, took := range []time.Duration{time.Second, 5 * time.Second, 25 * time.Second, time.Hour} {
		n := &pool.Node{Created: noon()}
		nodes = append(nodes, n.Moved(pool.NodeReady, pool.Launcher, "", noon().Add(took)))
	}
	b := boots(append(nodes, &pool.Node{}))
	if b.All != 4 || b.Median != 25*time.Second || b.Buckets[0] != 2 || b.Buckets[3] != 1 || b.Buckets[len(b.Buckets)-1] != 1 {
		t.Errorf("got %+v", b)
	}
}
