package sim

import (
	"context"
	"errors"
	"slices"
	"time"

	"poold/cloud"
	"poold/pool"
)

// NeedsFloatingIP tells whether the network of servers is not external.
func (d *Driver) NeedsFloatingIP(ctx context.Context, i cloud.Instance) (bool, error) {
	known, err := d.knownNetworks(ctx, "find external networks")
	if err != nil {
		return false, err
	}
	exposed := slices.ContainsFunc(i.Addresses, func(a pool.Address) bool { return a.Floating })
	return !exposed && len(i.Addresses) > 0 && !known[0].External, nil
}

// Expose gives a server a floating IP, or takes the one that it was given.
func (d *Driver) Expose(ctx context.Context, spec cloud.ExposeSpec) (pool.Address, error) {
	const what = "expose server"
	known, err := d.knownNetworks(ctx, what)
	if err != nil {
		return pool.Address{}, err
	}
	var ip FloatingIP
	if spec.Again {
		if ip, err = d.exposed(ctx, what, spec.Mark); err != nil {
			return pool.Address{}, err
		}
		if ip.ServerID == spec.InstanceID {
			return pooled(known[0].Name, ip.IP, true), nil
		}
	}
	var ports []Port
	err = d.do(ctx, reading(what, cloud.Network, "GET /ports", spec.InstanceID), func(now time.Time) error {
		ports = d.cloud.Ports(now, spec.InstanceID)
		return nil
	})
	if err != nil {
		return pool.Address{}, err
	}
	if len(ports) == 0 {
		return pool.Address{}, &cloud.Error{Kind: cloud.Conflict, Op: what, Err: errors.New("the server has no port")}
	}
	if ip.ID != "" {
		err = d.do(ctx, changing(what, cloud.Network, "PUT /floatingips/{id}", ip.ID), func(now time.Time) error {
			ip, err = d.cloud.UpdateFloatingIP(now, ip.ID, FloatingIPChange{PortID: &ports[0].ID})
			return err
		})
	} else {
		err = d.do(ctx, changing(what, cloud.Network, "POST /floatingips", spec.InstanceID), func(now time.Time) error {
			external := known[len(known)-1].ID
			ip, err = d.cloud.CreateFloatingIP(now, external, ports[0].ID, spec.Mark.Line())
			return err
		})
	}
	if err != nil {
		return pool.Address{}, err
	}
	return pooled(known[0].Name, ip.IP, true), nil
}

// exposed finds the floating IP of a node; the zero one if there is none.
func (d *Driver) exposed(ctx context.Context, what string, m cloud.Mark) (FloatingIP, error) {
	all, err := d.floatingIPs(ctx, what)
	at := slices.IndexFunc(all, func(f FloatingIP) bool {
		have := cloud.MarkIn(f.Description)
		return have.Installation == m.Installation && have.Node == m.Node
	})
	if err != nil || at < 0 {
		return FloatingIP{}, err
	}
	return all[at], nil
}

func (d *Driver) floatingIPs(ctx context.Context, what string) ([]FloatingIP, error) {
	var all []FloatingIP
	err := d.do(ctx, reading(what, cloud.Network, "GET /floatingips"), func(now time.Time) error {
		all = d.cloud.FloatingIPs(now)
		return nil
	})
	return all, err
}

// Resources lists the floating IPs, images and key pairs that are ours. Of the other
// kinds nothing is ever ours but with a server.
func (d *Driver) Resources(ctx context.Context, kind cloud.ResourceKind) ([]cloud.Resource, error) {
	var found []cloud.Resource
	switch kind {
	case cloud.FloatingIP:
		all, err := d.floatingIPs(ctx, "list floating IPs")
		if err != nil {
			return nil, err
		}
		for _, f := range all {
			if m := cloud.MarkIn(f.Description); m.Installation == d.installation {
				found = append(found, cloud.Resource{
					Kind: kind, ID: f.ID, Name: f.IP, Mark: m, InstanceID: f.ServerID, Created: f.Created,
				})
			}
		}
	case cloud.StoredImage:
		all, err := d.images(ctx, "list images")
		if err != nil {
			return nil, err
		}
		for _, i := range all {
			if m := cloud.MarkOf(i.Properties); m.Installation == d.installation {
				found = append(found, cloud.Resource{Kind: kind, ID: i.ID, Name: i.Name, Mark: m, Created: i.Created})
			}
		}
	case cloud.KeyPair:
		return d.ourKeyPairs(ctx)
	case cloud.Port, cloud.VolumeDisk, cloud.InstanceKind, cloud.TaskImage:
	}
	return found, nil
}

// ourKeyPairs lists the key pairs of our name.
func (d *Driver) ourKeyPairs(ctx context.Context) ([]cloud.Resource, error) {
	var found []cloud.Resource
	err := d.do(ctx, reading("list key pairs", cloud.Compute, "GET /os-keypairs"), func(time.Time) error {
		for _, k := range d.cloud.KeyPairs() {
			if m := cloud.KeyPairMark(k.Name); m.Installation == d.installation {
				found = append(found, cloud.Resource{Kind: cloud.KeyPair, ID: k.Name, Name: k.Name, Mark: m})
			}
		}
		return nil
	})
	return found, err
}

// Remove deletes a floating IP, an image or a key pair that is ours.
func (d *Driver) Remove(ctx context.Context, kind cloud.ResourceKind, id string) error {
	const what = "remove"
	switch kind {
	case cloud.FloatingIP:
		var ip FloatingIP
		err := d.do(ctx, reading(what, cloud.Network, "GET /floatingips/{id}", id), func(now time.Time) error {
			var err error
			ip, err = d.cloud.FloatingIP(now, id)
			return err
		})
		if err != nil {
			return err
		}
		if cloud.MarkIn(ip.Description).Installation != d.installation {
			return notOurs(what)
		}
		return d.do(ctx, changing(what, cloud.Network, "DELETE /floatingips/{id}", id), func(now time.Time) error {
			return d.cloud.DeleteFloatingIP(now, id)
		})
	case cloud.StoredImage:
		return d.DeleteImage(ctx, id)
	case cloud.KeyPair:
		if cloud.KeyPairMark(id).Installation != d.installation {
			return notOurs(what)
		}
		return d.do(ctx, changing(what, cloud.Compute, "DELETE /os-keypairs/{id}", id), func(time.Time) error {
			return d.cloud.DeleteKeyPair(id)
		})
	case cloud.Port, cloud.VolumeDisk, cloud.InstanceKind, cloud.TaskImage:
	}
	return &cloud.Error{Kind: cloud.Invalid, Op: what, Err: errors.New("nothing of this kind is ever ours")}
}

func notOurs(what string) error {
	return &cloud.Error{Kind: cloud.Conflict, Op: what, Err: errors.New("it does not carry our mark")}
}
