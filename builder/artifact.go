package builder

import (
	"context"
	"crypto/md5" //nolint:gosec // clouds still name images by it; sha256 and sha512 are what is trusted
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"poold/pool"
)

// outcome is how a build ended: with artifacts or with an error.
type outcome struct {
	build     string
	artifacts []pool.Artifact
	err       error
}

// build makes the artifacts of a build. It waits for a slot first. Afterwards
// there are no processes, mounts and loop devices of it, nor its temporary
// directory; if it fails there are no files either. Need is how much of the
// disk the files of the last build take.
func (b *Builder) build(ctx context.Context, build string, need int64) outcome {
	artifacts, err := b.produce(ctx, build, need)
	if err != nil {
		found, listErr := leftovers(b.dirs, &b.image)
		return outcome{build: build, err: errors.Join(err, listErr, discard(b.dirs, &b.image, build, found[build]))}
	}
	if err := discard(b.dirs, &b.image, build, []string{tempDir(b.dirs, &b.image, build)}); err != nil {
		b.log.Warn("leavings of a build not removed", buildField(build), errField(err))
	}
	return outcome{build: build, artifacts: artifacts}
}

// produce runs the command in its slot, and measures what came out.
func (b *Builder) produce(ctx context.Context, build string, need int64) ([]pool.Artifact, error) {
	if err := b.slots.Acquire(ctx, 1); err != nil {
		return nil, context.Cause(ctx)
	}
	defer b.slots.Release(1)
	for _, dir := range places(b.dirs, &b.image, build) {
		if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // the web server and humans read logs
			return nil, err
		}
	}
	log, err := os.OpenFile(logPath(b.dirs, b.image.Name, build), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o644) //nolint:gosec // humans read logs
	if err != nil {
		return nil, err
	}
	defer log.Close() //nolint:errcheck // a log that cannot be closed is no reason to fail
	if err := pruneLogs(b.dirs, b.image.Name); err != nil {
		b.log.Warn("old build logs not removed", errField(err))
	}
	artifacts, err := b.logged(ctx, build, need, log)
	if err != nil {
		lines := tail(log)
		fmt.Fprintf(log, "\npoold: failed: %v\n", err) //nolint:errcheck // it is in the record, too
		if lines == "" {
			return nil, err
		}
		return nil, errors.Join(err, text(lines))
	}
	fmt.Fprintln(log, "\npoold: done") //nolint:errcheck // it is in the record, too
	return artifacts, nil
}

// text is what goes below an error without being one.
type text string

// Error returns the text.
func (t text) Error() string { return string(t) }

// logged does what produce does, with a log.
func (b *Builder) logged(ctx context.Context, build string, need int64, log *os.File) ([]pool.Artifact, error) {
	if err := enoughRoom(b.dirs, need); err != nil {
		return nil, err
	}
	ctx, cancel := b.bounded(ctx)
	defer cancel()
	ctx, stop := watchRoom(ctx, places(b.dirs, &b.image, build))
	defer stop()
	if err := b.command(ctx, build, log); err != nil {
		return nil, err
	}
	return measure(ctx, b.dirs, &b.image, build)
}

// bounded limits a context to the build timeout of the image; zero is none.
func (b *Builder) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if b.image.BuildTimeout <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, b.image.BuildTimeout,
		fmt.Errorf("not done within the build timeout of %s", b.image.BuildTimeout.Round(time.Millisecond)))
}

// measure finds every format that the image wants, and its size and hashes.
func measure(ctx context.Context, dirs Dirs, image *pool.Image, build string) ([]pool.Artifact, error) {
	var artifacts []pool.Artifact
	for _, format := range image.Formats {
		a, err := measureFile(ctx, filepath.Join(dirs.Images, base(image.Name, build)+"."+format))
		if err != nil {
			return nil, fmt.Errorf("format %s: %w", format, err)
		}
		a.Format = format
		artifacts = append(artifacts, a)
	}
	return artifacts, nil
}

// measureFile reads a file once.
func measureFile(ctx context.Context, path string) (pool.Artifact, error) {
	f, err := os.Open(path)
	if err != nil {
		return pool.Artifact{}, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	info, err := f.Stat()
	if err != nil {
		return pool.Artifact{}, err
	}
	h5, h256, h512 := md5.New(), sha256.New(), sha512.New() //nolint:gosec // see the import
	n, err := io.Copy(io.MultiWriter(h5, h256, h512), reader{ctx.Err, f})
	if err != nil {
		return pool.Artifact{}, err
	}
	if n == 0 {
		return pool.Artifact{}, errors.New("the file is empty")
	}
	return pool.Artifact{
		Path: path, Bytes: n, DiskBytes: allocated(info),
		MD5:    hex.EncodeToString(h5.Sum(nil)),
		SHA256: hex.EncodeToString(h256.Sum(nil)),
		SHA512: hex.EncodeToString(h512.Sum(nil)),
	}, nil
}

// reader stops reading a long file when its context has ended.
type reader struct {
	ended func() error
	io.Reader
}

// Read reads unless the context has ended.
func (r reader) Read(p []byte) (int, error) {
	if err := r.ended(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}
