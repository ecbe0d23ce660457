package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"poold/client"
	"poold/pool"
)

const requestTTL = 30 * time.Second

// wish is what one request wants and what its client will do with it.
type wish struct {
	want pool.Request
	// mustSucceed says that it can be served, and hopeless that it never can.
	mustSucceed, hopeless bool
	// patience is how long the client waits; zero is for ever.
	patience time.Duration
	// accept says that it accepts what it asked to be offered.
	accept bool
	// work is how long it uses the nodes.
	work             time.Duration
	release, hold    bool
	hurry, dies, bye bool
}

// customer is a CI system that asks for one set of nodes after the other.
type customer struct {
	w    *world
	name string
}

// run asks until the world ends or calms down.
func (c *customer) run(ctx context.Context) {
	for n := 1; c.w.open(ctx); n++ {
		d := c.w.seed.dice("customer", c.name, strconv.Itoa(n))
		wait(ctx, d.between(100*time.Millisecond, 4*time.Second))
		c.ask(ctx, d, "r"+strconv.Itoa(n))
	}
}

// ask is the life of one request.
func (c *customer) ask(ctx context.Context, d *dice, id string) {
	proc := &process{}
	l := &link{w: c.w, who: c.name + "/" + id, proc: proc}
	cl, err := client.New(l, "", c.name)
	if err != nil {
		c.w.judge.fail("client", "%v", err)
		return
	}
	wish := c.w.wish(d)
	c.w.wants(c.name+"/"+id, wish)
	defer proc.kill() // its keeping alive ends with it
	r, err := cl.Create(ctx, id, wish.want, requestTTL)
	if err != nil {
		return // etcd was away
	}
	defer c.close(ctx, r)
	if wish.hurry {
		wait(ctx, d.between(time.Second, 10*time.Second))
		_ = r.SetPriority(ctx, 100, d.below(5)) // lost is as good as late
	}
	answer, err := c.await(ctx, r, wish)
	if err != nil {
		return
	}
	if answer.State != pool.AllocationFulfilled {
		c.w.work(ctx, d.between(time.Millisecond, 10*time.Second)) // somebody reads why
		return
	}
	if len(answer.Nodes) != len(wish.want.Labels) {
		c.w.judge.fail("I8", "request %s/%s got %d nodes for %v", c.name, id, len(answer.Nodes), wish.want.Labels)
	}
	if wish.want.Accept == pool.AcceptExplicit && !c.accept(ctx, r, wish) {
		return
	}
	c.use(ctx, r, wish, answer, proc)
}

// await waits for an answer for as long as the client has patience.
func (c *customer) await(ctx context.Context, r *client.Request, wish *wish) (*pool.Allocation, error) {
	if wish.patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, wish.patience)
		defer cancel()
	}
	answer, err := r.Wait(ctx)
	if err == nil && wish.hopeless && answer.State == pool.AllocationFulfilled {
		c.w.judge.fail("I9", "request %s cannot be served and was", r.Ref().ID)
	}
	return answer, err
}

// accept accepts an offer, or does not and sees it end.
func (c *customer) accept(ctx context.Context, r *client.Request, wish *wish) bool {
	if wish.bye {
		return false
	}
	if !wish.accept {
		_, _ = r.Watch(ctx, func(a *pool.Allocation) bool {
			// It lapses, unless its nodes die before.
			offered := func(n pool.AllocatedNode) bool { return n.State == string(pool.NodeReady) }
			return !slices.ContainsFunc(a.Nodes, offered)
		})
		return false
	}
	a, err := r.Accept(ctx)
	return err == nil && a.State == pool.AllocationFulfilled
}

// use works on the nodes and gives them back one way or the other.
func (c *customer) use(ctx context.Context, r *client.Request, wish *wish, answer *pool.Allocation, proc *process) {
	c.w.work(ctx, wish.work)
	if wish.release && len(answer.Nodes) > 1 {
		_ = r.Release(ctx, answer.Nodes[0].ID)
		c.w.work(ctx, wish.work/2)
	}
	if wish.hold {
		_ = r.Hold(ctx, pool.Hold{Nodes: []pool.NodeID{answer.Nodes[0].ID}, Reason: "to look at", TTL: "90s"})
		c.w.work(ctx, wish.work/2)
	}
	if wish.dies && c.w.storm() {
		c.w.judge.table.strike(FaultClientDead, "clients")
		proc.kill()
	}
}

// close ends a request; if that fails its lease dies.
func (*customer) close(ctx context.Context, r *client.Request) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	if err := r.Close(ctx); err != nil && errors.Is(err, client.ErrLost) {
		return
	}
}

// wish draws a request.
func (w *world) wish(d *dice) *wish {
	v := &wish{mustSucceed: true, work: d.between(5*time.Second, 90*time.Second)}
	sets := [][]string{
		{"small"},
		{"small"},
		{"small"},
		{"medium"},
		{"kept"},
		{"small", "small"},
		{"small", "medium"},
		{"small", "small", "small"},
		{"medium", "medium"},
		{"large"},
		{"only"},
		{"only", "small"},
		{"small", "small", "small", "small", "small"},
	}
	v.want = pool.Request{Labels: sets[d.below(len(sets))], RelativePriority: d.below(3)}
	if p := 100 + 100*d.below(3); p != pool.DefaultPriority {
		v.want.Priority = &p
	}
	switch d.below(14) {
	case 0:
		v.want.Tenant = "acme"
	case 1:
		v.want.Provider = w.sites[d.below(3)].conf.Name
		v.want.Labels = []string{"small"}
	case 2:
		at := time.Now().UTC().Truncate(time.Second).Add(time.Duration(1+d.below(120)) * time.Second)
		v.want.Deadline = &at
	case 3, 4:
		v.want.Accept, v.accept = pool.AcceptExplicit, true
	case 5:
		v.want.Accept = pool.AcceptExplicit
		v.bye = d.chance(2)
	case 6:
		v.patience = d.between(500*time.Millisecond, 30*time.Second)
	case 7:
		w.hopeless(d, v)
	case 8:
		v.release = true
	case 9:
		v.hold = true
	case 10:
		v.hurry = true
	case 11:
		v.dies = true
	}
	return v
}

// hopeless makes a wish that can never come true.
func (*world) hopeless(d *dice, v *wish) {
	v.mustSucceed, v.hopeless = false, true
	switch d.below(4) {
	case 0:
		v.want.Labels = []string{"no-such-label"}
	case 1:
		v.want.Provider = "no-such-provider"
	case 2:
		v.want.Labels = make([]string, 90)
		for i := range v.want.Labels {
			v.want.Labels[i] = "large"
		}
	default:
		v.want.Provider, v.want.Labels = "cloud-0", []string{"only"}
	}
}

// custodian looks after sweeps that froze, for as long as the world goes on. He
// agrees to the removal of what no node has: too much at once is not believed
// by itself, and a storm can leave behind as much.
func (w *world) custodian(ctx context.Context) {
	for n := 1; ; n++ {
		d := w.seed.dice("custodian", strconv.Itoa(n))
		if !wait(ctx, d.between(2*time.Minute, 4*time.Minute)) {
			return
		}
		for _, s := range w.sites {
			leaks := w.judge.frozen(s.conf.Name)
			if len(leaks) == 0 {
				continue
			}
			_, _ = w.store.PutCommand(ctx, &pool.Command{
				V: pool.RecordVersion, ID: "agree" + strconv.Itoa(n) + s.conf.Name, Verb: pool.VerbRemoveLeaks, By: "bob",
				At: time.Now().UTC().Truncate(time.Millisecond), Target: s.conf.Name, Leaks: leaks,
			})
		}
	}
}

// operator holds and deletes nodes by command.
func (w *world) operator(ctx context.Context) {
	verbs := []pool.Verb{pool.VerbDelete, pool.VerbForceDelete, pool.VerbHold, pool.VerbHold, pool.VerbUnhold}
	for n := 1; w.open(ctx); n++ {
		d := w.seed.dice("operator", strconv.Itoa(n))
		wait(ctx, d.between(time.Second, 8*time.Second))
		w.command(ctx, d, "c"+strconv.Itoa(n), verbs[d.below(len(verbs))], w.judge.someNode(d))
	}
}

// inquirer holds, now and then, a node that just failed, before it is deleted.
func (w *world) inquirer(ctx context.Context) {
	for n := 1; w.open(ctx); n++ {
		d := w.seed.dice("inquirer", strconv.Itoa(n))
		wait(ctx, d.between(500*time.Millisecond, 2*time.Second))
		w.command(ctx, d, "i"+strconv.Itoa(n), pool.VerbHold, w.judge.someFailed(d))
	}
}

// command gives one, if there is a node to give it for.
func (w *world) command(ctx context.Context, d *dice, id string, verb pool.Verb, node pool.NodeID) {
	if node == "" {
		return
	}
	_, _ = w.store.PutCommand(ctx, &pool.Command{ // one that is lost is none
		V: pool.RecordVersion, ID: id, Verb: verb, Node: node, By: "ann", Reason: "to see",
		At: time.Now().UTC().Truncate(time.Millisecond), TTL: fmt.Sprintf("%ds", 30+d.below(120)),
	})
}
