package launcher

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"poold/cloud"
	"poold/pool"
)

const (
	// batchMax is how many instances one call asks for at most.
	batchMax = writeSize
	// quiet is how long no more pending nodes of a kind may have come before
	// they are asked for, because what is decided at once may arrive in several
	// writes; lingerMax is how long the first of them waits for others.
	quiet     = 10 * time.Millisecond
	lingerMax = 100 * time.Millisecond
)

// batchKey is what the nodes of a batch have in common.
type batchKey struct{ pool, label, flavor, image, az string }

func keyOf(n *pool.Node) batchKey {
	return batchKey{n.Pool, n.Label, n.FlavorID, n.ImageID, n.AZ}
}

// launch is nodes to ask for with one call.
type launch struct {
	key   batchKey
	nodes []*track
	lane  cloud.Lane
	// properties are those that its nodes have beside their label's.
	properties map[string]string
}

// launches groups the pending nodes into batches, those that somebody waits
// for first.
func (v *view) launches(now time.Time, p *plan) {
	type groupKey struct {
		batchKey

		properties string
	}
	groups := map[groupKey]*launch{}
	lines := v.lines()
	var order []*launch
	var waiting map[string]bool
	building, occupying := 0, 0
	for _, t := range v.nodes {
		if t.inFlight() {
			building++
			occupying += v.occupies(t, now, p)
		}
		if v.paused() || !t.launchable(now) {
			continue
		}
		if reason := v.impossible(t.node); reason != "" {
			p.fail(t, pool.KindInvalid, reason)
			continue
		}
		properties := v.properties(t.node, lines)
		key := groupKey{keyOf(t.node), inOrder(properties)}
		g := groups[key]
		if g == nil {
			if waiting == nil {
				waiting = waitingLabels(v.snap)
			}
			g = &launch{key: key.batchKey, lane: cloud.LaneReady, properties: properties}
			groups[key] = g
			order = append(order, g)
		}
		if t.node.ForSet != nil || waiting[t.node.Label] {
			g.lane = cloud.LaneRequest
		}
		g.nodes = append(g.nodes, t)
	}
	slices.SortStableFunc(order, func(a, b *launch) int { return cmp.Compare(a.lane, b.lane) })
	for _, g := range order {
		n := v.split(g, min(v.room(building), v.slow.room(occupying)), now, p)
		building, occupying = building+n, occupying+n
	}
}

// paused tells whether nothing may be launched.
func (v *view) paused() bool {
	return v.trouble || v.unsure() || v.snap.Freeze != nil || v.snap.ProviderPause(v.provider.Name) != nil
}

// inFlight tells whether a node is being launched, from when that is about to
// be written.
func (t *track) inFlight() bool {
	return t.node.State == pool.NodeBuilding || t.node.State == pool.NodePending && t.busy
}

// launchable tells whether a node may be asked for now.
func (t *track) launchable(now time.Time) bool {
	return t.node.State == pool.NodePending && !t.busy && !t.behind && !now.Before(t.retry)
}

// room is how many more nodes may be building.
func (v *view) room(building int) int {
	if v.provider.MaxConcurrency <= 0 {
		return int(^uint(0) >> 1)
	}
	return max(0, v.provider.MaxConcurrency-building)
}

// split cuts a group into batches of the size that its key has now, and
// returns how many nodes are launched.
func (v *view) split(g *launch, room int, now time.Time, p *plan) int {
	size := v.size(g.key)
	if ready := g.complete(); len(g.nodes) < size && now.Before(ready) {
		p.wakeAt(ready)
		return 0
	}
	nodes := g.nodes[:min(len(g.nodes), room)]
	for part := range slices.Chunk(nodes, size) {
		p.launches = append(p.launches, launch{g.key, part, g.lane, g.properties})
	}
	return len(nodes)
}

// complete is when no more nodes are waited for.
func (g *launch) complete() time.Time {
	first, last := g.nodes[0].since, g.nodes[0].since
	for _, t := range g.nodes {
		if t.since.Before(first) {
			first = t.since
		}
		if t.since.After(last) {
			last = t.since
		}
	}
	if most := first.Add(lingerMax); most.Before(last.Add(quiet)) {
		return most
	}
	return last.Add(quiet)
}

// size is how many nodes of a key are asked for at a time.
func (v *view) size(key batchKey) int {
	if size, ok := v.sizes[key]; ok {
		return size
	}
	return batchMax
}

// judge learns from a batch that is over: a cloud that broke all of it is
// asked for half as many next time, one that made all of it for more.
func (v *view) judge(b *batch) {
	size := v.size(b.key)
	switch {
	case b.errored == b.size:
		v.sizes[b.key] = max(1, min(size, b.size)/2)
	case b.booted == b.size && size < batchMax:
		v.sizes[b.key] = min(batchMax, size+max(1, size/4))
	case b.booted == b.size:
		delete(v.sizes, b.key)
	}
}

// impossible says why a pending node can never be asked for, or "".
func (v *view) impossible(n *pool.Node) string {
	pl := v.provider.Pool(n.Pool)
	switch {
	case pl == nil:
		return "the pool is not configured any more"
	case pl.Label(n.Label) == nil:
		return "the pool does not have the label any more"
	case v.provider.Static() && pl.Host(n.AZ) == nil:
		return "the host is not configured any more"
	case v.provider.Static():
		return ""
	case n.FlavorID == "":
		return "no flavor was chosen"
	case n.ImageID == "":
		return "no image was chosen"
	}
	return ""
}

// spec is what a batch asks the cloud for.
func (l *Launcher) spec(n *pool.Node, size int, revision int64) cloud.BatchSpec {
	pl := l.provider.Pool(n.Pool)
	ls := pl.Label(n.Label)
	return cloud.BatchSpec{
		Mark: cloud.Mark{
			Installation: l.installation, Provider: l.provider.Name, Batch: n.Batch, Revision: revision,
		},
		Name: n.Batch, Count: size, FlavorID: n.FlavorID, ImageID: n.ImageID, AZ: n.AZ,
		Networks: ls.Networks, SecurityGroups: pl.SecurityGroups, KeyName: l.keyName(ls), UserData: ls.UserData,
		Properties: ls.Properties, ConfigDrive: l.configDrive(ls),
		BootFromVolume: ls.BootFromVolume, VolumeGB: ls.VolumeGB,
		Tags: ls.Tags, ServerGroup: ls.ServerGroup, Hints: ls.SchedulerHints,
	}
}

// keyName is the key pair of a label's instances, "" for none.
func (l *Launcher) keyName(ls *pool.LabelSpec) string {
	if ls.PublicKey == "" {
		return ls.KeyName
	}
	return cloud.KeyPairName(l.installation, ls.PublicKey)
}

// ask brings the key pair of a batch into the cloud, if it is one of ours, and
// then asks for the instances. An error in the first is never ambiguous, nor a
// lack of quota: it says nothing about instances. None are asked for that could
// never be found ready.
func (l *Launcher) ask(ctx context.Context, n *pool.Node, spec cloud.BatchSpec) error {
	ls := l.provider.Pool(n.Pool).Label(n.Label)
	if err := l.checkable(ls); err != nil {
		return err
	}
	if key := ls.PublicKey; key != "" {
		if l.keyPairer == nil {
			return &cloud.Error{Kind: cloud.Invalid, Op: "create key pair", Err: errors.New("the driver can make none")}
		}
		if err := l.keyPairer.EnsureKeyPair(ctx, spec.KeyName, key); err != nil {
			return withoutKey(err)
		}
	}
	return l.driver.Create(ctx, spec)
}

// withoutKey is what the error of a key pair means for the instances that
// were to have it.
func withoutKey(err error) error {
	kind := cloud.KindOf(err)
	if kind == cloud.Ambiguous {
		kind = cloud.Transient
	}
	if kind == cloud.Quota {
		kind = cloud.Invalid
	}
	return &cloud.Error{Kind: kind, Op: "create servers", RetryAfter: retryAfter(err), Err: err}
}

func (l *Launcher) configDrive(ls *pool.LabelSpec) *bool {
	for i := range l.provider.Images {
		if ls.DiskImage != "" && l.provider.Images[i].Name == ls.DiskImage {
			return l.provider.Images[i].ConfigDrive
		}
	}
	for i := range l.provider.CloudImages {
		if ls.CloudImage != "" && l.provider.CloudImages[i].Name == ls.CloudImage {
			return l.provider.CloudImages[i].ConfigDrive
		}
	}
	return nil
}

// startLaunch writes the nodes of a batch as building and then asks the cloud
// for it, once. If this process dies between the two the nodes are looked for
// in vain and fail as never seen; the call is not made again, because nobody
// could tell whether it was made.
func (r *run) startLaunch(ctx context.Context, g launch, now time.Time) {
	id, err := pool.NewBatchID(r.random)
	if err != nil {
		r.fatal = err
		return
	}
	changes := make([]pool.Change[pool.Node], 0, len(g.nodes))
	for k, t := range g.nodes {
		after := t.node.Moved(pool.NodeBuilding, pool.Launcher, fmt.Sprintf("%d of a batch of %d", k+1, len(g.nodes)), now)
		after.Batch, after.BatchIndex, after.BatchSize = id, k+1, len(g.nodes)
		changes = append(changes, pool.Update(t.node, after))
		t.busy = true
	}
	r.running.creates++
	r.spawn(ctx, func(ctx context.Context) effect {
		revision, err := r.commit(ctx, pool.Write{Nodes: changes})
		if err != nil {
			return func(r *run, end time.Time) {
				r.running.creates--
				r.unwritten(changes, err, end)
			}
		}
		b := &batch{key: g.key, size: len(changes), verdict: asking}
		// Wait until the loop knows about the batch: whatever it lists from
		// then on may show its instances.
		if !r.deliver(ctx, func(r *run, _ time.Time) {
			r.view.batches[id] = b
			for _, c := range changes {
				r.wrote(c.After, revision)
			}
		}) {
			return nil
		}
		callCtx, cancel := call(ctx, g.lane)
		defer cancel()
		first := changes[0].After
		spec := r.spec(first, len(changes), revision)
		spec.Properties = together(spec.Properties, g.properties)
		err = r.ask(callCtx, first, spec)
		return func(r *run, end time.Time) {
			r.running.creates--
			r.answer(b, err, end)
		}
	})
}

// answer takes over what the cloud said to a batch.
func (r *run) answer(b *batch, err error, now time.Time) {
	b.answered = now
	if err == nil {
		b.verdict = accepted
		return
	}
	b.kind, b.reason, b.verdict = cloud.KindOf(err), err.Error(), refused
	if _, ok := errors.AsType[*cloud.Error](err); !ok || b.kind == cloud.Ambiguous {
		// It may have been done. What is not from a driver says nothing
		// either.
		b.verdict = unknown
	}
	if b.kind == cloud.Unauthorized {
		r.refusedCredentials(err, now)
	}
	r.log.Warn("create failed", zap.String("kind", string(b.kind)), zap.Int("size", b.size), zap.Error(err))
}
