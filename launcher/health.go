package launcher

import (
	"context"
	"errors"
	"time"

	"poold/cloud"
	"poold/pool"
)

// passHealth keeps the health record, does what operators want done with
// leaks, and sweeps if that is due. One of them goes on at a time. It returns
// when to look again; zero is when something ends, or the records change.
func (r *run) passHealth(ctx context.Context, snap *pool.Snapshot, now time.Time) time.Time {
	s := &r.sweep
	if s.busy || snap.Revision < s.wrote {
		return time.Time{}
	}
	if now.Before(s.retry) {
		return s.retry
	}
	h := snap.Health(r.provider.Name)
	vanished := r.view.vanished(h, now)
	r.metrics.vanished.WithLabelValues(r.provider.Name).Set(float64(unagreed(vanished, now)))
	switch c := r.leakCommand(snap); {
	case lapsed(h, now):
		// First of all, so that whatever this owner makes is younger.
		r.writeHealth(ctx, h, resumed(h, r.provider.Name, now), nil)
	case c != nil:
		r.startAgree(ctx, h, c, now)
	case s.tells(h, vanished, now):
		r.writeVanished(ctx, h, vanished, now)
	case now.Sub(h.At) >= healthEvery:
		beat := h.Clone()
		beat.At = stamp(now)
		r.writeHealth(ctx, h, beat, nil)
	case r.view.unsure():
		return s.nextTold(h, now) // what is listed now is perhaps of another project
	case !now.Before(s.next):
		r.startSweep(ctx, now)
	default:
		if beat := h.At.Add(healthEvery); beat.Before(s.next) {
			return beat
		}
	}
	return s.next
}

// leakCommand returns the first command about leaks of this provider that
// nobody has done.
func (r *run) leakCommand(snap *pool.Snapshot) *pool.Command {
	for _, c := range snap.Commands {
		if c.Verb == pool.VerbRemoveLeaks && c.Target == r.provider.Name && !c.Done {
			return c
		}
	}
	return nil
}

// startAgree writes an operator's agreement together with its answer. The next
// sweep, which comes at once, acts on it.
func (r *run) startAgree(ctx context.Context, h *pool.Health, c *pool.Command, now time.Time) {
	next, refusal, notFound := agreed(h, c, now)
	done := *c
	done.Done, done.Error, done.NotFound = true, refusal, notFound
	if next != nil {
		r.sweep.next = now
	}
	r.writeHealth(ctx, h, next, []pool.Change[pool.Command]{pool.Update(c, &done)})
}

// writeHealth writes the record, unless that is nil, and commands.
func (r *run) writeHealth(ctx context.Context, before, after *pool.Health, commands []pool.Change[pool.Command]) {
	r.sweep.busy = true
	r.spawn(ctx, func(ctx context.Context) effect {
		revision, err := r.commit(ctx, healthWrite(before, after, commands))
		return func(r *run, now time.Time) {
			r.sweep.busy = false
			r.wroteHealth(revision, err, now)
		}
	})
}

func healthWrite(before, after *pool.Health, commands []pool.Change[pool.Command]) pool.Write {
	w := pool.Write{Commands: commands}
	switch {
	case after == nil:
	case before == nil:
		w.Healths = []pool.Change[pool.Health]{pool.Create(after)}
	default:
		w.Healths = []pool.Change[pool.Health]{pool.Update(before, after)}
	}
	return w
}

// wroteHealth takes over what became of a write of the record.
func (r *run) wroteHealth(revision int64, err error, now time.Time) {
	switch {
	case err == nil:
		r.calm("health")
		r.sweep.wrote = max(r.sweep.wrote, revision)
	case errors.Is(err, pool.ErrNotOwner):
		r.fatal = err
	default:
		// Of a conflict, too: the record as it is now is on its way here.
		r.sweep.retry = now.Add(writeRetry)
		if !errors.Is(err, pool.ErrConflict) {
			r.grumble("health", cloud.Transient, "writing what sweeps found failed", err)
		}
	}
}
