package uploader

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"poold/cloud"
	"poold/pool"
)

// fakeObjects is an object store and what makes images of its objects.
type fakeObjects struct {
	wants      bool
	containers map[string]map[string]*fakeObject
	tasks      []*fakeTask
	// work is how long a task takes, fails how many fail.
	work  time.Duration
	fails int
	means cloud.ObjectMeans
	// sending is how many segments are being sent, most how many at once.
	sending, most int
	// spoil lets the next segment arrive otherwise than it was sent.
	spoil bool
}

type fakeObject struct {
	data  []byte
	parts []string
	at    time.Time
}

type fakeTask struct {
	cloud.Task
	name, object string
	at           time.Time
}

func (c *fakeCloud) WantsTasks() bool { return c.objects.wants }

func (c *fakeCloud) ObjectMeans(ctx context.Context) (cloud.ObjectMeans, error) {
	return c.objects.means, c.call(ctx, "objectmeans", "", func() error { return nil })
}

func (c *fakeCloud) MakeContainer(ctx context.Context, name string) error {
	return c.call(ctx, "container", name, func() error {
		if c.objects.containers[name] == nil {
			c.objects.containers[name] = map[string]*fakeObject{}
		}
		return nil
	})
}

func (c *fakeCloud) RemoveContainer(ctx context.Context, name string) error {
	return c.call(ctx, "uncontainer", name, func() error {
		if len(c.objects.containers[name]) > 0 {
			return fail(cloud.Conflict)
		}
		delete(c.objects.containers, name)
		return nil
	})
}

func (c *fakeCloud) Objects(ctx context.Context, container, prefix string) ([]cloud.StoredObject, error) {
	var found []cloud.StoredObject
	err := c.call(ctx, "objects", container, func() error {
		if c.objects.containers[container] == nil {
			return fail(cloud.NotFound)
		}
		for name, o := range c.objects.containers[container] {
			if strings.HasPrefix(name, prefix) {
				sum := md5.Sum(o.data)
				found = append(found, cloud.StoredObject{Name: name, Bytes: int64(len(o.data)), MD5: hex.EncodeToString(sum[:]), Modified: o.at})
			}
		}
		slices.SortFunc(found, func(a, b cloud.StoredObject) int { return strings.Compare(a.Name, b.Name) })
		return nil
	})
	return found, err
}

func (c *fakeCloud) SendObject(ctx context.Context, container, name string, data io.Reader, size int64) (string, error) {
	err := c.call(ctx, "segment", name, func() error {
		if c.objects.containers[container] == nil {
			return fail(cloud.NotFound)
		}
		c.objects.sending++
		c.objects.most = max(c.objects.most, c.objects.sending)
		return nil
	})
	if err != nil {
		return "", err
	}
	var got bytes.Buffer
	_, _, err = c.receive(ctx, io.TeeReader(data, &got))
	c.mu.Lock()
	c.objects.sending--
	if c.objects.spoil {
		c.objects.spoil = false
		got.Bytes()[0] ^= 1
	}
	if err != nil || int64(got.Len()) != size {
		c.mu.Unlock()
		return "", fail(cloud.Ambiguous)
	}
	c.objects.containers[container][name] = &fakeObject{data: got.Bytes(), at: time.Now()}
	c.mu.Unlock()
	sum := md5.Sum(got.Bytes())
	return hex.EncodeToString(sum[:]), c.call(ctx, "segmented", name, func() error { return nil })
}

func (c *fakeCloud) JoinObjects(ctx context.Context, container, name string, parts []cloud.StoredObject) error {
	return c.call(ctx, "join", name, func() error {
		o := &fakeObject{at: time.Now()}
		for _, p := range parts {
			there := c.objects.containers[container][p.Name]
			if there == nil {
				return fail(cloud.Invalid)
			}
			if sum := md5.Sum(there.data); hex.EncodeToString(sum[:]) != p.MD5 {
				return fail(cloud.Invalid)
			}
			o.parts = append(o.parts, p.Name)
		}
		c.objects.containers[container][name] = o
		return nil
	})
}

func (c *fakeCloud) RemoveObject(ctx context.Context, container, name string) error {
	return c.call(ctx, "unobject", name, func() error {
		if c.objects.containers[container][name] == nil {
			return fail(cloud.NotFound)
		}
		delete(c.objects.containers[container], name)
		return nil
	})
}

func (c *fakeCloud) BeginTask(ctx context.Context, spec cloud.TaskSpec) (string, error) {
	var id string
	err := c.call(ctx, "task", spec.Object, func() error {
		id = fmt.Sprintf("task-%d", len(c.objects.tasks))
		t := &fakeTask{Task: cloud.Task{ID: id, State: cloud.TaskRunning}, name: spec.Name, object: spec.Object, at: time.Now()}
		c.objects.tasks = append(c.objects.tasks, t)
		time.AfterFunc(c.objects.work, func() { c.doTask(t, spec) })
		return nil
	})
	return id, err
}

func (c *fakeCloud) doTask(t *fakeTask, spec cloud.TaskSpec) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.objects.containers[spec.Container][spec.Object]
	if c.objects.fails > 0 || o == nil {
		c.objects.fails--
		t.State, t.Problem = cloud.TaskFailed, "as told"
		return
	}
	var data []byte
	for _, p := range o.parts {
		data = append(data, c.objects.containers[spec.Container][p].data...)
	}
	sum := sha512.Sum512(data)
	t.State, t.ImageID = cloud.TaskDone, "image-of-"+t.ID
	c.images[t.ImageID] = &cloud.Image{
		ID: t.ImageID, Name: spec.Name, Status: cloud.ImageActive, Bytes: int64(len(data)),
		HashAlgo: "sha512", Hash: hex.EncodeToString(sum[:]), Mark: cloud.MarkIn(spec.Name),
	}
}

func (c *fakeCloud) Task(ctx context.Context, id string) (cloud.Task, error) {
	var found cloud.Task
	err := c.call(ctx, "looktask", id, func() error {
		for _, t := range c.objects.tasks {
			if t.ID == id {
				found = t.Task
				return nil
			}
		}
		return fail(cloud.NotFound)
	})
	return found, err
}

func (c *fakeCloud) FindTask(ctx context.Context, name string, since time.Time) (cloud.Task, error) {
	var found cloud.Task
	err := c.call(ctx, "findtask", name, func() error {
		for _, t := range c.objects.tasks {
			if t.name == name && t.State != cloud.TaskFailed && !t.at.Before(since) {
				found = t.Task
				return nil
			}
		}
		return fail(cloud.NotFound)
	})
	return found, err
}

func (c *fakeCloud) DescribeImage(ctx context.Context, id string, spec cloud.ImageSpec) error {
	return c.call(ctx, "describe", id, func() error {
		i := c.images[id]
		if i == nil {
			return fail(cloud.NotFound)
		}
		i.Name, i.Mark = spec.Name, spec.Mark
		return nil
	})
}

// taskBench is a provider whose cloud makes images of objects, of at most 100
// bytes each: the file has five segments.
func taskBench(t *testing.T) *bench {
	t.Helper()
	b := newBench(t, "a")
	b.cloud.objects.wants, b.cloud.objects.means = true, cloud.ObjectMeans{MaxBytes: 100, MaxSegments: 10}
	b.cloud.objects.work = 20 * time.Second
	b.build("a", "1")
	return b
}

// stored counts the objects of each container.
func (c *fakeCloud) stored() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := map[string]int{}
	for name, objects := range c.objects.containers {
		n[name] = len(objects)
	}
	return n
}

// noObjects fails if something is left in the object store.
func (b *bench) noObjects() {
	b.t.Helper()
	for name, n := range b.cloud.stored() {
		if n > 0 {
			b.t.Errorf("%s still has %d objects", name, n)
		}
	}
}

// The file goes to the object store in segments, several at a time, and an
// image of it is made there; it gets its name and mark, and no object stays.
func TestTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := taskBench(t)
		b.cloud.pace = time.Second
		stop := b.run()
		pass(3 * time.Minute)
		stop()
		u := b.want("a", "1", pool.UploadReady)
		b.exactly(u)
		b.noObjects()
		if u.Method != "task" || u.ExternalID != "image-of-task-0" || u.SentBytes != u.Bytes {
			t.Errorf("%+v", u)
		}
		n := b.cloud.count("segment")
		b.cloud.mu.Lock()
		defer b.cloud.mu.Unlock()
		if n != 5 || b.cloud.objects.most != 4 {
			t.Errorf("%d segments, %d at once; want 5 and 4", n, b.cloud.objects.most)
		}
		if i := b.cloud.images[u.ExternalID]; i.Name != u.ExternalName || i.Mark.Installation != "inst" || i.Mark.Upload != "a/1" || i.Mark.Revision == 0 {
			t.Errorf("described as %+v", i)
		}
	})
}

// A segment that is there, whole, is not sent again: not after a broken
// connection, not by the next attempt, not by the next peer. One that is there
// and is not what the file has is.
func TestSegmentsAreSentOnce(t *testing.T) {
	for _, c := range []struct {
		name     string
		meddle   func(b *bench)
		sends    int
		attempts int
		joins    int
	}{
		{"a connection breaks", func(b *bench) { b.cloud.cut = 50 }, 6, 0, 1},
		{"a reply is lost", func(b *bench) { b.once("after", "segmented", cloud.Ambiguous) }, 5, 0, 1},
		{"the task fails", func(b *bench) { b.cloud.objects.fails = 1 }, 5, 1, 2},
		{"a segment arrives otherwise", func(b *bench) { b.cloud.objects.spoil = true }, 6, 1, 1},
		{"the join is refused", func(b *bench) { b.once("before", "join", cloud.Invalid) }, 5, 1, 2},
		{"the reply of the task is lost", func(b *bench) { b.once("after", "task", cloud.Ambiguous) }, 5, 0, 1},
		{"a container vanishes", func(b *bench) { b.once("before", "segment", cloud.NotFound) }, 6, 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := taskBench(t)
				c.meddle(b)
				defer b.run()()
				pass(5 * time.Minute)
				u := b.want("a", "1", pool.UploadReady)
				b.exactly(u)
				b.noObjects()
				if n := b.cloud.count("join"); n != c.joins {
					t.Errorf("joined %d times, want %d", n, c.joins)
				}
				if n := b.cloud.count("segment"); n != c.sends || u.Attempts != c.attempts {
					t.Errorf("%d segments sent, want %d; %d attempts, want %d", n, c.sends, u.Attempts, c.attempts)
				}
			})
		})
	}
}

// once lets one call fail.
func (b *bench) once(when, op string, kind cloud.Kind) {
	left := 1
	b.cloud.fault = func(w, o, _ string) error {
		if w == when && o == op && left > 0 {
			left--
			return fail(kind)
		}
		return nil
	}
}

// An object store that takes no segment at all is left alone until the back-off
// has ended.
func TestNoSegmentArrives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := taskBench(t)
		b.cloud.fault = func(when, op, _ string) error {
			if when == "before" && op == "segment" {
				return fail(cloud.Transient)
			}
			return nil
		}
		defer b.run()()
		pass(time.Hour)
		if n := b.cloud.count("join"); n != 0 {
			t.Errorf("%d objects joined", n)
		}
		if n := b.cloud.count("container"); n < emptyRounds || n > 40 {
			t.Errorf("tried %d times in an hour", n)
		}
	})
}

// An uploader that is stopped at any moment leaves something from which a fresh
// one gets to the same end, with one image, no object left over, and no segment
// sent twice.
func TestStopInTask(t *testing.T) {
	for _, after := range []string{"container", "objects", "segmented", "join", "task", "looktask", "look", "describe", "unobject"} {
		t.Run(after, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := taskBench(t)
				reached := make(chan struct{}, 100)
				b.cloud.fault = func(when, op, _ string) error {
					if when == "after" && op == after {
						reached <- struct{}{}
					}
					return nil
				}
				stop := b.run()
				<-reached
				stop()
				defer b.run()()
				pass(3 * time.Minute)
				u := b.want("a", "1", pool.UploadReady)
				b.exactly(u)
				if n := b.cloud.count("task"); n != 1 {
					t.Errorf("%d tasks", n)
				}
				pass(25 * time.Minute)
				b.exactly(b.want("a", "1", pool.UploadReady))
				b.noObjects()
			})
		})
	}
}

// What nobody needs goes after two patrols: objects of uploads that are over,
// images that tasks made late, and then the container. Other people's stay.
func TestObjectLeaks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := taskBench(t)
		ours := cloud.Container("inst", "pr")
		now := time.Now()
		b.cloud.objects.containers = map[string]map[string]*fakeObject{
			ours:           {"a-0.qcow2": {at: now}, "a-0.qcow2/3-1/00000000": {data: []byte("x"), at: now}},
			"poold-x-pr":   {"a-0.qcow2": {at: now}},
			"of-somebody":  {"thing": {at: now}},
			ours + "other": {"a-0.qcow2": {at: now}},
		}
		late := cloud.Mark{Installation: "inst", Provider: "pr", Upload: "a/0"}
		b.cloud.images["late"] = &cloud.Image{ID: "late", Name: late.ImageName("x"), Status: cloud.ImageActive, Mark: late}
		defer b.run()()
		pass(5 * time.Minute)
		b.want("a", "1", pool.UploadReady)
		if there := b.cloud.stored(); there[ours] != 2 || !slices.Contains(b.cloud.ids(), "late") {
			t.Error("removed at first sight")
		}
		pass(30 * time.Minute)
		b.exactly(b.want("a", "1", pool.UploadReady))
		there := b.cloud.stored()
		if n, ok := there[ours]; ok {
			t.Errorf("%d objects are left", n)
		}
		if len(there) != 3 {
			t.Errorf("of others: %v", there)
		}
	})
}

// A file is cut into as many segments as the store takes, no larger than it
// takes.
func TestSegments(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		size        int64
		means       cloud.ObjectMeans
		n           int
		first, last int64
	}{
		{1, cloud.ObjectMeans{MaxBytes: 5 << 30, MaxSegments: 1000}, 1, 1, 1},
		{128*mib + 1, cloud.ObjectMeans{MaxBytes: 5 << 30, MaxSegments: 1000}, 2, 128 * mib, 1},
		{256 * mib, cloud.ObjectMeans{MaxBytes: 5 << 30, MaxSegments: 1000}, 2, 128 * mib, 128 * mib},
		{1000 * 128 * mib * 2, cloud.ObjectMeans{MaxBytes: 5 << 30, MaxSegments: 1000}, 1000, 256 * mib, 256 * mib},
		{100, cloud.ObjectMeans{MaxBytes: 30, MaxSegments: 10}, 4, 30, 10},
		{101, cloud.ObjectMeans{MaxBytes: 10, MaxSegments: 10}, 0, 0, 0},
	} {
		all, err := segments("a-1.raw", c.size, c.means)
		if len(all) != c.n || (err != nil) != (c.n == 0) {
			t.Errorf("%+v: %d segments, %v", c, len(all), err)
			continue
		}
		var at int64
		for _, s := range all {
			if s.at != at {
				t.Errorf("%+v: a hole before %d", c, s.at)
			}
			at += s.Bytes
		}
		if at != c.size && c.n > 0 || c.n > 0 && (all[0].Bytes != c.first || all[c.n-1].Bytes != c.last) {
			t.Errorf("%+v: %d bytes in all", c, at)
		}
	}
}
