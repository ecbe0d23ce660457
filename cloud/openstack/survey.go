package openstack

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"poold/cloud"
)

// Has tells whether the region has a service.
func (d *Driver) Has(ctx context.Context, service cloud.Service) (bool, error) {
	return d.has(ctx, service)
}

// Names lists what there is of a kind.
func (d *Driver) Names(ctx context.Context, kind cloud.NamedKind) ([]cloud.Named, error) {
	r := request{method: http.MethodGet, what: "list " + string(kind) + "s"}
	switch kind {
	case cloud.NamedNetwork:
		r.service, r.path, r.query = cloud.Network, "/v2.0/networks", url.Values{"fields": {"id", "name"}}
	case cloud.NamedSecurityGroup:
		r.service, r.path = cloud.Network, "/v2.0/security-groups"
		r.query = url.Values{"fields": {"id", "name", "project_id"}}
	case cloud.NamedKeyPair:
		r.service, r.path = cloud.Compute, "/os-keypairs"
	case cloud.NamedServerGroup:
		r.service, r.path = cloud.Compute, "/os-server-groups"
	case cloud.NamedFormat:
		return d.formats(ctx)
	}
	found, err := d.named(ctx, r)
	if err != nil || kind != cloud.NamedSecurityGroup {
		return plainNames(found), err
	}
	s, err := d.access().keystone.session(ctx, nil)
	if err != nil {
		return nil, err
	}
	return plainNames(ownFirst(found, s.project)), nil
}

// namedEntry is one entry of a list, of whatever service. Key pairs have one
// more layer around them.
type namedEntry struct {
	identified

	Project string     `json:"project_id"`
	KeyPair identified `json:"keypair"`
}

// named lists what has names.
func (d *Driver) named(ctx context.Context, r request) ([]namedEntry, error) {
	var found []namedEntry
	err := d.pages(ctx, r, func(body io.Reader) (string, error) {
		var page map[string]json.RawMessage
		if err := json.NewDecoder(io.LimitReader(body, maxAnswer)).Decode(&page); err != nil {
			return "", err
		}
		var links []link
		for key, value := range page {
			var err error
			if strings.HasSuffix(key, "_links") {
				err = json.Unmarshal(value, &links)
			} else {
				var entries []namedEntry
				err = json.Unmarshal(value, &entries)
				found = append(found, entries...)
			}
			if err != nil {
				return "", err
			}
		}
		return nextLink(links), nil
	})
	return found, err
}

// ownFirst leaves out what others have that is called as something of ours: an
// administrator sees the security groups of all projects, and nova takes the
// project's own.
func ownFirst(all []namedEntry, project string) []namedEntry {
	foreign := func(e namedEntry) bool { return e.Project != "" && e.Project != project }
	return slices.DeleteFunc(slices.Clone(all), func(e namedEntry) bool {
		return foreign(e) && slices.ContainsFunc(all, func(o namedEntry) bool { return o.Name == e.Name && !foreign(o) })
	})
}

func plainNames(found []namedEntry) []cloud.Named {
	names := make([]cloud.Named, 0, len(found))
	for _, e := range found {
		names = append(names, cloud.Named{ID: e.ID, Name: e.Name + e.KeyPair.Name})
	}
	return names
}

// formats are the disk formats that the schema of images allows.
func (d *Driver) formats(ctx context.Context) ([]cloud.Named, error) {
	var answer struct {
		Properties struct {
			Format struct {
				Enum []*string `json:"enum"`
			} `json:"disk_format"`
		} `json:"properties"`
	}
	r := request{service: cloud.ImageService, method: http.MethodGet, path: "/v2/schemas/image", what: "list disk formats"}
	err := d.call(ctx, r, &answer)
	var names []cloud.Named
	for _, format := range answer.Properties.Format.Enum {
		if format != nil { // an image may have none
			names = append(names, cloud.Named{Name: *format})
		}
	}
	if err == nil && len(names) == 0 {
		err = r.fail(cloud.NotFound, errors.New("the schema of images names none"))
	}
	return names, err
}
