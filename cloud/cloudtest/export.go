package cloudtest

import (
	"crypto/sha512"
	"encoding/hex"
	"io"
	"slices"

	"poold/cloud"
)

// exporting is a driver that takes out images and can find them again.
type exporting interface {
	imaging
	cloud.Exporter
}

func hasExport(s *subject) bool {
	_, ok := s.Driver.(exporting)
	return ok
}

func hasDisks(s *subject) bool { return s.Disks && hasExport(s) }

// snapshot is what is asked for of a server.
func (s *subject) snapshot(server string) cloud.SnapshotSpec {
	return cloud.SnapshotSpec{
		Server: server, Name: cloud.ExportName + "conformance-0002",
		Mark: cloud.Mark{Installation: s.Installation, Provider: "suite", Upload: "conformance/0002", Revision: 45},
	}
}

func (s *subject) exporting() exporting {
	s.t.Helper()
	d, ok := s.Driver.(exporting)
	if !ok {
		s.t.Fatal("no export")
	}
	return d
}

func exportServer(s *subject) {
	d := s.exporting()
	server := s.create(s.spec(1))[0]
	spec := s.snapshot(server.Name)
	id, err := d.Snapshot(s.t.Context(), spec)
	if err != nil {
		s.t.Fatalf("snapshot: %v", err)
	}
	seen := s.activeImage(id)
	source, err := d.Source(s.t.Context(), id)
	if err != nil || source.Format == "" || source.Bytes != seen.Bytes || source.Mark != spec.Mark || source.Name != spec.Name {
		s.t.Fatalf("source: %+v, %v, and as image %+v", source, err, seen)
	}
	s.wholeOf(source)
	listed, err := d.Resources(s.t.Context(), cloud.StoredImage)
	if err != nil || !slices.ContainsFunc(listed, func(r cloud.Resource) bool { return r.ID == id && r.Mark == spec.Mark }) {
		s.t.Errorf("resources: got %+v, %v", listed, err)
	}
	if err := d.DeleteImage(s.t.Context(), id); err != nil {
		s.t.Errorf("delete: %v", err)
	}
}

// wholeOf reads an image in two parts.
func (s *subject) wholeOf(source cloud.Source) {
	s.t.Helper()
	middle := source.Bytes / 3
	got := slices.Concat(s.part(source.ID, 0, middle), s.part(source.ID, middle, source.Bytes))
	sum := sha512.Sum512(got)
	if int64(len(got)) != source.Bytes || source.HashAlgo == "sha512" && hex.EncodeToString(sum[:]) != source.Hash {
		s.t.Errorf("%d bytes of %d came, or others", len(got), source.Bytes)
	}
}

// part reads a part of an image.
func (s *subject) part(id string, from, to int64) []byte {
	s.t.Helper()
	data, begins, err := s.exporting().ReadImage(s.t.Context(), id, from, to)
	if err != nil {
		s.t.Fatalf("read from %d: %v", from, err)
	}
	defer data.Close() //nolint:errcheck // it was only read
	got, err := io.ReadAll(data)
	if err != nil || begins != from {
		s.t.Fatalf("read from %d: it begins at %d, %v", from, begins, err)
	}
	return got
}

func refusedExports(s *subject) {
	d := s.exporting()
	_, err := d.Snapshot(s.t.Context(), s.snapshot("nobody has this name"))
	s.is("snapshot of nothing", err, cloud.NotFound)
	_, err = d.Snapshot(s.t.Context(), s.snapshot(newUUID()))
	s.is("snapshot of an id that is nobody's", err, cloud.NotFound)
	_, err = d.Source(s.t.Context(), newUUID())
	s.is("source of nothing", err, cloud.NotFound)
	_, _, err = d.ReadImage(s.t.Context(), newUUID(), 0, 10)
	s.is("read nothing", err, cloud.NotFound)
	other := s.snapshot("x")
	other.Mark.Installation = "another"
	_, err = d.Snapshot(s.t.Context(), other)
	s.is("snapshot under another mark", err, cloud.Invalid, cloud.Conflict)
}
