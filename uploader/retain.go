package uploader

import (
	"cmp"
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
	id, err := u.imageOf(ctx, r)
	if err == nil && id != "" {
		err = u.discard(ctx, id)
	}
	if err == nil && over(r) {
		err = u.clear(ctx, r)
	}
	if err != nil {
		return r.Revision, err
	}
	err = t.save(ctx, t.move(pool.UploadDeleted))
	return t.record.Revision, err
}

// imageOf is the id of an upload's image. What a task has made may not be on
// record yet; what it makes later is for the sweep.
func (u *Uploader) imageOf(ctx context.Context, r *pool.Upload) (string, error) {
	tasker, ok := u.driver.(cloud.ImageTasker)
	if r.Task == "" || !ok {
		return r.ExternalID, nil
	}
	task, err := tasker.Task(ctx, r.Task)
	return cmp.Or(task.ImageID, r.ExternalID), gone(err)
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
