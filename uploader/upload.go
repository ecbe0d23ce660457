package uploader

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
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
	// progressEvery is how often SentBytes is written at most.
	progressEvery = 5 * time.Second
)

// transfer carries one upload from its record to ready, or to failed.
type transfer struct {
	*Uploader
	// record is the upload as last written or adopted.
	record *pool.Upload
	// build is nil if its record is gone.
	build *pool.Build
	// sent says that data left this process for the image.
	sent bool
	// lost counts looks at an image that has no data though it was sent.
	lost int
	// problem is the last error that was worth another try.
	problem error
}

// transfer runs one upload. It returns the revision of its last write, and an
// error only if neither ready nor failed could be recorded.
func (u *Uploader) transfer(ctx context.Context, r *pool.Upload, build *pool.Build) (int64, error) {
	t := &transfer{Uploader: u, record: r, build: build}
	bounded, cancel := u.bounded(ctx)
	defer cancel()
	err := t.drive(bounded)
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
	failed.Error = err.Error()
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

// drive looks and acts until the upload is ready.
func (t *transfer) drive(ctx context.Context) error {
	if t.artifact() == nil {
		return fmt.Errorf("the build has no file in format %s", t.record.Format)
	}
	for delay := lookFirst; ; delay = min(2*delay, lookMax) {
		done, err := t.advance(ctx)
		switch {
		case ctx.Err() != nil && !done:
			return context.Cause(ctx)
		case err != nil && retryable(err):
			t.problem = err
		case err != nil:
			return err
		case done:
			return nil
		}
		if err := sleep.For(ctx, max(delay, retryAfter(err))); err != nil {
			return err
		}
	}
}

// advance makes one step: a call that changes something, or a look. It returns
// whether the upload is ready.
func (t *transfer) advance(ctx context.Context) (bool, error) {
	if t.record.State == pool.UploadPending {
		if err := t.create(ctx); err != nil {
			return false, err
		}
	}
	image, err := t.driver.Image(ctx, t.record.ExternalID)
	switch {
	case err == nil:
		return t.act(ctx, image)
	case errors.Is(err, cloud.NotFound) && !t.sent:
		return false, t.create(ctx)
	}
	return false, err
}

// act does what the image needs next.
func (t *transfer) act(ctx context.Context, image cloud.Image) (bool, error) {
	switch image.Status {
	case cloud.ImageQueued:
		if !t.sent {
			return false, t.send(ctx)
		}
		if t.lost++; t.lost > lostLooks {
			return false, errors.New("the cloud lost the data")
		}
		return false, nil
	case cloud.ImageSaving:
		t.lost = 0
		if !t.sent {
			// An earlier uploader sent it and is gone.
			return false, errors.New("interrupted while the data was sent")
		}
		return false, nil
	case cloud.ImageActive:
		return t.verify(ctx, image)
	case cloud.ImageBroken:
		return false, errors.New("the cloud broke the image")
	}
	return false, nil
}

// create asks for the image under the id on record, and records that data may
// be sent.
func (t *transfer) create(ctx context.Context) error {
	id, err := t.driver.CreateImage(ctx, cloud.ImageSpec{
		ID: t.record.ExternalID, Name: t.record.ExternalName, Format: t.record.Format,
		Properties: t.properties(),
		Mark: cloud.Mark{
			Installation: t.installation, Provider: t.provider.Name,
			Upload: t.record.Image + "/" + t.record.Build, Revision: t.record.Revision,
		},
	})
	if err != nil || t.record.State == pool.UploadUploading && id == t.record.ExternalID {
		return err
	}
	after := *t.record
	if after.State == pool.UploadPending {
		after = *t.move(pool.UploadUploading)
	}
	after.ExternalID = id
	return t.save(ctx, &after)
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

// send sends the file, once. Whether it arrived is for the next look to say;
// an error is returned if the data was refused.
func (t *transfer) send(ctx context.Context) error {
	if t.build.Builder != t.peer {
		return fmt.Errorf("the file is with peer %s", t.build.Builder)
	}
	file, err := os.Open(t.artifact().Path)
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // it was only read
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if size := t.artifact().Bytes; info.Size() != size {
		return fmt.Errorf("the file has %d bytes, its build says %d", info.Size(), size)
	}
	data, id := &counter{from: file}, t.record.ExternalID
	err = t.watched(ctx, data, func(ctx context.Context) error {
		return t.driver.SendImage(ctx, id, data, info.Size())
	})
	t.metrics.bytes.WithLabelValues(t.provider.Name).Add(float64(data.n.Load()))
	t.sent = err == nil || data.n.Load() > 0 || errors.Is(err, cloud.Ambiguous)
	if err != nil && t.sent && !errors.Is(err, cloud.Ambiguous) {
		// Data went over the wire and was refused: the next try is a new
		// upload, after its back-off.
		return fmt.Errorf("send the data: %v", err) //nolint:errorlint // its kind must not make it worth another try
	}
	return err
}

// watched runs a send while its progress is written. The send is cancelled if
// the record turns out to have been moved by somebody else.
func (t *transfer) watched(ctx context.Context, data *counter, send func(context.Context) error) error {
	sending, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	writing, stop := context.WithCancel(sending)
	written := make(chan error, 1)
	go func() {
		err := t.progress(writing, data)
		if errors.Is(err, errOvertaken) || errors.Is(err, pool.ErrNotOwner) {
			cancel(err)
		} else {
			err = nil
		}
		written <- err
	}()
	err := send(sending)
	stop()
	// The record belongs to this goroutine again only now.
	if overtaken := <-written; overtaken != nil {
		return overtaken
	}
	return err
}

// progress writes how much was sent, until ctx ends or the record is lost.
func (t *transfer) progress(ctx context.Context, data *counter) error {
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		n := data.n.Load()
		if n == t.record.SentBytes {
			continue
		}
		after := *t.record
		after.SentBytes = n
		if err := t.save(ctx, &after); err != nil {
			return err
		}
	}
}

// verify compares an active image with the file, and records that it is ready.
func (t *transfer) verify(ctx context.Context, image cloud.Image) (bool, error) {
	a := t.artifact()
	if image.Bytes != a.Bytes {
		return false, fmt.Errorf("the cloud has %d bytes, the file %d", image.Bytes, a.Bytes)
	}
	hashes := map[string]string{"md5": a.MD5, "sha256": a.SHA256, "sha512": a.SHA512}
	if want := hashes[image.HashAlgo]; want != "" && !strings.EqualFold(want, image.Hash) {
		return false, fmt.Errorf("the %s of the image in the cloud is %s, of the file %s", image.HashAlgo, image.Hash, want)
	}
	ready := t.move(pool.UploadReady)
	ready.SentBytes = a.Bytes
	return true, t.save(ctx, ready)
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

// counter counts what is read through it. Only its count may be read from
// another goroutine.
type counter struct {
	from io.Reader
	n    atomic.Int64
}

// Read reads and counts.
func (c *counter) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.n.Add(int64(n))
	return n, err
}
