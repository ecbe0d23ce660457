package openstack

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"poold/cloud"
)

const (
	containerPath = "/{container}"
	objectPath    = "/{container}/{object}"
	infoPath      = "/info"
	// objectsKey is the key in memory of what the object store can do.
	objectsKey = "objects"
	// largestObject is Swift's own bound, and that of clouds that tell none.
	largestObject = 5 << 30
	// mostSegments is Swift's own bound of a manifest.
	mostSegments = 1000
	// maxName is Swift's own bound of the name of a container.
	maxName = 256
)

func validContainer(name string) bool {
	return name != "" && len(name) <= maxName && !strings.Contains(name, "/") && name != "." && name != ".."
}

// validObject keeps an object's name from being a path of its own.
func validObject(name string) bool {
	return name != "" && path.Clean("/"+name) == "/"+name
}

func escapedObject(name string) string { return (&url.URL{Path: name}).EscapedPath() }

// swift is what is read of what a Swift can do.
type swift struct {
	Swift struct {
		MaxFileSize int64 `json:"max_file_size"`
	} `json:"swift"`
	// SLO is nil of one that has no static large objects, or does not tell.
	SLO *struct {
		MaxSegments int `json:"max_manifest_segments"`
	} `json:"slo"`
}

// swift asks for what the object store can do, once. One that does not tell can
// do what all can.
func (d *Driver) swift(ctx context.Context) (swift, error) {
	return remembered(ctx, &d.memory, objectsKey, func(ctx context.Context) (swift, error) {
		var s swift
		r := request{service: cloud.Object, method: http.MethodGet, path: infoPath, what: "get abilities of the object store"}
		err := d.call(ctx, r, &s)
		if e, ok := errors.AsType[*statusError](err); ok && e.status < http.StatusInternalServerError {
			return swift{}, nil
		}
		return s, err
	})
}

// ObjectMeans asks what the object store takes.
func (d *Driver) ObjectMeans(ctx context.Context) (cloud.ObjectMeans, error) {
	s, err := d.swift(ctx)
	means := cloud.ObjectMeans{MaxBytes: cmp.Or(s.Swift.MaxFileSize, largestObject), MaxSegments: mostSegments}
	if s.SLO != nil && s.SLO.MaxSegments > 0 {
		means.MaxSegments = s.SLO.MaxSegments
	}
	return means, err
}

// MakeContainer makes a container; Swift takes that of one that is there.
func (d *Driver) MakeContainer(ctx context.Context, container string) error {
	return d.change(ctx, request{
		method: http.MethodPut, path: containerPath, container: container, what: "make container",
	})
}

// RemoveContainer deletes a container.
func (d *Driver) RemoveContainer(ctx context.Context, container string) error {
	return d.change(ctx, request{
		method: http.MethodDelete, path: containerPath, container: container, what: "delete container",
	})
}

// RemoveObject deletes an object, and of a joined one only the list of its
// segments.
func (d *Driver) RemoveObject(ctx context.Context, container, name string) error {
	return d.change(ctx, request{
		method: http.MethodDelete, path: objectPath, container: container, object: name, what: "delete object",
	})
}

// change makes a call that changes a container of ours, or something in it.
func (d *Driver) change(ctx context.Context, r request) error {
	resp, err := d.sendChange(ctx, r)
	if err != nil {
		return err
	}
	defer closeBody(resp.Body)
	return nil
}

// sendChange is change with the answer, whose body the caller closes.
func (d *Driver) sendChange(ctx context.Context, r request) (*http.Response, error) {
	r.service, r.changes = cloud.Object, true
	if !cloud.OurContainer(r.container, d.installation) {
		return nil, r.fail(cloud.Conflict, errNotOurs)
	}
	return d.send(ctx, r)
}

// Objects lists objects.
func (d *Driver) Objects(ctx context.Context, container, prefix string) ([]cloud.StoredObject, error) {
	var found []cloud.StoredObject
	query := url.Values{"format": {"json"}, "prefix": {prefix}, "marker": {""}}
	r := request{
		service: cloud.Object, method: http.MethodGet, path: containerPath, container: container, what: "list objects", query: query,
	}
	err := d.pages(ctx, r, func(body io.Reader) (string, error) {
		var page []struct {
			Name     string `json:"name"`
			Bytes    int64  `json:"bytes"`
			Hash     string `json:"hash"`
			Modified string `json:"last_modified"`
		}
		if err := json.NewDecoder(io.LimitReader(body, maxAnswer)).Decode(&page); err != nil || len(page) == 0 {
			return "", err
		}
		for _, o := range page {
			// It is UTC, and does not say so. What cannot be read is as old as can be.
			at, _ := time.Parse("2006-01-02T15:04:05", o.Modified)
			found = append(found, cloud.StoredObject{Name: o.Name, Bytes: o.Bytes, MD5: o.Hash, Modified: at})
		}
		// There is no link: the next page is what comes after the last name.
		following := maps.Clone(query)
		following.Set("marker", page[len(page)-1].Name)
		return "?" + following.Encode(), nil
	})
	return found, err
}

// expiry has Swift delete what it is sent with after a while.
func expiry() map[string]string {
	return map[string]string{"X-Delete-After": strconv.Itoa(int(cloud.ObjectLife.Seconds()))}
}

// SendObject sends the data in one request with its length, and never again.
func (d *Driver) SendObject(ctx context.Context, container, name string, data io.Reader, size int64) (string, error) {
	resp, err := d.sendChange(ctx, request{
		method: http.MethodPut, path: objectPath, container: container, object: name,
		data: data, size: size, header: expiry(), what: "send object",
	})
	if err != nil {
		return "", err
	}
	defer closeBody(resp.Body)
	return etag(resp), nil
}

func etag(resp *http.Response) string { return strings.Trim(resp.Header.Get("Etag"), `"`) }

// JoinObjects makes a static large object, for which Swift looks at each
// segment; where it has none a dynamic one, which is whatever is listed in the
// segments' folder. Either way its size is looked at: a Swift that does not know
// what it was sent keeps that as it is.
func (d *Driver) JoinObjects(ctx context.Context, container, name string, segments []cloud.StoredObject) error {
	s, err := d.swift(ctx)
	if err != nil {
		return named("join objects", err)
	}
	r := request{
		method: http.MethodPut, path: objectPath, container: container, object: name, header: expiry(), what: "join objects",
	}
	if s.SLO != nil {
		err = r.static(segments)
	} else {
		err = r.dynamic(segments)
	}
	if err != nil {
		return r.fail(cloud.Invalid, err)
	}
	if err := d.change(ctx, r); err != nil {
		return err
	}
	return d.joined(ctx, container, name, segments)
}

// static makes the request one for a static large object.
func (r *request) static(segments []cloud.StoredObject) error {
	type segment struct {
		Path  string `json:"path"`
		ETag  string `json:"etag"`
		Bytes int64  `json:"size_bytes"`
	}
	var all []segment
	for _, s := range segments {
		all = append(all, segment{"/" + r.container + "/" + s.Name, s.MD5, s.Bytes})
	}
	text, err := json.Marshal(all)
	r.query = url.Values{"multipart-manifest": {"put"}}
	r.data, r.size = bytes.NewReader(text), int64(len(text))
	return err
}

// dynamic makes the request one for a dynamic large object.
func (r *request) dynamic(segments []cloud.StoredObject) error {
	if len(segments) == 0 {
		return errors.New("no segments")
	}
	folder, _ := path.Split(segments[0].Name)
	r.header["X-Object-Manifest"] = url.PathEscape(r.container) + "/" + escapedObject(folder)
	r.data = http.NoBody
	return nil
}

// joined looks whether a joined object has the size of its segments. The list
// of a dynamic one may be late.
func (d *Driver) joined(ctx context.Context, container, name string, segments []cloud.StoredObject) error {
	r := request{
		service: cloud.Object, method: http.MethodHead, path: objectPath, container: container, object: name, what: "look at joined objects",
	}
	resp, err := d.send(ctx, r)
	if err != nil {
		return err
	}
	defer closeBody(resp.Body)
	var want int64
	for _, s := range segments {
		want += s.Bytes
	}
	if resp.ContentLength != want {
		return r.fail(cloud.Transient, fmt.Errorf("it has %d bytes, its segments %d", resp.ContentLength, want))
	}
	return nil
}
