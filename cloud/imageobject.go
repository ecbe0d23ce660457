package cloud

import (
	"context"
	"io"
	"net/url"
	"strings"
	"time"
)

// ImageByTask sends the data to the cloud's object store, in segments, and has
// the cloud make an image of it by a task of its own.
const ImageByTask ImageMethod = "task"

// ObjectMeans is what an object store takes.
type ObjectMeans struct {
	// MaxBytes is the size of the largest object that can be sent at once, and
	// of the largest segment.
	MaxBytes int64
	// MaxSegments is of how many segments one object can be joined.
	MaxSegments int
}

// StoredObject is an object in a store.
type StoredObject struct {
	Name  string
	Bytes int64
	// MD5 is that of the data, in hexadecimal.
	MD5 string
	// Modified is when it was sent, by the cloud's clock.
	Modified time.Time
}

// ObjectStore is the ability to keep objects. They are ours by the name of
// their container, from [Container]; what changes another is refused with
// Conflict. The rules of [Driver] hold.
type ObjectStore interface {
	// ObjectMeans asks what the store takes. It makes no call that it has made
	// before, unless that failed.
	ObjectMeans(ctx context.Context) (ObjectMeans, error)
	// MakeContainer makes a container, unless it is there.
	MakeContainer(ctx context.Context, container string) error
	// Objects lists the objects of a container whose names begin so. What was
	// sent just now may be missing. A container that is not there is NotFound.
	Objects(ctx context.Context, container, prefix string) ([]StoredObject, error)
	// SendObject sends exactly size bytes of data, and returns the MD5 of what
	// arrived. They are read once. An object of that name is replaced. Objects
	// vanish by themselves after [ObjectLife].
	SendObject(ctx context.Context, container, name string, data io.Reader, size int64) (md5 string, err error)
	// JoinObjects makes an object of that name that is the segments, one after
	// the other, and has looked that it has their size. All of their names begin
	// with the same folder, in which there is nothing else.
	JoinObjects(ctx context.Context, container, name string, segments []StoredObject) error
	// RemoveObject deletes an object; the segments that it was joined of are
	// objects of their own. NotFound says that it is gone.
	RemoveObject(ctx context.Context, container, name string) error
	// RemoveContainer deletes a container. One that is not empty is refused
	// with Conflict.
	RemoveContainer(ctx context.Context, container string) error
}

// ObjectLife is how long objects stay if nobody removes them: nobody knows of
// them any more.
const ObjectLife = 24 * time.Hour

// containerStart begins the names of our containers.
const containerStart = "poold-"

// Container is the name of the container that the uploads of a provider use.
// It is all the mark that the objects there have.
func Container(installation, provider string) string {
	return containerStart + installation + "-" + url.PathEscape(provider)
}

// OurContainer tells whether a container is of an installation.
func OurContainer(container, installation string) bool {
	return installation != "" && strings.HasPrefix(container, containerStart+installation+"-")
}

// TaskState is how far a task is.
type TaskState string

// The states of a task.
const (
	TaskRunning TaskState = "running"
	TaskDone    TaskState = "done"
	TaskFailed  TaskState = "failed"
)

// Task is the cloud's work on an image.
type Task struct {
	ID    string
	State TaskState
	// ImageID is what it made, once it is done; Problem why it failed.
	ImageID, Problem string
}

// TaskSpec asks for an image of an object.
type TaskSpec struct {
	Container, Object string
	// Name is the image's until it is described, from [Mark.ImageName]: it is
	// all the mark that the image has until then.
	Name string
}

// ImageTasker is the ability to have images made of objects. The cloud gives
// them ids of its own. The rules of [Driver] hold.
type ImageTasker interface {
	// WantsTasks tells whether the cloud is known to want its images made so. It
	// makes no call: clouds do not tell.
	WantsTasks() bool
	// BeginTask asks for an image and returns the id of the task. Each call
	// makes one.
	BeginTask(ctx context.Context, spec TaskSpec) (id string, err error)
	// Task looks at a task, or returns NotFound: it is over and forgotten.
	Task(ctx context.Context, id string) (Task, error)
	// FindTask looks for a task for an image of that name, begun at or after a
	// time and not failed, or returns NotFound.
	FindTask(ctx context.Context, name string, since time.Time) (Task, error)
	// DescribeImage gives an image of ours the name, the properties and the mark
	// of a spec.
	DescribeImage(ctx context.Context, id string, spec ImageSpec) error
}
