package builder

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"poold/builder/fetch"
	"poold/internal/sleep"
	"poold/pool"
)

// again is how soon a pass that could not write is repeated.
const again = time.Second

// sweepRetry is how soon files that could not be removed are tried again.
const sweepRetry = time.Minute

// maxChanges is how many records one pass changes at most; the next one does
// the rest. etcd bounds the size of a transaction.
const maxChanges = 32

func buildField(build string) zap.Field { return zap.String("build", build) }

func errField(err error) zap.Field { return zap.Error(err) }

// step is one pass: record what ended, tidy up, and start a build if one is
// due. It returns when the next pass is due by itself, and an error only if
// nothing more may be done.
func (b *Builder) step(ctx context.Context, now time.Time) (time.Time, error) {
	s := b.store.Snapshot()
	if s.Revision < b.after {
		return now.Add(again), nil
	}
	builds := s.BuildsOf(b.image.Name)
	written, err := b.obey(ctx, s, builds, now)
	if err != nil || written {
		return now.Add(again), b.unless(ctx, err, s)
	}
	written, err = b.settle(ctx, s, builds, now)
	if err != nil || written {
		return now.Add(again), b.unless(ctx, err, s)
	}
	b.sweep(builds, now)
	verdict := Due(s, &b.image, now)
	b.metrics.passed.WithLabelValues(b.image.Name).Set(float64(now.UnixMilli()) / 1000)
	switch {
	case b.work == nil && b.unchanged(ctx, verdict.Aged):
		return now.Add(again), b.unless(ctx, b.keep(ctx, verdict.Aged, now), s)
	case verdict.Build && b.work == nil:
		return now.Add(again), b.unless(ctx, b.start(ctx, builds, verdict, now), s)
	case !verdict.Build && len(verdict.Commands) > 0:
		return now.Add(again), b.unless(ctx, b.refuse(ctx, verdict), s)
	}
	return verdict.At, nil
}

// unless returns an error that ends Run; the others are dealt with by deciding
// again. A conflict means that the snapshot was too old.
func (b *Builder) unless(ctx context.Context, err error, s *pool.Snapshot) error {
	switch {
	case err == nil, errors.Is(err, pool.ErrUnavailable):
		return nil
	case errors.Is(err, pool.ErrConflict):
		b.after = max(b.after, s.Revision+1)
		return nil
	case errors.Is(err, pool.ErrNotOwner):
		return err
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	b.log.Error("write refused", errField(err))
	return nil
}

// settle records how builds ended and what retention asks for. It returns
// whether it wrote.
func (b *Builder) settle(ctx context.Context, s *pool.Snapshot, builds []*pool.Build, now time.Time) (bool, error) {
	var changes []pool.Change[pool.Build]
	open := false
	for _, r := range builds {
		open = open || r.ID == b.running() && r.State == pool.BuildBuilding
		if r.State != pool.BuildBuilding {
			continue
		}
		if after := b.ending(r, now); after != nil {
			changes = append(changes, pool.Update(r, after))
		}
	}
	if b.ended != nil && !open {
		// It is on record already, by a write whose reply was lost, or it has
		// no record any more.
		b.forget()
	}
	changes = append(changes, retain(builds, uploadsOf(s, b.image.Name), now)...)
	changes = append(changes, b.shed(s, builds, changes)...)
	if len(changes) == 0 && left(&b.image) {
		changes = forget(builds, now)
	}
	if len(changes) == 0 {
		return false, nil
	}
	changes = changes[:min(len(changes), maxChanges)]
	if err := b.apply(ctx, pool.Write{By: pool.Builder, Builds: changes}); err != nil {
		return false, err
	}
	b.recorded(changes)
	return true, nil
}

// ending returns the record of a build that is over, or nil if it goes on.
func (b *Builder) ending(r *pool.Build, now time.Time) *pool.Build {
	switch {
	case r.ID != b.running() && r.Builder == b.peer:
		return failed(r, "builder restarted", now)
	case r.ID != b.running():
		return failed(r, "builder "+r.Builder+" lost the image", now)
	case b.ended == nil:
		return nil
	case b.ended.err != nil:
		return failed(r, b.ended.err.Error(), now)
	}
	ready := r.Moved(pool.BuildReady, now).Because("every format is there")
	ready.Artifacts, ready.Origin = b.ended.artifacts, b.ended.origin
	return ready
}

func failed(r *pool.Build, reason string, now time.Time) *pool.Build {
	f := r.Moved(pool.BuildFailed, now).Because(firstLine(reason))
	f.Error = reason
	return f
}

// recorded forgets an outcome that is on record, and counts it.
func (b *Builder) recorded(changes []pool.Change[pool.Build]) {
	for _, c := range changes {
		if c.After == nil || c.Before.State != pool.BuildBuilding {
			continue
		}
		if c.After.ID == b.running() {
			b.forget()
		}
		b.metrics.builds.WithLabelValues(b.image.Name, string(c.After.State)).Inc()
		b.metrics.duration.WithLabelValues(b.image.Name).Observe(c.After.Since.Sub(c.After.Created).Seconds())
		if c.After.State == pool.BuildFailed {
			b.log.Warn("build failed", buildField(c.After.ID), zap.String("reason", firstLine(c.After.Error)))
		}
	}
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// start records a new build, and then runs it.
func (b *Builder) start(ctx context.Context, builds []*pool.Build, v Verdict, now time.Time) error {
	id, err := pool.NewID(b.random)
	if err != nil {
		return err
	}
	at := now.UTC().Truncate(time.Millisecond)
	r := &pool.Build{
		V: pool.RecordVersion, Image: b.image.Name, ID: id, State: pool.BuildBuilding, Since: at, Created: at,
		Builder: b.peer, RecipeHash: RecipeHash(&b.image), Attempts: v.Attempts,
		Log:      logPath(b.dirs, b.image.Name, id),
		Username: b.image.Username, PythonPath: b.image.PythonPath, ShellType: b.image.ShellType,
		Timeline: []pool.Entry[pool.BuildState]{{State: pool.BuildBuilding, At: at, Reason: v.Reason}},
	}
	w := pool.Write{
		By: pool.Builder, Builds: []pool.Change[pool.Build]{pool.Create(r)},
		Commands: done(v.Commands, ""),
	}
	if err := b.apply(ctx, w); err != nil {
		return err
	}
	b.log.Info("build due", buildField(id), zap.String("reason", v.Reason))
	r.Revision = b.after
	b.begin(ctx, r, diskUse(newest(builds, pool.BuildReady)))
	return nil
}

// begin runs a build that is on record. Only one that calls a cloud ends with ctx:
// none may be called by who is not the owner.
func (b *Builder) begin(ctx context.Context, r *pool.Build, need int64) {
	if b.image.SnapshotOf == nil {
		ctx = context.WithoutCancel(ctx)
	}
	ctx, end := context.WithCancelCause(ctx)
	w := &work{build: r.ID, recipe: r.RecipeHash, dirs: b.dirs, since: r.Revision, end: end, done: make(chan struct{})}
	b.work = w
	b.shop.put(b.image.Name, w)
	go func() {
		defer end(nil)
		w.outcome = b.build(ctx, r, need)
		close(w.done)
	}()
}

// keep records that the newest build is as good as a new one.
func (b *Builder) keep(ctx context.Context, ready *pool.Build, now time.Time) error {
	after, origin, at := *ready, *ready.Origin, now.UTC().Truncate(time.Millisecond)
	origin.Checked, after.Origin = &at, &origin
	b.log.Info("nothing to build anew", buildField(ready.ID))
	return b.apply(ctx, pool.Write{By: pool.Builder, Builds: []pool.Change[pool.Build]{pool.Update(ready, &after)}})
}

// refuse answers commands that cannot be done now.
func (b *Builder) refuse(ctx context.Context, v Verdict) error {
	return b.apply(ctx, pool.Write{By: pool.Builder, Commands: done(v.Commands, v.Reason)})
}

func done(commands []*pool.Command, reason string) []pool.Change[pool.Command] {
	var changes []pool.Change[pool.Command]
	for _, c := range commands[:min(len(commands), maxChanges)] {
		answer := *c
		answer.Done, answer.Error = true, reason
		changes = append(changes, pool.Update(c, &answer))
	}
	return changes
}

// sweep removes the files of builds that are neither running here nor ready,
// and kills what is left of their commands. It looks at the disk when the set
// of builds to keep has changed.
func (b *Builder) sweep(builds []*pool.Build, now time.Time) {
	keep := make(map[string]bool)
	var names []string
	for _, r := range builds {
		if r.State == pool.BuildReady || r.ID == b.running() {
			keep[r.ID] = true
			names = append(names, r.ID)
			for _, format := range dropped(r) {
				names = append(names, r.ID+" without "+format)
			}
		}
	}
	if id := b.running(); id != "" && !keep[id] {
		keep[id] = true
		names = append(names, id)
	}
	slices.Sort(names)
	set := strings.Join(names, " ")
	if set == b.swept || now.Before(b.sweepAt) {
		return
	}
	if err := b.clean(builds, keep); err != nil {
		b.log.Warn("files of old builds not removed", errField(err))
		b.sweepAt = now.Add(sweepRetry)
		return
	}
	b.swept = set
}

func (b *Builder) clean(builds []*pool.Build, keep map[string]bool) error {
	found, err := leftovers(b.dirs, &b.image)
	errs := []error{err}
	if b.image.URL != "" && b.work == nil {
		errs = append(errs, fetch.Discard(downloadPath(b.dirs, b.image.Name), b.image.URL))
	}
	for _, r := range builds {
		// Of a build that ended here something may be left that has no file.
		if r.Builder == b.peer && found[r.ID] == nil {
			found[r.ID] = []string{}
		}
	}
	for _, r := range builds {
		if r.Builder == b.peer && keep[r.ID] {
			errs = append(errs, drop(b.dirs, r))
		}
	}
	for build, paths := range found {
		if !keep[build] {
			errs = append(errs, discard(b.dirs, &b.image, build, paths))
		}
	}
	return errors.Join(errs...)
}

// apply makes a write. One whose outcome is unknown is repeated until it is
// known; nothing else is decided meanwhile. If it then turns out to be a
// conflict it may have been ours: the record it made is found by the next pass
// and, as no command runs for it, ends as failed.
func (b *Builder) apply(ctx context.Context, w pool.Write) error {
	for {
		revision, err := b.store.Apply(ctx, w)
		if !errors.Is(err, pool.ErrUnknown) {
			b.after = max(b.after, revision)
			return err
		}
		if err := sleep.For(ctx, again); err != nil {
			return err
		}
	}
}
