package survey

import (
	"context"
	"slices"

	"poold/cloud"
	"poold/config"
)

// checkUploads checks how images are brought there, if any are.
func (s *survey) checkUploads(ctx context.Context) {
	if len(s.provider.Images) == 0 {
		return
	}
	s.checkFormat(ctx)
	stores := slices.DeleteFunc(slices.Clone(s.provider.ImageStores), func(name string) bool { return name == allStores })
	method := cloud.ImageMethod(s.provider.UploadMethod)
	if method == cloud.ImageByTask {
		s.checkObjectStore(ctx)
	}
	imports := method == cloud.ImageByStage || method == cloud.ImageByDownload
	if !imports && len(stores) == 0 {
		return
	}
	means, err := s.driver.ImageMeans(ctx)
	if err != nil {
		s.add(config.Finding{Problem: "the cloud does not tell how images come into it: " + err.Error()}, s.at("diskimages"))
		return
	}
	if imports && !slices.Contains(means.Imports, string(method)) {
		s.add(config.Finding{Problem: "the cloud does not import images by {name}", Name: string(method), Known: means.Imports},
			s.at("image-upload-method"))
	}
	for _, name := range stores {
		if !slices.Contains(means.Stores, name) {
			s.add(config.Finding{Problem: "the cloud has no store for images {name}", Name: name, Known: means.Stores},
				s.at("image-stores", name))
		}
	}
}

// allStores stands for every store.
const allStores = "all"

// checkFormat checks that the cloud takes images of the format that clouds.yaml
// says it wants. A cloud that does not tell takes what it takes.
func (s *survey) checkFormat(ctx context.Context) {
	format := s.driver.ImageFormat()
	there, err := s.driver.Names(ctx, cloud.NamedFormat)
	if err != nil {
		if cloud.KindOf(err) != cloud.NotFound {
			s.add(config.Finding{Problem: "the cloud does not tell its formats of images: " + err.Error()}, s.at("diskimages"))
		}
		return
	}
	var known []string
	for _, n := range there {
		known = append(known, n.Name)
	}
	if !slices.Contains(known, format) {
		s.add(config.Finding{Problem: "the cloud takes no images of the format {name}, which is image_format in its clouds.yaml", Name: format, Known: known},
			s.at("diskimages"))
	}
}

// checkObjectStore looks for what tasks make images of.
func (s *survey) checkObjectStore(ctx context.Context) {
	if ok, err := s.driver.Has(ctx, cloud.Object); !ok && err == nil {
		s.add(config.Finding{Problem: "the catalog of the cloud has no object store, of which tasks make images"}, s.at("image-upload-method"))
	}
}
