package sim

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"poold/cloud"
)

// ImageFormat is the disk format that the cloud wants.
func (d *Driver) ImageFormat() string { return d.cloud.Config().ImageFormat }

// CreateImage makes an image without data.
func (d *Driver) CreateImage(ctx context.Context, spec cloud.ImageSpec) (string, error) {
	const what = "create image"
	var made Image
	err := d.do(ctx, changing(what, cloud.ImageService, "POST /images", spec.ID, spec.Name), func(now time.Time) error {
		var err error
		made, err = d.cloud.CreateImage(now, ImageSpec{
			ID: spec.ID, Name: spec.Name, Format: spec.Format, Container: "bare", Properties: spec.Mark.In(spec.Properties),
		})
		return err
	})
	if !errors.Is(err, cloud.Conflict) {
		return made.ID, err
	}
	there, looked := d.image(ctx, what, spec.ID)
	switch {
	case errors.Is(looked, cloud.NotFound):
		return "", err // the id was used before and is lost
	case looked != nil:
		return "", looked
	case cloud.MarkOf(there.Properties) != spec.Mark:
		return "", err
	}
	return there.ID, nil
}

// SendImage sends the data of an image.
func (d *Driver) SendImage(ctx context.Context, id string, data io.Reader, size int64) error {
	var broken error
	err := d.do(ctx, changing("send image", cloud.ImageService, "PUT /images/{id}/file", id), func(now time.Time) error {
		upload, err := d.cloud.BeginUpload(now, id)
		if err != nil {
			return err
		}
		if _, broken = io.CopyN(upload, data, size); broken != nil {
			d.cloud.AbortUpload(d.now(), upload)
			return &CallError{}
		}
		return d.cloud.FinishUpload(d.now(), upload)
	})
	if broken != nil {
		return &cloud.Error{Kind: cloud.Ambiguous, Op: "send image", Err: broken}
	}
	return err
}

// Image looks at one image.
func (d *Driver) Image(ctx context.Context, id string) (cloud.Image, error) {
	i, err := d.image(ctx, "look at image", id)
	if err != nil {
		return cloud.Image{}, err
	}
	seen := cloud.Image{
		ID: i.ID, Name: i.Name, Status: cloud.ImageBroken, Bytes: i.Bytes, Mark: cloud.MarkOf(i.Properties), Created: i.Created,
	}
	switch i.Status {
	case ImageQueued:
		seen.Status = cloud.ImageQueued
	case ImageSaving:
		seen.Status = cloud.ImageSaving
	case ImageActive:
		seen.Status = cloud.ImageActive
		if i.SHA512 != "" {
			seen.HashAlgo, seen.Hash = "sha512", i.SHA512
		}
	}
	return seen, nil
}

// DeleteImage deletes an image that is ours.
func (d *Driver) DeleteImage(ctx context.Context, id string) error {
	const what = "delete image"
	i, err := d.image(ctx, what, id)
	if err != nil {
		return err
	}
	if cloud.MarkOf(i.Properties).Installation != d.installation {
		return notOurs(what)
	}
	return d.do(ctx, changing(what, cloud.ImageService, "DELETE /images/{id}", id, i.Name), func(now time.Time) error {
		return d.cloud.DeleteImage(now, id)
	})
}

// FindImage returns the id of an active image, the newest of its name.
func (d *Driver) FindImage(ctx context.Context, nameOrID string) (string, error) {
	all, err := d.images(ctx, "find image")
	if err != nil {
		return "", err
	}
	at := slices.IndexFunc(all, func(i Image) bool {
		return i.Status == ImageActive && (i.Name == nameOrID || i.ID == nameOrID)
	})
	if at < 0 {
		return "", &cloud.Error{Kind: cloud.NotFound, Op: "find image", Err: errors.New("there is no active image " + nameOrID)}
	}
	return all[at].ID, nil
}

func (d *Driver) image(ctx context.Context, what, id string) (Image, error) {
	var seen Image
	err := d.do(ctx, reading(what, cloud.ImageService, "GET /images/{id}", id), func(now time.Time) error {
		var err error
		seen, err = d.cloud.Image(now, id)
		return err
	})
	return seen, err
}

func (d *Driver) images(ctx context.Context, what string) ([]Image, error) {
	var all []Image
	err := d.do(ctx, reading(what, cloud.ImageService, "GET /images"), func(now time.Time) error {
		all = d.cloud.Images(now)
		return nil
	})
	return all, err
}
