package config

import (
	"net"
	"net/url"
	"slices"
	"strings"

	"poold/pool"
)

// How images get to a provider: the words of image-upload-method.
const (
	uploadAuto     = "auto"
	uploadPut      = "put"
	uploadStage    = "glance-direct"
	uploadDownload = "web-download"
	uploadTask     = "task"
)

func uploadMethods() []string {
	return []string{uploadAuto, uploadPut, uploadStage, uploadDownload, uploadTask}
}

// checkImageURL checks where clouds fetch images.
func (c *checker) checkImageURL() {
	c.checkAddress(c.doc.web.imageURL, "http://builder.example.org:8005")
}

// checkAddress checks the address of a web server. It has no password: addresses
// are shown.
func (c *checker) checkAddress(address value[string], example string) {
	if !address.set || address.v == "" {
		return
	}
	u, err := url.Parse(address.v)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.User != nil {
		c.errorf(address.at, "must be an address such as %s", example)
	}
}

// checkMachine checks that a text is the name or address of a machine, and no more.
func (c *checker) checkMachine(host value[string]) {
	if host.set && net.ParseIP(host.v) == nil && (host.v == "" || strings.ContainsAny(host.v, ":/@ ")) {
		c.errorf(host.at, "must be the name or address of a machine, without a port")
	}
}

// checkUpload checks that images can get to a provider in the way that it says.
func (c *checker) checkUpload(p *provider) {
	if p.uploadMethod.v == uploadTask && len(p.imageStores.v) > 0 {
		c.errorf(p.imageStores.at, "what a task makes is in no chosen store")
	}
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
