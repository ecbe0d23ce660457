package launcher

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"poold/cloud"
	"poold/pool"
)

const (
	// factsEvery is between two looks at limits, flavors, zones and images;
	// factsSoon is the least time between two after something went wrong, such
	// as a launch that was refused.
	factsEvery = 5 * time.Minute
	factsSoon  = 30 * time.Second
	// hostsEvery is between two looks where hosts have to be looked at.
	hostsEvery = 30 * time.Second
)

// quota is what is known about what can be had, and what of it is published.
type quota struct {
	// next is when to ask the cloud, began when it was asked last.
	next, began time.Time
	busy        bool
	// asked is the revision of the records when the facts were asked for.
	asked   int64
	facts   *cloud.Facts
	at      time.Time
	foreign pool.Resources
	images  map[string]string
	// doubtful says that a create was refused, so that an image may be gone
	// though its id is known.
	doubtful bool
	// lowered is what a quota fault taught us at loweredAt.
	lowered   *pool.Limits
	loweredAt time.Time
	trouble   string
	// wrote is the revision of our last write of the record, which is not
	// written again before retry.
	wrote   int64
	writing bool
	retry   time.Time
}

// passQuota asks for facts if they are due and publishes what changed. It
// returns when to look again; zero is when something ends.
func (r *run) passQuota(ctx context.Context, snap *pool.Snapshot, now time.Time) time.Time {
	q := &r.quota
	stored := snap.Quota(r.provider.Name)
	if q.wants(stored) {
		r.factsAgain(now)
	}
	if !q.busy && !now.Before(q.next) {
		r.startFacts(ctx, snap, now)
	}
	if want := q.record(r.provider.Name, stored); want != nil && q.writable(snap, now) && !sameQuota(stored, want) {
		r.publish(ctx, stored, want)
	}
	switch {
	case q.retry.After(now) && (q.busy || q.retry.Before(q.next)):
		return q.retry
	case q.busy:
		return time.Time{} // the answer wakes the loop
	}
	return q.next
}

// writable tells whether the record may be written now.
func (q *quota) writable(snap *pool.Snapshot, now time.Time) bool {
	return !q.writing && snap.Revision >= q.wrote && !now.Before(q.retry)
}

// startFacts asks the cloud for what launches are made from.
//
// Where they lack something that is configured or wanted, nothing that was
// known before counts: it may have come.
func (r *run) startFacts(ctx context.Context, snap *pool.Snapshot, now time.Time) {
	q := &r.quota
	if r.doubter != nil && (q.facts != nil && r.lacks(q.facts) || q.wants(snap.Quota(r.provider.Name))) {
		r.doubter.Doubt()
	}
	q.busy, q.began, q.next = true, now, now.Add(r.factsPause())
	booked := r.booked(func(t *track) bool { return t.node.State != pool.NodePending })
	images, doubtful, asked := maps.Clone(q.images), q.doubtful, snap.Revision
	sure := images
	if doubtful {
		sure = nil
	}
	q.doubtful = false
	lane := cloud.LanePoll
	if q.facts == nil {
		lane = cloud.LaneRequest // nothing is launched before
	}
	r.spawn(ctx, func(ctx context.Context) effect {
		facts, err := r.facts(ctx, lane)
		if err == nil {
			images = r.findImages(ctx, images, sure)
		}
		return func(r *run, end time.Time) {
			r.quota.busy = false
			if err != nil {
				r.quota.doubtful = r.quota.doubtful || doubtful
				r.factsFailed(err, end)
				return
			}
			r.calm("facts")
			r.view.trouble = false
			r.view.down, r.view.downAt = facts.Down, now
			q.trouble, q.facts, q.at, q.asked, q.images = "", &facts, now, asked, images
			q.foreign = facts.Used.Sub(booked)
			if q.loweredAt.Before(now) {
				q.lowered = nil
			}
		}
	})
}

// factsPause is the time between two looks at the facts.
func (l *Launcher) factsPause() time.Duration {
	if l.prover != nil {
		return hostsEvery
	}
	return factsEvery
}

func (l *Launcher) facts(ctx context.Context, lane cloud.Lane) (cloud.Facts, error) {
	ctx, cancel := call(ctx, lane)
	defer cancel()
	return l.driver.Facts(ctx)
}

// findImages resolves the images that are in the cloud already. An image that
// cannot be looked up now keeps the id it had; one that was found by its id,
// and is surely there, is not looked for again. A name may mean another image
// every time.
func (l *Launcher) findImages(ctx context.Context, known, sure map[string]string) map[string]string {
	found := make(map[string]string, len(l.provider.CloudImages))
	for _, c := range l.provider.CloudImages {
		wanted := cmp.Or(c.ID, c.ImageName, c.Name)
		if sure[c.Name] == wanted {
			found[c.Name] = wanted
			continue
		}
		id, err := l.findImage(ctx, wanted)
		switch {
		case err == nil:
			found[c.Name] = id
		case !errors.Is(err, cloud.NotFound) && known[c.Name] != "":
			found[c.Name] = known[c.Name]
		}
	}
	return found
}

func (l *Launcher) findImage(ctx context.Context, nameOrID string) (string, error) {
	ctx, cancel := call(ctx, cloud.LanePoll)
	defer cancel()
	return l.driver.FindImage(ctx, nameOrID)
}

// factsFailed keeps what was known and asks again soon.
func (r *run) factsFailed(err error, now time.Time) {
	r.quota.next = now.Add(max(factsSoon, retryAfter(err)))
	kind := cloud.KindOf(err)
	r.grumble("facts", kind, "asking for limits failed", err)
	if kind == cloud.Unauthorized {
		r.view.trouble, r.quota.trouble = true, err.Error()
	}
}

// factsAgain asks for facts as soon as that is allowed.
func (r *run) factsAgain(now time.Time) {
	soon := r.quota.began.Add(factsSoon)
	if soon.Before(now) {
		soon = now
	}
	if soon.Before(r.quota.next) {
		r.quota.next = soon
	}
}

// refusedCredentials stops launching until a look at the facts succeeds.
func (r *run) refusedCredentials(err error, now time.Time) {
	r.view.trouble, r.quota.trouble = true, err.Error()
	r.factsAgain(now)
}

// booked sums the resources of live nodes.
func (r *run) booked(counts func(t *track) bool) pool.Resources {
	var sum pool.Resources
	for _, t := range r.view.nodes {
		if t.node.State.Live() && counts(t) {
			sum = sum.Add(t.holds())
		}
	}
	return sum
}

// holds is what a node takes up in the cloud. One that failed for want of quota
// was refused what its instance was to get besides: it must not count as used,
// or who has it instead would never be seen, and the next launch fail as well.
func (t *track) holds() pool.Resources {
	have := t.node.Resources
	if t.node.Failure == pool.KindQuota {
		have.Volumes, have.VolumeGB, have.FloatingIPs = 0, 0, 0
	}
	return have
}

// lower believes the cloud when it says that there is no room for a node: what
// exists now is all there can be, until the cloud is asked again.
func (r *run) lower(n *pool.Node, now time.Time) {
	q := &r.quota
	r.factsAgain(now)
	if q.facts == nil {
		return
	}
	exists := r.booked(func(t *track) bool {
		refusedOne := t.node.Failure == pool.KindQuota && t.inst.ID == ""
		return t.node.State != pool.NodePending && !refusedOne
	})
	limits := lowered(q.facts.Limits, q.foreign.Add(exists), n.Resources)
	q.lowered, q.loweredAt = &limits, now
}

// lowered caps what is wanted at what is used.
func lowered(l pool.Limits, used, want pool.Resources) pool.Limits {
	for _, c := range []struct {
		limit      *int64
		used, want int64
	}{
		{&l.Instances, used.Instances, max(1, want.Instances)},
		{&l.Cores, used.Cores, want.Cores},
		{&l.RAMMiB, used.RAMMiB, want.RAMMiB},
		{&l.Volumes, used.Volumes, want.Volumes},
		{&l.VolumeGB, used.VolumeGB, want.VolumeGB},
		{&l.FloatingIPs, used.FloatingIPs, want.FloatingIPs},
		{&l.Ports, used.Ports, want.Ports},
	} {
		if c.want > 0 && (*c.limit < 0 || c.used < *c.limit) {
			*c.limit = c.used
		}
	}
	return l
}

// record is what should be published, nil if nothing is known. Trouble is
// added to what was published before, if there is nothing newer.
func (q *quota) record(provider string, stored *pool.Quota) *pool.Quota {
	if q.facts == nil {
		if q.trouble == "" {
			return nil
		}
		want := &pool.Quota{V: pool.RecordVersion, Provider: provider, At: q.began.UTC().Truncate(time.Millisecond)}
		if stored != nil {
			*want = *stored
		}
		want.Trouble = q.trouble
		return want
	}
	want := &pool.Quota{
		V: pool.RecordVersion, Provider: provider, At: q.at.UTC().Truncate(time.Millisecond),
		Limits: q.facts.Limits, Foreign: q.foreign, Lowered: q.lowered,
		Flavors: slices.Clone(q.facts.Flavors), Zones: slices.Clone(q.facts.Zones), Down: q.facts.Down,
		CloudImages: q.images, Trouble: q.trouble,
	}
	slices.SortFunc(want.Flavors, func(a, b pool.Flavor) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	slices.Sort(want.Zones)
	want.Asked = q.asked
	if stored != nil {
		want.Record, want.Wanted = stored.Record, stored.Wanted
	}
	return want
}

// wants tells whether the cloud was not asked yet as of the revision that is
// wanted on record.
func (q *quota) wants(stored *pool.Quota) bool { return stored != nil && stored.Wanted > q.asked }

// lacks tells whether the cloud does not have all that labels and pools are
// configured with.
func (l *Launcher) lacks(f *cloud.Facts) bool {
	q := pool.Quota{Flavors: f.Flavors}
	for i := range l.provider.Pools {
		p := &l.provider.Pools[i]
		gone := func(az string) bool { return len(f.Zones) > 0 && !slices.Contains(f.Zones, az) }
		if slices.ContainsFunc(p.AZs, gone) {
			return true
		}
		for k := range p.Labels {
			if _, ok := q.Flavor(&p.Labels[k]); !ok {
				return true
			}
		}
	}
	return false
}

// sameQuota tells whether two records say the same, whenever they were made,
// unless somebody wants to know when.
func sameQuota(a, b *pool.Quota) bool {
	if a == nil || b == nil {
		return a == b
	}
	return !answers(a, b) && sameLimits(a.Lowered, b.Lowered) && a.Limits == b.Limits && a.Foreign == b.Foreign && a.Trouble == b.Trouble &&
		samePlaces(a, b)
}

// samePlaces tells whether what launches are made from is the same.
func samePlaces(a, b *pool.Quota) bool {
	return slices.Equal(a.Flavors, b.Flavors) && slices.Equal(a.Zones, b.Zones) && maps.Equal(a.Down, b.Down) && maps.Equal(a.CloudImages, b.CloudImages)
}

func sameLimits(a, b *pool.Limits) bool { return a == b || a != nil && b != nil && *a == *b }

// answers tells whether b is as new as somebody wants it who has read a, or
// nearer to that.
func answers(a, b *pool.Quota) bool { return a.Asked < a.Wanted && a.Asked < b.Asked }

// publish writes the record. It is replaced whole, so a write that is lost is
// made again from what is known then.
func (r *run) publish(ctx context.Context, stored, want *pool.Quota) {
	change := pool.Create(want)
	if stored != nil {
		change = pool.Update(stored, want)
	}
	r.quota.writing = true
	r.spawn(ctx, func(ctx context.Context) effect {
		revision, err := r.commit(ctx, pool.Write{Quotas: []pool.Change[pool.Quota]{change}})
		return func(r *run, now time.Time) {
			r.quota.writing = false
			switch {
			case err == nil:
				r.quota.wrote = revision
			case errors.Is(err, pool.ErrNotOwner):
				r.fatal = err
			default:
				r.quota.retry = now.Add(writeRetry)
				r.grumble("quota", cloud.Transient, "publishing the quota failed", err)
			}
		}
	})
}
