package cloud

import (
	"context"
	"io"
)

// SnapshotSpec asks for an image of a server.
type SnapshotSpec struct {
	// Server is its name or id.
	Server string
	// Name and Mark are those of the image to be.
	Name string
	Mark Mark
}

// Source is an image that can be taken out of a cloud, whoever made it.
type Source struct {
	Image

	// Format is its disk format.
	Format string
}

// Exporter is the ability to take images out of a cloud. The rules of [Driver]
// hold.
type Exporter interface {
	// Snapshot asks for an image of a server and returns the image's id; the
	// image is active later, or broken, or gone. Each call makes one. A server
	// that is not there, or has a name that others have too, is NotFound; one
	// whose disk is a volume is Invalid.
	Snapshot(ctx context.Context, spec SnapshotSpec) (id string, err error)
	// Source describes an image, or returns NotFound.
	Source(ctx context.Context, id string) (Source, error)
	// ReadImage reads the data of an active image from one offset up to
	// another. It returns where the data begins: at 0, with all of it, if the
	// cloud cannot do ranges. The caller closes it.
	ReadImage(ctx context.Context, id string, from, to int64) (data io.ReadCloser, begins int64, err error)
}

// ExportName begins the names of the images that [Exporter.Snapshot] makes for
// us. A snapshot inherits the mark of the image that its server was made of,
// so that the mark alone does not tell ours from anybody's.
const ExportName = "poold-export-"
