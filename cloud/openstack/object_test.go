package openstack

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"net/http"
	"testing"
	"time"

	"poold/cloud"
	"poold/cloud/cloudtest"
	"poold/cloud/sim"
)

// storing is a driver on a cloud with an object store, and makes its container.
func storing(t *testing.T, c sim.Config) (*Driver, *sim.Cloud, string) {
	t.Helper()
	clock := cloudtest.NewClock(time.Now().UTC().Truncate(time.Second))
	c.MaxObject = 1000
	simulated := sim.New(c, clock.Now())
	onSim(t, simulated, clock)
	d := open(t, "ours", cloud.Open{})
	container := cloud.Container("ours", "a/b")
	if err := d.MakeContainer(t.Context(), container); err != nil {
		t.Fatal(err)
	}
	return d, simulated, container
}

// bring sends segments and joins them, and returns the whole.
func bring(t *testing.T, d *Driver, container string) []byte {
	t.Helper()
	var all []byte
	var segments []cloud.StoredObject
	for i := range 12 {
		data := bytes.Repeat([]byte{byte('a' + i)}, 900+i)
		sum := md5.Sum(data)
		s := cloud.StoredObject{
			Name: fmt.Sprintf("i ö?-1.raw/10-1/%08d", i), Bytes: int64(len(data)), MD5: hex.EncodeToString(sum[:]),
		}
		got, err := d.SendObject(t.Context(), container, s.Name, bytes.NewReader(data), s.Bytes)
		if err != nil || got != s.MD5 {
			t.Fatal(got, err)
		}
		segments, all = append(segments, s), append(all, data...)
	}
	if err := d.JoinObjects(t.Context(), container, "i ö?-1.raw", segments); err != nil {
		t.Fatal(err)
	}
	return all
}

// Objects go to a container of ours, are listed, joined in the way that the
// store knows, and deleted.
func TestObjects(t *testing.T) {
	for _, c := range []struct {
		name  string
		noSLO bool
	}{{"static", false}, {"dynamic", true}} {
		t.Run(c.name, func(t *testing.T) {
			d, simulated, container := storing(t, sim.Config{NoSLO: c.noSLO})
			if means, err := d.ObjectMeans(t.Context()); err != nil || means != (cloud.ObjectMeans{MaxBytes: 1000, MaxSegments: 1000}) {
				t.Errorf("%+v, %v", means, err)
			}
			whole := bring(t, d, container)
			got, err := simulated.ObjectData(time.Now(), container+"/i ö?-1.raw")
			if err != nil || !bytes.Equal(got, whole) {
				t.Errorf("joined: %d bytes, %v; want %d", len(got), err, len(whole))
			}
			listed, err := d.Objects(t.Context(), container, "i ö?-1.raw")
			if err != nil || len(listed) != 13 {
				t.Errorf("listed: %d, %v", len(listed), err)
			}
			wantKind(t, "a container with something in it", d.RemoveContainer(t.Context(), container), cloud.Conflict)
			for _, o := range listed {
				if err := d.RemoveObject(t.Context(), container, o.Name); err != nil {
					t.Error(err)
				}
			}
			wantKind(t, "twice", d.RemoveObject(t.Context(), container, listed[0].Name), cloud.NotFound)
			if err := d.RemoveContainer(t.Context(), container); err != nil {
				t.Error(err)
			}
			_, err = d.Objects(t.Context(), container, "")
			wantKind(t, "a container that is gone", err, cloud.NotFound)
		})
	}
}

// A list goes on until its end; objects vanish after a day.
func TestManyObjects(t *testing.T) {
	d, simulated, container := storing(t, sim.Config{})
	for i := range 1001 {
		spec := sim.ObjectSpec{Container: container, Name: fmt.Sprintf("%04d", i), Life: time.Hour}
		if _, err := simulated.PutObject(time.Now(), spec); err != nil {
			t.Fatal(err)
		}
	}
	if all, err := d.Objects(t.Context(), container, ""); err != nil || len(all) != 1001 {
		t.Errorf("%d, %v", len(all), err)
	}
	if _, err := d.SendObject(t.Context(), container, "9", bytes.NewReader([]byte("x")), 1); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		after time.Duration
		want  int
	}{{cloud.ObjectLife - time.Hour, 1}, {cloud.ObjectLife + time.Hour, 0}} {
		if all, err := simulated.Objects(time.Now().Add(c.after), container, ""); err != nil || len(all) != c.want {
			t.Errorf("after %s there are %d, %v; want %d", c.after, len(all), err, c.want)
		}
	}
}

// What is not ours is neither written nor deleted, and a name that would be
// another path is none.
func TestObjectsOfOthers(t *testing.T) {
	d, simulated, container := storing(t, sim.Config{})
	simulated.ResetCalls()
	for _, other := range []string{"theirs", "poold-theirs-p", "poold-ours", ""} {
		_, err := d.SendObject(t.Context(), other, "x", bytes.NewReader(nil), 0)
		for what, err := range map[string]error{
			"send": err, "make": d.MakeContainer(t.Context(), other), "delete": d.RemoveObject(t.Context(), other, "x"),
			"delete it": d.RemoveContainer(t.Context(), other), "join": d.JoinObjects(t.Context(), other, "x", []cloud.StoredObject{{Name: "x/1"}}),
		} {
			wantKind(t, what+" in "+other, err, cloud.Conflict)
		}
	}
	for _, name := range []string{"", "/", "../x", "a/../../x", "a//b"} {
		wantKind(t, "delete "+name, d.RemoveObject(t.Context(), container, name), cloud.Invalid)
	}
	for call, n := range simulated.Calls() {
		if call != "object GET /info" && call != "identity POST /auth/tokens" {
			t.Errorf("%d calls %s", n, call)
		}
	}
}

// A store that does not say what it can do is taken to do what all can; one
// that joins nothing is found out.
func TestUnknownObjectStore(t *testing.T) {
	var manifest string
	length := "5"
	newStub(t, "    object_store_endpoint_override: STUB/swift/v1/AUTH_p1\n", func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/swift/info":
			http.NotFound(w, r)
		case r.Method == http.MethodHead:
			w.Header().Set("Content-Length", length)
		default:
			manifest = r.Header.Get("X-Object-Manifest")
			w.WriteHeader(http.StatusCreated)
		}
	})
	d := open(t, "ours", cloud.Open{})
	if means, err := d.ObjectMeans(t.Context()); err != nil || means.MaxBytes != 5<<30 || means.MaxSegments != 1000 {
		t.Errorf("%+v, %v", means, err)
	}
	join := func() error {
		return d.JoinObjects(t.Context(), "poold-ours-p", "i-1.raw", []cloud.StoredObject{{Name: "i-1.raw/5-5/00000000", Bytes: 5}})
	}
	if err := join(); err != nil || manifest != "poold-ours-p/i-1.raw/5-5/" {
		t.Errorf("%q, %v", manifest, err)
	}
	length = "0"
	wantKind(t, "nothing was joined", join(), cloud.Transient)
}

// until waits until a task is over.
func (d *Driver) untilOver(ctx context.Context, t *testing.T, id string) cloud.Task {
	t.Helper()
	for range 600 {
		task, err := d.Task(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		if task.State != cloud.TaskRunning {
			return task
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the task is never over")
	return cloud.Task{}
}

// A task makes an image of an object. Until that is described its name is its
// mark, by which it is found, and nobody else's is.
func TestImageTask(t *testing.T) {
	d, simulated, container := storing(t, sim.Config{})
	whole := bring(t, d, container)
	mark := cloud.Mark{Installation: "ours", Provider: "a/b", Upload: "i ö?/1"}
	name, began := mark.ImageName("x"), time.Now().Add(-time.Minute)
	_, err := d.FindTask(t.Context(), name, began)
	wantKind(t, "no task yet", err, cloud.NotFound)
	id, err := d.BeginTask(t.Context(), cloud.TaskSpec{Container: container, Object: "i ö?-1.raw", Name: name})
	if err != nil {
		t.Fatal(err)
	}
	task := d.untilOver(t.Context(), t, id)
	if found, err := d.FindTask(t.Context(), name, began); err != nil || found != task || task.State != cloud.TaskDone {
		t.Errorf("%+v, %v; want %+v", found, err, task)
	}
	_, err = d.FindTask(t.Context(), mark.ImageName("y"), began)
	wantKind(t, "another attempt's task", err, cloud.NotFound)
	image, err := d.Image(t.Context(), task.ImageID)
	if err != nil || image.Bytes != int64(len(whole)) || image.Status != cloud.ImageActive || image.Mark != mark {
		t.Errorf("%+v, %v", image, err)
	}
	kinds := func(made, described int) {
		t.Helper()
		a, err1 := d.Resources(t.Context(), cloud.TaskImage)
		b, err2 := d.Resources(t.Context(), cloud.StoredImage)
		if err1 != nil || err2 != nil || len(a) != made || len(b) != described {
			t.Errorf("%d and %d images, %v, %v", len(a), len(b), err1, err2)
		}
	}
	kinds(1, 0)
	mark.Revision = 7
	spec := cloud.ImageSpec{Name: "i-1", Mark: mark, Properties: map[string]string{"a/b": "c", "x": "y"}}
	if err := d.DescribeImage(t.Context(), task.ImageID, spec); err != nil {
		t.Fatal(err)
	}
	kinds(0, 1)
	if image, err = d.Image(t.Context(), task.ImageID); err != nil || image.Name != "i-1" || image.Mark != mark {
		t.Errorf("%+v, %v", image, err)
	}
	if there, err := simulated.Image(time.Now(), task.ImageID); err != nil || there.Properties["a/b"] != "c" || there.Properties["x"] != "y" {
		t.Errorf("%+v, %v", there, err)
	}
	if err := d.Remove(t.Context(), cloud.TaskImage, task.ImageID); err != nil {
		t.Error(err)
	}
}

// A task that fails says why, and is not found again. Without our mark none is
// begun, and no image is described.
func TestImageTaskFails(t *testing.T) {
	d, simulated, container := storing(t, sim.Config{Images: []string{"theirs"}})
	name, began := cloud.Mark{Installation: "ours", Provider: "p", Upload: "i/1"}.ImageName("x"), time.Now().Add(-time.Minute)
	id, err := d.BeginTask(t.Context(), cloud.TaskSpec{Container: container, Object: "nothing", Name: name})
	if err != nil {
		t.Fatal(err)
	}
	if task := d.untilOver(t.Context(), t, id); task.State != cloud.TaskFailed || task.Problem == "" {
		t.Errorf("%+v", task)
	}
	_, err = d.FindTask(t.Context(), name, began)
	wantKind(t, "a task that has failed", err, cloud.NotFound)
	_, err = d.Task(t.Context(), anImage)
	wantKind(t, "no such task", err, cloud.NotFound)
	_, err = d.BeginTask(t.Context(), cloud.TaskSpec{Container: container, Object: "x", Name: "any"})
	wantKind(t, "no mark", err, cloud.Invalid)
	theirs := simulated.Images(time.Now())[0].ID
	wantKind(t, "another's image", d.DescribeImage(t.Context(), theirs, cloud.ImageSpec{Name: "i"}), cloud.Conflict)
}
