package launcher

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"

	"poold/cloud"
	"poold/pool"
)

const (
	// firstSweep is how long after its start a launcher sweeps, sweepEvery how
	// often, and sweepAgain how soon when something was suspected.
	firstSweep = 30 * time.Second
	sweepEvery = 5 * time.Minute
	sweepAgain = 2 * time.Minute
)

// sweep is what is known about sweeping; what was found is on record.
type sweep struct {
	next time.Time
	// busy says that a sweep, or a write of its record, goes on.
	busy bool
	// wrote is the revision of our last write of the record, which is not
	// written again before retry.
	wrote int64
	retry time.Time
	// told is when it was last written which nodes have vanished.
	told time.Time
}

// findings are what is ours in the cloud, and the records of the provider as
// they were after that was listed.
type findings struct {
	listing   cloud.Listing
	resources []cloud.Resource
	records   *pool.Snapshot
	// bound are the instances that this process took for its nodes.
	bound map[pool.NodeID]string
}

// startSweep looks for leaks, writes what was found, and then removes what has
// been a leak for long enough.
func (r *run) startSweep(ctx context.Context, now time.Time) {
	r.sweep.busy, r.sweep.next = true, now.Add(sweepEvery)
	bound := map[pool.NodeID]string{}
	for id, t := range r.view.byID {
		if t.inst.ID != "" {
			bound[id] = t.inst.ID
		}
	}
	r.spawn(ctx, func(ctx context.Context) effect {
		found, err := r.find(ctx)
		if err != nil {
			return func(r *run, _ time.Time) {
				r.sweep.busy, r.view.lists.doubted = false, true
				r.grumble("sweep", cloud.KindOf(err), "looking for leaks failed", err)
			}
		}
		found.bound = bound
		health, revision, err := r.sweepOnce(ctx, &found, now)
		return func(r *run, end time.Time) {
			r.sweep.busy = false
			r.wroteHealth(revision, err, end)
			if err == nil && health != nil {
				r.swept(found.listing, health, now, end)
			}
		}
	})
}

// sweepOnce judges what was found, writes it down and acts on it. It returns
// what is on record then, and the revision if it was written.
func (l *Launcher) sweepOnce(ctx context.Context, f *findings, now time.Time) (*pool.Health, int64, error) {
	prev := f.records.Health(l.provider.Name)
	if prev == nil || len(f.records.Unreadable) > 0 {
		// The records say less than there was: nothing can be told from them.
		return nil, 0, nil
	}
	next, doomed := judge(prev, f, l.sightings(f), now)
	var revision int64
	if !sameHealth(prev, next) {
		next.At = stamp(now)
		var err error
		if revision, err = l.commit(ctx, healthWrite(prev, next, nil)); err != nil {
			return nil, 0, err
		}
	}
	l.removeLeaks(ctx, doomed)
	return next, revision, nil
}

// find lists the cloud first and reads the records after it, so that a record
// of whatever was listed is certain to be read.
func (l *Launcher) find(ctx context.Context) (findings, error) {
	var f findings
	var err error
	if f.listing, err = l.list(ctx, cloud.ListMark{}, cloud.LaneSweep); err != nil {
		return f, err
	}
	if l.sweeper != nil {
		for _, kind := range []cloud.ResourceKind{cloud.FloatingIP, cloud.KeyPair} {
			found, err := l.resources(ctx, kind)
			if err != nil {
				return f, err
			}
			f.resources = append(f.resources, found...)
		}
	}
	f.records, err = l.store.Read(ctx)
	return f, err
}

func (l *Launcher) resources(ctx context.Context, kind cloud.ResourceKind) ([]cloud.Resource, error) {
	ctx, cancel := call(ctx, cloud.LaneSweep)
	defer cancel()
	return l.sweeper.Resources(ctx, kind)
}

// explained is what live records explain.
type explained struct {
	nodes     map[string]bool
	instances map[string]bool
	// unbound are nodes whose record knows no instance yet, by batch.
	unbound map[string][]*pool.Node
	// past are the ids of all nodes and batches that are on record, dead or
	// alive.
	past map[string]bool
}

func (l *Launcher) explain(f *findings) explained {
	e := explained{map[string]bool{}, map[string]bool{}, map[string][]*pool.Node{}, map[string]bool{}}
	for _, n := range f.records.Nodes {
		if n.Provider != l.provider.Name {
			continue
		}
		e.past[string(n.ID)] = true
		if n.Batch != "" {
			e.past[n.Batch] = true
		}
		if !n.State.Live() {
			continue
		}
		e.nodes[string(n.ID)] = true
		if n.InstanceID != "" {
			e.instances[n.InstanceID] = true
			continue
		}
		e.unbound[n.Batch] = append(e.unbound[n.Batch], n)
		if id := f.bound[n.ID]; id != "" {
			e.instances[id] = true
		}
	}
	return e
}

// resource tells whether something that is not an instance is explained.
func (e explained) resource(res *cloud.Resource) bool {
	if res.Mark.Node != "" {
		return e.nodes[res.Mark.Node] || e.instances[res.InstanceID]
	}
	// Without a node and a batch it is not the launcher's to judge.
	return res.Mark.Batch == "" || len(e.unbound[res.Mark.Batch]) > 0 || e.instances[res.InstanceID]
}

// sightings are what is ours and explained by no live record.
func (l *Launcher) sightings(f *findings) []sighting {
	e := l.explain(f)
	var seen []sighting
	for k := range f.listing.Instances {
		i := &f.listing.Instances[k]
		if i.Status == cloud.StatusDeleted || e.instances[i.ID] || claimed(i, e.unbound[i.Mark.Batch], f) {
			continue
		}
		seen = append(seen, sighting{
			Resource: cloud.Resource{Kind: cloud.InstanceKind, ID: i.ID, Name: i.Name, Mark: i.Mark, Created: i.Created},
			why:      "no node that lives has it, and none of batch " + i.Mark.Batch + " waits for it",
			traced:   e.past[i.Mark.Batch],
		})
	}
	for k := range f.resources {
		res := &f.resources[k]
		switch {
		case res.Kind == cloud.KeyPair:
			if res.Mark.Installation == l.installation && !l.usesKeyPair(res.Name) {
				seen = append(seen, sighting{
					Resource: *res, byHand: true,
					why: "no label of this provider is configured with it; another provider of the account may have one",
				})
			}
		case l.ours(res.Mark) && !e.resource(res):
			seen = append(seen, sighting{
				Resource: *res, why: "no node that lives has it", traced: e.past[res.Mark.Node] || e.past[res.Mark.Batch],
			})
		}
	}
	return seen
}

// usesKeyPair tells whether a label of this provider has the key pair.
func (l *Launcher) usesKeyPair(name string) bool {
	for i := range l.provider.Pools {
		for k := range l.provider.Pools[i].Labels {
			if l.keyName(&l.provider.Pools[i].Labels[k]) == name {
				return true
			}
		}
	}
	return false
}

// claimed tells whether a node that knows no instance yet will take this one:
// it is the eldest of those that have the name.
func claimed(i *cloud.Instance, nodes []*pool.Node, f *findings) bool {
	for _, n := range nodes {
		if !claims(n, i) || f.bound[n.ID] != "" {
			continue
		}
		eldest := true
		for k := range f.listing.Instances {
			o := &f.listing.Instances[k]
			if o.ID != i.ID && claims(n, o) && elder(o, i) < 0 {
				eldest = false
			}
		}
		if eldest {
			return true
		}
	}
	return false
}

// removeLeaks removes what has been a leak for long enough.
func (l *Launcher) removeLeaks(ctx context.Context, doomed []cloud.Resource) {
	for k := range doomed {
		s := &doomed[k]
		err := l.removeLeak(ctx, s)
		fields := []zap.Field{
			zap.String("resource", string(s.Kind)), zap.String("id", s.ID), zap.String("name", s.Name), zap.Error(err),
		}
		if err != nil && !errors.Is(err, cloud.NotFound) {
			l.log.Warn("removing a leak failed", fields...)
			continue
		}
		l.metrics.leaks.WithLabelValues(l.provider.Name, string(s.Kind)).Inc()
		l.log.Warn("leak removed", fields...)
	}
}

func (l *Launcher) removeLeak(ctx context.Context, s *cloud.Resource) error {
	ctx, cancel := call(ctx, cloud.LaneSweep)
	defer cancel()
	if s.Kind == cloud.InstanceKind {
		return l.driver.Delete(ctx, s.ID)
	}
	return l.sweeper.Remove(ctx, s.Kind, s.ID)
}

// swept takes over what a sweep found.
func (r *run) swept(listing cloud.Listing, h *pool.Health, began, now time.Time) {
	r.calm("sweep")
	value := 0.0
	if h.Frozen != "" {
		value = 1
		r.log.Error("sweep frozen", zap.String("reason", h.Frozen), zap.Int("leaks", len(h.Leaks)))
	}
	if slices.ContainsFunc(h.Leaks, func(k pool.Leak) bool { return k.Goes != nil || k.Agreed(now) }) {
		r.sweep.next = now.Add(sweepAgain)
	}
	r.metrics.frozen.WithLabelValues(r.provider.Name).Set(value)
	r.merge(listing, began)
}
