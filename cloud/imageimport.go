package cloud

import (
	"context"
	"io"
)

// ImageMethod is a way in which data comes into an image.
type ImageMethod string

// The methods. Their names are those of the configuration.
const (
	// ImageByPut sends the data to the image.
	ImageByPut ImageMethod = "put"
	// ImageByStage sends the data to where the cloud imports it from.
	ImageByStage ImageMethod = "glance-direct"
	// ImageByDownload lets the cloud fetch the data.
	ImageByDownload ImageMethod = "web-download"
)

// ImageMeans is how images can be made in a cloud.
type ImageMeans struct {
	// Imports are the methods of import that the cloud has, by its own names.
	Imports []string
	// Stores are where it keeps images; empty if it has but one place.
	Stores []string
}

// ImportSpec says how an image is to be imported.
type ImportSpec struct {
	// Method is ImageByStage or ImageByDownload.
	Method ImageMethod
	// URL is where the cloud fetches the data, if it does.
	URL string
	// Stores are where the image is to be; empty leaves it to the cloud.
	Stores []string
}

// ImageImporter is the ability to let a cloud import images. The rules of
// [Driver] hold.
type ImageImporter interface {
	// ImageMeans asks what the cloud has. It makes no call that it has made
	// before, unless that failed.
	ImageMeans(ctx context.Context) (ImageMeans, error)
	// SendImageTo is SendImage into one of the cloud's stores.
	SendImageTo(ctx context.Context, id, store string, data io.Reader, size int64) error
	// StageImage is SendImage to where [ImageImporter.ImportImage] takes the
	// data from.
	StageImage(ctx context.Context, id string, data io.Reader, size int64) error
	// ImportImage asks the cloud to make an image active: one whose data was
	// staged, or one without data that it fetches. Nil says that it will try.
	ImportImage(ctx context.Context, id string, spec ImportSpec) error
	// CopyImage asks the cloud to copy an active image to further stores. Many
	// clouds refuse it to their users.
	CopyImage(ctx context.Context, id string, stores []string) error
}
