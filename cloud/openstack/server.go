package openstack

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"

	"poold/cloud"
)

// newServer is the body of POST /servers. What is empty is left out, which
// leaves it to nova.
type newServer struct {
	Name           string            `json:"name"`
	FlavorRef      string            `json:"flavorRef"`
	ImageRef       string            `json:"imageRef,omitempty"`
	MinCount       int               `json:"min_count,omitempty"`
	MaxCount       int               `json:"max_count,omitempty"`
	AZ             string            `json:"availability_zone,omitempty"`
	KeyName        string            `json:"key_name,omitempty"`
	UserData       string            `json:"user_data,omitempty"`
	ConfigDrive    *bool             `json:"config_drive,omitempty"`
	Metadata       map[string]string `json:"metadata"`
	Networks       []networkRef      `json:"networks,omitempty"`
	SecurityGroups []groupRef        `json:"security_groups,omitempty"`
	Disks          []bootDisk        `json:"block_device_mapping_v2,omitempty"`
}

type networkRef struct {
	UUID string `json:"uuid"`
}

type groupRef struct {
	Name string `json:"name"`
}

// bootDisk is a volume made from an image, which dies with its server.
type bootDisk struct {
	BootIndex           int    `json:"boot_index"`
	UUID                string `json:"uuid"`
	SourceType          string `json:"source_type"`
	DestinationType     string `json:"destination_type"`
	VolumeSize          int64  `json:"volume_size"`
	DeleteOnTermination bool   `json:"delete_on_termination"`
}

// Create asks nova once for all instances of a batch. Networks are looked up
// before, once per name.
func (d *Driver) Create(ctx context.Context, spec cloud.BatchSpec) error {
	const what = "create servers"
	if spec.Count < 1 || spec.Mark.Installation != d.installation {
		return &cloud.Error{Kind: cloud.Invalid, Op: what, Err: errors.New("a batch needs a count and our mark")}
	}
	ids, err := d.networkIDs(ctx, spec.Networks)
	if err != nil {
		return named(what, err)
	}
	s := newServer{
		Name: spec.Name, FlavorRef: spec.FlavorID, ImageRef: spec.ImageID, AZ: spec.AZ,
		KeyName: spec.KeyName, ConfigDrive: spec.ConfigDrive,
		UserData: base64.StdEncoding.EncodeToString([]byte(spec.UserData)),
		Metadata: spec.Mark.In(spec.Properties),
	}
	for _, id := range ids {
		s.Networks = append(s.Networks, networkRef{id})
	}
	for _, g := range spec.SecurityGroups {
		s.SecurityGroups = append(s.SecurityGroups, groupRef{g})
	}
	if spec.Count > 1 {
		// Without a suffix to the name, which nova gives to more than one
		// only, a batch of one could not be told from a lone server.
		s.MinCount, s.MaxCount = 1, spec.Count
	}
	if spec.BootFromVolume {
		s.ImageRef = ""
		s.Disks = []bootDisk{{
			UUID: spec.ImageID, SourceType: "image", DestinationType: "volume",
			VolumeSize: spec.VolumeGB, DeleteOnTermination: true,
		}}
	}
	// The answer names one server of many: the list names them all.
	return d.call(ctx, request{
		service: cloud.Compute, method: http.MethodPost, path: "/servers",
		in: map[string]any{"server": s}, what: what, changes: true,
	}, nil)
}

// Instance looks at one server.
func (d *Driver) Instance(ctx context.Context, id string) (cloud.Instance, error) {
	var answer struct {
		Server server `json:"server"`
	}
	err := d.call(ctx, request{
		service: cloud.Compute, method: http.MethodGet, path: "/servers/{id}", id: id, what: "get server",
	}, &answer)
	if err != nil {
		return cloud.Instance{}, err
	}
	return d.instance(&answer.Server), nil
}

// Delete asks nova to delete a server.
func (d *Driver) Delete(ctx context.Context, id string) error {
	return d.call(ctx, request{
		service: cloud.Compute, method: http.MethodDelete, path: "/servers/{id}", id: id,
		what: "delete server", changes: true,
	}, nil)
}

// Console returns the last lines of a server's console.
func (d *Driver) Console(ctx context.Context, id string, lines int) (string, error) {
	var answer struct {
		Output string `json:"output"`
	}
	err := d.call(ctx, request{
		service: cloud.Compute, method: http.MethodPost, path: "/servers/{id}/action", id: id,
		in:   map[string]any{"os-getConsoleOutput": map[string]any{"length": lines}},
		what: "get console",
	}, &answer)
	return answer.Output, err
}
