//go:build lab

package openstack

import (
	"bytes"
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"testing"
	"time"

	"poold/cloud"
)

// A real Swift takes segments and gives back the whole, bit by bit, joined in
// either way; nothing of it stays.
func TestLabObjects(t *testing.T) {
	inLab(t)
	for name, told := range map[string]any{"static": nil, "dynamic": swift{}} {
		t.Run(name, func(t *testing.T) {
			d := openLab(t, "ci-r1", newInstallation(t), cloud.Open{})
			if told != nil {
				d.memory.at(objectsKey).put(told) // as of a Swift that knows no better
			}
			container := cloud.Container(d.installation, "lab")
			if err := d.MakeContainer(t.Context(), container); err != nil {
				t.Fatal(err)
			}
			whole, segments := labSegments(t, d, container)
			// The list that a dynamic one is made of may be late.
			labAwait(t, "joined", func() bool {
				err := d.JoinObjects(t.Context(), container, "i-1.raw", segments)
				if err != nil && cloud.KindOf(err) != cloud.Transient {
					t.Fatal(err)
				}
				return err == nil
			})
			if got := labRead(t, d, container, "i-1.raw"); sha256.Sum256(got) != sha256.Sum256(whole) {
				t.Errorf("%d bytes come back, and other ones; %d were sent", len(got), len(whole))
			}
			labTask(t, d, container)
			labEmpty(t, d, container)
		})
	}
}

func labAwait(t *testing.T, what string, is func() bool) {
	t.Helper()
	for range labLooks {
		if is() {
			return
		}
		labPause()
	}
	t.Fatalf("not %s in the end", what)
}

// labSegments sends segments of random data, and waits until they are listed as
// they are.
func labSegments(t *testing.T, d *Driver, container string) (whole []byte, segments []cloud.StoredObject) {
	t.Helper()
	var sum [32]byte
	source := rand.NewChaCha8(sum)
	for i := range 5 {
		data := make([]byte, 1<<20+i)
		_, _ = source.Read(data) // it never fails
		o := cloud.StoredObject{Name: "i-1.raw/5-1/0000000" + string(rune('0'+i)), Bytes: int64(len(data))}
		var err error
		if o.MD5, err = d.SendObject(t.Context(), container, o.Name, bytes.NewReader(data), o.Bytes); err != nil {
			t.Fatal(err)
		}
		whole, segments = append(whole, data...), append(segments, o)
	}
	labAwait(t, "listed", func() bool {
		listed, err := d.Objects(t.Context(), container, "i-1.raw/")
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range listed {
			sent := slices.ContainsFunc(segments, func(s cloud.StoredObject) bool {
				return s.Name == o.Name && s.MD5 == o.MD5 && s.Bytes == o.Bytes
			})
			if !sent || time.Since(o.Modified).Abs() > time.Hour {
				t.Fatalf("listed is %+v, sent were %+v", o, segments)
			}
		}
		return len(listed) == len(segments)
	})
	return whole, segments
}

func labRead(t *testing.T, d *Driver, container, name string) []byte {
	t.Helper()
	resp, err := d.send(t.Context(), request{
		service: cloud.Object, method: http.MethodGet, path: objectPath, container: container, object: name, what: "read object",
	})
	if err != nil {
		t.Fatal(err)
	}
	defer closeBody(resp.Body)
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// labTask asks Glance for an image of the object, which Rackspace's would make:
// a Glance as it is everywhere else says that it does not, and leaves nothing.
func labTask(t *testing.T, d *Driver, container string) {
	t.Helper()
	name := cloud.Mark{Installation: d.installation, Provider: "lab", Upload: "i/1"}.ImageName("x")
	id, err := d.BeginTask(t.Context(), cloud.TaskSpec{Container: container, Object: "i-1.raw", Name: name})
	if kind := cloud.KindOf(err); err != nil {
		t.Logf("no task: %v", err)
		if kind != cloud.Invalid && kind != cloud.Unauthorized {
			t.Errorf("the task is refused with %v", err)
		}
	} else if task := labTaskEnd(t, d, id); task.State != cloud.TaskFailed || task.Problem == "" {
		t.Errorf("the task: %+v", task)
	}
	if left, err := d.Resources(t.Context(), cloud.TaskImage); err != nil || len(left) != 0 {
		t.Errorf("images of the task: %v, %v", left, err)
	}
}

// labTaskEnd waits until a task is over.
func labTaskEnd(t *testing.T, d *Driver, id string) (task cloud.Task) {
	t.Helper()
	labAwait(t, "over", func() bool {
		var err error
		if task, err = d.Task(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		return task.State != cloud.TaskRunning
	})
	return task
}

// labEmpty removes all objects and the container.
func labEmpty(t *testing.T, d *Driver, container string) {
	t.Helper()
	listed, err := d.Objects(t.Context(), container, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range listed {
		if err := d.RemoveObject(t.Context(), container, o.Name); err != nil && cloud.KindOf(err) != cloud.NotFound {
			t.Error(err)
		}
	}
	labAwait(t, "deleted", func() bool {
		err := d.RemoveContainer(t.Context(), container)
		if err != nil && cloud.KindOf(err) != cloud.Conflict && cloud.KindOf(err) != cloud.NotFound {
			t.Fatal(err)
		}
		return err == nil || cloud.KindOf(err) == cloud.NotFound
	})
}
