package launcher

import (
	"context"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"poold/cloud"
	"poold/pool"
)

// rack is a cloud of one host, which is as the test says.
type rack struct {
	*fakeCloud

	mu      sync.Mutex // guards what follows
	keys    []string
	problem error
	down    map[string]string
	after   []time.Time
	delay   time.Duration
}

func (c *rack) Prove(_ context.Context, _ string, after time.Time) ([]string, error) {
	c.mu.Lock()
	delay := c.delay
	c.mu.Unlock()
	time.Sleep(delay)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.after = append(c.after, after)
	return slices.Clone(c.keys), c.problem
}

func (c *rack) Facts(ctx context.Context) (cloud.Facts, error) {
	f, err := c.fakeCloud.Facts(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	f.Down = maps.Clone(c.down)
	return f, err
}

// turn changes what the host is like.
func (c *rack) turn(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
}

// looks is how often the host was looked at.
func (c *rack) looks() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.after)
}

var _ cloud.Prover = (*rack)(nil)

// onRack runs a test of a provider of one host with five slots.
func onRack(t *testing.T, test func(w *world, c *rack)) {
	t.Helper()
	bubble(t, func(w *world) {
		h := pool.Host{
			Name: "one", Labels: []string{"small"}, Slots: 5, Checking: true,
			Connection: pool.Connection{Type: "ssh", Port: 22, Username: "zuul"},
		}
		w.cfg.Provider = pool.Provider{Name: "p", Driver: pool.DriverStatic, Pools: []pool.Pool{{
			Name: "main", Hosts: []pool.Host{h}, Labels: []pool.LabelSpec{{Name: "small", HostKeyChecking: true}},
		}}}
		w.cloud.boot, w.cloud.vanish, w.cloud.zone = 0, 0, h.ID()
		c := &rack{fakeCloud: w.cloud, keys: []string{"ssh-ed25519 AAAA"}}
		w.cfg.Driver = c
		w.cfg.Reach = func(context.Context, Target) ([]string, error) {
			t.Error("a host is reached as an instance of a cloud is")
			return nil, nil
		}
		w.start()
		test(w, c)
		w.end()
	})
}

// lend makes pending nodes on the host.
func (w *world) lend(n int) {
	w.t.Helper()
	var nodes []pool.Change[pool.Node]
	for k, id := range ids(n) {
		node := &pool.Node{V: 1, ID: id, Provider: "p", Pool: "main", Label: "small", AZ: w.cloud.zone, Slot: &k, Created: time.Now().UTC()}
		nodes = append(nodes, pool.Create(node.Moved(pool.NodePending, pool.Allocator, "demand", time.Now())))
	}
	if _, err := w.store.apply(pool.Write{By: pool.Allocator, Nodes: nodes}); err != nil {
		w.t.Fatal(err)
	}
}

// wanted has the allocator ask for a proof of a node.
func (w *world) wanted(id pool.NodeID) time.Time {
	w.t.Helper()
	before := w.store.node(id)
	after := before.Clone()
	now := time.Now()
	after.ProofAsked = &now
	if _, err := w.store.apply(pool.Write{By: pool.Allocator, Nodes: []pool.Change[pool.Node]{pool.Update(before, after)}}); err != nil {
		w.t.Fatal(err)
	}
	return now
}

// A host's nodes are ready once it was found well, and one that somebody wants
// is looked at again: its record says when, and nothing is asked any more.
func TestProof(t *testing.T) {
	onRack(t, func(w *world, c *rack) {
		w.lend(3)
		pass(2 * time.Second)
		w.want(pool.NodeReady, 3)
		n := w.store.node("n001")
		if specs := w.cloud.specs(); len(specs) != 1 || specs[0].Count != 3 || specs[0].AZ != w.cloud.zone {
			t.Errorf("asked for %+v, want one batch of three on the host", specs)
		}
		if *n.Slot != 1 || n.AZ != w.cloud.zone || !slices.Equal(n.HostKeys, c.keys) || n.Proven != nil {
			t.Errorf("ready is %+v", n)
		}
		looks := c.looks()
		pass(time.Hour)
		if c.looks() != looks {
			t.Error("a node that nobody wants is looked at by itself")
		}
		asked := w.wanted("n001")
		pass(2 * time.Second)
		n = w.store.node("n001")
		if n.State != pool.NodeReady || n.ProofAsked != nil || n.Proven == nil || n.Proven.Before(asked.Truncate(time.Millisecond)) {
			t.Errorf("proven is %+v", n)
		}
		if c.looks() != looks+1 || c.after[looks].Before(asked) {
			t.Errorf("the looks since it was asked for: %v", c.after[looks:])
		}
	})
}

// A node that is not found well when somebody wants it fails, with the reason;
// where nothing can be said it is looked at again.
func TestProofFails(t *testing.T) {
	for reason, turn := range map[string]func(c *rack){
		"test: capacity: made to fail":                                   func(c *rack) { c.problem = fail(cloud.Capacity) },
		"test: not-found: made to fail":                                  func(c *rack) { c.problem = fail(cloud.NotFound) },
		"its host shows other host keys than when the node became ready": func(c *rack) { c.keys = []string{"ssh-ed25519 BBBB"} },
		"": func(c *rack) { c.problem = fail(cloud.Transient) },
	} {
		onRack(t, func(w *world, c *rack) {
			w.lend(1)
			pass(2 * time.Second)
			w.want(pool.NodeReady, 1)
			c.turn(func() { turn(c) })
			w.wanted("n000")
			pass(10 * time.Second)
			n := w.store.node("n000")
			if reason == "" {
				if n.State != pool.NodeReady || n.ProofAsked == nil {
					t.Errorf("without an answer it is %+v", n)
				}
				c.turn(func() { c.problem = nil })
				pass(10 * time.Second)
				if n = w.store.node("n000"); n.ProofAsked != nil {
					t.Errorf("with an answer it is %+v", n)
				}
				return
			}
			failed, ok := n.Entered(pool.NodeFailed)
			if !ok || n.State != pool.NodeDeleted || n.Failure != pool.KindUnreachable || n.Timeline[3].Reason != reason {
				t.Errorf("%q: failed %v, %+v", reason, failed, n)
			}
		})
	}
}

// A launch on a host that is not there fails at once and says why; however many
// do, the other hosts are launched on at full speed.
func TestLaunchOnADeadHost(t *testing.T) {
	onRack(t, func(w *world, c *rack) {
		c.turn(func() { c.problem = fail(cloud.Capacity) })
		for k := range 2 * stormBatches {
			w.lend(1)
			pass(10 * time.Second)
			n := w.store.node("n000")
			if n.State != pool.NodeDeleted || n.Failure != pool.KindCapacity {
				t.Fatalf("launch %d: %+v", k, n)
			}
			w.store.forget("n000")
		}
		c.turn(func() { c.problem, c.delay = nil, time.Minute })
		w.lend(5)
		pass(2 * time.Second)
		w.want(pool.NodeBuilding, 5)
		pass(time.Minute)
		w.want(pool.NodeReady, 5)
	})
}

// When a host is down, its idle nodes are not ready any more; those in use are
// their clients', who may have it down on purpose.
func TestHostDown(t *testing.T) {
	onRack(t, func(w *world, c *rack) {
		w.lend(3)
		pass(2 * time.Second)
		w.store.move(pool.NodeInUse, "n002")
		c.turn(func() { c.down = map[string]string{w.cloud.zone: "connection refused"} })
		pass(hostsEvery + 10*time.Second)
		w.want(pool.NodeDeleted, 2)
		w.want(pool.NodeInUse, 1)
		if n := w.store.node("n000"); n.Failure != pool.KindUnreachable || n.Timeline[3].Reason != "its host is down: connection refused" {
			t.Errorf("%+v", n)
		}
		if q := w.store.published(); q.Down[w.cloud.zone] != "connection refused" {
			t.Errorf("published is %+v", q)
		}
		pass(hostsEvery)
		at := w.store.published().At
		pass(10 * hostsEvery)
		if again := w.store.published().At; !again.Equal(at) {
			t.Error("what is known is written again though nothing changes")
		}
		c.turn(func() { c.down = nil })
		pass(hostsEvery + 10*time.Second)
		if q := w.store.published(); len(q.Down) > 0 {
			t.Errorf("published is %+v", q)
		}
	})
}

// A pending node of a host that left the configuration can never be had.
func TestHostNotConfigured(t *testing.T) {
	onRack(t, func(w *world, _ *rack) {
		w.cloud.zone = "zuul@gone:22"
		w.lend(1)
		pass(10 * time.Second)
		if n := w.store.node("n000"); n.Failure != pool.KindInvalid || n.Timeline[1].Reason != "the host is not configured any more" {
			t.Errorf("%+v", n)
		}
	})
}
