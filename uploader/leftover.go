package uploader

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"poold/cloud"
	"poold/pool"
)

// whole is the object that an object is, or is a segment of.
func whole(name string) string {
	name, _, _ = strings.Cut(name, "/")
	return name
}

// removeObjects removes an object and its segments.
func removeObjects(ctx context.Context, store cloud.ObjectStore, container, name string) error {
	listed, err := store.Objects(ctx, container, name)
	if err != nil {
		return gone(err)
	}
	for _, o := range listed {
		if whole(o.Name) != name {
			continue // its name only begins so
		}
		if err := gone(store.RemoveObject(ctx, container, o.Name)); err != nil {
			return err
		}
	}
	return nil
}

// clear removes the objects of an upload.
func (u *Uploader) clear(ctx context.Context, r *pool.Upload) error {
	store, ok := u.driver.(cloud.ObjectStore)
	if !ok || r.Method != string(cloud.ImageByTask) {
		return nil
	}
	container := cloud.Container(u.installation, u.provider.Name)
	return removeObjects(ctx, store, container, objectName(r.Image, r.Build, r.Format))
}

// tasked tells whether images of the provider are made by tasks, or were.
func (u *Uploader) tasked() bool {
	byTask := func(r *pool.Upload) bool {
		return r.Provider == u.provider.Name && r.Method == string(cloud.ImageByTask)
	}
	return u.wantsTasks() || slices.ContainsFunc(u.store.Snapshot().Uploads, byTask)
}

// sweepObjects removes the objects that no upload needed at two patrols, and
// the container once nothing is in it, and returns those that it suspects now.
// That records were lost is no danger here: what is missing is sent again.
func (u *Uploader) sweepObjects(ctx context.Context, before map[string]time.Time, now time.Time) map[string]time.Time {
	store, ok := u.driver.(cloud.ObjectStore)
	if !ok || !u.tasked() {
		return nil
	}
	container := cloud.Container(u.installation, u.provider.Name)
	listed, err := store.Objects(ctx, container, "")
	if errors.Is(err, cloud.NotFound) {
		return nil
	}
	if err != nil {
		u.log.Warn("objects not listed", zap.Error(err))
		return before
	}
	needed := u.needed()
	if len(listed) == 0 && len(needed) == 0 {
		if err := gone(store.RemoveContainer(ctx, container)); err != nil {
			u.log.Warn("container not removed", zap.String("container", container), zap.Error(err))
		}
		return nil
	}
	since, have := suspected(listed, needed, before, now), u.have()
	for name, at := range since {
		if have[name] || now.Sub(at) >= patrolEvery {
			u.removeLeftover(ctx, store, container, name)
		}
	}
	return since
}

// suspected returns since when objects that are there are not needed.
func suspected(listed []cloud.StoredObject, needed map[string]bool, before map[string]time.Time, now time.Time) map[string]time.Time {
	since := map[string]time.Time{}
	for _, o := range listed {
		name := whole(o.Name)
		at, known := before[name]
		if !known {
			at = now
		}
		if !needed[name] {
			since[name] = at
		}
	}
	return since
}

func (u *Uploader) removeLeftover(ctx context.Context, store cloud.ObjectStore, container, name string) {
	if err := removeObjects(ctx, store, container, name); err != nil {
		u.log.Warn("leaked object not removed", zap.String("object", name), zap.Error(err))
		return
	}
	u.log.Info("leaked object removed", zap.String("object", name))
}

// needed returns the objects of uploads that are not where they are to be yet,
// and of those that are to be tried again.
func (u *Uploader) needed() map[string]bool {
	return u.objectsOf(func(r *pool.Upload) bool { return !complete(r) && !over(r) })
}

// have returns the objects of uploads that are complete: their record proves
// that nobody needs them.
func (u *Uploader) have() map[string]bool { return u.objectsOf(complete) }

func (u *Uploader) objectsOf(is func(*pool.Upload) bool) map[string]bool {
	found := map[string]bool{}
	for _, r := range u.store.Snapshot().Uploads {
		if r.Provider == u.provider.Name && is(r) {
			found[objectName(r.Image, r.Build, r.Format)] = true
		}
	}
	return found
}

// over tells whether an upload ended, or is to end, and not to be tried again.
func over(r *pool.Upload) bool {
	ended := r.State == pool.UploadDeleting || r.State == pool.UploadDeleted
	return ended && (r.Error == "" || r.Withdrawn != "")
}
