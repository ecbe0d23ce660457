package uploader

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"poold/cloud"
	"poold/internal/sleep"
	"poold/pool"
)

const (
	// lookFirst and lookMax bound the time between two looks at an image.
	lookFirst = time.Second
	lookMax   = 10 * time.Second
	// lostLooks is how often in a row an image may still be without data after
	// all of it was sent; about a minute.
	lostLooks = 9
)

// errInterrupted says that whoever sent the data is gone.
var errInterrupted = errors.New("interrupted while the data was sent")

// transfer carries one upload from its record to ready, or to failed.
type transfer struct {
	*Uploader
	// record is the upload as last written or adopted.
	record *pool.Upload
	// build is nil if its record is gone.
	build *pool.Build
	way   way
	// objects is nil unless the data goes to an object store.
	objects *objects
	// sent says that data left this process for the image, arrived that the
	// cloud said that it has all of it.
	sent, arrived bool
	// copying says that copies to further stores were asked for.
	copying bool
	// lost counts looks at an image that has no data though it was sent.
	lost int
	// problem is the last error that was worth another try.
	problem error
}

// transfer runs one upload. It returns the revision of its last write, and an
// error only if neither ready nor failed could be recorded.
func (u *Uploader) transfer(ctx context.Context, r *pool.Upload, build *pool.Build) (int64, error) {
	leave, err := u.limits.enter(ctx)
	if err != nil {
		return r.Revision, err
	}
	defer leave()
	t := &transfer{Uploader: u, record: r, build: build}
	bounded, cancel := u.bounded(ctx)
	defer cancel()
	err = t.drive(bounded)
	if err == nil {
		u.metrics.uploads.WithLabelValues(u.provider.Name, "ready").Inc()
		return t.record.Revision, nil
	}
	if ctx.Err() != nil {
		return t.record.Revision, context.Cause(ctx)
	}
	if errors.Is(err, errOvertaken) || errors.Is(err, pool.ErrNotOwner) {
		return t.record.Revision, err
	}
	failed := t.move(pool.UploadFailed)
	failed.Error, failed.BytesPerSecond, failed.Expected = err.Error(), 0, nil
	if bounded.Err() != nil && t.problem != nil {
		failed.Error += ": " + t.problem.Error()
	}
	if err := t.save(ctx, failed.Because(failed.Error)); err != nil {
		return t.record.Revision, err
	}
	u.metrics.uploads.WithLabelValues(u.provider.Name, "failed").Inc()
	u.log.Warn("upload failed", append(keyOf(r).fields(), zap.Error(err))...)
	return t.record.Revision, nil
}

// bounded limits a context to the upload timeout of the provider; zero is
// none.
func (u *Uploader) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if u.provider.ImageUploadTimeout <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, u.provider.ImageUploadTimeout,
		fmt.Errorf("not done within the upload timeout of %s", u.provider.ImageUploadTimeout))
}

// progress is what a step of a transfer brought.
type progress int

const (
	// waiting is for the cloud.
	waiting progress = iota
	// moving has something to look at already.
	moving
	// done is an upload that is ready.
	done
)

// drive looks and acts until the upload is ready.
func (t *transfer) drive(ctx context.Context) error {
	if t.artifact() == nil {
		return fmt.Errorf("the build has no file in format %s", t.record.Format)
	}
	for delay := lookFirst; ; delay = min(2*delay, lookMax) {
		p, err := t.advance(ctx)
		switch {
		case p == done:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil && retryable(err):
			t.problem = err
		case err != nil:
			return err
		case p == moving:
			continue
		}
		if err := sleep.For(ctx, max(delay, retryAfter(err))); err != nil {
			return err
		}
	}
}

// advance makes one step: a call that changes something, or a look.
func (t *transfer) advance(ctx context.Context) (progress, error) {
	if t.way.method == "" {
		if err := t.prepare(ctx); err != nil {
			return waiting, err
		}
	}
	if t.objects != nil {
		return t.byTask(ctx)
	}
	if t.record.State == pool.UploadPending {
		if err := t.create(ctx); err != nil {
			return waiting, err
		}
	}
	image, err := t.driver.Image(ctx, t.record.ExternalID)
	switch {
	case err == nil:
		return t.act(ctx, image)
	case errors.Is(err, cloud.NotFound) && t.record.Method == adopted:
		return waiting, errors.New("the image that was found is gone")
	case errors.Is(err, cloud.NotFound) && !t.sent:
		return waiting, t.create(ctx)
	}
	return waiting, err
}

// prepare finds out how the data gets to the cloud, unless it is there.
func (t *transfer) prepare(ctx context.Context) error {
	way, err := t.choose(ctx)
	if err != nil {
		return err
	}
	if t.record.State == pool.UploadPending {
		if err := t.find(ctx); err != nil {
			return err
		}
	}
	t.way = way
	if way.method == cloud.ImageByTask && t.record.Method != adopted {
		return t.tasks()
	}
	return nil
}

// act does what the image needs next.
func (t *transfer) act(ctx context.Context, image cloud.Image) (progress, error) {
	switch image.Status {
	case cloud.ImageQueued:
		if !t.sent {
			// Data is sent once, so that this cannot go round without a pause.
			return moving, t.bring(ctx)
		}
		if len(image.FailedIn) > 0 {
			return waiting, notImported(image)
		}
		if t.lost++; t.lost > lostLooks {
			return waiting, errors.New("the cloud lost the data")
		}
	case cloud.ImageSaving:
		t.lost = 0
		if !t.sent {
			return waiting, errInterrupted
		}
	case cloud.ImageStaged:
		return waiting, t.importStaged(ctx, image)
	case cloud.ImageImporting:
		t.lost = 0
		if len(image.FailedIn) > 0 {
			// Glance leaves it so for ever.
			return waiting, notImported(image)
		}
	case cloud.ImageActive:
		return t.verify(ctx, image)
	case cloud.ImageBroken:
		return waiting, errors.New("the cloud broke the image")
	}
	return waiting, nil
}

// create asks for the image under the id on record, and records that data may
// be sent.
func (t *transfer) create(ctx context.Context) error {
	id, err := t.driver.CreateImage(ctx, t.spec())
	if err != nil || t.record.State == pool.UploadUploading && id == t.record.ExternalID {
		return err
	}
	after := *t.record
	if after.State == pool.UploadPending {
		after = *t.move(pool.UploadUploading)
	}
	after.ExternalID, after.Method = id, string(t.way.method)
	return t.save(ctx, &after)
}

// spec describes the image of the upload.
func (t *transfer) spec() cloud.ImageSpec {
	return cloud.ImageSpec{
		ID: t.record.ExternalID, Name: t.record.ExternalName, Format: t.record.Format,
		Properties: t.properties(), Mark: t.mark(),
	}
}

func (t *transfer) mark() cloud.Mark {
	return cloud.Mark{
		Installation: t.installation, Provider: t.provider.Name,
		Upload: t.record.Image + "/" + t.record.Build, Revision: t.record.Revision,
	}
}

func (t *transfer) properties() map[string]string {
	use := imageUse(&t.provider, t.record.Image)
	if use == nil {
		use = &pool.ProviderImage{}
	}
	for i := range t.images {
		if t.images[i].Name == t.record.Image {
			return pool.ImageProperties(&t.images[i], use)
		}
	}
	return pool.ImageProperties(&pool.Image{}, use)
}

// artifact returns the file of the upload, or nil if there is none.
func (t *transfer) artifact() *pool.Artifact {
	if t.build == nil {
		return nil
	}
	return t.build.Artifact(t.record.Format)
}

// verify compares an active image with the file, and records that it is ready.
func (t *transfer) verify(ctx context.Context, image cloud.Image) (progress, error) {
	a := t.artifact()
	if err := t.same(image); err != nil {
		return waiting, err
	}
	if everywhere, err := t.copied(ctx, image); err != nil || !everywhere {
		return waiting, err
	}
	if err := t.hook(ctx); err != nil {
		return waiting, err
	}
	ready := t.move(verified(&t.provider, t.record.Image))
	ready.SentBytes, ready.BytesPerSecond, ready.Expected = a.Bytes, 0, nil
	if err := t.save(ctx, ready); err != nil {
		return waiting, err
	}
	return done, nil
}

// same tells what is wrong with an active image, compared with the file. What a
// cloud has converted while it imported it cannot be compared: it is another
// file, and the cloud says another format. What is left is that there is
// something, and that what was staged had the size of the file.
func (t *transfer) same(image cloud.Image) error {
	a := t.artifact()
	imported := t.record.Method != "" && t.record.Method != string(cloud.ImageByPut) && t.record.Method != adopted
	switch {
	case image.Bytes == 0:
		return errors.New("the image in the cloud is empty")
	case imported && image.Format != "" && image.Format != a.Format:
		t.log.Info("image converted by the cloud", append(keyOf(t.record).fields(), zap.String("from", a.Format), zap.String("to", image.Format))...)
		return nil
	case t.objects != nil && image.Bytes != a.Bytes:
		// What a task does with an object is the cloud's affair; the object was
		// verified.
		t.log.Info("image converted by the cloud", append(keyOf(t.record).fields(), zap.Int64("from", a.Bytes), zap.Int64("to", image.Bytes))...)
		return nil
	case image.Bytes != a.Bytes:
		return fmt.Errorf("the cloud has %d bytes, the file %d", image.Bytes, a.Bytes)
	}
	if want := hashes(a)[image.HashAlgo]; want != "" && !strings.EqualFold(want, image.Hash) {
		return fmt.Errorf("the %s of the image in the cloud is %s, of the file %s", image.HashAlgo, image.Hash, want)
	}
	return nil
}

// retryable tells whether an error is the cloud's and may pass within the
// upload.
func retryable(err error) bool {
	e, ok := errors.AsType[*cloud.Error](err)
	if !ok {
		return false
	}
	switch e.Kind {
	case cloud.Transient, cloud.RateLimited, cloud.Ambiguous, cloud.Unclassified:
		return true
	case cloud.Quota, cloud.Capacity, cloud.NotFound, cloud.Conflict, cloud.Unauthorized, cloud.Invalid,
		pool.KindNeverSeen, pool.KindTimeout, pool.KindUnreachable, pool.KindVanished:
		return false
	}
	return false
}

// retryAfter is how long the cloud asked to wait.
func retryAfter(err error) time.Duration {
	if e, ok := errors.AsType[*cloud.Error](err); ok {
		return e.RetryAfter
	}
	return 0
}
