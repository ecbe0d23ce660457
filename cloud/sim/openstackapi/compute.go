package openstackapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"poold/cloud/sim"
)

// The microversions from which answers differ, as the number after "2.".
const (
	microKeyPairs     = 2
	microDescription  = 19
	microTags         = 26
	microFlavor       = 47
	microNetworks     = 37
	microNewTags      = 52
	microLocked       = 9
	microTrusted      = 63
	microServerGroups = 71
	microLockedReason = 73
	microFlavorSwap   = 75
	microLatest       = 93
)

func computeOperations() map[string]func(*request) (answer, error) {
	return map[string]func(*request) (answer, error){
		"POST/servers":             createServers,
		"GET/servers/detail":       listServers,
		"GET/servers":              listServerNames,
		"GET/servers/{id}":         showServer,
		"DELETE/servers/{id}":      deleteServer,
		"POST/servers/{id}/action": actOnServer,
		"GET/flavors/detail":       listFlavors,
		"GET/limits":               showLimits,
		"GET/os-availability-zone": listZones,
		"GET/os-server-groups":     listServerGroups,
		"GET/os-keypairs":          listKeyPairs,
		"POST/os-keypairs":         createKeyPair,
		"DELETE/os-keypairs/{id}":  deleteKeyPair,
	}
}

// negotiate reads the microversion.
func (r *request) negotiate() error {
	r.micro = 1
	asked := r.Header.Get("X-OpenStack-Nova-API-Version")
	if v, is := strings.CutPrefix(r.Header.Get("OpenStack-API-Version"), "compute "); is {
		asked = v
	}
	if asked == "" {
		return nil
	}
	if asked == "latest" {
		r.micro = microLatest
		return nil
	}
	major, minor, _ := strings.Cut(asked, ".")
	n, err := strconv.Atoi(minor)
	switch {
	case err != nil:
		return &sim.CallError{
			Status:  http.StatusBadRequest,
			Message: "API Version String " + asked + " is of invalid format. Must be of format MajorNum.MinorNum.",
		}
	case major != "2" || n < 1 || n > microLatest:
		return &sim.CallError{
			Status:  http.StatusNotAcceptable,
			Message: "Version " + asked + " is not supported by the API. Minimum is 2.1 and maximum is 2.93.",
		}
	}
	r.micro = n
	return nil
}

func setMicroversion(w http.ResponseWriter, r *request) {
	v := fmt.Sprintf("2.%d", max(r.micro, 1))
	w.Header().Set("OpenStack-API-Version", "compute "+v)
	w.Header().Set("X-OpenStack-Nova-API-Version", v)
}

// createRequest is the body of a POST of /servers.
type createRequest struct {
	Server struct {
		Name         string            `json:"name"`
		FlavorRef    any               `json:"flavorRef"`
		ImageRef     string            `json:"imageRef"`
		KeyName      string            `json:"key_name"`
		Zone         string            `json:"availability_zone"`
		UserData     string            `json:"user_data"`
		ConfigDrive  bool              `json:"config_drive"`
		MinCount     count             `json:"min_count"`
		MaxCount     count             `json:"max_count"`
		Reservation  bool              `json:"return_reservation_id"`
		Metadata     map[string]string `json:"metadata"`
		Networks     json.RawMessage   `json:"networks"`
		Groups       []named           `json:"security_groups"`
		BlockDevices []blockDevice     `json:"block_device_mapping_v2"`
		Tags         []string          `json:"tags"`
	} `json:"server"`
	Hints map[string]any `json:"os:scheduler_hints"`
}

type named struct {
	Name string `json:"name"`
}

type blockDevice struct {
	SourceType string `json:"source_type"`
	UUID       string `json:"uuid"`
}

// count is a number that may come as text.
type count int

// UnmarshalJSON takes 3 and "3".
func (c *count) UnmarshalJSON(b []byte) error {
	n, err := strconv.Atoi(strings.Trim(string(b), `"`))
	if err != nil {
		return fmt.Errorf("not a number: %w", err)
	}
	*c = count(n)
	return nil
}

func createServers(r *request) (answer, error) {
	var body createRequest
	if err := r.decode(&body); err != nil {
		return answer{}, err
	}
	networks, err := body.networks(r.micro)
	if err != nil {
		return answer{}, err
	}
	if err := body.strict(r.micro); err != nil {
		return answer{}, err
	}
	asked := &body.Server
	group, _ := body.Hints["group"].(string)
	spec := sim.ServerSpec{
		Name: asked.Name, Min: int(asked.MinCount), Max: int(asked.MaxCount), Flavor: fmt.Sprint(asked.FlavorRef),
		ImageID: asked.ImageRef, Zone: asked.Zone, KeyName: asked.KeyName, UserData: asked.UserData,
		Metadata: asked.Metadata, Networks: networks, ConfigDrive: asked.ConfigDrive,
		Tags: asked.Tags, GroupID: group,
	}
	if r.micro < microDescription {
		spec.Description = spec.Name
	}
	if i := strings.LastIndexByte(spec.Flavor, '/'); i >= 0 {
		spec.Flavor = spec.Flavor[i+1:]
	}
	for _, g := range asked.Groups {
		spec.Groups = append(spec.Groups, g.Name)
	}
	for _, d := range asked.BlockDevices {
		if d.SourceType == "image" {
			spec.ImageID, spec.FromVolume = d.UUID, true
		}
	}
	made, err := r.region.cloud.CreateServers(r.now, spec)
	if err != nil {
		return answer{}, err
	}
	if asked.Reservation {
		return answer{status: http.StatusAccepted, body: map[string]string{"reservation_id": "r-" + made[0].ID[:8]}}, nil
	}
	groups := asked.Groups
	if len(groups) == 0 {
		groups = []named{{"default"}}
	}
	links := r.links("servers", made[0].ID)
	return answer{
		status: http.StatusAccepted, header: map[string]string{"Location": links[0].Href},
		body: map[string]any{"server": map[string]any{
			"id": made[0].ID, "links": links, "OS-DCF:diskConfig": "MANUAL", "security_groups": groups, "adminPass": "sim",
		}},
	}, nil
}

// strict refuses what Nova's schema refuses of tags and hints.
func (b *createRequest) strict(micro int) error {
	invalid := func(field, why string) error {
		return &sim.CallError{Status: http.StatusBadRequest, Message: "Invalid input for field/attribute " + field + ". " + why}
	}
	if len(b.Server.Tags) > 0 && micro < microNewTags {
		return invalid("server", "Additional properties are not allowed ('tags' was unexpected)")
	}
	for i, t := range b.Server.Tags {
		if strings.ContainsAny(t, ",/") {
			return invalid(strconv.Itoa(i), fmt.Sprintf("Value: %[1]s. '%[1]s' does not match '^[^,/]*$'", t))
		}
	}
	if group, given := b.Hints["group"]; given {
		if text, is := group.(string); !is || strings.Count(text, "-") != 4 || len(text) != 36 {
			return invalid("group", fmt.Sprintf("Value: %[1]v. '%[1]v' is not a 'uuid'", group))
		}
	}
	if host, is := b.Hints["different_host"].(string); is && len(host) != 36 {
		return invalid("different_host", fmt.Sprintf("Value: %[1]s. '%[1]s' is not valid under any of the given schemas", host))
	}
	return nil
}

// networks checks what Nova's schema asks, and returns the networks' ids.
func (b *createRequest) networks(micro int) ([]string, error) {
	missing := ""
	switch {
	case b.Server.Name == "":
		missing = "name"
	case b.Server.FlavorRef == nil:
		missing = "flavorRef"
	case b.Server.Networks == nil && micro >= microNetworks:
		missing = "networks"
	}
	if missing != "" {
		return nil, &sim.CallError{
			Status: http.StatusBadRequest, Message: "Invalid input for field/attribute server. '" + missing + "' is a required property",
		}
	}
	if len(b.Server.Networks) == 0 || b.Server.Networks[0] == '"' {
		return nil, nil
	}
	var list []struct {
		UUID string `json:"uuid"`
	}
	if err := json.Unmarshal(b.Server.Networks, &list); err != nil {
		return nil, &sim.CallError{Status: http.StatusBadRequest, Message: "Invalid input for field/attribute networks."}
	}
	ids := make([]string, len(list))
	for i, n := range list {
		ids[i] = n.UUID
	}
	return ids, nil
}

func showServer(r *request) (answer, error) {
	s, err := r.region.cloud.Server(r.now, r.path[1])
	if err != nil {
		return answer{}, err
	}
	b := r.server(&s)
	if r.micro >= microServerGroups {
		b.ServerGroups = json.RawMessage("[]")
		if s.GroupID != "" {
			b.ServerGroups = json.RawMessage(`["` + s.GroupID + `"]`)
		}
	}
	return ok(map[string]any{"server": b})
}

func deleteServer(r *request) (answer, error) {
	return answer{status: http.StatusNoContent}, r.region.cloud.DeleteServer(r.now, r.path[1])
}

func actOnServer(r *request) (answer, error) {
	var body struct {
		Console *struct {
			Length *count `json:"length"`
		} `json:"os-getConsoleOutput"`
		Image *createdImage `json:"createImage"`
	}
	if err := r.decode(&body); err != nil {
		return answer{}, err
	}
	if body.Image != nil {
		return createImageOf(r, body.Image)
	}
	if body.Console == nil {
		return answer{}, &sim.CallError{Status: http.StatusBadRequest, Message: "There is no such action"}
	}
	lines := 0
	if body.Console.Length != nil {
		lines = int(*body.Console.Length)
	}
	out, err := r.region.cloud.Console(r.now, r.path[1], lines)
	if err != nil {
		return answer{}, err
	}
	return ok(map[string]string{"output": out})
}

func listFlavors(r *request) (answer, error) {
	var list []map[string]any
	var swap any = ""
	if r.micro >= microFlavorSwap {
		swap = 0
	}
	for _, f := range r.region.cloud.Config().Flavors {
		v := map[string]any{
			"id": f.ID, "name": f.Name, "ram": f.RAMMiB, "disk": f.DiskGB, "swap": swap, "OS-FLV-EXT-DATA:ephemeral": 0,
			"OS-FLV-DISABLED:disabled": false, "vcpus": f.Cores, "os-flavor-access:is_public": true, "rxtx_factor": 1.0,
			"links": r.links("flavors", f.ID), "description": nil, "extra_specs": map[string]string{},
		}
		list = append(list, v)
	}
	return ok(map[string]any{"flavors": list})
}

func showLimits(r *request) (answer, error) {
	f := r.region.cloud.Facts(r.now)
	return ok(map[string]any{"limits": map[string]any{"rate": []any{}, "absolute": map[string]int64{
		"maxTotalInstances": f.Limits.Instances, "maxTotalCores": f.Limits.Cores, "maxTotalRAMSize": f.Limits.RAMMiB,
		"maxServerMeta": 128, "maxTotalKeypairs": 100, "maxServerGroups": 10, "maxServerGroupMembers": 10,
		"totalRAMUsed": f.Used.RAMMiB, "totalCoresUsed": f.Used.Cores, "totalInstancesUsed": f.Used.Instances,
		"totalServerGroupsUsed": 0,
	}}})
}

func listZones(r *request) (answer, error) {
	list := []any{}
	for _, z := range r.region.cloud.Facts(r.now).Zones {
		list = append(list, map[string]any{"zoneName": z, "zoneState": map[string]bool{"available": true}, "hosts": nil})
	}
	return ok(map[string]any{"availabilityZoneInfo": list})
}

func listServerGroups(r *request) (answer, error) {
	list := []any{}
	for _, g := range r.region.cloud.ServerGroups() {
		list = append(list, map[string]any{
			"id": g.ID, "name": g.Name, "policies": []string{"soft-anti-affinity"}, "members": []string{}, "metadata": map[string]string{},
		})
	}
	return ok(map[string]any{"server_groups": list})
}

func keyPair(k sim.KeyPair) map[string]string {
	return map[string]string{"name": k.Name, "public_key": k.PublicKey, "fingerprint": "00:00", "type": "ssh"}
}

func listKeyPairs(r *request) (answer, error) {
	list := []any{}
	for _, k := range r.region.cloud.KeyPairs() {
		list = append(list, map[string]any{"keypair": keyPair(k)})
	}
	return ok(map[string]any{"keypairs": list})
}

func createKeyPair(r *request) (answer, error) {
	var body struct {
		KeyPair struct {
			Name      string `json:"name"`
			PublicKey string `json:"public_key"`
		} `json:"keypair"`
	}
	if err := r.decode(&body); err != nil {
		return answer{}, err
	}
	k := sim.KeyPair{Name: body.KeyPair.Name, PublicKey: body.KeyPair.PublicKey}
	if err := r.region.cloud.CreateKeyPair(k); err != nil {
		return answer{}, err
	}
	return answer{status: r.since(microKeyPairs, http.StatusOK, http.StatusCreated), body: map[string]any{"keypair": keyPair(k)}}, nil
}

// since is one status before a microversion, and another from it on.
func (r *request) since(micro, before, after int) int {
	if r.micro < micro {
		return before
	}
	return after
}

func deleteKeyPair(r *request) (answer, error) {
	return answer{status: r.since(microKeyPairs, http.StatusAccepted, http.StatusNoContent)}, r.region.cloud.DeleteKeyPair(r.path[1])
}
