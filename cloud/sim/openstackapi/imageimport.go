package openstackapi

import (
	"context"
	"io"
	"net/http"
	"time"

	"poold/cloud/sim"
)

func stageImage(r *request) (answer, error) {
	c := r.region.cloud
	return r.take(c.BeginStaging, c.FinishStaging)
}

func importMethods(r *request) (answer, error) {
	methods := r.region.cloud.Config().Imports
	if methods == nil {
		methods = []string{}
	}
	return ok(map[string]any{"import-methods": map[string]any{
		"description": "Import methods available.", "type": "array", "value": methods,
	}})
}

func imageStores(r *request) (answer, error) {
	stores := r.region.cloud.Config().Stores
	if len(stores) == 0 {
		return answer{}, &sim.CallError{Status: http.StatusNotFound, Message: "Multi backend is not supported at this site."}
	}
	shown := []map[string]string{}
	for i, s := range stores {
		one := map[string]string{"id": s}
		if i == 0 {
			one["default"] = "true"
		}
		shown = append(shown, one)
	}
	return ok(map[string]any{"stores": shown})
}

// importImage starts an import and lets it end by itself, as a task of Glance.
func importImage(r *request) (answer, error) {
	var body struct {
		Method struct{ Name, URI string }
		Stores []string
	}
	if err := r.decode(&body); err != nil {
		return answer{}, err
	}
	c, id, spec := r.region.cloud, r.path[1], sim.ImportSpec{Method: body.Method.Name, Stores: body.Stores}
	if err := c.BeginImport(r.now, id, spec); err != nil {
		return answer{}, err
	}
	now := r.h.now
	if spec.Method != "web-download" {
		c.EndImport(now(), id, spec, nil)
		return answer{status: http.StatusAccepted}, nil
	}
	// The call is over before its task.
	ctx := context.WithoutCancel(r.Context())
	go func() { c.EndImport(now(), id, spec, fetch(ctx, c.Fetched(id), body.Method.URI)) }()
	return answer{status: http.StatusAccepted}, nil
}

// fetchLimit bounds how long a cloud fetches an image.
const fetchLimit = 10 * time.Minute

// fetch reads what an address has, all of it, or returns nil.
func fetch(ctx context.Context, into *sim.Upload, address string) *sim.Upload {
	ctx, cancel := context.WithTimeout(ctx, fetchLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil
	}
	got, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil
	}
	defer func() { _ = got.Body.Close() }() // it was only read
	if _, err := io.Copy(into, got.Body); err != nil || got.StatusCode != http.StatusOK {
		return nil
	}
	return into
}
