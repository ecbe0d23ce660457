package launcher

import (
	"slices"
	"time"

	"poold/cloud"
	"poold/pool"
)

// track is what this process knows about one node beyond its record. All of
// it can be lost: a fresh process learns it anew from the list.
type track struct {
	node *pool.Node
	// since is when this process first saw the node.
	since time.Time
	// wrote is the revision of our own last write; behind says that the
	// snapshot is older than that, so that nothing is decided yet.
	wrote  int64
	behind bool
	// busy says that a goroutine works on the node; stop ends it early if it
	// is one that reaches for the instance.
	busy bool
	stop func()
	// retry is before when nothing is tried again.
	retry time.Time

	// inst is the node's instance as last seen at asOf; no ID, never seen.
	inst cloud.Instance
	asOf time.Time
	// missing says that a full list lacked the instance, which is a reason to
	// look at it by id; gone that the cloud said it is no more.
	missing, gone bool
	// denied says that it is gone only by the cloud's word that there is no
	// such instance, which it would say of one in another project, too.
	denied bool

	// asked is when a delete was last accepted, asks how often one was tried.
	asked time.Time
	asks  int
	// arrived is how the instance was reached, until that is on record.
	arrived *reached
	// marks are how far the boot got.
	marks marks
	// round is the last absorb that found the node.
	round uint64
	// cleared says that no floating IP of the node is left; clearTried that
	// removing them was tried.
	cleared, clearTried bool
	// cleaned says that nothing is left of what came with the instance,
	// cleanTries how often that was looked for; plain that the cloud does not
	// let us force deletes.
	cleaned    bool
	cleanTries int
	plain      bool
}

// verdict is what the cloud said to a batched create.
type verdict int

const (
	// asking: the answer is awaited.
	asking verdict = iota
	// accepted: some of the instances will be seen.
	accepted
	// unknown: an ambiguous answer, or one that another process got.
	unknown
	// refused: none will ever be seen.
	refused
)

// batch is what this process knows about one batched create of its own.
type batch struct {
	key     batchKey
	size    int
	verdict verdict
	// answered is when the answer came.
	answered time.Time
	// kind and reason say why it was refused.
	kind   pool.Kind
	reason string
	// found is how many of its instances were seen; booted and errored how
	// many of them became ready, or broke.
	found, booted, errored int
	// failed is how many failed for a reason that may be the cloud's.
	failed int
}

// lists is what is known about looking at the whole provider.
type lists struct {
	busy bool
	// mark asks for changes; zero before the first list.
	mark cloud.ListMark
	// last and full are when the last list, and the last full one, began;
	// took is how long the last one took.
	last, full time.Time
	took       time.Duration
	// trusted are when the last two full lists that are believed began.
	trusted [2]time.Time
	// retry is when to list again after failures in a row.
	retry    time.Time
	failures int
	// unanswered is when the first list began since the last one was answered.
	unanswered time.Time
	// doubted says that a sweep failed: perhaps the cloud answers nobody.
	doubted bool
}

// onceSince tells whether a believed full list began after t.
func (l *lists) onceSince(t time.Time) bool { return l.trusted[1].After(t) }

// twiceSince tells whether two believed full lists began after t. What was
// never seen by then is in neither.
func (l *lists) twiceSince(t time.Time) bool { return l.trusted[0].After(t) }

// view is all that decide looks at.
type view struct {
	provider *pool.Provider
	snap     *pool.Snapshot
	// nodes are those that are not gone, in the order of the snapshot.
	nodes []*track
	byID  map[pool.NodeID]*track
	// booting is how many of them have an instance that is not active yet.
	booting int
	// spare is the list of nodes of the time before, to be used again.
	spare []*track
	// round counts the snapshots that were taken over.
	round   uint64
	batches map[string]*batch
	// tidyAt is how many batches there may be before those are looked for
	// that no node is of.
	tidyAt int
	sizes  map[batchKey]int
	lists  lists
	slow   slow
	// down says why hosts are of no use, as the facts of downAt have it.
	down   map[string]string
	downAt time.Time
	// trouble says that credentials are refused.
	trouble bool
	// lost says that the last full list lacked most of what should be there;
	// held that the record says so. See vanish.go.
	lost, held bool
	// crowded says that calls wait for their turn.
	crowded bool
	// boots and deletion are how long a label's boot, and a delete, take.
	boots    map[string]boots
	deletion time.Duration
}

func newView(p *pool.Provider) *view {
	return &view{
		provider: p, byID: map[pool.NodeID]*track{}, batches: map[string]*batch{},
		sizes: map[batchKey]int{}, boots: map[string]boots{},
	}
}

// absorb takes over what a snapshot says, unless we know better: what we wrote
// ourselves after it.
//
// Most records are the same as before, and both lists are in the same order:
// the tracks of the last time are walked along instead of looked up.
func (v *view) absorb(snap *pool.Snapshot, now time.Time) {
	before, at := v.nodes, 0
	v.nodes, v.spare = v.spare[:0], before
	v.snap = snap
	v.round++
	v.booting = 0
	for _, n := range snap.NodesOf(v.provider.Name) {
		for at < len(before) && before[at].node.ID < n.ID {
			at++
		}
		var t *track
		if at < len(before) && before[at].node.ID == n.ID {
			t = before[at]
		} else {
			t = v.byID[n.ID]
		}
		if n.State == pool.NodeDeleted && (t == nil || !t.busy && snap.Revision >= t.wrote) {
			continue // nothing is left to do about it
		}
		if t == nil {
			t = &track{since: now}
			v.byID[n.ID] = t
		}
		t.take(n, snap.Revision)
		t.round = v.round
		v.nodes = append(v.nodes, t)
		if t.boots() {
			v.booting++
		}
	}
	v.forget(snap)
	v.hold(now)
}

// boots tells whether the instance is awaited.
func (t *track) boots() bool {
	return t.node.State == pool.NodeBuilding && t.inst.Status != cloud.StatusActive
}

// take takes over what a snapshot says of the node.
func (t *track) take(n *pool.Node, revision int64) {
	t.behind = revision < t.wrote
	if !t.behind {
		t.node = n
	}
	if t.inst.ID == "" && t.node.InstanceID != "" {
		t.inst.ID = t.node.InstanceID
	}
}

// tidyBatches is how many batches are kept at least.
const tidyBatches = 16

// forget drops what is known about nodes and batches that are no more.
func (v *view) forget(snap *pool.Snapshot) {
	if len(v.byID) > len(v.nodes) {
		for id, t := range v.byID {
			if t.round != v.round && !t.busy && snap.Revision >= t.wrote {
				delete(v.byID, id)
			}
		}
	}
	if len(v.batches) < v.tidyAt {
		return
	}
	used := make(map[string]bool, len(v.batches))
	for _, t := range v.byID {
		if t.node.State.Live() {
			used[t.node.Batch] = true
		}
	}
	for id := range v.batches {
		if !used[id] {
			delete(v.batches, id)
		}
	}
	v.tidyAt = 2*len(v.batches) + tidyBatches
}

// waitingLabels returns the labels of the requests that have no answer yet.
func waitingLabels(snap *pool.Snapshot) map[string]bool {
	labels := map[string]bool{}
	for _, r := range unanswered(snap) {
		for _, label := range r.Labels {
			labels[label] = true
		}
	}
	return labels
}

// unanswered returns the requests that have no answer yet.
func unanswered(snap *pool.Snapshot) []*pool.Request {
	answered := make(map[pool.RequestRef]bool, len(snap.Allocations))
	for _, a := range snap.Allocations {
		answered[a.Ref()] = a.State != pool.AllocationWaiting
	}
	var all []*pool.Request
	for _, r := range snap.Requests {
		if r.Defect == "" && !answered[r.Ref()] {
			all = append(all, r)
		}
	}
	return all
}

// askedAt is the latest time at which the cloud may have been asked for the
// node's instance, as far as this process can know. Time in which no process
// looked does not count against a node.
func (v *view) askedAt(t *track) time.Time {
	at := t.since
	if building, ok := t.node.Entered(pool.NodeBuilding); ok && building.After(at) {
		at = building
	}
	if b := v.batches[t.node.Batch]; b != nil && b.answered.After(at) {
		at = b.answered
	}
	return at
}

// doubtfulSince is from when an instance that may have been asked for should
// show. It counts from the stamp of the record and not from the takeover:
// the last owner's calls ended before its lease did, and a provider whose
// owners die often must not wait for ever. A stamp from the future is another
// peer's clock and counts from when this process first saw it.
func (v *view) doubtfulSince(t *track) time.Time {
	asked := t.since
	if building, ok := t.node.Entered(pool.NodeBuilding); ok && building.Before(asked) {
		asked = building
	}
	if b := v.batches[t.node.Batch]; b != nil && b.answered.After(asked) {
		asked = b.answered
	}
	return asked
}

// claims tells whether an instance of our mark is the one that the node asked
// for: by id once that is on record, by batch and name before. A cloud that
// had room for a single instance of a batch called it by the batch's bare
// name.
func claims(n *pool.Node, i *cloud.Instance) bool {
	if n.InstanceID != "" {
		return n.InstanceID == i.ID
	}
	if n.Batch == "" || n.Batch != i.Mark.Batch {
		return false
	}
	return i.Name == n.Name() || n.BatchIndex == 1 && i.Name == n.Batch
}

// elder orders instances that claim the same name: the first one is taken and
// the others are leaks. One that is gone comes last.
func elder(a, b *cloud.Instance) int {
	if gone := a.Status == cloud.StatusDeleted; gone != (b.Status == cloud.StatusDeleted) {
		if gone {
			return 1
		}
		return -1
	}
	if c := a.Created.Compare(b.Created); c != 0 {
		return c
	}
	if a.ID < b.ID {
		return -1
	}
	return 1
}

// clip keeps the end of a text within a number of bytes, without what is not
// text in it.
func clip(text string, size int) string {
	if len(text) > size {
		text = text[len(text)-size:]
	}
	return string(slices.DeleteFunc([]rune(text), func(r rune) bool { return !shown(r) }))
}
