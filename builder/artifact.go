package builder

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"poold/pool"
)

// outcome is how a build ended: with artifacts or with an error.
type outcome struct {
	made

	err error
}

// made is what a build made, and of what if not by a command.
type made struct {
	artifacts []pool.Artifact
	origin    *pool.Origin
}

// build makes the artifacts of a build. It waits for a slot first. Afterwards
// there are no processes, mounts and loop devices of it, nor its temporary
// directory; if it fails there are no files either. Need is how much of the
// disk the files of the last build take.
func (b *Builder) build(ctx context.Context, r *pool.Build, need int64) outcome {
	build := r.ID
	result, err := b.produce(ctx, r, need)
	if err != nil {
		found, listErr := leftovers(b.dirs, &b.image)
		return outcome{err: errors.Join(err, listErr, discard(b.dirs, &b.image, build, found[build]))}
	}
	if err := discard(b.dirs, &b.image, build, []string{tempDir(b.dirs, &b.image, build)}); err != nil {
		b.log.Warn("leavings of a build not removed", buildField(build), errField(err))
	}
	return outcome{made: result}
}

// produce runs the command in its slot, and completes what came out.
func (b *Builder) produce(ctx context.Context, r *pool.Build, need int64) (made, error) {
	build := r.ID
	if err := b.shop.slots.Acquire(ctx, 1); err != nil {
		return made{}, context.Cause(ctx)
	}
	defer b.shop.slots.Release(1)
	for _, dir := range places(b.dirs, &b.image, build) {
		if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // the web server and humans read logs
			return made{}, err
		}
	}
	log, err := os.OpenFile(logPath(b.dirs, b.image.Name, build), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o644) //nolint:gosec // humans read logs
	if err != nil {
		return made{}, err
	}
	defer log.Close() //nolint:errcheck // a log that cannot be closed is no reason to fail
	if err := pruneLogs(b.dirs, b.image.Name); err != nil {
		b.log.Warn("old build logs not removed", errField(err))
	}
	result, err := b.logged(ctx, r, need, log)
	if err != nil {
		lines := tail(log)
		fmt.Fprintf(log, "\npoold: failed: %v\n", err) //nolint:errcheck // it is in the record, too
		if lines == "" {
			return made{}, err
		}
		return made{}, errors.Join(err, text(lines))
	}
	fmt.Fprintln(log, "\npoold: done") //nolint:errcheck // it is in the record, too
	return result, nil
}

// text is what goes below an error without being one.
type text string

// Error returns the text.
func (t text) Error() string { return string(t) }

// logged does what produce does, with a log.
func (b *Builder) logged(ctx context.Context, r *pool.Build, need int64, log *os.File) (made, error) {
	if err := enoughRoom(b.dirs, need); err != nil {
		return made{}, err
	}
	ctx, cancel := b.bounded(ctx)
	defer cancel()
	ctx, stop := watchRoom(ctx, places(b.dirs, &b.image, r.ID))
	defer stop()
	origin, err := b.obtain(ctx, r, log)
	if err != nil {
		return made{}, err
	}
	artifacts, err := b.complete(ctx, r.ID, log)
	return made{artifacts, origin}, err
}

// obtain gets at least one format of a build, from where the image says, and
// tells what it was made of if not by a command.
func (b *Builder) obtain(ctx context.Context, r *pool.Build, log *os.File) (*pool.Origin, error) {
	switch {
	case b.image.SnapshotOf != nil:
		return b.takeOut(ctx, r, log)
	case b.image.URL != "":
		return b.download(ctx, r.ID, log)
	}
	return nil, b.command(ctx, r.ID, log)
}

// bounded limits a context to the build timeout of the image; zero is none.
func (b *Builder) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if b.image.BuildTimeout <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, b.image.BuildTimeout,
		fmt.Errorf("not done within the build timeout of %s", b.image.BuildTimeout.Round(time.Millisecond)))
}
