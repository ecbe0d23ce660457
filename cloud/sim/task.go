package sim

import (
	"slices"
	"time"
)

// The statuses of a task.
const (
	TaskPending = "pending"
	TaskSuccess = "success"
	TaskFailure = "failure"
)

// Task makes an image of an object, as Rackspace's tasks do.
type Task struct {
	ID, Status string
	// From is the object, as "container/name"; Name is the image's.
	From, Name string
	// ImageID is the image that was made, Message why none was.
	ImageID, Message string
	Created          time.Time
}

// BeginTask starts a task; it is done after the cloud's TaskTime.
func (c *Cloud) BeginTask(now time.Time, from, name string) Task {
	c.lock(now)
	defer c.mu.Unlock()
	t := &Task{ID: c.uuid(), Status: TaskPending, From: from, Name: name, Created: c.now}
	c.tasks = append(c.tasks, t)
	c.work()
	return *t
}

// Tasks are all tasks, the newest first.
func (c *Cloud) Tasks(now time.Time) []Task {
	c.lock(now)
	defer c.mu.Unlock()
	var all []Task
	for _, t := range slices.Backward(c.tasks) {
		all = append(all, *t)
	}
	return all
}

// work does the tasks whose time has come.
func (c *Cloud) work() {
	for _, t := range c.tasks {
		if t.Status == TaskPending && !c.now.Before(t.Created.Add(c.cfg.TaskTime)) {
			c.doTask(t)
		}
	}
}

func (c *Cloud) doTask(t *Task) {
	data := c.read(t.From)
	if data == nil || c.take(FaultImportFails, t.ID, t.Name) != nil {
		t.Status, t.Message = TaskFailure, "Unable to locate container and or object in swift: "+t.From
		return
	}
	c.seq++
	id := c.uuid()
	c.images[id], c.imageIDs[id] = &image{seq: c.seq, Image: Image{
		ID: id, Name: t.Name, Status: ImageQueued, Format: c.cfg.ImageFormat, Container: "bare", Visibility: "private",
		Properties: map[string]string{}, Created: c.now, Updated: c.now,
	}}, true
	upload := c.newUpload(id)
	_, _ = upload.Write(data) // it never fails
	if err := c.finish(upload, nil); err != nil {
		t.Status, t.Message = TaskFailure, err.Error()
		return
	}
	t.Status, t.ImageID = TaskSuccess, id
}
