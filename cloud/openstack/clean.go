package openstack

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"poold/cloud"
)

// ForceDelete asks nova to delete a server whatever it is in the middle of.
// Owners may do that unless the cloud's policy says otherwise.
func (d *Driver) ForceDelete(ctx context.Context, id string) error {
	return d.call(ctx, request{
		service: cloud.Compute, method: http.MethodPost, path: "/servers/{id}/action", id: id,
		in: map[string]any{"forceDelete": nil}, what: "force the delete of a server", changes: true,
	}, nil)
}

// instancePort is what says whose a port is.
type instancePort struct {
	ID     string `json:"id"`
	Device string `json:"device_id"`
	Owner  string `json:"device_owner"`
}

// of tells whether nova made the port for a server: it writes the server's id
// first and "compute:ZONE" a moment later. A port that somebody else made loses
// both when its server goes.
func (p *instancePort) of(serverID string) bool {
	return p.Device == serverID && (p.Owner == "" || strings.HasPrefix(p.Owner, "compute:"))
}

// Ports lists the ports that nova made for a server.
func (d *Driver) Ports(ctx context.Context, instanceID string) ([]string, error) {
	const what = "list ports"
	if !validID(instanceID) {
		return nil, &cloud.Error{Kind: cloud.Invalid, Op: what, Err: fmt.Errorf("%q is not an id", instanceID)}
	}
	if ok, err := d.has(ctx, cloud.Network); !ok || err != nil {
		return nil, err
	}
	var answer struct {
		Ports []instancePort `json:"ports"`
	}
	err := d.call(ctx, request{
		service: cloud.Network, method: http.MethodGet, path: "/v2.0/ports", what: what,
		query: url.Values{"device_id": {instanceID}, "fields": {"id", "device_id", "device_owner"}},
	}, &answer)
	var ids []string
	for i := range answer.Ports {
		// A cloud that does not know the filter lists everybody's ports.
		if answer.Ports[i].of(instanceID) {
			ids = append(ids, answer.Ports[i].ID)
		}
	}
	return ids, err
}

// RemovePort deletes a port of a server, after a look whose it is.
func (d *Driver) RemovePort(ctx context.Context, instanceID, id string) error {
	r := request{service: cloud.Network, method: http.MethodGet, path: "/v2.0/ports/{id}", id: id, what: "delete port"}
	var answer struct {
		Port instancePort `json:"port"`
	}
	if err := d.call(ctx, r, &answer); err != nil {
		return err
	}
	if instanceID == "" || !answer.Port.of(instanceID) {
		return r.fail(cloud.Conflict, errNotOurs)
	}
	r.method, r.changes = http.MethodDelete, true
	return d.call(ctx, r, nil)
}

// RemoveVolume deletes a volume, after a look whether it is free.
func (d *Driver) RemoveVolume(ctx context.Context, id string) error {
	r := request{service: cloud.Volume, method: http.MethodGet, path: "/volumes/{id}", id: id, what: "delete volume"}
	var answer struct {
		Volume struct {
			Status      string     `json:"status"`
			Attachments []struct{} `json:"attachments"`
		} `json:"volume"`
	}
	if err := d.call(ctx, r, &answer); err != nil {
		return err
	}
	switch {
	case answer.Volume.Status == "deleting":
		return nil
	case len(answer.Volume.Attachments) > 0:
		return r.fail(cloud.Conflict, errors.New("it is attached to a server"))
	}
	r.method, r.changes = http.MethodDelete, true
	return d.call(ctx, r, nil)
}
