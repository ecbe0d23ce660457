package uploader

import (
	"context"
	"errors"
	"time"

	"poold/cloud"
	"poold/pool"
)

// deleteFirst is how long to wait after a first delete that did not do; it
// doubles up to retryMax.
const deleteFirst = 5 * time.Second

// errStillThere says that a delete was accepted but the image still exists.
var errStillThere = errors.New("the image is still there")

// remove deletes the image of an upload, and records that it is gone once the
// cloud says so.
func (u *Uploader) remove(ctx context.Context, r *pool.Upload) (int64, error) {
	t := &transfer{Uploader: u, record: r}
	if r.ExternalID != "" {
		if err := u.discard(ctx, r.ExternalID); err != nil {
			return r.Revision, err
		}
	}
	err := t.save(ctx, t.move(pool.UploadDeleted))
	return t.record.Revision, err
}

// discard deletes an image and returns nil only when it is known to be gone.
func (u *Uploader) discard(ctx context.Context, id string) error {
	err := u.driver.DeleteImage(ctx, id)
	if err != nil && !errors.Is(err, cloud.Ambiguous) {
		return gone(err)
	}
	if _, err = u.driver.Image(ctx, id); err == nil {
		return errStillThere
	}
	return gone(err)
}

// gone turns the cloud's word that there is no such thing into success.
func gone(err error) error {
	if errors.Is(err, cloud.NotFound) {
		return nil
	}
	return err
}
