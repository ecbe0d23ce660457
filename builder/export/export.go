// Package export takes an image, or a snapshot of a server, out of a cloud onto
// the disk: in ranges side by side, resumed where they ended, and verified by
// the hash that the cloud has of it.
//
// A snapshot is asked for once in a build, under the mark of the build, whose
// record is there before, and is deleted when its data is here. If nobody lives
// to do that, the build is over by its record, and the image is a leak that the
// uploader's patrol removes.
package export

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"poold/cloud"
	"poold/internal/digest"
	"poold/internal/sleep"
	"poold/pool"
)

const (
	// lookFirst and lookMax bound the time between two tries of one call.
	lookFirst = time.Second
	lookMax   = 10 * time.Second
	// deleteTime bounds the deletion of a snapshot.
	deleteTime = time.Minute
)

// Driver is what a cloud must be able to do.
type Driver interface {
	cloud.Exporter
	FindImage(ctx context.Context, nameOrID string) (string, error)
	DeleteImage(ctx context.Context, id string) error
}

// Exporter takes images out of one provider. Its fields are required.
type Exporter struct {
	Driver                 Driver
	Provider, Installation string

	// segment is how much one call asks for, if not [segment]; delay how long
	// the second try waits, if not [lookFirst].
	segment int64
	delay   time.Duration
}

// Spec says what to take, and for which build.
type Spec struct {
	Of    pool.SnapshotOf
	Build *pool.Build
}

// Export brings the image to path and returns where it is from, and its
// format. It tells log how it goes.
func (e *Exporter) Export(ctx context.Context, s Spec, path string, log io.Writer) (*pool.Origin, string, error) {
	ctx = cloud.WithLane(ctx, cloud.LaneImage)
	id, err := e.image(ctx, s)
	if err != nil {
		return nil, "", err
	}
	if s.Of.Server != "" {
		_, _ = fmt.Fprintf(log, "poold: the snapshot is image %s\n", id) // the log is a help, no more
		defer e.remove(ctx, id, log)
	}
	source, err := e.active(ctx, id)
	if err != nil {
		return nil, "", err
	}
	_, _ = fmt.Fprintf(log, "poold: image %s has %d bytes of %s\n", id, source.Bytes, source.Format)
	d := &download{driver: e.Driver, path: path, log: log, segment: cmp.Or(e.segment, segment), delay: cmp.Or(e.delay, lookFirst), state: state{ID: id, Bytes: source.Bytes}}
	if err := d.run(ctx); err != nil {
		return nil, "", err
	}
	if err := digest.Verify(ctx, path, source.HashAlgo, source.Hash); err != nil {
		return nil, "", errors.Join(err, d.discard())
	}
	origin := &pool.Origin{Provider: e.Provider, ImageID: id}
	if source.HashAlgo != "" {
		origin.Checksum = source.HashAlgo + ":" + source.Hash
	}
	return origin, source.Format, d.forget()
}

// Unchanged tells whether the image is still the one that a build was made of.
// A server always has something new.
func (e *Exporter) Unchanged(ctx context.Context, of pool.SnapshotOf, was *pool.Origin) bool {
	if of.Server != "" || was.Provider != e.Provider {
		return false
	}
	id, err := e.Driver.FindImage(cloud.WithLane(ctx, cloud.LaneImage), of.Image)
	return err == nil && id == was.ImageID // whose data never changes
}

// image returns the id of the image to take.
func (e *Exporter) image(ctx context.Context, s Spec) (string, error) {
	if s.Of.Server == "" {
		return e.Driver.FindImage(ctx, s.Of.Image)
	}
	upload := s.Build.Image + "/" + s.Build.ID
	return e.Driver.Snapshot(ctx, cloud.SnapshotSpec{
		Server: s.Of.Server, Name: cloud.ExportName + s.Build.Image + "-" + s.Build.ID,
		Mark: cloud.Mark{
			Installation: e.Installation, Provider: e.Provider, Upload: upload, Revision: s.Build.Revision,
		},
	})
}

// active waits until the image has its data.
func (e *Exporter) active(ctx context.Context, id string) (cloud.Source, error) {
	for delay := cmp.Or(e.delay, lookFirst); ; delay = min(2*delay, lookMax) {
		source, err := e.Driver.Source(ctx, id)
		switch {
		case err != nil && !passing(err):
			return source, err
		case err != nil:
		case source.Status == cloud.ImageBroken:
			return source, errors.New("the cloud broke the image")
		case source.Status == cloud.ImageActive && source.Bytes == 0:
			return source, errors.New("the image has no data: it is a reference to volumes")
		case source.Status == cloud.ImageActive:
			return source, nil
		}
		if err := sleep.For(ctx, max(delay, after(err))); err != nil {
			return source, err
		}
	}
}

// remove deletes a snapshot of ours. If it cannot, the patrol will.
func (e *Exporter) remove(ctx context.Context, id string, log io.Writer) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deleteTime)
	defer cancel()
	if err := e.Driver.DeleteImage(ctx, id); err != nil && !errors.Is(err, cloud.NotFound) {
		_, _ = fmt.Fprintf(log, "poold: snapshot not deleted, a patrol will: %v\n", err)
	}
}

// passing tells whether an error may be gone at the next try.
func passing(err error) bool {
	return errors.Is(err, cloud.Transient) || errors.Is(err, cloud.RateLimited)
}

// after is how long the cloud asked to wait.
func after(err error) time.Duration {
	if e, ok := errors.AsType[*cloud.Error](err); ok {
		return e.RetryAfter
	}
	return 0
}
