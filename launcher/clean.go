package launcher

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"poold/cloud"
	"poold/pool"
)

// startNotes writes which volumes came with instances that are to be deleted.
func (r *run) startNotes(ctx context.Context, nodes []*track) {
	for _, t := range nodes {
		after := t.node.Clone()
		after.InstanceID, after.Volumes = t.inst.ID, t.inst.Volumes
		changes := []pool.Change[pool.Node]{pool.Update(t.node, after)}
		t.busy = true
		r.spawn(ctx, func(ctx context.Context) effect { return r.settled(r.commitNodes(ctx, changes)) })
	}
}

// startClean removes what is left of an instance that is gone. Nothing is left
// when the cloud said so; until then the node stays, and is seen.
func (r *run) startClean(ctx context.Context, t *track) {
	if r.cleaner == nil {
		t.cleaned = true
		return
	}
	n, id, strayed := t.node, t.inst.ID, t.strayed()
	t.cleanTries++
	r.spawnFor(ctx, t, func(ctx context.Context) effect {
		left, err := r.clean(ctx, n, id, strayed)
		return func(r *run, now time.Time) {
			t.busy, t.cleaned = false, err == nil && left == 0
			switch {
			case err != nil:
				t.retry = now.Add(max(reask(t.cleanTries), retryAfter(err)))
				r.log.Warn("something is left of an instance", zap.String("node", string(n.ID)),
					zap.String("instance", id), zap.Int("attempt", t.cleanTries), zap.Error(err))
			case left > 0:
				t.retry = now.Add(cleanAgain)
			}
		}
	})
}

// cleanAgain is when to look whether what was to be deleted is gone.
const cleanAgain = 5 * time.Second

// clean asks for the removal of what is left of an instance that is gone, and
// returns how much that was: 0 when nothing is left any more. Ports are looked
// for only if they may have strayed.
func (l *Launcher) clean(ctx context.Context, n *pool.Node, instanceID string, strayed bool) (int, error) { //nolint:revive // strayed is a fact
	ctx, cancel := call(ctx, cloud.LaneDelete)
	defer cancel()
	left := 0
	var failed []error
	count := func(err error) {
		if errors.Is(err, cloud.NotFound) {
			return
		}
		left++
		if err != nil {
			failed = append(failed, err)
		}
	}
	for _, volume := range n.Volumes {
		count(l.cleaner.RemoveVolume(ctx, volume))
	}
	if !strayed {
		return left, errors.Join(failed...)
	}
	ports, err := l.cleaner.Ports(ctx, instanceID)
	if err != nil {
		failed = append(failed, err)
	}
	for _, port := range ports {
		count(l.cleaner.RemovePort(ctx, instanceID, port))
	}
	return left, errors.Join(failed...)
}
