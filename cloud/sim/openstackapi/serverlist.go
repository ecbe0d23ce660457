package openstackapi

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"poold/cloud/sim"
)

const second = "2006-01-02T15:04:05Z"

// serverBody is a server as Nova shows it.
type serverBody struct {
	ID          string               `json:"id"`
	Name        string               `json:"name"`
	Status      string               `json:"status"`
	TenantID    string               `json:"tenant_id"`
	UserID      string               `json:"user_id"`
	Metadata    map[string]string    `json:"metadata"`
	HostID      string               `json:"hostId"`
	Image       any                  `json:"image"`
	Flavor      any                  `json:"flavor"`
	Created     string               `json:"created"`
	Updated     string               `json:"updated"`
	Addresses   map[string][]address `json:"addresses"`
	AccessIPv4  string               `json:"accessIPv4"`
	AccessIPv6  string               `json:"accessIPv6"`
	Links       []link               `json:"links"`
	DiskConfig  string               `json:"OS-DCF:diskConfig"`
	Progress    *int                 `json:"progress,omitempty"`
	Fault       *faultBody           `json:"fault,omitempty"`
	Zone        string               `json:"OS-EXT-AZ:availability_zone"`
	ConfigDrive string               `json:"config_drive"`
	KeyName     *string              `json:"key_name"`
	Launched    *string              `json:"OS-SRV-USG:launched_at"`
	Terminated  *string              `json:"OS-SRV-USG:terminated_at"`
	Groups      []named              `json:"security_groups,omitempty"`
	Task        *string              `json:"OS-EXT-STS:task_state"`
	VM          string               `json:"OS-EXT-STS:vm_state"`
	Power       int                  `json:"OS-EXT-STS:power_state"`
	Volumes     []any                `json:"os-extended-volumes:volumes_attached"`
	Locked      *bool                `json:"locked,omitempty"`
	Tags        *[]string            `json:"tags,omitempty"`
	// The others are only there from some microversion on, mostly as null.
	Description  json.RawMessage `json:"description,omitempty"`
	LockedReason json.RawMessage `json:"locked_reason,omitempty"`
	Certificates json.RawMessage `json:"trusted_image_certificates,omitempty"`
	ServerGroups json.RawMessage `json:"server_groups,omitempty"`
}

type address struct {
	Version int    `json:"version"`
	Addr    string `json:"addr"`
	Type    string `json:"OS-EXT-IPS:type"`
	MAC     string `json:"OS-EXT-IPS-MAC:mac_addr"`
}

type faultBody struct {
	Code    int    `json:"code"`
	Created string `json:"created"`
	Message string `json:"message"`
}

type flavorRef struct {
	ID    string `json:"id"`
	Links []link `json:"links"`
}

type flavorBody struct {
	VCPUs     int64             `json:"vcpus"`
	RAM       int64             `json:"ram"`
	Disk      int64             `json:"disk"`
	Ephemeral int               `json:"ephemeral"`
	Swap      int               `json:"swap"`
	Name      string            `json:"original_name"`
	Extra     map[string]string `json:"extra_specs"`
}

func (r *request) links(kind, id string) []link {
	path := "/" + kind + "/" + id
	return []link{{Rel: "self", Href: r.base + "/v2.1" + path}, {Rel: "bookmark", Href: r.base + path}}
}

// server makes the body of a server.
func (r *request) server(s *sim.Server) *serverBody {
	b := &serverBody{
		ID: s.ID, Name: s.Name, Status: s.Status, TenantID: r.region.cloud.ProjectID(), UserID: r.region.cloud.UserID(),
		Metadata: s.Metadata, HostID: s.HostID, Image: "", Created: s.Created.Format(second), Updated: s.Updated.Format(second),
		Addresses: addresses(s.Addresses), Links: r.links("servers", s.ID), DiskConfig: "MANUAL", Zone: s.Zone,
		KeyName: optional(s.KeyName), Launched: moment(s.Launched), Terminated: moment(s.Terminated), Task: optional(s.Task),
		Volumes: []any{}, VM: map[string]string{"BUILD": "building", "ACTIVE": "active", "ERROR": "error", "DELETED": "deleted"}[s.Status],
	}
	if b.Metadata == nil {
		b.Metadata = map[string]string{}
	}
	if !s.FromVolume {
		b.Image = flavorRef{ID: s.ImageID, Links: r.links("images", s.ImageID)[1:]}
	}
	if s.ConfigDrive {
		b.ConfigDrive = "True"
	}
	b.dress(s)
	r.modernize(b, s)
	return b
}

// dress adds what only servers in some statuses have.
func (b *serverBody) dress(s *sim.Server) {
	switch s.Status {
	case "BUILD":
		b.Progress = new(int)
	case "ACTIVE":
		b.Progress, b.Power = new(int), 1
		for _, g := range s.Groups {
			b.Groups = append(b.Groups, named{g})
		}
	case "ERROR":
		b.Fault = &faultBody{Code: s.Fault.Code, Created: s.Fault.At.Format(second), Message: s.Fault.Message}
	}
}

// modernize adds what the microversion asks for.
func (r *request) modernize(b *serverBody, s *sim.Server) {
	b.Flavor = flavorRef{ID: s.Flavor.ID, Links: r.links("flavors", s.Flavor.ID)[1:]}
	if r.micro >= microFlavor {
		b.Flavor = flavorBody{
			VCPUs: s.Flavor.Cores, RAM: s.Flavor.RAMMiB, Disk: s.Flavor.DiskGB, Name: s.Flavor.Name, Extra: map[string]string{},
		}
	}
	if r.micro >= microLocked {
		b.Locked = new(bool)
	}
	null := json.RawMessage("null")
	if r.micro >= microDescription {
		b.Description = null
		if s.Description != "" {
			b.Description = json.RawMessage(strconv.Quote(s.Description))
		}
	}
	if r.micro >= microTags {
		tags := append([]string{}, s.Tags...)
		b.Tags = &tags
	}
	if r.micro >= microTrusted {
		b.Certificates = null
	}
	if r.micro >= microLockedReason {
		b.LockedReason = null
	}
}

func addresses(all []sim.Address) map[string][]address {
	m := map[string][]address{}
	for _, a := range all {
		kind := "fixed"
		if a.Floating {
			kind = "floating"
		}
		version := 4
		if strings.Contains(a.IP, ":") {
			version = 6
		}
		m[a.Network] = append(m[a.Network], address{Version: version, Addr: a.IP, Type: kind, MAC: a.MAC})
	}
	return m
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func moment(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	s := t.Format("2006-01-02T15:04:05.000000")
	return &s
}

func listServers(r *request) (answer, error) {
	page, next, err := r.page()
	if err != nil {
		return answer{}, err
	}
	bodies := make([]*serverBody, len(page))
	for i := range page {
		bodies[i] = r.server(&page[i])
	}
	return ok(struct {
		Servers []*serverBody `json:"servers"`
		Links   []link        `json:"servers_links,omitempty"`
	}{bodies, next})
}

func listServerNames(r *request) (answer, error) {
	page, next, err := r.page()
	if err != nil {
		return answer{}, err
	}
	type short struct {
		ID    string `json:"id"`
		Name  string `json:"name"`
		Links []link `json:"links"`
	}
	bodies := make([]short, len(page))
	for i, s := range page {
		bodies[i] = short{s.ID, s.Name, r.links("servers", s.ID)}
	}
	return ok(struct {
		Servers []short `json:"servers"`
		Links   []link  `json:"servers_links,omitempty"`
	}{bodies, next})
}

// page lists what the query asks for, with the link to the next page.
func (r *request) page() ([]sim.Server, []link, error) {
	values := r.URL.Query()
	q := sim.ServerQuery{Name: values.Get("name"), Status: strings.ToUpper(values.Get("status")), Marker: values.Get("marker")}
	if q.Status == "DELETED" {
		return nil, nil, &sim.CallError{Status: http.StatusForbidden, Message: "Only administrators may list deleted instances"}
	}
	if text := values.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return nil, nil, badQuery("limit", text, "does not match '^[0-9]*$'")
		}
		q.Limit = n
	}
	if text := values.Get("changes-since"); text != "" {
		since, err := parseTime(text)
		if err != nil {
			return nil, nil, badQuery("changes-since", text, "is not a 'date-time'")
		}
		q.Since = since
	}
	page, more, err := r.region.cloud.Servers(r.now, q)
	if err != nil || !more {
		return page, nil, err
	}
	values.Set("marker", page[len(page)-1].ID)
	return page, []link{{Rel: "next", Href: r.base + "/v2.1/" + strings.Join(r.path, "/") + "?" + values.Encode()}}, nil
}

// parseTime takes what Nova takes for a time: with or without an offset.
func parseTime(text string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t, err = time.Parse("2006-01-02T15:04:05", text)
	}
	return t, err
}

func badQuery(name, value, why string) error {
	return &sim.CallError{
		Status:  http.StatusBadRequest,
		Message: "Invalid input for query parameters " + name + ". Value: " + value + ". '" + value + "' " + why,
	}
}
