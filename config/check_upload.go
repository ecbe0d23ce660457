package config

import (
	"net/url"
	"slices"

	"poold/pool"
)

// How images get to a provider: the words of image-upload-method.
const (
	uploadAuto     = "auto"
	uploadPut      = "put"
	uploadStage    = "glance-direct"
	uploadDownload = "web-download"
)

func uploadMethods() []string { return []string{uploadAuto, uploadPut, uploadStage, uploadDownload} }

// checkImageURL checks where clouds fetch images.
func (c *checker) checkImageURL() {
	address := c.doc.web.imageURL
	if !address.set || address.v == "" {
		return
	}
	u, err := url.Parse(address.v)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.User != nil {
		c.errorf(address.at, "must be an address such as http://builder.example.org:8005")
	}
}

// checkUpload checks that a provider that is to fetch images can.
func (c *checker) checkUpload(p *provider) {
	builds := slices.ContainsFunc(c.doc.roles.v, func(r value[string]) bool { return r.v == string(pool.RoleBuilder) })
	if p.uploadMethod.v == uploadDownload && builds && len(p.images) > 0 && c.doc.web.imageURL.v == "" {
		c.errorf(p.uploadMethod.at, "web-download needs webapp.image-url, where clouds reach this peer")
	}
}

// method is how images get to the provider; empty leaves it to the uploader.
func (p *provider) method() string {
	if p.uploadMethod.v == uploadAuto {
		return ""
	}
	return p.uploadMethod.v
}
