package uploader

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"poold/cloud"
	"poold/pool"
)

// taskClock is how much earlier than by ours a task may have begun by the
// cloud's clock.
const taskClock = time.Hour

// tasks prepares an upload by way of an object store.
func (t *transfer) tasks() error {
	store, ok := t.driver.(cloud.ObjectStore)
	if !ok {
		return errors.New("the driver knows no objects")
	}
	t.objects = &objects{
		store: store, container: cloud.Container(t.installation, t.provider.Name), sums: map[string]string{},
	}
	return nil
}

// byTask makes one step of an upload whose image the cloud makes of an object.
// The image has an id of the cloud's, which is on record as soon as the task
// tells; until it is described its name is its mark.
func (t *transfer) byTask(ctx context.Context) (progress, error) {
	if t.record.State == pool.UploadPending {
		after := t.move(pool.UploadUploading)
		after.Method = string(cloud.ImageByTask)
		return moving, t.save(ctx, after)
	}
	if t.record.Task == "" {
		id, err := t.task(ctx)
		if err != nil {
			return waiting, err
		}
		after := *t.record
		after.Task = id
		return moving, t.save(ctx, &after)
	}
	task, err := t.way.tasker.Task(ctx, t.record.Task)
	switch {
	case errors.Is(err, cloud.NotFound):
		// The cloud has forgotten it; what it made may be on record.
		return t.made(ctx, t.record.ExternalID)
	case err != nil || task.State == cloud.TaskRunning:
		return waiting, err
	case task.State == cloud.TaskFailed:
		return waiting, fmt.Errorf("the cloud could not make an image of the object: %s", task.Problem)
	}
	return t.made(ctx, task.ImageID)
}

// task returns the task that makes the image: one that was asked for before, or
// a new one, once the object is there.
func (t *transfer) task(ctx context.Context) (string, error) {
	name := t.mark().ImageName(t.record.ExternalID)
	there, err := t.way.tasker.FindTask(ctx, name, t.record.Created.Add(-taskClock))
	if !errors.Is(err, cloud.NotFound) {
		return there.ID, err
	}
	if err := t.deliver(ctx); err != nil {
		return "", err
	}
	return t.way.tasker.BeginTask(ctx, cloud.TaskSpec{
		Container: t.objects.container, Object: objectName(t.record.Image, t.record.Build, t.record.Format), Name: name,
	})
}

// made goes on with the image that a task has made.
func (t *transfer) made(ctx context.Context, id string) (progress, error) {
	if id != t.record.ExternalID {
		after := *t.record
		after.ExternalID = id
		return moving, t.save(ctx, &after)
	}
	image, err := t.driver.Image(ctx, id)
	switch {
	case err != nil:
		return waiting, err
	case image.Status == cloud.ImageBroken:
		return waiting, errors.New("the cloud broke the image")
	case image.Status != cloud.ImageActive:
		return waiting, nil
	}
	if image.Name != t.record.ExternalName {
		return moving, t.way.tasker.DescribeImage(ctx, id, t.spec())
	}
	p, err := t.verify(ctx, image)
	if p == done {
		if err := t.clear(ctx, t.record); err != nil {
			// The first patrol of the next run does it, or a later one.
			t.log.Warn("objects of an upload not removed", append(keyOf(t.record).fields(), zap.Error(err))...)
		}
	}
	return p, err
}
