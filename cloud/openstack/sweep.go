package openstack

import (
	"context"
	"errors"
	"net/http"

	"poold/cloud"
)

// Resources lists floating IPs and images with our mark. Nothing else that the
// driver causes can outlive a server: nova makes and deletes the ports, boot
// volumes are deleted with their server, and no keypairs are made. So of those
// there are none with our mark, and no call is needed to know.
func (d *Driver) Resources(ctx context.Context, kind cloud.ResourceKind) ([]cloud.Resource, error) {
	switch kind {
	case cloud.FloatingIP:
		return d.floatingIPs(ctx)
	case cloud.StoredImage:
		return d.images(ctx)
	case cloud.Port, cloud.VolumeDisk, cloud.KeyPair, cloud.InstanceKind:
	}
	return nil, nil
}

func (d *Driver) floatingIPs(ctx context.Context) ([]cloud.Resource, error) {
	if ok, err := d.has(ctx, cloud.Network); !ok || err != nil {
		return nil, err
	}
	var found []cloud.Resource
	err := d.eachFloatingIP(ctx, func(f *floatingIP) {
		if m := cloud.MarkIn(f.Description); m.Installation == d.installation {
			found = append(found, cloud.Resource{
				Kind: cloud.FloatingIP, ID: f.ID, Name: f.Address, Mark: m,
				InstanceID: f.Port.DeviceID, Created: f.Created,
			})
		}
	})
	return found, err
}

// Remove deletes a floating IP or an image, after a look whether it is ours.
func (d *Driver) Remove(ctx context.Context, kind cloud.ResourceKind, id string) error {
	switch kind {
	case cloud.FloatingIP:
		return d.removeFloatingIP(ctx, id)
	case cloud.StoredImage:
		return d.DeleteImage(ctx, id)
	case cloud.Port, cloud.VolumeDisk, cloud.KeyPair, cloud.InstanceKind:
	}
	return &cloud.Error{Kind: cloud.Invalid, Op: "remove " + string(kind), Err: errors.New("poold makes none")}
}

func (d *Driver) removeFloatingIP(ctx context.Context, id string) error {
	r := request{
		service: cloud.Network, method: http.MethodGet, path: "/v2.0/floatingips/{id}", id: id,
		what: "delete floating ip",
	}
	var answer struct {
		FloatingIP floatingIP `json:"floatingip"`
	}
	if err := d.call(ctx, r, &answer); err != nil {
		return err
	}
	if cloud.MarkIn(answer.FloatingIP.Description).Installation != d.installation {
		return r.fail(cloud.Conflict, errNotOurs)
	}
	r.method, r.changes = http.MethodDelete, true
	return d.call(ctx, r, nil)
}
