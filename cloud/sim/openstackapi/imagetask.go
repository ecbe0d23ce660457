package openstackapi

import (
	"net/http"
	"slices"
	"strings"

	"poold/cloud/sim"
)

// beginTask takes the import of an object, in Rackspace's words.
func beginTask(r *request) (answer, error) {
	var body struct {
		Type  string
		Input struct {
			From       string            `json:"import_from"`
			Properties map[string]string `json:"image_properties"`
		}
	}
	if err := r.decode(&body); err != nil {
		return answer{}, err
	}
	if body.Type != "import" || strings.Count(body.Input.From, "/") < 1 || strings.Contains(body.Input.From, ":") {
		return answer{}, &sim.CallError{Status: http.StatusBadRequest, Message: "Invalid location: " + body.Input.From}
	}
	t := r.region.cloud.BeginTask(r.now, body.Input.From, body.Input.Properties["name"])
	return answer{status: http.StatusCreated, body: taskBody(&t)}, nil
}

func listTasks(r *request) (answer, error) {
	list := []any{}
	for _, t := range r.region.cloud.Tasks(r.now) {
		b := taskBody(&t)
		for _, key := range []string{"input", "result", "message"} {
			delete(b, key)
		}
		if list = append(list, b); len(list) == 25 {
			break
		}
	}
	return ok(map[string]any{"tasks": list})
}

func showTask(r *request) (answer, error) {
	all := r.region.cloud.Tasks(r.now)
	at := slices.IndexFunc(all, func(t sim.Task) bool { return t.ID == r.path[1] })
	if at < 0 {
		return answer{}, &sim.CallError{Status: http.StatusNotFound, Message: "Task with the given id " + r.path[1] + " was not found"}
	}
	return ok(taskBody(&all[at]))
}

func taskBody(t *sim.Task) map[string]any {
	b := map[string]any{
		"id": t.ID, "type": "import", "status": t.Status, "created_at": t.Created.UTC().Format(second), "message": t.Message,
		"input":  map[string]any{"import_from": t.From, "image_properties": map[string]string{"name": t.Name}},
		"result": nil,
	}
	if t.ImageID != "" {
		b["result"] = map[string]any{"image_id": t.ImageID}
	}
	return b
}
