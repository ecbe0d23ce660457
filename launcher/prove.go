package launcher

import (
	"context"
	"slices"
	"time"

	"poold/cloud"
	"poold/pool"
)

// prove finds an active instance well by itself, where the cloud does not tell,
// and takes over what that shows.
func (l *Launcher) prove(ctx context.Context, inst cloud.Instance, now time.Time, got *reached) {
	ctx, cancel := call(ctx, cloud.LaneFinish)
	defer cancel()
	if got.hostKeys, got.err = l.prover.Prove(ctx, inst.ID, now); got.err != nil {
		return
	}
	if seen, err := l.driver.Instance(ctx, inst.ID); err == nil {
		got.addresses = seen.Addresses
	}
}

// startProof looks at an idle node that somebody wants, before it is given
// away: it may have stood for long, and no cloud tells when a host dies.
func (r *run) startProof(ctx context.Context, t *track, now time.Time) {
	n, inst := t.node, t.inst
	t.busy = true
	r.spawn(ctx, func(ctx context.Context) effect {
		got := reached{hostKeys: n.HostKeys}
		if r.prover != nil {
			r.prove(ctx, inst, now, &got)
		}
		kind := cloud.KindOf(got.err)
		var reason string
		switch {
		case kind == cloud.Capacity, kind == cloud.NotFound:
			reason = got.err.Error()
		case kind == "" && !slices.Equal(got.hostKeys, n.HostKeys):
			reason = "its host shows other host keys than when the node became ready"
		case kind == "":
			after := n.Clone()
			at := now.UTC().Truncate(time.Millisecond)
			after.Proven, after.ProofAsked = &at, nil
			return r.settled(r.commitNodes(ctx, []pool.Change[pool.Node]{pool.Update(n, after)}))
		default:
			return func(r *run, end time.Time) {
				t.busy, t.retry = false, end.Add(listRetryMin)
				r.grumble("prove", kind, "looking at a node failed", got.err)
			}
		}
		return r.settled(r.fail(ctx, n, inst, failing{kind: pool.KindUnreachable, reason: reason}, now))
	})
}
