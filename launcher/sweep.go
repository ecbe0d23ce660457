package launcher

import (
	"context"
	"errors"
	"maps"
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
	// leakGrace is how old a leak must be.
	leakGrace = 2 * time.Minute
	// More suspects than the larger of leaksMax and 1/leaksShare of what is
	// ours are not credible.
	leaksMax   = 10
	leaksShare = 20
)

// sweep is what earlier sweeps suspected, by kind and id.
type sweep struct {
	next      time.Time
	busy      bool
	suspected map[string]bool
}

// findings are what is ours in the cloud, and all records as they were after
// that was listed.
type findings struct {
	listing   cloud.Listing
	resources []cloud.Resource
	records   *pool.Snapshot
	// bound are the instances that this process took for its nodes.
	bound map[pool.NodeID]string
}

// passSweep sweeps if that is due, and returns when to look again; zero is when
// the sweep ends.
func (r *run) passSweep(ctx context.Context, now time.Time) time.Time {
	if r.sweep.busy {
		return time.Time{}
	}
	if now.Before(r.sweep.next) {
		return r.sweep.next
	}
	r.sweep.busy, r.sweep.next = true, now.Add(sweepEvery)
	bound := map[pool.NodeID]string{}
	for id, t := range r.view.byID {
		if t.inst.ID != "" {
			bound[id] = t.inst.ID
		}
	}
	earlier := maps.Clone(r.sweep.suspected)
	r.spawn(ctx, func(ctx context.Context) effect {
		found, err := r.find(ctx)
		if err != nil {
			return func(r *run, _ time.Time) {
				r.sweep.busy = false
				r.grumble("sweep", cloud.KindOf(err), "looking for leaks failed", err)
			}
		}
		found.bound = bound
		suspects := r.suspect(found)
		frozen := freeze(found, len(suspects))
		if frozen == "" {
			r.removeLeaks(ctx, suspects, earlier, now)
		}
		return func(r *run, end time.Time) { r.swept(found, suspects, frozen, now, end) }
	})
	return time.Time{}
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
		for _, kind := range []cloud.ResourceKind{cloud.FloatingIP, cloud.Port, cloud.VolumeDisk} {
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
}

func (l *Launcher) explain(f findings) explained {
	e := explained{map[string]bool{}, map[string]bool{}, map[string][]*pool.Node{}}
	for _, n := range f.records.Nodes {
		if n.Provider != l.provider.Name || !n.State.Live() {
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

// suspect returns what is ours and explained by no live record.
func (l *Launcher) suspect(f findings) []cloud.Resource {
	e := l.explain(f)
	var suspects []cloud.Resource
	for k := range f.listing.Instances {
		i := &f.listing.Instances[k]
		if i.Status == cloud.StatusDeleted || e.instances[i.ID] || claimed(i, e.unbound[i.Mark.Batch], f) {
			continue
		}
		suspects = append(suspects, cloud.Resource{
			Kind: cloud.InstanceKind, ID: i.ID, Name: i.Name, Mark: i.Mark, Created: i.Created,
		})
	}
	for k := range f.resources {
		if res := &f.resources[k]; l.ours(res.Mark) && !e.resource(res) {
			suspects = append(suspects, *res)
		}
	}
	return suspects
}

// claimed tells whether a node that knows no instance yet will take this one:
// it is the eldest of those that have the name.
func claimed(i *cloud.Instance, nodes []*pool.Node, f findings) bool {
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

// freeze says why what was found cannot be believed, or "".
func freeze(f findings, suspects int) string {
	for k := range f.listing.Instances {
		if f.listing.Instances[k].Mark.Revision > f.records.Revision {
			return "the records are older than what is in the cloud"
		}
	}
	for _, res := range f.resources {
		if res.Mark.Revision > f.records.Revision {
			return "the records are older than what is in the cloud"
		}
	}
	if suspects > max(leaksMax, (len(f.listing.Instances)+len(f.resources))/leaksShare) {
		return "too many leaks at once"
	}
	return ""
}

// leakKey names a suspect from one sweep to the next.
func leakKey(s *cloud.Resource) string { return string(s.Kind) + "/" + s.ID }

// removeLeaks removes what was suspected before and is old enough.
func (l *Launcher) removeLeaks(ctx context.Context, suspects []cloud.Resource, earlier map[string]bool, now time.Time) {
	for k := range suspects {
		s := &suspects[k]
		if !earlier[leakKey(s)] || s.Created.After(now.Add(-leakGrace)) {
			continue
		}
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

// swept remembers what was suspected and takes over the list.
func (r *run) swept(f findings, suspects []cloud.Resource, frozen string, began, now time.Time) {
	r.calm("sweep")
	r.sweep.busy = false
	r.sweep.suspected = map[string]bool{}
	for k := range suspects {
		r.sweep.suspected[leakKey(&suspects[k])] = true
	}
	value := 0.0
	if frozen != "" {
		value = 1
		r.log.Error("sweep frozen", zap.String("reason", frozen), zap.Int("suspects", len(suspects)))
	} else if len(suspects) > 0 {
		r.sweep.next = now.Add(sweepAgain)
	}
	r.metrics.frozen.WithLabelValues(r.provider.Name).Set(value)
	r.merge(f.listing, began)
}
