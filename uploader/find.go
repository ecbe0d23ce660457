package uploader

import (
	"context"
	"errors"
	"strings"

	"go.uber.org/zap"

	"poold/cloud"
	"poold/pool"
)

// adopted is the method of an upload whose image was there already.
const adopted = "adopted"

// find looks for an image of ours in the cloud that is this build and that no
// record names: records may have been lost. It needs no sending, and goes on
// record as if it had been sent. What is ours and is not the file, bit by bit,
// is left to the sweep.
func (t *transfer) find(ctx context.Context) error {
	sweeper, ok := t.driver.(cloud.Sweeper)
	if !ok {
		return nil
	}
	resources, err := sweeper.Resources(ctx, cloud.StoredImage)
	if err != nil {
		return err
	}
	want, named := t.mark(), t.named(t.store.Snapshot())
	for _, r := range resources {
		m := r.Mark
		if m.Installation != want.Installation || m.Provider != want.Provider || m.Upload != want.Upload || named[r.ID] {
			continue
		}
		image, err := t.driver.Image(ctx, r.ID)
		if errors.Is(err, cloud.NotFound) || err == nil && !t.identical(image) {
			continue
		}
		if err != nil {
			return err
		}
		t.log.Info("image adopted", append(keyOf(t.record).fields(), zap.String("upload", r.ID))...)
		after := t.move(pool.UploadUploading)
		after.ExternalID, after.ExternalName, after.Method = r.ID, r.Name, adopted
		return t.save(ctx, after)
	}
	return nil
}

// identical tells whether an image is the file, by the cloud's own hash.
func (t *transfer) identical(image cloud.Image) bool {
	a := t.artifact()
	want := hashes(a)[image.HashAlgo]
	return image.Status == cloud.ImageActive && image.Bytes == a.Bytes && want != "" && strings.EqualFold(want, image.Hash)
}

// hashes are those of a file, by their names in a cloud.
func hashes(a *pool.Artifact) map[string]string {
	return map[string]string{"md5": a.MD5, "sha256": a.SHA256, "sha512": a.SHA512}
}
