package sim_test

import (
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"poold/cloud"
	"poold/cloud/sim"
)

const imageID = "8d0f6a0e-3f7c-4a57-9c2b-0d8b7d6a0001"

func imageSpec() cloud.ImageSpec {
	return cloud.ImageSpec{
		ID: imageID, Name: "noble", Format: "raw", Mark: cloud.Mark{Installation: "us", Upload: "noble/1"},
	}
}

// An image is queued, then active with the hash of what was sent; its id is
// never used again.
func TestImage(t *testing.T) {
	b := newBench(t, sim.Config{})
	ctx := t.Context()
	for range 2 {
		if id, err := b.driver.CreateImage(ctx, imageSpec()); id != imageID || err != nil {
			t.Fatalf("create an image: %q, %v", id, err)
		}
	}
	other := imageSpec()
	other.Mark.Upload = "noble/2"
	_, err := b.driver.CreateImage(ctx, other)
	b.wantKind(err, cloud.Conflict)
	if i, err := b.driver.Image(ctx, imageID); err != nil || i.Status != cloud.ImageQueued {
		t.Errorf("the image is %+v, %v, want queued", i, err)
	}
	if err := b.driver.SendImage(ctx, imageID, strings.NewReader("hello"), 5); err != nil {
		t.Fatal(err)
	}
	sum := sha512.Sum512([]byte("hello"))
	i, err := b.driver.Image(ctx, imageID)
	if err != nil || i.Status != cloud.ImageActive || i.Bytes != 5 || i.HashAlgo != "sha512" || i.Hash != hex.EncodeToString(sum[:]) {
		t.Errorf("the image is %+v, %v, want active, 5 bytes and their hash", i, err)
	}
	b.wantKind(b.driver.SendImage(ctx, imageID, strings.NewReader("hello"), 5), cloud.Conflict)
	if id, err := b.driver.FindImage(ctx, "noble"); id != imageID || err != nil {
		t.Errorf("the image of that name is %q, %v", id, err)
	}
	if err := b.driver.DeleteImage(ctx, imageID); err != nil {
		t.Fatal(err)
	}
	b.wantKind(b.driver.DeleteImage(ctx, imageID), cloud.NotFound)
	_, err = b.driver.CreateImage(ctx, imageSpec())
	b.wantKind(err, cloud.Conflict)
	b.wantKind(b.driver.DeleteImage(ctx, b.image), cloud.Conflict)
}

// Data that ends too early leaves the image queued, to be sent again.
func TestUploadThatStops(t *testing.T) {
	b := newBench(t, sim.Config{})
	if _, err := b.driver.CreateImage(t.Context(), imageSpec()); err != nil {
		t.Fatal(err)
	}
	b.wantKind(b.driver.SendImage(t.Context(), imageID, strings.NewReader("hel"), 5), cloud.Ambiguous)
	if i, err := b.driver.Image(t.Context(), imageID); err != nil || i.Status != cloud.ImageQueued {
		t.Errorf("the image is %+v, %v, want queued", i, err)
	}
}

// The faults of an upload: an image that will never be active, and one that is
// gone.
func TestFaultsOfUploads(t *testing.T) {
	for kind, want := range map[sim.FaultKind]cloud.Kind{
		sim.FaultImageKilled: cloud.Ambiguous, sim.FaultImageDeleted: cloud.NotFound,
	} {
		b := newBench(t, sim.Config{})
		b.AddFault(sim.Fault{Kind: kind, Match: "noble"})
		if _, err := b.driver.CreateImage(t.Context(), imageSpec()); err != nil {
			t.Fatal(err)
		}
		b.wantKind(b.driver.SendImage(t.Context(), imageID, strings.NewReader("hello"), 5), want)
		i, err := b.driver.Image(t.Context(), imageID)
		if killed := i.Status == cloud.ImageBroken; killed == errors.Is(err, cloud.NotFound) || killed != (kind == sim.FaultImageKilled) {
			t.Errorf("after %s the image is %+v, %v", kind, i, err)
		}
	}
}

// A server cannot be made of an image that is not active.
func TestServerOfAQueuedImage(t *testing.T) {
	b := newBench(t, sim.Config{})
	if _, err := b.driver.CreateImage(t.Context(), imageSpec()); err != nil {
		t.Fatal(err)
	}
	_, err := b.CreateServers(time.Time{}, sim.ServerSpec{Name: "p", Flavor: b.Config().Flavors[0].ID, ImageID: imageID})
	if err == nil || !strings.Contains(err.Error(), "is not active") {
		t.Errorf("the create ended in %v, want that the image is not active", err)
	}
}
