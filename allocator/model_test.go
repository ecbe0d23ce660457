package allocator

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"poold/pool"
)

var start = time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)

// model is the records as a store keeps them: it compares, asks the tables and
// applies a write as a whole or not at all.
type model struct {
	revision    int64
	nodes       map[pool.NodeID]*pool.Node
	requests    map[string]*pool.Request
	allocations map[string]*pool.Allocation
	commands    map[string]*pool.Command
	quotas      map[string]*pool.Quota
	uploads     []*pool.Upload
	builds      []*pool.Build
	frozen      *pool.Freeze
	pauses      []*pool.Pause
	health      *pool.Health
	members     []*pool.Member
	unreadable  []string
	// asked is as of which revision the quotas are; requests are older.
	asked int64
}

func newModel() *model {
	return &model{
		asked: 1 << 40, revision: 100, nodes: map[pool.NodeID]*pool.Node{}, requests: map[string]*pool.Request{},
		allocations: map[string]*pool.Allocation{}, commands: map[string]*pool.Command{}, quotas: map[string]*pool.Quota{},
	}
}

func (m *model) snapshot() *pool.Snapshot {
	var healths []*pool.Health
	if m.health != nil {
		healths = append(healths, m.health)
	}
	return &pool.Snapshot{
		Healths: healths, Members: m.members, Revision: m.revision, Nodes: sorted(m.nodes), Requests: sorted(m.requests),
		Allocations: sorted(m.allocations), Commands: sorted(m.commands), Quotas: sorted(m.quotas),
		Uploads: m.uploads, Builds: m.builds, Freeze: m.frozen, Pauses: m.pauses, Unreadable: m.unreadable,
	}
}

func sorted[K ~string, T any](all map[K]*T) []*T {
	list := make([]*T, 0, len(all))
	for _, k := range slices.Sorted(maps.Keys(all)) {
		list = append(list, all[k])
	}
	return list
}

func (m *model) apply(w pool.Write) (int64, error) {
	if err := m.check(w); err != nil {
		return 0, err
	}
	m.revision++
	for _, c := range w.Nodes {
		if c.After == nil {
			delete(m.nodes, c.Before.ID)
			continue
		}
		n := *c.After
		n.Revision = m.revision
		m.nodes[n.ID] = &n
	}
	for _, c := range w.Allocations {
		if c.After == nil {
			delete(m.allocations, c.Before.Client+"/"+c.Before.ID)
			continue
		}
		a := *c.After
		a.Revision = m.revision
		m.allocations[a.Client+"/"+a.ID] = &a
	}
	for _, c := range w.Commands {
		done := *c.After
		done.Revision = m.revision
		m.commands[done.ID] = &done
	}
	for _, c := range w.Uploads {
		u := *c.After
		u.Revision = m.revision
		m.uploads = slices.Clone(m.uploads)
		m.uploads[slices.Index(m.uploads, c.Before)] = &u
	}
	for _, c := range w.Quotas {
		q := *c.After
		q.Revision = m.revision
		m.quotas[q.Provider] = &q
	}
	for _, c := range w.Requests {
		delete(m.requests, c.Before.Client+"/"+c.Before.ID)
	}
	return m.revision, nil
}

func (m *model) check(w pool.Write) error {
	for _, c := range w.Nodes {
		var from *pool.NodeState
		if c.Before != nil {
			now := m.nodes[c.Before.ID]
			if now == nil || now.Revision != c.Before.Revision {
				return pool.ErrConflict
			}
			from = &c.Before.State
		} else if m.nodes[c.After.ID] != nil {
			return pool.ErrConflict
		}
		if c.After != nil {
			if err := pool.NodeMachine().CheckWrite(from, c.After.State, w.By); err != nil {
				return err
			}
		}
	}
	for _, c := range w.Allocations {
		if c.Before == nil {
			if m.allocations[c.After.Client+"/"+c.After.ID] != nil {
				return pool.ErrConflict
			}
			continue
		}
		now := m.allocations[c.Before.Client+"/"+c.Before.ID]
		if now == nil || now.Revision != c.Before.Revision {
			return pool.ErrConflict
		}
		if c.After != nil {
			if err := pool.AllocationMachine().CheckWrite(&c.Before.State, c.After.State, w.By); err != nil {
				return err
			}
		}
	}
	return m.checkRequests(w)
}

func (m *model) checkRequests(w pool.Write) error {
	want := slices.Clone(w.Unchanged)
	for _, c := range w.Requests {
		want = append(want, c.Before)
	}
	for _, r := range want {
		now := m.requests[r.Client+"/"+r.ID]
		if now == nil || now.Revision != r.Revision {
			return pool.ErrConflict
		}
	}
	for _, g := range w.Gone {
		if now := m.requests[g.Client+"/"+g.ID]; now != nil && now.CreateRevision == g.CreateRevision {
			return pool.ErrConflict
		}
	}
	for _, c := range w.Uploads {
		if !slices.Contains(m.uploads, c.Before) || pool.UploadMachine().CheckWrite(&c.Before.State, c.After.State, w.By) != nil {
			return pool.ErrConflict
		}
	}
	for _, c := range w.Commands {
		if m.commands[c.Before.ID].Revision != c.Before.Revision {
			return pool.ErrConflict
		}
	}
	return nil
}

// testingT is what a test and a property have in common.
type testingT interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

// world is a model with a catalog, a clock and a transcript.
type world struct {
	t testingT
	*model
	cat  *pool.Catalog
	now  time.Time
	out  strings.Builder
	made int
}

func newWorld(t testingT, providers ...pool.Provider) *world {
	t.Helper()
	w := &world{t: t, model: newModel(), now: start, cat: &pool.Catalog{
		Labels:    []pool.Label{{Name: "big"}, {Name: "small"}, {Name: "rare"}},
		Providers: providers,
	}}
	for _, p := range providers {
		w.quota(p.Name, pool.NoLimits())
	}
	return w
}

// aProvider has one pool, main, that offers small (2 cores) and big (4 cores).
func aProvider(name string, change func(p *pool.Provider)) pool.Provider {
	p := pool.Provider{
		Name: name, Cloud: name + "-cloud", Region: "r1",
		CloudImages: []pool.CloudImage{{Name: "noble", Connection: pool.Connection{Type: "ssh", Port: 22, Username: "zuul"}}},
		Pools: []pool.Pool{{
			Name: "main", Limits: pool.NoLimits(),
			Labels: []pool.LabelSpec{
				{Name: "small", CloudImage: "noble", FlavorName: "s2"},
				{Name: "big", CloudImage: "noble", FlavorName: "s4"},
			},
		}},
	}
	if change != nil {
		change(&p)
	}
	return p
}

func cores(n int64) pool.Limits {
	l := pool.NoLimits()
	l.Cores = n
	return l
}

func (w *world) quota(provider string, l pool.Limits) *pool.Quota {
	w.revision++
	q := &pool.Quota{
		Provider: provider, At: w.now, Limits: l,
		Flavors:     []pool.Flavor{{ID: "f2", Name: "s2", Cores: 2, RAMMiB: 2048}, {ID: "f4", Name: "s4", Cores: 4, RAMMiB: 4096}},
		CloudImages: map[string]string{"noble": "img-1"},
		Asked:       w.asked,
		Record:      pool.Record{Revision: w.revision},
	}
	w.quotas[provider] = q
	return q
}

func (w *world) request(id, labels string, changes ...func(r *pool.Request)) {
	w.revision++
	r := &pool.Request{
		Client: "ci", ID: id, Labels: strings.Fields(labels), Leased: true,
		CreateRevision: w.revision, Record: pool.Record{Revision: w.revision},
	}
	for _, c := range changes {
		c(r)
	}
	w.requests["ci/"+id] = r
}

func explicit(r *pool.Request) { r.Accept = pool.AcceptExplicit }

func (w *world) rewrite(id string, change func(r *pool.Request)) {
	w.revision++
	r := *w.requests["ci/"+id]
	change(&r)
	r.Revision = w.revision
	w.requests["ci/"+id] = &r
}

func (w *world) drop(id string) {
	w.revision++
	delete(w.requests, "ci/"+id)
}

func (w *world) command(id string, verb pool.Verb, node pool.NodeID, change func(c *pool.Command)) {
	w.revision++
	c := &pool.Command{ID: id, Verb: verb, Node: node, By: "ann", At: w.now, Record: pool.Record{Revision: w.revision}}
	if change != nil {
		change(c)
	}
	w.commands[id] = c
}

// pass decides, writes the plan to the transcript, and applies it.
func (w *world) pass(title string) *Plan {
	w.t.Helper()
	plan := Decide(w.snapshot(), w.cat, w.now)
	fmt.Fprintf(&w.out, "== %s %s\n%s", w.now.Format("15:04:05"), title, plan.String())
	w.carryOut(&plan)
	return &plan
}

// quietly passes without a transcript until nothing is left to decide.
func (w *world) quietly() {
	w.t.Helper()
	for range 20 {
		plan := Decide(w.snapshot(), w.cat, w.now)
		if len(plan.Decisions) == 0 {
			return
		}
		w.carryOut(&plan)
	}
	w.t.Fatal("no end of decisions")
}

func (w *world) carryOut(plan *Plan) {
	w.t.Helper()
	for i := range plan.Decisions {
		if err := w.carryOne(&plan.Decisions[i]); err != nil {
			w.t.Fatalf("%v\n%s", err, plan)
		}
	}
}

func (w *world) carryOne(d *Decision) error {
	write := d.Write
	for _, l := range d.Launches {
		for range l.Count {
			w.made++
			n := l.Node.Clone()
			n.ID = pool.NodeID(fmt.Sprintf("n%03d", w.made))
			write.Nodes = append(write.Nodes, pool.Create(n))
		}
	}
	_, err := w.apply(write)
	return err
}

// move is what another component does to a node.
func (w *world) move(id pool.NodeID, to pool.NodeState, change func(n *pool.Node)) {
	w.t.Helper()
	n := w.nodes[id]
	after := n.Moved(to, pool.Launcher, "", w.now)
	if change != nil {
		change(after)
	}
	if _, err := w.apply(pool.Write{By: pool.Launcher, Nodes: []pool.Change[pool.Node]{pool.Update(n, after)}}); err != nil {
		w.t.Fatal(err)
	}
}

// boot makes nodes in flight ready; all of them if none is named.
func (w *world) boot(ids ...pool.NodeID) {
	w.t.Helper()
	for _, n := range sorted(w.nodes) {
		if !inFlight(n) || len(ids) > 0 && !slices.Contains(ids, n.ID) {
			continue
		}
		w.build(n.ID)
		w.move(n.ID, pool.NodeReady, func(n *pool.Node) {
			n.InterfaceIP = "10.0.0." + strings.TrimLeft(string(n.ID), "n0")
			n.HostKeys = []string{"ssh-ed25519 " + string(n.ID)}
		})
	}
}

func (w *world) build(id pool.NodeID) {
	w.t.Helper()
	if w.nodes[id].State == pool.NodePending {
		w.move(id, pool.NodeBuilding, nil)
	}
}

func (w *world) breakDown(id pool.NodeID, kind pool.Kind, batch string) {
	w.t.Helper()
	w.build(id)
	w.move(id, pool.NodeFailed, func(n *pool.Node) { n.Failure, n.Batch = kind, batch })
}

// sweep deletes every node that is on its way out.
func (w *world) sweep() {
	w.t.Helper()
	for _, n := range sorted(w.nodes) {
		if n.State == pool.NodeUsed || n.State == pool.NodeFailed {
			w.move(n.ID, pool.NodeDeleting, nil)
		}
		if w.nodes[n.ID].State == pool.NodeDeleting {
			w.move(n.ID, pool.NodeDeleted, nil)
		}
	}
}

func (w *world) after(d time.Duration) { w.now = w.now.Add(d) }

// have makes idle nodes outright.
func (w *world) have(n int, label, provider string) {
	w.t.Helper()
	var some []pool.Change[pool.Node]
	var ids []pool.NodeID
	for range n {
		w.made++
		ids = append(ids, pool.NodeID(fmt.Sprintf("n%03d", w.made)))
		res := pool.Resources{Instances: 1, Cores: 2, RAMMiB: 2048, Ports: 1}
		if label == "big" {
			res.Cores, res.RAMMiB = 4, 4096
		}
		some = append(some, pool.Create(&pool.Node{
			ID: pool.NodeID(fmt.Sprintf("n%03d", w.made)), Provider: provider, Pool: "main", Label: label,
			State: pool.NodePending, Since: w.now, Created: w.now, Resources: res, ImageID: "img-1",
		}))
	}
	if _, err := w.apply(pool.Write{By: pool.Allocator, Nodes: some}); err != nil {
		w.t.Fatal(err)
	}
	w.boot(ids...)
}

func diffNodes(want, got pool.Node) string { return gocmp.Diff(want, got) }
