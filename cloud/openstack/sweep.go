package openstack

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync"

	"poold/cloud"
)

// Resources lists floating IPs, images and key pairs with our mark. Ports and
// boot volumes are nova's: they carry no mark of anybody, so that there are
// none with ours, and no call is needed to know.
func (d *Driver) Resources(ctx context.Context, kind cloud.ResourceKind) ([]cloud.Resource, error) {
	switch kind {
	case cloud.FloatingIP:
		return d.floatingIPs(ctx)
	case cloud.StoredImage:
		return d.images(ctx)
	case cloud.TaskImage:
		return d.taskImages(ctx)
	case cloud.KeyPair:
		return d.keyPairs(ctx)
	case cloud.Port, cloud.VolumeDisk, cloud.InstanceKind:
	}
	return nil, nil
}

// keyPairs lists those of our name, which is all that a key pair has for a
// mark.
func (d *Driver) keyPairs(ctx context.Context) ([]cloud.Resource, error) {
	var found []cloud.Resource
	r := request{service: cloud.Compute, method: http.MethodGet, path: "/os-keypairs", what: "list key pairs"}
	err := d.pages(ctx, r, func(body io.Reader) (string, error) {
		var page struct {
			KeyPairs []struct {
				KeyPair struct {
					Name string `json:"name"`
				} `json:"keypair"`
			} `json:"keypairs"`
			Links []link `json:"keypairs_links"`
		}
		if err := json.NewDecoder(io.LimitReader(body, maxAnswer)).Decode(&page); err != nil {
			return "", err
		}
		for _, k := range page.KeyPairs {
			if m := cloud.KeyPairMark(k.KeyPair.Name); m.Installation == d.installation {
				found = append(found, cloud.Resource{Kind: cloud.KeyPair, ID: k.KeyPair.Name, Name: k.KeyPair.Name, Mark: m})
			}
		}
		return nextLink(page.Links), nil
	})
	return found, err
}

func (d *Driver) floatingIPs(ctx context.Context) ([]cloud.Resource, error) {
	if ok, err := d.has(ctx, cloud.Network); !ok || err != nil {
		return nil, err
	}
	var found []cloud.Resource
	seen := map[string]bool{}
	err := d.eachFloatingIP(ctx, func(f *floatingIP) {
		if m := cloud.MarkIn(f.Description); m.Installation == d.installation {
			seen[f.ID] = true
			found = append(found, cloud.Resource{
				Kind: cloud.FloatingIP, ID: f.ID, Name: f.Address, Mark: m,
				InstanceID: f.Port.DeviceID, Created: f.Created,
			})
		}
	})
	d.floats.saw(seen)
	return found, err
}

// floats remembers which floating IPs the last list showed to be ours. Each is
// believed once.
type floats struct {
	mu   sync.Mutex // guards ours
	ours map[string]bool
}

func (f *floats) saw(ours map[string]bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ours = ours
}

func (f *floats) take(id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	ours := f.ours[id]
	delete(f.ours, id)
	return ours
}

// Remove deletes a floating IP, an image or a key pair, after a look whether it
// is ours.
func (d *Driver) Remove(ctx context.Context, kind cloud.ResourceKind, id string) error {
	switch kind {
	case cloud.FloatingIP:
		return d.removeFloatingIP(ctx, id)
	case cloud.StoredImage, cloud.TaskImage:
		return d.DeleteImage(ctx, id)
	case cloud.KeyPair:
		r := request{
			service: cloud.Compute, method: http.MethodDelete, path: "/os-keypairs/{id}", id: id,
			what: "delete key pair", changes: true,
		}
		if cloud.KeyPairMark(id).Installation != d.installation {
			return r.fail(cloud.Conflict, errNotOurs)
		}
		return d.call(ctx, r, nil)
	case cloud.Port, cloud.VolumeDisk, cloud.InstanceKind:
	}
	return &cloud.Error{Kind: cloud.Invalid, Op: "remove " + string(kind), Err: errors.New("poold makes none")}
}

// removeFloatingIP deletes a floating IP. It looks whose it is, unless the list
// that it was found with has just said so.
func (d *Driver) removeFloatingIP(ctx context.Context, id string) error {
	r := request{
		service: cloud.Network, method: http.MethodGet, path: "/v2.0/floatingips/{id}", id: id,
		what: "delete floating ip",
	}
	var answer struct {
		FloatingIP floatingIP `json:"floatingip"`
	}
	if !d.floats.take(id) {
		if err := d.call(ctx, r, &answer); err != nil {
			return err
		}
		if cloud.MarkIn(answer.FloatingIP.Description).Installation != d.installation {
			return r.fail(cloud.Conflict, errNotOurs)
		}
	}
	r.method, r.changes = http.MethodDelete, true
	return d.call(ctx, r, nil)
}
