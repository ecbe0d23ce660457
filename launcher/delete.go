package launcher

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"poold/cloud"
	"poold/pool"
)

// spawnFor does work for one node, which is busy until the effect says that it
// is not.
func (r *run) spawnFor(ctx context.Context, t *track, work func(ctx context.Context) effect) {
	t.busy = true
	r.running.looks++
	r.spawn(ctx, func(ctx context.Context) effect {
		e := work(ctx)
		return func(r *run, now time.Time) {
			r.running.looks--
			e(r, now)
		}
	})
}

// retryAfter is how long the cloud asked to wait, 0 if it did not.
func retryAfter(err error) time.Duration {
	if e, ok := errors.AsType[*cloud.Error](err); ok {
		return e.RetryAfter
	}
	return 0
}

// forceFrom is which delete of an instance is the first that forces it.
const forceFrom = 3

// startDelete asks the cloud to delete an instance. It may be asked again, by
// this process or the next one.
func (r *run) startDelete(ctx context.Context, t *track, now time.Time) {
	id, remove := t.inst.ID, r.driver.Delete
	t.busy = true
	t.asks++
	if t.asks >= forceFrom && r.cleaner != nil && !t.plain {
		remove = r.cleaner.ForceDelete
	}
	r.running.deletes++
	r.spawn(ctx, func(ctx context.Context) effect {
		ctx, cancel := call(ctx, cloud.LaneDelete)
		defer cancel()
		err := remove(ctx, id)
		return func(r *run, end time.Time) {
			r.running.deletes--
			t.busy = false
			r.deleteAnswered(t, err, now, end)
		}
	})
}

// deleteAnswered takes over what the cloud said to a delete.
func (r *run) deleteAnswered(t *track, err error, began, now time.Time) {
	if err == nil {
		r.calm("delete")
		t.asked = now
		if t.asks > 1 {
			r.log.Warn("delete had no effect and was asked again", zap.String("node", string(t.node.ID)),
				zap.String("instance", t.inst.ID), zap.Int("attempt", t.asks),
				zap.Duration("elapsed", now.Sub(t.node.Since)))
		}
		return
	}
	if errors.Is(err, cloud.NotFound) {
		r.deny(t, began)
		return
	}
	if t.asks >= forceFrom && !t.plain && (errors.Is(err, cloud.Unauthorized) || errors.Is(err, cloud.Invalid)) {
		// Force is not for everybody: a plain delete it is, then.
		t.plain = true
		t.asks--
		return
	}
	if errors.Is(err, cloud.Ambiguous) {
		// It may have been accepted: look first, ask again later.
		t.asked = now
	} else {
		t.asks--
		t.retry = now.Add(max(listRetryMin, retryAfter(err)))
	}
	if errors.Is(err, cloud.Unauthorized) {
		r.refusedCredentials(err, now)
	}
	r.grumble("delete", cloud.KindOf(err), "delete failed", err)
}

// startClears removes the floating IPs of nodes that asked for one. One list
// serves them all.
func (r *run) startClears(ctx context.Context, nodes []*track, _ time.Time) {
	if len(nodes) == 0 {
		return
	}
	wanted := make(map[string]*track, len(nodes))
	for _, t := range nodes {
		if r.sweeper == nil {
			t.cleared = true
			continue
		}
		t.busy = true
		wanted[string(t.node.ID)] = t
	}
	if len(wanted) == 0 {
		return
	}
	r.spawn(ctx, func(ctx context.Context) effect {
		left, err := r.clear(ctx, wanted)
		return func(r *run, now time.Time) {
			for id, t := range wanted {
				t.busy, t.clearTried = false, true
				t.cleared = err == nil && !left[id]
				if !t.cleared && t.gone {
					t.retry = now.Add(max(reaskMin, retryAfter(err)))
				}
			}
			if err != nil {
				r.grumble("clear", cloud.KindOf(err), "removing floating IPs failed", err)
				return
			}
			r.calm("clear")
		}
	})
}

// clear removes the floating IPs that are marked with one of the nodes, and
// returns the nodes that still have one.
func (l *Launcher) clear(ctx context.Context, wanted map[string]*track) (map[string]bool, error) {
	ctx, cancel := call(ctx, cloud.LaneDelete)
	defer cancel()
	found, err := l.sweeper.Resources(ctx, cloud.FloatingIP)
	if err != nil {
		return nil, err
	}
	left := map[string]bool{}
	for _, f := range found {
		if wanted[f.Mark.Node] == nil || !l.ours(f.Mark) {
			continue
		}
		if err := l.sweeper.Remove(ctx, cloud.FloatingIP, f.ID); err != nil && !errors.Is(err, cloud.NotFound) {
			left[f.Mark.Node] = true
		}
	}
	return left, nil
}

// evidenceLines is how much of a console is asked for; evidenceBytes is how
// much of it is kept.
const (
	evidenceLines = 100
	evidenceBytes = 4 << 10
)

// startFail asks why, and writes that a node failed.
func (r *run) startFail(ctx context.Context, f failing, now time.Time) {
	n, inst, marks := f.t.node, f.t.inst, f.t.marks
	f.t.busy = true
	r.running.evidence++
	r.spawn(ctx, func(ctx context.Context) effect {
		settled := r.settled(r.fail(ctx, n, inst, failing{kind: f.kind, reason: f.reason, output: f.output, marks: marks}, now))
		return func(r *run, end time.Time) {
			r.running.evidence--
			settled(r, end)
		}
	})
}

// fail moves a node to failed, with what its instance can tell about it.
func (l *Launcher) fail(ctx context.Context, n *pool.Node, inst cloud.Instance, f failing, now time.Time) []written {
	kind, reason := f.kind, f.reason
	if inst.Status == cloud.StatusError && (kind == "" || kind == pool.KindVanished) {
		fault := l.fault(ctx, inst)
		if kind == "" {
			kind = fault.FaultKind
		}
		if fault.Fault != "" {
			reason = fault.Fault
		}
	}
	if kind == "" {
		kind = pool.KindUnclassified
	}
	if reason == "" {
		reason = "the instance broke, and the cloud does not say why"
	}
	after := n.Moved(pool.NodeFailed, pool.Launcher, reason, now)
	after.Failure = kind
	if n.State == pool.NodeBuilding {
		f.marks.put(after)
	}
	if inst.ID != "" {
		after.InstanceID = inst.ID
	}
	if inst.HostID != "" {
		after.HostID = inst.HostID
	}
	after.Evidence = clip(f.output, evidenceBytes)
	if after.Evidence == "" {
		after.Evidence = l.evidence(ctx, n, inst.ID)
	}
	return l.commitNodes(ctx, []pool.Change[pool.Node]{pool.Update(n, after)})
}

// fault returns the instance with its fault, which a list may leave out.
func (l *Launcher) fault(ctx context.Context, inst cloud.Instance) cloud.Instance {
	if inst.Fault != "" {
		return inst
	}
	ctx, cancel := call(ctx, cloud.LaneFinish)
	defer cancel()
	looked, err := l.driver.Instance(ctx, inst.ID)
	if err != nil {
		// The failure is certain without its text.
		return inst
	}
	return looked
}

// evidence returns the end of the console, if the label wants it kept.
func (l *Launcher) evidence(ctx context.Context, n *pool.Node, id string) string {
	ls := l.labelSpec(n)
	if l.console == nil || ls == nil || !ls.ConsoleLog || id == "" {
		return n.Evidence
	}
	ctx, cancel := call(ctx, cloud.LaneFinish)
	defer cancel()
	text, err := l.console.Console(ctx, id, evidenceLines)
	if err != nil {
		l.log.Debug("no console", zap.String("node", string(n.ID)), zap.Error(err))
		return n.Evidence
	}
	return clip(text, evidenceBytes)
}
