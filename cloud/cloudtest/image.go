package cloudtest

import (
	"bytes"
	"crypto/sha512"
	"encoding/hex"
	"slices"

	"github.com/google/go-cmp/cmp"

	"poold/cloud"
)

// imaging is a driver that stores images and can find them again.
type imaging interface {
	cloud.ImageDriver
	cloud.Sweeper
}

func hasImages(s *subject) bool {
	_, ok := s.Driver.(imaging)
	return ok
}

func (s *subject) imaging() imaging {
	s.t.Helper()
	d, ok := s.Driver.(imaging)
	if !ok {
		s.t.Fatal("no images")
	}
	return d
}

// newImage makes an image without data.
func (s *subject) newImage() cloud.ImageSpec {
	s.t.Helper()
	d := s.imaging()
	spec := cloud.ImageSpec{
		ID: newUUID(), Name: "conformance", Format: d.ImageFormat(),
		Properties: map[string]string{"os_type": "linux", "min_disk": "1"},
		Mark:       cloud.Mark{Installation: s.Installation, Provider: "suite", Upload: "conformance/0001", Revision: 44},
	}
	id, err := d.CreateImage(s.t.Context(), spec)
	if err != nil {
		s.t.Fatalf("create image: %v", err)
	}
	spec.ID = id
	return spec
}

func payload() []byte { return bytes.Repeat([]byte("not much of an image"), 5000) }

func imageLife(s *subject) {
	d := s.imaging()
	spec := s.newImage()
	if i, err := d.Image(s.t.Context(), spec.ID); err != nil || i.Status != cloud.ImageQueued {
		s.t.Errorf("new image: got %+v, %v, want it queued", i, err)
	}
	if id, err := d.CreateImage(s.t.Context(), spec); err != nil || id != spec.ID {
		s.t.Errorf("created again: got %q, %v, want %s as if made", id, err, spec.ID)
	}
	data := payload()
	if err := d.SendImage(s.t.Context(), spec.ID, bytes.NewReader(data), int64(len(data))); err != nil {
		s.t.Fatalf("send: %v", err)
	}
	s.verify(s.activeImage(spec.ID), spec, data)
	listed, err := d.Resources(s.t.Context(), cloud.StoredImage)
	if err != nil || !slices.ContainsFunc(listed, func(r cloud.Resource) bool { return r.ID == spec.ID && r.Mark == spec.Mark }) {
		s.t.Errorf("resources: got %+v, %v", listed, err)
	}
	if err := d.DeleteImage(s.t.Context(), spec.ID); err != nil {
		s.t.Fatalf("delete: %v", err)
	}
	s.until("image gone", func() bool {
		_, err := d.Image(s.t.Context(), spec.ID)
		return cloud.KindOf(err) == cloud.NotFound
	})
	s.is("delete again", d.DeleteImage(s.t.Context(), spec.ID), cloud.NotFound)
}

// verify compares an image with what was sent.
func (s *subject) verify(got cloud.Image, spec cloud.ImageSpec, data []byte) {
	s.t.Helper()
	if diff := cmp.Diff(spec.Mark, got.Mark); diff != "" {
		s.t.Errorf("mark (-want +got):\n%s", diff)
	}
	if got.Bytes != int64(len(data)) {
		s.t.Errorf("it has %d bytes, want %d", got.Bytes, len(data))
	}
	sum := sha512.Sum512(data)
	if want := hex.EncodeToString(sum[:]); got.HashAlgo == "sha512" && got.Hash != want {
		s.t.Errorf("hash is %s, want %s", got.Hash, want)
	}
}

// activeImage waits until an image is active.
func (s *subject) activeImage(id string) cloud.Image {
	s.t.Helper()
	var got cloud.Image
	s.until("image active", func() bool {
		i, err := s.imaging().Image(s.t.Context(), id)
		if err != nil {
			s.t.Fatalf("look: %v", err)
		}
		got = i
		return i.Status == cloud.ImageActive
	})
	return got
}

func foreignImage(s *subject) {
	d := s.imaging()
	other, ok := s.Other.(imaging)
	if !ok {
		s.t.Skip("nobody else is there")
	}
	spec := s.newImage()
	s.is("others delete it", other.DeleteImage(s.t.Context(), spec.ID), cloud.Conflict)
	theirs := spec
	theirs.Mark.Installation = s.OtherInstallation
	_, err := other.CreateImage(s.t.Context(), theirs)
	s.is("others create it too", err, cloud.Conflict)
	if listed, err := other.Resources(s.t.Context(), cloud.StoredImage); err != nil || len(listed) != 0 {
		s.t.Errorf("others see %+v, %v", listed, err)
	}
	if _, err := d.Image(s.t.Context(), spec.ID); err != nil {
		s.t.Errorf("it is no longer there: %v", err)
	}
}

func imageData(s *subject) {
	d := s.imaging()
	data := payload()
	size := int64(len(data))
	s.is("send to nothing", d.SendImage(s.t.Context(), newUUID(), bytes.NewReader(data), size), cloud.NotFound)
	spec := s.newImage()
	err := d.SendImage(s.t.Context(), spec.ID, bytes.NewReader(data[:size/2]), size)
	s.is("send half of it", err, cloud.Ambiguous, cloud.Invalid)
	if i, err := d.Image(s.t.Context(), spec.ID); err == nil && i.Status == cloud.ImageActive {
		s.t.Error("half of an image is active")
	}
	whole := s.newImage()
	if err := d.SendImage(s.t.Context(), whole.ID, bytes.NewReader(data), size); err != nil {
		s.t.Fatalf("send: %v", err)
	}
	s.activeImage(whole.ID)
	s.is("send it again", d.SendImage(s.t.Context(), whole.ID, bytes.NewReader(data), size), cloud.Conflict)
}
