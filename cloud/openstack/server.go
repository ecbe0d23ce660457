package openstack

import (
	"context"
	"encoding/base64"
	"errors"
	"maps"
	"net/http"

	"poold/cloud"
)

// newServer is the body of POST /servers. What is empty is left out, which
// leaves it to nova.
type newServer struct {
	Name        string            `json:"name"`
	FlavorRef   string            `json:"flavorRef"`
	ImageRef    string            `json:"imageRef,omitempty"`
	MinCount    int               `json:"min_count,omitempty"`
	MaxCount    int               `json:"max_count,omitempty"`
	AZ          string            `json:"availability_zone,omitempty"`
	KeyName     string            `json:"key_name,omitempty"`
	UserData    string            `json:"user_data,omitempty"`
	ConfigDrive *bool             `json:"config_drive,omitempty"`
	Metadata    map[string]string `json:"metadata"`
	// Networks are []networkRef or the word "auto".
	Networks       any        `json:"networks,omitempty"`
	SecurityGroups []groupRef `json:"security_groups,omitempty"`
	Disks          []bootDisk `json:"block_device_mapping_v2,omitempty"`
	Tags           []string   `json:"tags,omitempty"`
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

// Create asks nova once for all instances of a batch. Networks and server
// groups are looked up before, once per name.
func (d *Driver) Create(ctx context.Context, spec cloud.BatchSpec) error {
	const what = "create servers"
	if spec.Count < 1 || spec.Mark.Installation != d.installation {
		return &cloud.Error{Kind: cloud.Invalid, Op: what, Err: errors.New("a batch needs a count and our mark")}
	}
	r := request{
		service: cloud.Compute, method: http.MethodPost, path: "/servers", what: what, changes: true,
	}
	if len(spec.Tags) > 0 {
		r.microversion = tagsMicroversion
	}
	body := map[string]any{}
	var err error
	if body["server"], err = d.newServer(ctx, &spec); err != nil {
		return named(what, err)
	}
	if hints, err := d.hints(ctx, &spec); err != nil {
		return named(what, err)
	} else if len(hints) > 0 {
		body["os:scheduler_hints"] = hints
	}
	r.in = body
	// The answer names one server of many: the list names them all.
	err = d.call(ctx, r, nil)
	if kind := cloud.KindOf(err); kind == cloud.Invalid || kind == cloud.Capacity {
		// Something of what the server was to be made of is no longer there.
		d.memory.forget()
		d.doubted.Store(d.looks.Load())
	}
	return err
}

// tagsMicroversion is the first one in which servers are made with tags.
const tagsMicroversion = "2.52"

// newServer puts the body of a server together.
func (d *Driver) newServer(ctx context.Context, spec *cloud.BatchSpec) (*newServer, error) {
	ids, err := d.networkIDs(ctx, spec.Networks)
	if err != nil {
		return nil, err
	}
	s := &newServer{
		Name: spec.Name, FlavorRef: spec.FlavorID, ImageRef: spec.ImageID, AZ: spec.AZ,
		KeyName: spec.KeyName, ConfigDrive: spec.ConfigDrive, Tags: spec.Tags,
		UserData: base64.StdEncoding.EncodeToString([]byte(spec.UserData)),
		Metadata: spec.Mark.In(spec.Properties),
	}
	var networks []networkRef
	for _, id := range ids {
		networks = append(networks, networkRef{id})
	}
	switch {
	case len(networks) > 0:
		s.Networks = networks
	case len(spec.Tags) > 0:
		// From 2.37 on nova does not choose by itself.
		s.Networks = "auto"
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
	return s, nil
}

// hints are what nova's scheduler is told.
func (d *Driver) hints(ctx context.Context, spec *cloud.BatchSpec) (map[string]string, error) {
	hints := map[string]string{}
	maps.Copy(hints, spec.Hints)
	if spec.ServerGroup == "" {
		return hints, nil
	}
	id, err := d.serverGroupID(ctx, spec.ServerGroup)
	hints["group"] = id
	return hints, err
}

// Instance looks at one server.
func (d *Driver) Instance(ctx context.Context, id string) (cloud.Instance, error) {
	var answer struct {
		Server server `json:"server"`
	}
	err := d.call(ctx, request{
		service: cloud.Compute, method: http.MethodGet, path: "/servers/{id}", id: id, what: "get server",
		microversion: volumesMicroversion,
	}, &answer)
	if err != nil {
		return cloud.Instance{}, err
	}
	return answer.Server.instance(), nil
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
