package openstack

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"poold/cloud"
)

// errNotOurs refuses what carries no mark of ours.
var errNotOurs = errors.New("it does not carry the mark of this installation")

// image is what is read of an image. Its properties are beside the rest.
type image struct {
	ID           string    `json:"id"`
	Name         string    `json:"name"`
	Status       string    `json:"status"`
	Size         int64     `json:"size"`
	Format       string    `json:"disk_format"`
	Checksum     string    `json:"checksum"`
	HashAlgo     string    `json:"os_hash_algo"`
	Hash         string    `json:"os_hash_value"`
	Created      time.Time `json:"created_at"`
	Installation string    `json:"poold_installation"`
	Upload       string    `json:"poold_upload"`
	Provider     string    `json:"poold_provider"`
	Revision     string    `json:"poold_revision"`
	Type         string    `json:"image_type"`
	// Lists with commas between.
	Stores    string `json:"stores"`
	CopyingTo string `json:"os_glance_importing_to_stores"`
	FailedIn  string `json:"os_glance_failed_import"`
	// ImportTask is Glance's lock on an image that it imports or copies.
	ImportTask string `json:"os_glance_import_task"`
}

// inherited tells a snapshot that somebody made of a server of ours: it has
// the mark of the server's image, and is not ours.
func (i *image) inherited() bool {
	return i.Type == "snapshot" && !strings.HasPrefix(i.Name, cloud.ExportName)
}

// mark is that of its properties; one that a task has just made has a name.
func (i *image) mark() cloud.Mark {
	if m := cloud.MarkIn(i.Name); i.Installation == "" && m.Upload != "" {
		return m
	}
	return cloud.MarkOf(map[string]string{
		cloud.KeyInstallation: i.Installation, cloud.KeyUpload: i.Upload, cloud.KeyProvider: i.Provider, cloud.KeyRevision: i.Revision,
	})
}

func (i *image) status() cloud.ImageStatus {
	if i.ImportTask != "" && (i.Status == "queued" || i.Status == "uploading") {
		return cloud.ImageImporting // it will be, when its turn comes
	}
	switch i.Status {
	case "queued":
		return cloud.ImageQueued
	case "uploading":
		return cloud.ImageStaged
	case "importing":
		return cloud.ImageImporting
	case "active":
		return cloud.ImageActive
	case "killed", "deleted", "pending_delete", "deactivated":
		return cloud.ImageBroken
	}
	return cloud.ImageSaving
}

// ImageFormat is image_format of clouds.yaml, qcow2 if it does not say.
func (d *Driver) ImageFormat() string { return d.imageFormat }

// CreateImage makes an image under our own id.
func (d *Driver) CreateImage(ctx context.Context, spec cloud.ImageSpec) (string, error) {
	r := request{
		service: cloud.ImageService, method: http.MethodPost, path: "/v2/images", what: "create image",
		changes: true,
	}
	if spec.Mark.Installation != d.installation || !looksLikeUUID(spec.ID) {
		return "", r.fail(cloud.Invalid, errors.New("an image needs our mark, and a UUID as its id"))
	}
	r.in = imageBody(spec)
	var made image
	err := d.call(ctx, r, &made)
	if err == nil {
		return made.ID, nil
	}
	if cloud.KindOf(err) != cloud.Conflict {
		return "", err
	}
	// Glance never gives an id twice, not even that of a deleted image, which
	// is then NotFound: that stays a conflict.
	there, lookErr := d.image(ctx, spec.ID)
	if lookErr != nil {
		return "", err
	}
	m := there.mark()
	if m.Installation != d.installation || m.Upload != spec.Mark.Upload {
		return "", err
	}
	return there.ID, nil
}

// imageBody is the body of POST /v2/images. Glance takes all properties as
// text but the few that are its own.
func imageBody(spec cloud.ImageSpec) map[string]any {
	body := map[string]any{}
	for key, value := range spec.Properties {
		body[key] = value
		switch key {
		case "min_disk", "min_ram":
			if n, err := strconv.Atoi(value); err == nil {
				body[key] = n
			}
		case "protected", "os_hidden":
			if b, err := strconv.ParseBool(value); err == nil {
				body[key] = b
			}
		}
	}
	for key, value := range spec.Mark.In(nil) {
		body[key] = value
	}
	body["id"], body["name"] = spec.ID, spec.Name
	body["disk_format"], body["container_format"] = spec.Format, "bare"
	if _, said := spec.Properties["visibility"]; !said {
		body["visibility"] = "private"
	}
	return body
}

// SendImage sends the data in one request with its length, and never again:
// the data is gone then, and glance would take an empty body for an image.
func (d *Driver) SendImage(ctx context.Context, id string, data io.Reader, size int64) error {
	return d.sendImage(ctx, id, data, size, nil)
}

// SendImageTo is SendImage into a store.
func (d *Driver) SendImageTo(ctx context.Context, id, store string, data io.Reader, size int64) error {
	return d.sendImage(ctx, id, data, size, map[string]string{"X-Image-Meta-Store": store})
}

func (d *Driver) sendImage(ctx context.Context, id string, data io.Reader, size int64, header map[string]string) error {
	return d.call(ctx, request{
		service: cloud.ImageService, method: http.MethodPut, path: "/v2/images/{id}/file", id: id,
		data: data, size: size, header: header, what: "send image", changes: true,
	}, nil)
}

// Image looks at one image.
func (d *Driver) Image(ctx context.Context, id string) (cloud.Image, error) {
	i, err := d.image(ctx, id)
	if err != nil {
		return cloud.Image{}, err
	}
	seen := cloud.Image{
		ID: i.ID, Name: i.Name, Status: i.status(), Format: i.Format, Bytes: i.Size, HashAlgo: i.HashAlgo, Hash: i.Hash,
		Stores: commas(i.Stores), CopyingTo: commas(i.CopyingTo), Mark: i.mark(), Created: i.Created,
	}
	if i.HashAlgo == "" && i.Checksum != "" {
		seen.HashAlgo, seen.Hash = "md5", i.Checksum // before Glance had others
	}
	if i.ImportTask == "" {
		// Under the lock it may be of the import before.
		seen.FailedIn = commas(i.FailedIn)
	}
	return seen, nil
}

func (d *Driver) image(ctx context.Context, id string) (image, error) {
	var i image
	err := d.call(ctx, request{
		service: cloud.ImageService, method: http.MethodGet, path: "/v2/images/{id}", id: id, what: "get image",
	}, &i)
	return i, err
}

// DeleteImage deletes an image, after a look whether it is ours.
func (d *Driver) DeleteImage(ctx context.Context, id string) error {
	r := request{
		service: cloud.ImageService, method: http.MethodDelete, path: "/v2/images/{id}", id: id,
		what: "delete image", changes: true,
	}
	i, err := d.image(ctx, id)
	if err != nil {
		return named(r.what, err)
	}
	if i.mark().Installation != d.installation || i.inherited() {
		return r.fail(cloud.Conflict, errNotOurs)
	}
	return d.call(ctx, r, nil)
}

// images lists the images with our mark, of which glance keeps an index.
func (d *Driver) images(ctx context.Context) ([]cloud.Resource, error) {
	return d.imagesWith(ctx, cloud.StoredImage, url.Values{cloud.KeyInstallation: {d.installation}})
}

// taskImages lists those whose mark is their name, of which it keeps none.
func (d *Driver) taskImages(ctx context.Context) ([]cloud.Resource, error) {
	s, err := d.access().keystone.session(ctx, nil)
	if err != nil {
		return nil, named("list images", err)
	}
	return d.imagesWith(ctx, cloud.TaskImage, url.Values{"owner": {s.project}})
}

func (d *Driver) imagesWith(ctx context.Context, kind cloud.ResourceKind, query url.Values) ([]cloud.Resource, error) {
	r := request{
		service: cloud.ImageService, method: http.MethodGet, path: "/v2/images", what: "list images", query: query,
	}
	var found []cloud.Resource
	err := d.pages(ctx, r, func(body io.Reader) (string, error) {
		var page struct {
			Images []image `json:"images"`
			Next   string  `json:"next"`
		}
		if err := json.NewDecoder(io.LimitReader(body, maxAnswer)).Decode(&page); err != nil {
			return "", err
		}
		for _, i := range page.Images {
			ours := i.mark().Installation == d.installation && !i.inherited()
			if ours && (i.Installation == "") == (kind == cloud.TaskImage) {
				found = append(found, cloud.Resource{Kind: kind, ID: i.ID, Name: i.Name, Mark: i.mark(), Created: i.Created})
			}
		}
		return page.Next, nil
	})
	return found, err
}
