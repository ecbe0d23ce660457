package sim

import (
	"cmp"
	"crypto/md5" //nolint:gosec // Glance's checksum is an MD5
	"crypto/sha512"
	"encoding/hex"
	"hash"
	"maps"
	"slices"
	"strings"
	"time"
)

// The statuses of an image.
const (
	ImageQueued    = "queued"
	ImageSaving    = "saving"
	ImageUploading = "uploading"
	ImageImporting = "importing"
	ImageActive    = "active"
	ImageKilled    = "killed"
)

// Image is an image. Its data is counted and hashed, not kept.
type Image struct {
	ID         string            `json:"id"`
	Name       string            `json:"name"`
	Status     string            `json:"status"`
	Format     string            `json:"disk_format"`
	Container  string            `json:"container_format"`
	Visibility string            `json:"visibility"`
	Properties map[string]string `json:"properties"`
	Bytes      int64             `json:"bytes"`
	// MD5 and SHA512 are hexadecimal; empty until the image is active.
	MD5 string `json:"md5"`
	// Stores are where it is, FailedIn where the last import failed.
	Stores   []string  `json:"stores,omitempty"`
	FailedIn []string  `json:"failed_in,omitempty"`
	SHA512   string    `json:"sha512"`
	Created  time.Time `json:"created"`
	Updated  time.Time `json:"updated"`
}

type image struct {
	Image
	seq uint64
	// staged is the data that waits for an import.
	staged *Upload
}

// ImageSpec is what an image is made from.
type ImageSpec struct {
	// ID is minted if it is "".
	ID, Name, Format, Container, Visibility string
	Properties                              map[string]string
}

// CreateImage makes an image without data. An id is never used twice, not
// even after the image was deleted.
func (c *Cloud) CreateImage(now time.Time, spec ImageSpec) (Image, error) {
	c.lock(now)
	defer c.mu.Unlock()
	if spec.ID == "" {
		spec.ID = c.uuid()
	}
	if c.imageIDs[spec.ID] {
		return Image{}, failf(statusConflict, "Image ID %s already exists!", spec.ID)
	}
	if spec.Visibility == "" {
		spec.Visibility = "shared"
	}
	c.seq++
	img := &image{seq: c.seq, Image: Image{
		ID: spec.ID, Name: spec.Name, Status: ImageQueued, Format: spec.Format, Container: spec.Container,
		Visibility: spec.Visibility, Properties: maps.Clone(spec.Properties), Created: c.now, Updated: c.now,
	}}
	if img.Properties == nil {
		img.Properties = map[string]string{}
	}
	c.images[spec.ID], c.imageIDs[spec.ID] = img, true
	return img.copy(), nil
}

// addImage adds one that is active from the start.
func (c *Cloud) addImage(name string) {
	c.seq++
	id, sum := c.uuid(), sha512.Sum512(nil)
	c.images[id], c.imageIDs[id] = &image{seq: c.seq, Image: Image{
		ID: id, Name: name, Status: ImageActive, Format: c.cfg.ImageFormat, Container: "bare", Visibility: "public",
		Properties: map[string]string{}, MD5: "d41d8cd98f00b204e9800998ecf8427e", SHA512: hex.EncodeToString(sum[:]),
		Created: c.now, Updated: c.now,
	}}, true
}

// Images returns all images, the newest first.
func (c *Cloud) Images(now time.Time) []Image {
	c.lock(now)
	defer c.mu.Unlock()
	all := slices.SortedFunc(maps.Values(c.images), func(a, b *image) int { return cmp.Compare(b.seq, a.seq) })
	images := make([]Image, len(all))
	for i, img := range all {
		images[i] = img.copy()
	}
	return images
}

// Image looks at one image.
func (c *Cloud) Image(now time.Time, id string) (Image, error) {
	c.lock(now)
	defer c.mu.Unlock()
	if img := c.images[id]; img != nil {
		return img.copy(), nil
	}
	return Image{}, noImage(id)
}

// DeleteImage deletes an image.
func (c *Cloud) DeleteImage(now time.Time, id string) error {
	c.lock(now)
	defer c.mu.Unlock()
	if c.images[id] == nil {
		return failf(statusNotFound, "Failed to find image %s to delete", id)
	}
	delete(c.images, id)
	return nil
}

// PatchOp is one change to an image, of JSON patch.
type PatchOp struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

// PatchImage changes the name and the properties of an image, all or nothing.
func (c *Cloud) PatchImage(now time.Time, id string, ops []PatchOp) (Image, error) {
	c.lock(now)
	defer c.mu.Unlock()
	img := c.images[id]
	if img == nil {
		return Image{}, noImage(id)
	}
	patched := img.copy()
	for _, op := range ops {
		if err := patched.patch(op); err != nil {
			return Image{}, err
		}
	}
	patched.Updated = c.now
	img.Image = patched
	return img.copy(), nil
}

func (i *Image) patch(op PatchOp) error {
	key := strings.NewReplacer("~1", "/", "~0", "~").Replace(strings.TrimPrefix(op.Path, "/"))
	value, isText := op.Value.(string)
	_, found := i.Properties[key]
	switch {
	case op.Op != "remove" && !isText:
		return failf(statusBadRequest, "Invalid value for %s", key)
	case op.Op == "replace" && key == "name":
		i.Name = value
	case op.Op == "replace" && key == "visibility":
		i.Visibility = value
	case op.Op == "add", op.Op == "replace" && found:
		i.Properties[key] = value
	case op.Op == "remove" && found:
		delete(i.Properties, key)
	default:
		return failf(statusConflict, "There was a conflict when trying to complete your request.\n\n"+
			"Property %s does not exist.", key)
	}
	return nil
}

// Upload takes in the data of an image. It is written by one goroutine, and
// ended by [Cloud.FinishUpload] or [Cloud.AbortUpload].
type Upload struct {
	id    string
	bytes int64
	// Both are nil if images have no hash.
	md5, sha512 hash.Hash
}

// Write counts and hashes some of the data. It never fails.
func (u *Upload) Write(p []byte) (int, error) {
	u.bytes += int64(len(p))
	if u.md5 != nil {
		_, _ = u.md5.Write(p)
		_, _ = u.sha512.Write(p)
	}
	return len(p), nil
}

// BeginUpload puts a queued image into "saving".
func (c *Cloud) BeginUpload(now time.Time, id string) (*Upload, error) {
	return c.receive(now, id, ImageSaving)
}

// receive puts a queued image into a state in which it takes data.
func (c *Cloud) receive(now time.Time, id, status string) (*Upload, error) {
	c.lock(now)
	defer c.mu.Unlock()
	img := c.images[id]
	if img == nil {
		return nil, noImage(id)
	}
	if img.Status != ImageQueued {
		return nil, failf(statusConflict, "Image status transition from %s to %s is not allowed", img.Status, status)
	}
	img.Status, img.Updated = status, c.now
	return c.newUpload(id), nil
}

func (c *Cloud) newUpload(id string) *Upload {
	if c.cfg.NoHashes {
		return &Upload{id: id}
	}
	return &Upload{id: id, md5: md5.New(), sha512: sha512.New()} //nolint:gosec // Glance's checksum is an MD5
}

// AbortUpload puts the image back to "queued", as Glance does when it is
// still there to notice that the data stopped.
func (c *Cloud) AbortUpload(now time.Time, u *Upload) {
	c.lock(now)
	defer c.mu.Unlock()
	if img := c.images[u.id]; img != nil {
		img.Status, img.Updated = ImageQueued, c.now
	}
}

// FinishUpload makes the image active.
func (c *Cloud) FinishUpload(now time.Time, u *Upload) error { return c.FinishUploadTo(now, u, "") }

// FinishUploadTo makes the image active in a store; "" is the first one.
func (c *Cloud) FinishUploadTo(now time.Time, u *Upload, store string) error {
	c.lock(now)
	defer c.mu.Unlock()
	if store == "" {
		return c.finish(u, nil)
	}
	return c.finish(u, []string{store})
}

// finish makes an image active in stores; none is the first one that there is.
func (c *Cloud) finish(u *Upload, stores []string) error {
	img := c.images[u.id]
	if img != nil && c.take(FaultImageDeleted, img.ID, img.Name) != nil {
		delete(c.images, u.id)
		img = nil
	}
	if img == nil {
		return failf(statusGone, "Image %s could not be found after upload. "+
			"The image may have been deleted during the upload.", u.id)
	}
	img.Updated = c.now
	if c.take(FaultImageKilled, img.ID, img.Name) != nil {
		img.Status = ImageKilled
		return failf(statusInternalError, "Failed to upload image %s", u.id)
	}
	img.Status, img.Bytes = ImageActive, u.bytes
	if u.md5 != nil {
		img.MD5, img.SHA512 = hex.EncodeToString(u.md5.Sum(nil)), hex.EncodeToString(u.sha512.Sum(nil))
	}
	if img.Stores = slices.Clone(stores); len(stores) == 0 && len(c.cfg.Stores) > 0 {
		img.Stores = c.cfg.Stores[:1:1]
	}
	return nil
}

func (i *image) copy() Image {
	c := i.Image
	c.Properties = maps.Clone(i.Properties)
	c.Stores, c.FailedIn = slices.Clone(i.Stores), slices.Clone(i.FailedIn)
	return c
}

func noImage(id string) *CallError {
	return failf(statusNotFound, "No image found with ID %s", id)
}
