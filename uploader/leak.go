package uploader

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"poold/cloud"
	"poold/pool"
)

// More leaks at once than the larger of these are not believed: more likely
// the records are wrong than that so much leaked.
const (
	believedLeaks   = 10
	believedPercent = 5
)

// patrolReport is what a patrol found.
type patrolReport struct {
	// vanished are ready uploads that the cloud no longer has, by reason.
	vanished map[*pool.Upload]string
	// suspects are the images that no record names, objects the objects that no
	// record needs, since when.
	suspects, objects map[string]time.Time
}

// patrol starts a comparison of the cloud with the records when one is due.
func (u *Uploader) patrol(ctx context.Context, now time.Time) {
	if u.patrolling || now.Before(u.patrolAt) && !u.doubted(now) {
		return
	}
	u.patrolling, u.patrolAt, u.patrolBegan = true, now.Add(patrolEvery), now
	suspects, objects := u.suspects, u.objects
	go func() {
		r := patrolReport{vanished: u.vanished(ctx), suspects: suspects}
		sweeping := cloud.WithLane(ctx, cloud.LaneSweep)
		if sweeper, ok := u.driver.(cloud.Sweeper); ok {
			r.suspects = u.sweep(sweeping, sweeper, suspects, now)
		}
		r.objects = u.sweepObjects(sweeping, objects, now)
		u.patrolled <- r
	}()
}

// doubted tells whether a launch from one of our uploads was refused since the
// last patrol, in a way that an image explains which is not there any more.
func (u *Uploader) doubted(now time.Time) bool {
	if now.Before(u.patrolBegan.Add(patrolSoon)) {
		return false
	}
	s := u.store.Snapshot()
	ready := map[string]bool{}
	for _, r := range s.Uploads {
		if r.Provider == u.provider.Name && complete(r) {
			ready[r.ExternalID] = true
		}
	}
	for _, n := range s.Nodes {
		if n.Provider != u.provider.Name || !ready[n.ImageID] ||
			n.Failure != pool.KindInvalid && n.Failure != pool.KindNotFound {
			continue
		}
		if at, failed := n.Entered(pool.NodeFailed); failed && at.After(u.patrolBegan) {
			return true
		}
	}
	return false
}

// complete tells whether the image of an upload should be whole in the cloud.
func complete(r *pool.Upload) bool { return r.State == pool.UploadReady || r.State == pool.UploadTrial }

// vanished looks at every upload that is complete.
func (u *Uploader) vanished(ctx context.Context) map[*pool.Upload]string {
	found := make(map[*pool.Upload]string)
	for _, r := range u.store.Snapshot().Uploads {
		if r.Provider != u.provider.Name || !complete(r) {
			continue
		}
		image, err := u.driver.Image(ctx, r.ExternalID)
		switch {
		case errors.Is(err, cloud.NotFound):
			found[r] = "the image vanished from the cloud"
		case err == nil && image.Status == cloud.ImageBroken:
			found[r] = "the image broke in the cloud"
		}
	}
	return found
}

// report retires the uploads that vanished: they are made again.
func (u *Uploader) report(ctx context.Context, r patrolReport, now time.Time) error {
	for upload, reason := range r.vanished {
		after := upload.Moved(pool.UploadDeleting, now).Because(reason)
		after.Error = reason
		u.log.Warn("upload lost", append(keyOf(upload).fields(), zap.String("reason", reason))...)
		if err := u.write(ctx, u.store.Snapshot(), pool.Update(upload, after)); err != nil {
			return err
		}
	}
	return nil
}

// sweep removes our images that no record named at two patrols, and returns
// those that it suspects now.
func (u *Uploader) sweep(ctx context.Context, sweeper cloud.Sweeper, before map[string]time.Time, now time.Time) map[string]time.Time {
	// The cloud first, then the records: an image made meanwhile is not seen,
	// and one that is seen was on record before it was made.
	resources, err := sweeper.Resources(ctx, cloud.StoredImage)
	if err == nil && u.tasked() {
		var made []cloud.Resource
		made, err = sweeper.Resources(ctx, cloud.TaskImage)
		resources = append(resources, made...)
	}
	if err != nil {
		u.log.Warn("images not listed", zap.Error(err))
		return before
	}
	ours, suspects, future := u.unnamed(u.store.Snapshot(), resources)
	u.metrics.leaks.WithLabelValues(u.provider.Name).Set(float64(len(suspects)))
	since := make(map[string]time.Time, len(suspects))
	for _, r := range suspects {
		since[r.ID] = now
		if at, ok := before[r.ID]; ok {
			since[r.ID] = at
		}
	}
	if future || len(suspects) > max(believedLeaks, ours*believedPercent/100) {
		u.log.Error("too much leaked to be believed, nothing is removed", zap.Int("leaks", len(suspects)))
		return since
	}
	for _, r := range suspects {
		if now.Sub(since[r.ID]) < patrolEvery {
			continue
		}
		if err := gone(sweeper.Remove(ctx, cloud.StoredImage, r.ID)); err != nil {
			u.log.Warn("leaked image not removed", zap.String("upload", r.ID), zap.Error(err))
			continue
		}
		u.log.Info("leaked image removed", zap.String("upload", r.ID), zap.String("image", r.Name))
	}
	return since
}

// unnamed returns how many of the resources are ours, those of them that no
// record names, and whether one was made after the snapshot: then the store
// lost its memory and proves nothing.
func (u *Uploader) unnamed(s *pool.Snapshot, resources []cloud.Resource) (int, []cloud.Resource, bool) {
	named := u.named(s)
	var suspects []cloud.Resource
	ours, future := 0, false
	for _, r := range resources {
		if r.Mark.Installation != u.installation || r.Mark.Provider != u.provider.Name {
			continue
		}
		ours++
		future = future || r.Mark.Revision > s.Revision
		if !named[r.ID] && !named[r.Mark.Upload] {
			suspects = append(suspects, r)
		}
	}
	return ours, suspects, future
}

// named returns the ids of the images that records name, and the "IMAGE/BUILD"
// of those that may have an id that is not yet on record.
func (u *Uploader) named(s *pool.Snapshot) map[string]bool {
	named := make(map[string]bool)
	for _, r := range s.Uploads {
		if r.Provider != u.provider.Name || r.State == pool.UploadDeleted {
			continue
		}
		named[r.ExternalID] = true
		if r.State == pool.UploadPending || r.State == pool.UploadUploading && r.Method == string(cloud.ImageByTask) {
			// The cloud may have given it an id that is not yet on record.
			named[r.Image+"/"+r.Build] = true
		}
	}
	for _, b := range s.Builds {
		if b.State == pool.BuildBuilding {
			// It may be taking an image out of the cloud.
			named[b.Image+"/"+b.ID] = true
		}
	}
	return named
}
