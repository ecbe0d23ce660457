package openstackapi

import (
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"poold/cloud/sim"
)

func imageOperations() map[string]func(*request) (answer, error) {
	return map[string]func(*request) (answer, error){
		"GET/images":              listImages,
		"POST/images":             createImage,
		"GET/images/{id}":         showImage,
		"PATCH/images/{id}":       patchImage,
		"DELETE/images/{id}":      deleteImage,
		"PUT/images/{id}/file":    uploadImage,
		"PUT/images/{id}/stage":   stageImage,
		"POST/images/{id}/import": importImage,
		"GET/info/import":         importMethods,
		"GET/info/stores":         imageStores,
		"GET/schemas/{id}":        showSchema,
		"GET/images/{id}/file":    downloadImage,
		"POST/tasks":              beginTask,
		"GET/tasks":               listTasks,
		"GET/tasks/{id}":          showTask,
	}
}

// imageBody is an image as Glance shows it.
func (r *request) imageBody(i *sim.Image) map[string]any {
	path := "/v2/images/" + i.ID
	b := map[string]any{
		"id": i.ID, "name": i.Name, "status": i.Status, "visibility": i.Visibility, "protected": false, "os_hidden": false,
		"disk_format": optional(i.Format), "container_format": optional(i.Container), "min_ram": 0, "min_disk": 0,
		"owner": r.region.cloud.ProjectID(), "created_at": i.Created.Format(second), "updated_at": i.Updated.Format(second),
		"tags": []string{}, "self": path, "file": path + "/file", "schema": "/v2/schemas/image",
		"size": nil, "virtual_size": nil, "checksum": nil, "os_hash_algo": nil, "os_hash_value": nil,
	}
	if i.Status == sim.ImageActive {
		b["size"] = i.Bytes
		if i.SHA512 != "" {
			b["checksum"], b["os_hash_algo"], b["os_hash_value"] = i.MD5, "sha512", i.SHA512
		}
		b["stores"] = strings.Join(i.Stores, ",")
		if i.Format == "raw" {
			b["virtual_size"] = i.Bytes
		}
	}
	if i.Status == sim.ImageUploading && i.Bytes > 0 {
		b["size"] = i.Bytes
	}
	b["os_glance_failed_import"] = strings.Join(i.FailedIn, ",")
	for k, v := range i.Properties {
		if _, reserved := b[k]; !reserved {
			b[k] = v
		}
	}
	return b
}

func listImages(r *request) (answer, error) {
	values := r.URL.Query()
	limit, err := strconv.Atoi(values.Get("limit"))
	if err != nil || limit <= 0 {
		limit = 25
	}
	all := r.region.cloud.Images(r.now)
	if marker := values.Get("marker"); marker != "" {
		at := slices.IndexFunc(all, func(i sim.Image) bool { return i.ID == marker })
		if at < 0 {
			return answer{}, &sim.CallError{Status: http.StatusBadRequest, Message: "No image found with ID " + marker}
		}
		all = all[at+1:]
	}
	body := map[string]any{"first": r.query("/v2/images"), "schema": "/v2/schemas/images"}
	page := []any{}
	for _, i := range all {
		b := r.imageBody(&i)
		if !wanted(b, values) {
			continue
		}
		if page = append(page, b); len(page) == limit {
			values.Set("marker", i.ID)
			body["next"] = "/v2/images?" + values.Encode()
			break
		}
	}
	body["images"] = page
	return ok(body)
}

// query is a path with the query of the request but for the marker.
func (r *request) query(path string) string {
	values := r.URL.Query()
	values.Del("marker")
	if len(values) == 0 {
		return path
	}
	return path + "?" + values.Encode()
}

// wanted applies the filters of a query to what would be shown.
func wanted(b map[string]any, values map[string][]string) bool {
	for key, want := range values {
		if slices.Contains([]string{"limit", "marker", "sort", "sort_key", "sort_dir", "fields"}, key) {
			continue
		}
		if key == "visibility" && want[0] == "all" {
			continue
		}
		if text, is := b[key].(string); !is || text != want[0] {
			return false
		}
	}
	return true
}

func createImage(r *request) (answer, error) {
	var body map[string]any
	if err := r.decode(&body); err != nil {
		return answer{}, err
	}
	spec := sim.ImageSpec{Properties: map[string]string{}}
	fields := map[string]*string{
		"id": &spec.ID, "name": &spec.Name, "disk_format": &spec.Format, "container_format": &spec.Container,
		"visibility": &spec.Visibility,
	}
	for _, key := range slices.Sorted(maps.Keys(body)) {
		text, is := body[key].(string)
		field, known := fields[key]
		switch {
		case slices.Contains([]string{"tags", "protected", "min_disk", "min_ram", "os_hidden"}, key):
		case !is:
			return answer{}, &sim.CallError{
				Status: http.StatusBadRequest, Message: "Provided object does not match schema 'image': " + key + " is not of type 'string'",
			}
		case known:
			*field = text
		default:
			spec.Properties[key] = text
		}
	}
	if err := checkSchema(&spec); err != nil {
		return answer{}, err
	}
	img, err := r.region.cloud.CreateImage(r.now, spec)
	if err != nil {
		return answer{}, err
	}
	return answer{
		status: http.StatusCreated, body: r.imageBody(&img),
		header: map[string]string{"Location": r.base + "/v2/images/" + img.ID, "OpenStack-image-import-methods": ""},
	}, nil
}

// diskFormats are those that Glance's schema allows.
func diskFormats() []string {
	return []string{"ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop"}
}

// showSchema shows what of the schema of images is asked for.
func showSchema(r *request) (answer, error) {
	if r.path[1] != "image" {
		return answer{}, &sim.CallError{Status: http.StatusNotFound, Message: "The resource could not be found."}
	}
	formats := []any{nil}
	for _, f := range diskFormats() {
		formats = append(formats, f)
	}
	return ok(map[string]any{"name": "image", "properties": map[string]any{
		"disk_format": map[string]any{"type": []string{"null", "string"}, "description": "Format of the disk", "enum": formats},
	}})
}

// checkSchema refuses what Glance's schema does.
func checkSchema(spec *sim.ImageSpec) error {
	var bad string
	switch {
	case spec.ID != "" && !regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`).MatchString(spec.ID):
		bad = "'" + spec.ID + "' does not match '^([0-9a-fA-F]){8}-...'"
	case spec.Format != "" && !slices.Contains(diskFormats(), spec.Format):
		bad = "'" + spec.Format + "' is not one of " + strings.Join(diskFormats(), ", ")
	default:
		return nil
	}
	return &sim.CallError{Status: http.StatusBadRequest, Message: "Provided object does not match schema 'image': " + bad}
}

func showImage(r *request) (answer, error) {
	img, err := r.region.cloud.Image(r.now, r.path[1])
	if err != nil {
		return answer{}, err
	}
	return ok(r.imageBody(&img))
}

func patchImage(r *request) (answer, error) {
	var ops []sim.PatchOp
	if err := r.decode(&ops); err != nil {
		return answer{}, err
	}
	img, err := r.region.cloud.PatchImage(r.now, r.path[1], ops)
	if err != nil {
		return answer{}, err
	}
	return ok(r.imageBody(&img))
}

func deleteImage(r *request) (answer, error) {
	return answer{status: http.StatusNoContent}, r.region.cloud.DeleteImage(r.now, r.path[1])
}

func uploadImage(r *request) (answer, error) {
	c, store := r.region.cloud, r.Header.Get("X-Image-Meta-Store")
	if stores := c.Config().Stores; store != "" && !slices.Contains(stores, store) {
		return answer{}, &sim.CallError{Status: http.StatusBadRequest, Message: "Unknown store " + store}
	}
	return r.take(c.BeginUpload, func(now time.Time, u *sim.Upload) error { return c.FinishUploadTo(now, u, store) })
}

// take takes in the data of an image.
func (r *request) take(
	begin func(time.Time, string) (*sim.Upload, error), finish func(time.Time, *sim.Upload) error,
) (answer, error) {
	if kind := r.Header.Get("Content-Type"); kind != "application/octet-stream" {
		return answer{}, &sim.CallError{
			Status: http.StatusUnsupportedMediaType, Message: "The request media type " + kind + " is not supported by this server.",
		}
	}
	upload, err := begin(r.now, r.path[1])
	if err != nil {
		return answer{}, err
	}
	if _, err := io.Copy(upload, r.paced(r.Body)); err != nil {
		r.region.cloud.AbortUpload(r.h.now(), upload)
		return answer{}, &sim.CallError{Status: http.StatusBadRequest, Message: "The data ended too early."}
	}
	return answer{status: http.StatusNoContent}, finish(r.h.now(), upload)
}

// pieces is how many pieces a second a paced upload is taken in.
const pieces = 50

// paced reads no faster than the cloud takes an upload.
func (r *request) paced(data io.Reader) io.Reader {
	perSecond := r.region.cloud.Config().UploadRate
	if perSecond <= 0 {
		return data
	}
	began, taken := r.h.now(), int64(0)
	return reading(func(p []byte) (int, error) {
		n, err := data.Read(p[:min(int64(len(p)), max(1, perSecond/pieces))])
		taken += int64(n)
		due := time.Duration(float64(taken) / float64(perSecond) * float64(time.Second))
		r.pause(due - r.h.now().Sub(began))
		return n, err
	})
}

// reading is a function that reads.
type reading func(p []byte) (int, error)

// Read reads.
func (f reading) Read(p []byte) (int, error) { return f(p) }
