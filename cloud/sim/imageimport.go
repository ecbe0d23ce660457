package sim

import (
	"slices"
	"time"
)

// BeginStaging puts a queued image into "uploading".
func (c *Cloud) BeginStaging(now time.Time, id string) (*Upload, error) {
	return c.receive(now, id, ImageUploading)
}

// FinishStaging keeps the data for an import.
func (c *Cloud) FinishStaging(now time.Time, u *Upload) error {
	c.lock(now)
	defer c.mu.Unlock()
	img := c.images[u.id]
	if img == nil {
		return noImage(u.id)
	}
	img.staged, img.Bytes, img.Updated = u, u.bytes, c.now
	return nil
}

// ImportSpec says how an image is imported.
type ImportSpec struct {
	Method string
	// Stores are where the image is to be; none is the first one.
	Stores []string
}

// BeginImport starts an import or a copy, after the checks that Glance makes.
// Who calls it ends it by [Cloud.EndImport].
func (c *Cloud) BeginImport(now time.Time, id string, spec ImportSpec) error {
	c.lock(now)
	defer c.mu.Unlock()
	img := c.images[id]
	want := map[string]string{"glance-direct": ImageUploading, "web-download": ImageQueued, "copy-image": ImageActive}[spec.Method]
	switch {
	case img == nil:
		return noImage(id)
	case !slices.Contains(c.cfg.Imports, spec.Method):
		return failf(statusBadRequest, "Unknown import method name '%s'.", spec.Method)
	case img.Status == ImageImporting:
		return failf(statusConflict, "New operation on image '%s' is not permitted as prior operation is still in progress", id)
	case img.Status != want:
		return failf(statusConflict, "Image needs to be in '%s' state to use '%s' method", want, spec.Method)
	}
	for _, s := range spec.Stores {
		if !slices.Contains(c.cfg.Stores, s) {
			return failf(statusConflict, "Store %s is not enabled", s)
		}
		if spec.Method == "copy-image" && slices.Contains(img.Stores, s) {
			return failf(statusBadRequest, "Image is already present at store '%s'", s)
		}
	}
	img.FailedIn, img.Updated = nil, c.now
	if spec.Method != "copy-image" {
		img.Status = ImageImporting
	}
	return nil
}

// EndImport ends an import of what was staged, or of data that was fetched. An
// import that failed says where; the image can be asked for again if the data
// was fetched, and is "importing" for ever if it was staged.
func (c *Cloud) EndImport(now time.Time, id string, spec ImportSpec, fetched *Upload) {
	c.lock(now)
	defer c.mu.Unlock()
	img := c.images[id]
	if img == nil {
		return
	}
	failed := c.take(FaultImportFails, img.ID, img.Name) != nil
	if spec.Method == "copy-image" {
		if failed {
			img.FailedIn = spec.Stores
		} else {
			img.Stores = append(img.Stores, spec.Stores...)
		}
		return
	}
	data := img.staged
	if spec.Method == "web-download" {
		data = fetched
	}
	img.staged = nil
	if failed || data == nil || c.finish(data, spec.Stores) != nil {
		img.FailedIn = spec.Stores
		if spec.Method == "web-download" {
			img.Status = ImageQueued
		}
		if len(spec.Stores) == 0 {
			img.FailedIn = c.cfg.Stores[:min(1, len(c.cfg.Stores))]
		}
	}
}

// Fetched takes in data that an import fetches.
func (c *Cloud) Fetched(id string) *Upload { return c.newUpload(id) }
