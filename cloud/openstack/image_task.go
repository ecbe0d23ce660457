package openstack

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"poold/cloud"
)

// task is what is read of a task. A list has neither input nor result.
type task struct {
	ID      string    `json:"id"`
	Status  string    `json:"status"`
	Created time.Time `json:"created_at"`
	Message string    `json:"message"`
	Input   struct {
		Properties struct {
			Name string `json:"name"`
		} `json:"image_properties"`
	} `json:"input"`
	Result struct {
		ImageID string `json:"image_id"`
	} `json:"result"`
}

func (t *task) seen() cloud.Task {
	seen := cloud.Task{ID: t.ID, State: cloud.TaskRunning, ImageID: t.Result.ImageID, Problem: t.Message}
	switch t.Status {
	case "success":
		seen.State = cloud.TaskDone
	case "failure":
		seen.State, seen.Problem = cloud.TaskFailed, cmp.Or(t.Message, "it does not say why")
	}
	return seen
}

// WantsTasks is image_api_use_tasks of clouds.yaml.
func (d *Driver) WantsTasks() bool { return d.access().settings.ImageByTask }

// BeginTask asks for the import of an object, in the words of Rackspace, which
// openstacksdk and nodepool use, too: Glance itself takes addresses only.
func (d *Driver) BeginTask(ctx context.Context, spec cloud.TaskSpec) (string, error) {
	r := request{
		service: cloud.ImageService, method: http.MethodPost, path: "/v2/tasks", what: "import object", changes: true,
		in: map[string]any{"type": "import", "input": map[string]any{
			"import_from":      spec.Container + "/" + spec.Object,
			"image_properties": map[string]string{"name": spec.Name},
		}},
	}
	if m := cloud.MarkIn(spec.Name); m.Installation != d.installation || m.Upload == "" {
		return "", r.fail(cloud.Invalid, errors.New("the image needs our mark for a name"))
	}
	var made task
	if err := d.call(ctx, r, &made); err != nil {
		return "", err
	}
	return made.ID, nil
}

// Task looks at a task.
func (d *Driver) Task(ctx context.Context, id string) (cloud.Task, error) {
	t, err := d.task(ctx, id)
	return t.seen(), err
}

func (d *Driver) task(ctx context.Context, id string) (task, error) {
	var t task
	err := d.call(ctx, request{
		service: cloud.ImageService, method: http.MethodGet, path: "/v2/tasks/{id}", id: id, what: "get task",
	}, &t)
	return t, err
}

// FindTask looks at the newest tasks, which a list has first.
func (d *Driver) FindTask(ctx context.Context, name string, since time.Time) (cloud.Task, error) {
	r := request{
		service: cloud.ImageService, method: http.MethodGet, path: "/v2/tasks", what: "find task",
		query: url.Values{"type": {"import"}, "sort_key": {"created_at"}, "sort_dir": {"desc"}},
	}
	var list struct {
		Tasks []task `json:"tasks"`
	}
	if err := d.call(ctx, r, &list); err != nil {
		return cloud.Task{}, err
	}
	for _, listed := range list.Tasks {
		if listed.Status == "failure" || listed.Created.Before(since) {
			continue
		}
		t, err := d.task(ctx, listed.ID)
		switch {
		case cloud.KindOf(err) == cloud.NotFound:
		case err != nil:
			return cloud.Task{}, named(r.what, err)
		case t.Input.Properties.Name == name && t.Status != "failure":
			return t.seen(), nil
		}
	}
	return cloud.Task{}, r.fail(cloud.NotFound, errNone("task for", name))
}

// DescribeImage patches an image that a task has made.
func (d *Driver) DescribeImage(ctx context.Context, id string, spec cloud.ImageSpec) error {
	r := request{
		service: cloud.ImageService, method: http.MethodPatch, path: "/v2/images/{id}", id: id, what: "describe image", changes: true,
		contentType: "application/openstack-images-v2.1-json-patch",
	}
	i, err := d.image(ctx, id)
	if err != nil {
		return named(r.what, err)
	}
	if i.mark().Installation != d.installation {
		return r.fail(cloud.Conflict, errNotOurs)
	}
	r.in = patch(spec)
	return d.call(ctx, r, nil)
}

// patch is the body of a PATCH that makes an image what it would have been if
// it had been made so.
func patch(spec cloud.ImageSpec) []map[string]any {
	body := imageBody(spec)
	if _, said := spec.Properties["visibility"]; !said {
		delete(body, "visibility")
	}
	// Those are the data's, and the cloud knows them.
	for _, key := range []string{"id", "disk_format", "container_format"} {
		delete(body, key)
	}
	escape := strings.NewReplacer("~", "~0", "/", "~1")
	ops := []map[string]any{}
	for _, key := range slices.Sorted(maps.Keys(body)) {
		op := "add"
		if slices.Contains([]string{"name", "min_disk", "min_ram", "protected", "os_hidden", "visibility"}, key) {
			op = "replace"
		}
		ops = append(ops, map[string]any{"op": op, "path": "/" + escape.Replace(key), "value": body[key]})
	}
	return ops
}
