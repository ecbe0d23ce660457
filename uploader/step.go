package uploader

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"poold/internal/sleep"
	"poold/pool"
)

const (
	// maxDeletes bounds how many images are deleted in the provider at once.
	maxDeletes = 2
	// again is how soon something that could not be written is tried again.
	again = time.Second
)

// errUnwanted ends a transfer whose upload is to be retired.
var errUnwanted = errors.New("the upload is no longer wanted")

// key names the record of an upload in the provider.
type key struct{ image, build string }

func keyOf(r *pool.Upload) key { return key{r.Image, r.Build} }

func (k key) fields() []zap.Field {
	return []zap.Field{zap.String("image", k.image), zap.String("build", k.build)}
}

type jobKind int

const (
	transferring jobKind = iota
	deleting
)

// job is a goroutine that moves a record.
type job struct {
	kind   jobKind
	cancel context.CancelCauseFunc
}

// result is how a job ended.
type result struct {
	key
	kind jobKind
	err  error
	// revision is that of the job's last write.
	revision int64
}

// pause is how long a record is left alone after a failure.
type pause struct {
	until time.Time
	n     int
}

// step is one pass. It returns when the next is due by itself, and an error
// only if nothing more may be done.
func (u *Uploader) step(ctx context.Context, now time.Time) (time.Time, error) {
	u.patrol(ctx, now)
	s := u.store.Snapshot()
	if s.Revision < u.after {
		return now.Add(again), nil
	}
	plan := Decide(View{
		Snapshot: s, Provider: &u.provider, Peer: u.peer, Format: u.driver.ImageFormat(), Since: u.began,
	}, now)
	u.metrics.passed.WithLabelValues(u.provider.Name).Set(float64(now.UnixMilli()) / 1000)
	if err := u.record(ctx, s, plan, now); err != nil {
		return now, err
	}
	u.begin(ctx, s, plan, now)
	return u.next(plan, now), nil
}

// next returns when time alone makes another pass worth while, and forgets the
// pauses of records that need none any more.
func (u *Uploader) next(plan Plan, now time.Time) time.Time {
	waiting := make(map[key]bool)
	for _, r := range append(slices.Clone(plan.Send), plan.Delete...) {
		waiting[keyOf(r)] = true
	}
	next := plan.At
	for k, p := range u.retry {
		switch {
		case !waiting[k]:
			delete(u.retry, k)
		case p.until.After(now) && (next.IsZero() || p.until.Before(next)):
			next = p.until
		}
	}
	return next
}

// record makes the writes of a plan.
func (u *Uploader) record(ctx context.Context, s *pool.Snapshot, plan Plan, now time.Time) error {
	for i := range plan.Answers {
		if err := u.answer(ctx, s, &plan.Answers[i]); err != nil {
			return err
		}
	}
	for _, r := range plan.Trials {
		if err := u.write(ctx, s, pool.Update(r.Upload, r.After)); err != nil {
			return err
		}
	}
	for _, r := range plan.Retire {
		if j := u.jobs[keyOf(r.Upload)]; j != nil {
			// The job stops first; the next pass sees the record it left.
			j.cancel(errUnwanted)
			continue
		}
		after := r.Upload.Moved(pool.UploadDeleting, now).Because(r.Reason)
		if err := u.write(ctx, s, pool.Update(r.Upload, after)); err != nil {
			return err
		}
		u.log.Info("upload retired", append(keyOf(r.Upload).fields(), zap.String("reason", r.Reason))...)
	}
	for _, r := range plan.Remove {
		if err := u.write(ctx, s, pool.Remove(r)); err != nil {
			return err
		}
	}
	for _, c := range plan.Create {
		if err := u.create(ctx, s, c, now); err != nil {
			return err
		}
	}
	return nil
}

// answer carries out a command. If the upload is being moved that stops first;
// the next pass sees the record it left.
func (u *Uploader) answer(ctx context.Context, s *pool.Snapshot, a *Answer) error {
	if a.After != nil {
		if j := u.jobs[keyOf(a.Upload)]; j != nil {
			j.cancel(errUnwanted)
			return nil
		}
	}
	return u.apply(ctx, s, a.write())
}

// create records a new upload with the id that its image will have.
func (u *Uploader) create(ctx context.Context, s *pool.Snapshot, c Creation, now time.Time) error {
	id, err := newUUID(u.random)
	if err != nil {
		return err
	}
	if c.Replaces != nil {
		if err := u.write(ctx, s, pool.Remove(c.Replaces)); err != nil {
			return err
		}
	}
	at := now.UTC().Truncate(time.Millisecond)
	artifact := c.Build.Artifact(u.driver.ImageFormat())
	var before []pool.Entry[pool.UploadState]
	if c.Replaces != nil {
		before = c.Replaces.Timeline
	}
	return u.write(ctx, s, pool.Create(&pool.Upload{
		V: pool.RecordVersion, Image: c.Build.Image, Build: c.Build.ID, Provider: u.provider.Name,
		State: pool.UploadPending, Since: at, Created: at,
		ExternalID: id, ExternalName: externalName(u.provider.ImageNameFormat, c.Build.Image, id, at),
		Format: artifact.Format, Bytes: artifact.Bytes, Attempts: c.Attempts,
		Timeline: append(slices.Clip(before), pool.Entry[pool.UploadState]{State: pool.UploadPending, At: at}),
	}))
}

// externalName fills in the format in which a provider names its images.
func externalName(format, image, id string, at time.Time) string {
	if format == "" {
		format = "{image_name}-{timestamp}"
	}
	return strings.NewReplacer("{image_name}", image, "{upload_id}", id,
		"{timestamp}", fmt.Sprint(at.Unix())).Replace(format)
}

// newUUID mints a random UUID (version 4).
func newUUID(random io.Reader) (string, error) {
	var b [16]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("mint an image's id: %w", err)
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]), nil
}

// begin starts the goroutines that a plan asks for, as far as bounds allow.
func (u *Uploader) begin(ctx context.Context, s *pool.Snapshot, plan Plan, now time.Time) {
	for _, r := range plan.Send {
		if u.free(r, transferring, max(1, u.provider.MaxUploads), now) {
			build := buildOf(s, r)
			u.launch(ctx, r, transferring, func(ctx context.Context) (int64, error) { return u.transfer(ctx, r, build) })
		}
	}
	for _, r := range plan.Delete {
		if u.free(r, deleting, maxDeletes, now) {
			u.launch(ctx, r, deleting, func(ctx context.Context) (int64, error) { return u.remove(ctx, r) })
		}
	}
}

// free tells whether a job of the kind may start on the record now.
func (u *Uploader) free(r *pool.Upload, kind jobKind, limit int, now time.Time) bool {
	running := 0
	for _, j := range u.jobs {
		if j.kind == kind {
			running++
		}
	}
	p, paused := u.retry[keyOf(r)]
	return running < limit && u.jobs[keyOf(r)] == nil && (!paused || !now.Before(p.until))
}

func (u *Uploader) launch(ctx context.Context, r *pool.Upload, kind jobKind, do func(context.Context) (int64, error)) {
	ctx, cancel := context.WithCancelCause(ctx)
	u.jobs[keyOf(r)] = &job{kind, cancel}
	go func() {
		defer cancel(nil)
		revision, err := do(ctx)
		u.results <- result{keyOf(r), kind, err, revision}
	}()
}

// finished takes note of how a job ended.
func (u *Uploader) finished(r result, now time.Time) error {
	delete(u.jobs, r.key)
	u.after = max(u.after, r.revision)
	switch {
	case r.err == nil:
		delete(u.retry, r.key)
		return nil
	case errors.Is(r.err, pool.ErrNotOwner):
		return r.err
	case errors.Is(r.err, errUnwanted), errors.Is(r.err, errOvertaken):
		u.retry[r.key] = pause{until: now.Add(again)}
		return nil
	}
	n := u.retry[r.key].n + 1
	u.retry[r.key] = pause{now.Add(min(deleteFirst<<min(n-1, 10), retryMax)), n}
	if n == 1 || n%10 == 0 {
		u.log.Warn("upload not advanced", append(r.fields(), zap.Int("attempt", n), zap.Error(r.err))...)
	}
	return nil
}

// write makes one change of a record that no job moves. One whose outcome is
// unknown is repeated until it is known. It returns an error only if nothing
// more may be done; otherwise the next pass decides again.
func (u *Uploader) write(ctx context.Context, s *pool.Snapshot, c pool.Change[pool.Upload]) error {
	return u.apply(ctx, s, pool.Write{By: pool.Uploader, Uploads: []pool.Change[pool.Upload]{c}})
}

// apply is write for any write.
func (u *Uploader) apply(ctx context.Context, s *pool.Snapshot, w pool.Write) error {
	for {
		revision, err := u.store.Apply(ctx, w)
		switch {
		case err == nil:
			u.after = max(u.after, revision)
			return nil
		case errors.Is(err, pool.ErrConflict):
			u.after = max(u.after, s.Revision+1)
			return nil
		case errors.Is(err, pool.ErrNotOwner):
			return err
		case errors.Is(err, pool.ErrUnknown):
			if err := sleep.For(ctx, again); err != nil {
				return err
			}
			continue
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
		if !errors.Is(err, pool.ErrUnavailable) {
			u.log.Error("write refused", zap.Error(err))
		}
		return nil
	}
}

func buildOf(s *pool.Snapshot, r *pool.Upload) *pool.Build {
	for _, b := range s.Builds {
		if b.Image == r.Image && b.ID == r.Build {
			return b
		}
	}
	return nil
}
