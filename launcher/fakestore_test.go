package launcher

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"poold/pool"
)

// fakeStore keeps records in memory, with the rules of the real one: revisions
// are compared and every move is checked against its table.
type fakeStore struct {
	mu       sync.Mutex
	revision int64
	nodes    map[pool.NodeID]*pool.Node
	quota    *pool.Quota
	health   *pool.Health
	commands []*pool.Command
	requests []*pool.Request
	frozen   *pool.Freeze
	pauses   []*pool.Pause
	changed  chan struct{}
	// lag is how old snapshots are; past is what they are taken from.
	lag  time.Duration
	past []aged
	// step is called before and after each write takes effect; an error ends
	// the call there.
	step func(what string) error
	// fault returns the error of a write, and whether it is done all the same.
	fault  func(w pool.Write) (err error, done bool)
	writes int
	// looks is how often somebody looked.
	looks atomic.Int64
}

type aged struct {
	at   time.Time
	snap *pool.Snapshot
}

func newFakeStore() *fakeStore {
	// Somebody has watched the provider for long.
	health := &pool.Health{V: 1, Provider: "p", At: time.Now().UTC(), Watched: time.Now().UTC().Add(-1000 * time.Hour)}
	health.Revision = 99
	return &fakeStore{nodes: map[pool.NodeID]*pool.Node{}, changed: make(chan struct{}), revision: 100, health: health}
}

func (s *fakeStore) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

func (s *fakeStore) current() *pool.Snapshot {
	snap := &pool.Snapshot{Revision: s.revision, Requests: slices.Clone(s.requests), Freeze: s.frozen, Pauses: s.pauses}
	snap.Nodes = slices.SortedFunc(maps.Values(s.nodes), func(a, b *pool.Node) int { return cmp.Compare(a.ID, b.ID) })
	if s.quota != nil {
		snap.Quotas = []*pool.Quota{s.quota}
	}
	if s.health != nil {
		snap.Healths = []*pool.Health{s.health}
	}
	snap.Commands = slices.Clone(s.commands)
	return snap
}

func (s *fakeStore) Snapshot() *pool.Snapshot {
	s.looks.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lag == 0 {
		return s.current()
	}
	old := &pool.Snapshot{}
	for _, a := range s.past {
		if time.Since(a.at) >= s.lag {
			old = a.snap
		}
	}
	return old
}

func (s *fakeStore) Read(ctx context.Context) (*pool.Snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current(), context.Cause(ctx)
}

func (s *fakeStore) Apply(ctx context.Context, w pool.Write) (int64, error) {
	if s.step != nil {
		if err := s.step("before a write"); err != nil {
			return 0, err
		}
	}
	if err := context.Cause(ctx); err != nil {
		return 0, err
	}
	revision, err := s.apply(w)
	if err == nil && s.step != nil {
		err = s.step("after a write")
	}
	return revision, err
}

func (s *fakeStore) apply(w pool.Write) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var fault error
	if s.fault != nil {
		err, done := s.fault(w)
		if err != nil && !done {
			return 0, err
		}
		fault = err
	}
	if len(w.Nodes) > 60 {
		return 0, fmt.Errorf("a write of %d nodes is too large", len(w.Nodes))
	}
	for _, c := range w.Nodes {
		if err := s.check(w.By, c); err != nil {
			return 0, err
		}
	}
	for _, c := range w.Quotas {
		if (c.Before == nil) != (s.quota == nil) || c.Before != nil && c.Before.Revision != s.quota.Revision {
			return 0, pool.ErrConflict
		}
	}
	for _, c := range w.Healths {
		if (c.Before == nil) != (s.health == nil) || c.Before != nil && c.Before.Revision != s.health.Revision {
			return 0, pool.ErrConflict
		}
	}
	s.revision++
	s.writes++
	for _, c := range w.Healths {
		h := *c.After
		h.Revision = s.revision
		s.health = &h
	}
	for _, c := range w.Commands {
		done := *c.After
		s.commands = slices.DeleteFunc(s.commands, func(o *pool.Command) bool { return o.ID == done.ID })
		s.commands = append(s.commands, &done)
	}
	for _, c := range w.Nodes {
		n := *c.After
		n.Revision = s.revision
		s.nodes[n.ID] = &n
	}
	for _, c := range w.Quotas {
		q := *c.After
		q.Revision = s.revision
		s.quota = &q
	}
	s.tell()
	return s.revision, fault
}

func (s *fakeStore) check(by pool.Actor, c pool.Change[pool.Node]) error {
	var before *pool.NodeState
	stored := s.nodes[c.After.ID]
	if c.Before != nil {
		if stored == nil || stored.Revision != c.Before.Revision {
			return pool.ErrConflict
		}
		before = &stored.State
	} else if stored != nil {
		return pool.ErrConflict
	}
	return pool.NodeMachine().CheckWrite(before, c.After.State, by)
}

// tell wakes everybody up, at once and again when the change is old enough to
// be seen.
func (s *fakeStore) tell() {
	if s.lag > 0 {
		s.past = append(s.past, aged{time.Now(), s.current()})
		time.AfterFunc(s.lag, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			close(s.changed)
			s.changed = make(chan struct{})
		})
		return
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

// add makes pending nodes.
func (s *fakeStore) add(ids ...pool.NodeID) {
	s.addWith(pool.Resources{Instances: 1, Cores: 2}, ids...)
}

// addWith adds pending nodes that take up something else.
func (s *fakeStore) addWith(take pool.Resources, ids ...pool.NodeID) {
	var w pool.Write
	for _, id := range ids {
		n := &pool.Node{
			V: 1, ID: id, Provider: "p", Pool: "main", Label: "small", Created: time.Now().UTC(),
			FlavorID: "f1", ImageID: "i1", Resources: take,
		}
		n.Type, n.Port = "ssh", 22
		w.Nodes = append(w.Nodes, pool.Create(n.Moved(pool.NodePending, pool.Allocator, "demand", time.Now())))
	}
	for part := range slices.Chunk(w.Nodes, 50) {
		if _, err := s.apply(pool.Write{By: pool.Allocator, Nodes: part}); err != nil {
			panic(err)
		}
	}
}

// move moves nodes as the allocator.
func (s *fakeStore) move(to pool.NodeState, ids ...pool.NodeID) {
	for _, id := range ids {
		n := s.node(id)
		w := pool.Write{By: pool.Allocator, Nodes: []pool.Change[pool.Node]{
			pool.Update(n, n.Moved(to, pool.Allocator, "test", time.Now())),
		}}
		if _, err := s.apply(w); err != nil {
			panic(err)
		}
	}
}

// pause pauses launching in a provider, "" for none.
func (s *fakeStore) pause(provider string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revision++
	s.pauses = nil
	if provider != "" {
		s.pauses = []*pool.Pause{{Provider: provider, By: "ann"}}
	}
	s.tell()
}

// freeze freezes launching, or lets it go on.
func (s *fakeStore) freeze(f *pool.Freeze) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revision++
	s.frozen = f
	s.tell()
}

// forget removes the record of a dead node.
func (s *fakeStore) forget(id pool.NodeID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revision++
	delete(s.nodes, id)
	s.tell()
}

// written is how many writes there were.
func (s *fakeStore) written() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writes
}

func (s *fakeStore) node(id pool.NodeID) *pool.Node {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nodes[id]
}

func (s *fakeStore) published() pool.Quota {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.quota == nil {
		return pool.Quota{}
	}
	return *s.quota
}

// count returns how many nodes are in a state.
func (s *fakeStore) count(state pool.NodeState) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, node := range s.nodes {
		if node.State == state {
			n++
		}
	}
	return n
}

// sick returns the health record.
func (s *fakeStore) sick() pool.Health {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *s.health
}

// order gives a command.
func (s *fakeStore) order(c pool.Command) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revision++
	s.commands = append(s.commands, &c)
	s.tell()
}

// answer returns a command as it is now.
func (s *fakeStore) answer(id string) pool.Command {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.commands {
		if c.ID == id {
			return *c
		}
	}
	return pool.Command{}
}
