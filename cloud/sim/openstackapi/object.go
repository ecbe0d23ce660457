package openstackapi

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"poold/cloud"
	"poold/cloud/sim"
)

// objectVersion begins the path of an account.
const objectVersion = "/v1/AUTH_"

const (
	// objectService begins the paths of the object store.
	objectService = "object-store"
	// objectPage is how many objects are listed at once.
	objectPage = 1000
	// maxManifest is the size of the largest list of segments.
	maxManifest = 8 << 20
	// statusDisconnect is Swift's word for data that ended too early.
	statusDisconnect = 499
)

// serveObjects answers a call to the object store: what it can do, or a
// container or an object of the account.
func serveObjects(w http.ResponseWriter, r *request) {
	if r.region.cloud.Config().MaxObject <= 0 {
		http.NotFound(w, r.Request)
		return
	}
	op := operation{name: r.Method + " /info", do: objectInfo}
	if len(r.path) < 1 || r.path[0] != "info" {
		if len(r.path) < 3 || r.path[0] != "v1" {
			http.NotFound(w, r.Request)
			return
		}
		r.path = []string{r.path[2], strings.Join(r.path[3:], "/")}
		op.name, op.do = r.Method+" /{container}", containerOperations()[r.Method]
		if r.path[1] != "" {
			op.name, op.do = r.Method+" /{container}/{object}", objectOperations()[r.Method]
		}
	}
	if op.do == nil {
		http.NotFound(w, r.Request)
		return
	}
	perform(w, r, cloud.Object, op)
}

func containerOperations() map[string]func(*request) (answer, error) {
	return map[string]func(*request) (answer, error){
		http.MethodPut: makeContainer, http.MethodGet: listObjects, http.MethodDelete: deleteContainer,
	}
}

func objectOperations() map[string]func(*request) (answer, error) {
	return map[string]func(*request) (answer, error){
		http.MethodPut: putObject, http.MethodHead: lookAtObject, http.MethodDelete: deleteObject,
	}
}

func objectInfo(r *request) (answer, error) {
	cfg := r.region.cloud.Config()
	body := map[string]any{"swift": map[string]any{"max_file_size": cfg.MaxObject, "version": "2.30.0"}, "dlo": map[string]any{}}
	if !cfg.NoSLO {
		body["slo"] = map[string]any{"max_manifest_segments": 1000, "min_segment_size": 1}
	}
	return ok(body)
}

func makeContainer(r *request) (answer, error) {
	r.region.cloud.MakeContainer(r.now, r.path[0])
	return answer{status: http.StatusCreated}, nil
}

func deleteContainer(r *request) (answer, error) {
	return answer{status: http.StatusNoContent}, r.region.cloud.DeleteContainer(r.now, r.path[0])
}

func listObjects(r *request) (answer, error) {
	query := r.URL.Query()
	all, err := r.region.cloud.Objects(r.now, r.path[0], query.Get("prefix"))
	if err != nil {
		return answer{}, err
	}
	page := []any{}
	for _, o := range all {
		if o.Name > query.Get("marker") && len(page) < objectPage {
			page = append(page, map[string]any{
				"name": o.Name, "bytes": o.Bytes, "hash": o.MD5, "last_modified": o.Modified.UTC().Format("2006-01-02T15:04:05.000000"),
			})
		}
	}
	return ok(page)
}

func putObject(r *request) (answer, error) {
	cfg := r.region.cloud.Config()
	manifest, most := r.URL.Query().Get("multipart-manifest") == "put" && !cfg.NoSLO, cfg.MaxObject
	if manifest {
		most = maxManifest
	}
	data, err := io.ReadAll(r.paced(io.LimitReader(r.Body, most+1)))
	switch {
	case err != nil:
		return answer{}, &sim.CallError{Status: statusDisconnect, Message: "Client Disconnect"}
	case int64(len(data)) > most:
		return answer{}, &sim.CallError{Status: http.StatusRequestEntityTooLarge, Message: "Your request is too large."}
	}
	spec := sim.ObjectSpec{Container: r.path[0], Name: r.path[1], Data: data}
	if after, err := strconv.Atoi(r.Header.Get("X-Delete-After")); err == nil {
		spec.Life = time.Duration(after) * time.Second
	}
	if prefix, err := url.PathUnescape(r.Header.Get("X-Object-Manifest")); err == nil {
		spec.Prefix = prefix
	}
	if manifest {
		spec.Data = nil
		if err := json.Unmarshal(data, &spec.Parts); err != nil {
			return answer{}, &sim.CallError{Status: http.StatusBadRequest, Message: "Manifest must be valid JSON."}
		}
	}
	made, err := r.region.cloud.PutObject(r.now, spec)
	return answer{status: http.StatusCreated, header: map[string]string{"Etag": made.MD5}}, err
}

func lookAtObject(r *request) (answer, error) {
	data, err := r.region.cloud.ObjectData(r.now, strings.Join(r.path, "/"))
	return answer{status: http.StatusOK, header: map[string]string{"Content-Length": strconv.Itoa(len(data))}}, err
}

func deleteObject(r *request) (answer, error) {
	return answer{status: http.StatusNoContent}, r.region.cloud.DeleteObject(r.now, strings.Join(r.path, "/"))
}
