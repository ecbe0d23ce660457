package sim

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // Glance's checksum is an MD5
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"io"
	"maps"
	"math/rand/v2"
	"strings"
	"time"

	"poold/cloud"
)

var _ cloud.Exporter = (*Driver)(nil)

// snapshotBytes is the size of the images that are made of servers.
const snapshotBytes = 300_000

// SnapshotServer makes an image of a server, as Nova does: with the properties
// of the image that the server was made of, unless there are others. Unlike
// that of other images its data can be read.
func (c *Cloud) SnapshotServer(now time.Time, server, name string, properties map[string]string) (Image, error) {
	c.lock(now)
	defer c.mu.Unlock()
	s, err := c.find(server)
	if err != nil {
		return Image{}, err
	}
	v, _ := s.at(c.now)
	if v.Status != "ACTIVE" {
		return Image{}, failf(statusConflict, "Cannot 'createImage' instance %s while it is in vm_state %s", server, strings.ToLower(v.Status))
	}
	all := map[string]string{"image_type": "snapshot"}
	if from := c.images[v.ImageID]; from != nil {
		maps.Copy(all, from.Properties)
	}
	maps.Copy(all, properties)
	c.seq++
	id := c.uuid()
	data := snapshotData(id)
	h5, h512 := md5.Sum(data), sha512.Sum512(data) //nolint:gosec // see the import
	img := &image{seq: c.seq, Image: Image{
		ID: id, Name: name, Status: ImageActive, Format: "raw", Container: "bare", Visibility: "private",
		Properties: all, Bytes: snapshotBytes, MD5: hex.EncodeToString(h5[:]), SHA512: hex.EncodeToString(h512[:]),
		Created: c.now, Updated: c.now,
	}}
	c.images[id], c.imageIDs[id] = img, true
	return img.copy(), nil
}

// snapshotData is the data of an image made of a server: none is kept, it
// follows from the id.
func snapshotData(id string) []byte {
	data := make([]byte, snapshotBytes)
	_, _ = rand.NewChaCha8(sha256.Sum256([]byte(id))).Read(data) // it never fails
	return data
}

// ImageData returns the data of an image that was made of a server.
func (c *Cloud) ImageData(now time.Time, id string) ([]byte, error) {
	c.lock(now)
	defer c.mu.Unlock()
	switch img := c.images[id]; {
	case img == nil:
		return nil, noImage(id)
	case img.Properties["image_type"] != "snapshot":
		return nil, failf(statusNotFound, "the data of image %s was counted and not kept", id)
	}
	return snapshotData(id), nil
}

// Snapshot makes an image of a server.
func (d *Driver) Snapshot(ctx context.Context, spec cloud.SnapshotSpec) (string, error) {
	const what = "snapshot server"
	if spec.Mark.Installation != d.installation || !strings.HasPrefix(spec.Name, cloud.ExportName) {
		return "", notOurs(what)
	}
	id, err := d.serverNamed(ctx, what, spec.Server)
	if err != nil {
		return "", err
	}
	var made Image
	err = d.do(ctx, changing(what, cloud.Compute, "POST /servers/{id}/action", id), func(now time.Time) error {
		made, err = d.cloud.SnapshotServer(now, id, spec.Name, spec.Mark.In(nil))
		return err
	})
	return made.ID, err
}

// serverNamed returns the id of a server that is there, by its name or id.
func (d *Driver) serverNamed(ctx context.Context, what, nameOrID string) (string, error) {
	var found []Server
	err := d.do(ctx, reading(what, cloud.Compute, "GET /servers/detail"), func(now time.Time) error {
		for _, s := range d.cloud.Truth(now) {
			if s.Name == nameOrID || s.ID == nameOrID {
				found = append(found, s)
			}
		}
		return nil
	})
	switch {
	case err != nil:
		return "", err
	case len(found) != 1:
		return "", &cloud.Error{Kind: cloud.NotFound, Op: what, Err: failf(statusNotFound, "there are %d servers %s", len(found), nameOrID)}
	case found[0].FromVolume:
		return "", &cloud.Error{Kind: cloud.Invalid, Op: what, Err: failf(statusBadRequest, "the server's disk is a volume")}
	}
	return found[0].ID, nil
}

// Source describes an image.
func (d *Driver) Source(ctx context.Context, id string) (cloud.Source, error) {
	seen, err := d.Image(ctx, id)
	if err != nil {
		return cloud.Source{}, err
	}
	i, err := d.image(ctx, "look at image", id)
	return cloud.Source{Image: seen, Format: i.Format}, err
}

// ReadImage reads a part of an image.
func (d *Driver) ReadImage(ctx context.Context, id string, from, to int64) (io.ReadCloser, int64, error) {
	var data []byte
	err := d.do(ctx, reading("read image", cloud.ImageService, "GET /images/{id}/file", id), func(now time.Time) error {
		var err error
		data, err = d.cloud.ImageData(now, id)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	size := int64(len(data))
	return io.NopCloser(bytes.NewReader(data[min(from, size):min(to, size)])), from, nil
}
