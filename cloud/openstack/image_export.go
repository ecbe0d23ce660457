package openstack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strings"

	"poold/cloud"
)

var _ cloud.Exporter = (*Driver)(nil)

// Snapshot has nova make an image of a server. Up to 2.44 its id is at the end
// of the answer's Location.
func (d *Driver) Snapshot(ctx context.Context, spec cloud.SnapshotSpec) (string, error) {
	r := request{
		service: cloud.Compute, method: http.MethodPost, path: "/servers/{id}/action", what: "snapshot server", changes: true,
	}
	if spec.Mark.Installation != d.installation || !strings.HasPrefix(spec.Name, cloud.ExportName) {
		return "", r.fail(cloud.Invalid, errors.New("a snapshot needs our mark and name"))
	}
	s, err := d.serverNamed(ctx, spec.Server)
	if err != nil {
		return "", named(r.what, err)
	}
	if !s.hasImage() {
		return "", r.fail(cloud.Invalid, errors.New("the server's disk is a volume"))
	}
	r.id = s.ID
	r.in = map[string]any{"createImage": map[string]any{"name": spec.Name, "metadata": spec.Mark.In(nil)}}
	resp, err := d.send(ctx, r)
	if err != nil {
		return "", err
	}
	defer closeBody(resp.Body)
	u, err := url.Parse(resp.Header.Get("Location"))
	if err != nil || !looksLikeUUID(path.Base(u.Path)) {
		return "", r.fail(cloud.Ambiguous, fmt.Errorf("the answer does not name the image: %q", resp.Header.Get("Location")))
	}
	return path.Base(u.Path), nil
}

// disk is what is read of a server to take its disk.
type disk struct {
	ID, Name string
	Image    json.RawMessage
}

// hasImage tells a server made of an image; one made of a volume says "".
func (s *disk) hasImage() bool { return strings.HasPrefix(string(s.Image), "{") }

// serverNamed looks up a server by its name or id.
func (d *Driver) serverNamed(ctx context.Context, nameOrID string) (disk, error) {
	if looksLikeUUID(nameOrID) {
		var body struct{ Server disk }
		err := d.call(ctx, request{
			service: cloud.Compute, method: http.MethodGet, path: "/servers/{id}", id: nameOrID, what: "get server",
		}, &body)
		return body.Server, err
	}
	r := request{
		service: cloud.Compute, method: http.MethodGet, path: "/servers/detail", what: "find server",
		// Nova takes the name for a pattern.
		query: url.Values{"name": {"^" + regexp.QuoteMeta(nameOrID) + "$"}},
	}
	var body struct{ Servers []disk }
	if err := d.call(ctx, r, &body); err != nil {
		return disk{}, err
	}
	var found []disk
	for _, s := range body.Servers {
		if s.Name == nameOrID {
			found = append(found, s)
		}
	}
	switch len(found) {
	case 0:
		return disk{}, r.fail(cloud.NotFound, errNone("server", nameOrID))
	case 1:
		return found[0], nil
	}
	return disk{}, r.fail(cloud.NotFound, fmt.Errorf("there are %d servers %q: name one by its id", len(found), nameOrID))
}

// Source describes an image.
func (d *Driver) Source(ctx context.Context, id string) (cloud.Source, error) {
	var i struct {
		image

		Format string `json:"disk_format"`
	}
	err := d.call(ctx, request{
		service: cloud.ImageService, method: http.MethodGet, path: "/v2/images/{id}", id: id, what: "get image",
	}, &i)
	if err != nil {
		return cloud.Source{}, err
	}
	return cloud.Source{Format: i.Format, Image: cloud.Image{
		ID: i.ID, Name: i.Name, Status: i.status(), Bytes: i.Size, HashAlgo: i.HashAlgo, Hash: i.Hash,
		Mark: i.mark(), Created: i.Created,
	}}, nil
}

// ReadImage reads a part of an image.
func (d *Driver) ReadImage(ctx context.Context, id string, from, to int64) (io.ReadCloser, int64, error) {
	r := request{
		service: cloud.ImageService, method: http.MethodGet, path: "/v2/images/{id}/file", id: id, what: "read image",
		byteRange: fmt.Sprintf("bytes=%d-%d", from, to-1),
	}
	resp, err := d.send(ctx, r)
	if err != nil {
		return nil, 0, err
	}
	if resp.StatusCode != http.StatusPartialContent {
		return resp.Body, 0, nil
	}
	var begins, ends int64
	if _, err := fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes %d-%d/", &begins, &ends); err != nil || begins != from {
		closeBody(resp.Body)
		return nil, 0, r.fail(cloud.Unclassified, fmt.Errorf("asked for %s it sent %q", r.byteRange, resp.Header.Get("Content-Range")))
	}
	return resp.Body, begins, nil
}
