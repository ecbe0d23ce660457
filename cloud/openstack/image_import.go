package openstack

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	"poold/cloud"
)

// meansKey is the key in memory of what a cloud's images are made with.
const meansKey = "image means"

// ImageMeans asks for the methods of import and the stores, once.
func (d *Driver) ImageMeans(ctx context.Context) (cloud.ImageMeans, error) {
	return remembered(ctx, &d.memory, meansKey, d.askImageMeans)
}

func (d *Driver) askImageMeans(ctx context.Context) (cloud.ImageMeans, error) {
	var means cloud.ImageMeans
	var imports struct {
		Methods struct {
			Value []string `json:"value"`
		} `json:"import-methods"`
	}
	err := absent(d.call(ctx, request{
		service: cloud.ImageService, method: http.MethodGet, path: "/v2/info/import", what: "get methods of import",
	}, &imports))
	if err != nil {
		return means, err
	}
	var stores struct {
		Stores []struct {
			ID       string `json:"id"`
			ReadOnly string `json:"read-only"`
		} `json:"stores"`
	}
	err = absent(d.call(ctx, request{
		service: cloud.ImageService, method: http.MethodGet, path: "/v2/info/stores", what: "get image stores",
	}, &stores))
	means.Imports = imports.Methods.Value
	for _, s := range stores.Stores {
		if s.ReadOnly != "true" {
			means.Stores = append(means.Stores, s.ID)
		}
	}
	return means, err
}

// absent forgives that a cloud does not know a call: it is older than the call,
// or has nothing to tell.
func absent(err error) error {
	if e, ok := errors.AsType[*statusError](err); ok && e.status == http.StatusNotFound {
		return nil
	}
	return err
}

// StageImage sends the data in one request with its length, and never again.
func (d *Driver) StageImage(ctx context.Context, id string, data io.Reader, size int64) error {
	return d.call(ctx, request{
		service: cloud.ImageService, method: http.MethodPut, path: "/v2/images/{id}/stage", id: id,
		data: data, size: size, what: "stage image", changes: true,
	}, nil)
}

// ImportImage asks for an import. Where the image cannot be in all stores that
// were asked for, it shall be in none.
func (d *Driver) ImportImage(ctx context.Context, id string, spec cloud.ImportSpec) error {
	method := map[string]any{"name": string(spec.Method)}
	if spec.URL != "" {
		method["uri"] = spec.URL
	}
	return d.importImage(ctx, id, "import image", method, spec.Stores)
}

// CopyImage asks for copies. The ones that are made stay, if others fail.
func (d *Driver) CopyImage(ctx context.Context, id string, stores []string) error {
	return d.importImage(ctx, id, "copy image", map[string]any{"name": "copy-image"}, stores)
}

func (d *Driver) importImage(ctx context.Context, id, what string, method map[string]any, stores []string) error {
	in := map[string]any{"method": method}
	if len(stores) > 0 {
		in["stores"], in["all_stores_must_succeed"] = stores, true
	}
	return d.call(ctx, request{
		service: cloud.ImageService, method: http.MethodPost, path: "/v2/images/{id}/import", id: id,
		in: in, what: what, changes: true,
	}, nil)
}

// commas splits a list as Glance writes one.
func commas(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' })
}
