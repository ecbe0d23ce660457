package uploader

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"poold/cloud"
)

// allStores is what the configuration says for every store of the cloud.
const allStores = "all"

// way is how an upload gets to where it is to be.
type way struct {
	method cloud.ImageMethod
	// stores are all that the image is to be in; empty leaves it to the cloud.
	stores []string
	// importer is nil for a plain PUT, tasker for all but a task.
	importer cloud.ImageImporter
	tasker   cloud.ImageTasker
}

// choose finds the way for an upload: what the configuration says, as far as
// the cloud can. Without a word on it that is a task where the cloud is known to
// want them, else a PUT, which every cloud has and which needs no second look;
// where the image is to be in certain stores it is an import, which puts it
// there in one go.
func (u *Uploader) choose(ctx context.Context) (way, error) {
	method, stores := cloud.ImageMethod(u.provider.UploadMethod), u.provider.ImageStores
	if u.wantsTasks() {
		return u.byTasks()
	}
	if (method == "" || method == cloud.ImageByPut) && len(stores) == 0 {
		return way{method: cloud.ImageByPut}, nil
	}
	importer, ok := u.driver.(cloud.ImageImporter)
	if !ok {
		return way{}, errors.New("the driver knows no import of images")
	}
	means, err := importer.ImageMeans(ctx)
	if err != nil {
		return way{}, err
	}
	if method == "" {
		method = cloud.ImageByPut
		if slices.Contains(means.Imports, string(cloud.ImageByStage)) {
			method = cloud.ImageByStage
		}
	}
	if slices.Contains(stores, allStores) {
		stores = means.Stores
	}
	return way{method: method, stores: stores, importer: importer}, lacks(means, method, stores)
}

// wantsTasks tells whether images of the provider are made by tasks.
func (u *Uploader) wantsTasks() bool {
	if u.provider.UploadMethod != "" {
		return u.provider.UploadMethod == string(cloud.ImageByTask)
	}
	tasker, ok := u.driver.(cloud.ImageTasker)
	return ok && tasker.WantsTasks()
}

// byTasks is the way by an object store and a task.
func (u *Uploader) byTasks() (way, error) {
	tasker, ok := u.driver.(cloud.ImageTasker)
	switch {
	case !ok:
		return way{}, errors.New("the driver knows no import of objects")
	case len(u.provider.ImageStores) > 0:
		return way{}, errors.New("what a task makes is in no chosen store")
	}
	return way{method: cloud.ImageByTask, tasker: tasker}, nil
}

// lacks says what a cloud does not have.
func lacks(means cloud.ImageMeans, method cloud.ImageMethod, stores []string) error {
	if method != cloud.ImageByPut && !slices.Contains(means.Imports, string(method)) {
		return fmt.Errorf("the cloud has no %s, only: %s", method, list(means.Imports))
	}
	for _, s := range stores {
		if !slices.Contains(means.Stores, s) {
			return fmt.Errorf("the cloud has no image store %s, only: %s", s, list(means.Stores))
		}
	}
	return nil
}

func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// bring gets the data to the cloud, once, in the way of the provider.
func (t *transfer) bring(ctx context.Context) error {
	switch t.way.method {
	case cloud.ImageByStage:
		return t.send(ctx, t.way.importer.StageImage)
	case cloud.ImageByDownload:
		return t.download(ctx)
	case cloud.ImageByPut, cloud.ImageByTask:
	}
	if stores := t.way.stores; len(stores) > 0 {
		// The others get copies.
		return t.send(ctx, func(ctx context.Context, id string, data io.Reader, size int64) error {
			return t.way.importer.SendImageTo(ctx, id, stores[0], data, size)
		})
	}
	return t.send(ctx, t.driver.SendImage)
}

func notImported(image cloud.Image) error {
	return fmt.Errorf("the cloud could not import the image to: %s", list(image.FailedIn))
}

// importStaged asks for the import of data that was staged, by this process or
// by one that is gone.
func (t *transfer) importStaged(ctx context.Context, image cloud.Image) error {
	if t.lost++; t.lost > lostLooks {
		return errors.New("the cloud does not import what was staged")
	}
	size := t.artifact().Bytes
	if t.arrived && image.Bytes != 0 && image.Bytes != size {
		return fmt.Errorf("the cloud has staged %d bytes, the file has %d", image.Bytes, size)
	}
	if !t.arrived && image.Bytes != size {
		if !t.sent {
			// An earlier uploader sent it and is gone.
			return errInterrupted
		}
		return nil
	}
	if t.way.importer == nil {
		return errors.New("the image was staged, and images are no longer imported here")
	}
	err := t.way.importer.ImportImage(ctx, t.record.ExternalID, cloud.ImportSpec{Method: cloud.ImageByStage, Stores: t.way.stores})
	if errors.Is(err, cloud.Conflict) {
		return nil // it was asked for already, or its state has changed: the next look tells
	}
	return err
}

// copied tells whether an active image is in all stores that it is to be in,
// and asks for the copies that are missing.
func (t *transfer) copied(ctx context.Context, image cloud.Image) (bool, error) {
	missing := slices.DeleteFunc(slices.Clone(t.way.stores), func(s string) bool { return slices.Contains(image.Stores, s) })
	switch {
	case len(missing) == 0:
		return true, nil
	case len(image.CopyingTo) > 0:
		return false, nil
	case t.copying && len(image.FailedIn) > 0:
		return false, fmt.Errorf("the cloud could not copy the image to: %s", list(image.FailedIn))
	}
	if t.copying {
		// It is not on its way, nor did it fail: what was asked for is lost.
		if t.lost++; t.lost > lostLooks {
			return false, fmt.Errorf("the cloud does not copy the image to: %s", list(missing))
		}
		return false, nil
	}
	err := t.way.importer.CopyImage(ctx, t.record.ExternalID, missing)
	t.copying = err == nil || errors.Is(err, cloud.Ambiguous) || errors.Is(err, cloud.Conflict)
	if errors.Is(err, cloud.Conflict) {
		return false, nil
	}
	return false, err
}
