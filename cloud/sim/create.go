package sim

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"poold/pool"
)

// ServerSpec asks for servers that are alike. It may not be changed after.
type ServerSpec struct {
	Name     string
	Min, Max int
	// Flavor is a flavor's id.
	Flavor   string
	ImageID  string
	Zone     string
	KeyName  string
	UserData string
	Metadata map[string]string
	// Networks are ids; empty leaves it to the cloud. Groups are names or ids.
	Networks, Groups []string
	ConfigDrive      bool
	// Description is shown with each server.
	Description string
	// FromVolume boots from a volume made of the image.
	FromVolume bool
	Tags       []string
	// GroupID is the server group, "" for none.
	GroupID string
}

// The limits that Nova has for metadata.
const (
	maxMetaItems = 128
	maxMetaBytes = 255
)

// CreateServers makes between spec.Min and spec.Max servers, as many as the
// quota allows, and returns them. That the cloud is full does not fail it: all
// of them end in ERROR.
func (c *Cloud) CreateServers(now time.Time, spec ServerSpec) ([]Server, error) {
	c.lock(now)
	defer c.mu.Unlock()
	spec.Min = max(spec.Min, 1)
	if spec.Max == 0 {
		spec.Max = spec.Min
	}
	if len(spec.Groups) == 0 {
		spec.Groups = []string{"default"}
	}
	flavor, err := c.check(&spec)
	if err != nil {
		return nil, err
	}
	count, err := c.allowed(&spec, flavor)
	if err != nil {
		return nil, err
	}
	full := c.cfg.Capacity > 0 && c.placed+count > c.cfg.Capacity
	made := make([]Server, count)
	// Lists show the servers of a batch in the order of their ids, not of
	// their names.
	for _, i := range c.rng.Perm(count) {
		s := c.newServer(&spec, flavor)
		// A lone server has no suffix, also if more were asked for and only
		// one fitted into the quota.
		if count > 1 {
			s.name = fmt.Sprintf("%s-%d", spec.Name, i+1)
		}
		c.doom(s)
		if full {
			s.plan = plan{unplaced: true, fault: &ServerFault{
				Code: statusInternalError, Message: "No valid host was found. There are not enough hosts available.",
			}}
		}
		c.begin(s)
		made[i], _ = s.at(c.now)
	}
	return made, nil
}

// check refuses what can never be, and finds the flavor.
func (c *Cloud) check(spec *ServerSpec) (pool.Flavor, error) {
	i := slices.IndexFunc(c.cfg.Flavors, func(f pool.Flavor) bool { return f.ID == spec.Flavor })
	img := c.images[spec.ImageID]
	_, keyFound := c.keyPairs[spec.KeyName]
	switch {
	case spec.Min > spec.Max:
		return pool.Flavor{}, failf(statusBadRequest, "min_count must be <= max_count")
	case i < 0:
		return pool.Flavor{}, failf(statusBadRequest, "Flavor %s could not be found.", spec.Flavor)
	case img == nil:
		return pool.Flavor{}, failf(statusBadRequest, "Can not find requested image")
	case img.Status != ImageActive:
		return pool.Flavor{}, failf(statusBadRequest, "Image %s is not active.", spec.ImageID)
	case spec.KeyName != "" && !keyFound:
		return pool.Flavor{}, failf(statusBadRequest, "Invalid key_name provided.")
	case spec.Zone != "" && !slices.Contains(c.zones(), spec.Zone):
		return pool.Flavor{}, failf(statusBadRequest, "The requested availability zone is not available")
	}
	if err := c.checkNetwork(spec); err != nil {
		return pool.Flavor{}, err
	}
	if spec.GroupID != "" && !slices.ContainsFunc(c.together, func(g ServerGroup) bool { return g.ID == spec.GroupID }) {
		return pool.Flavor{}, failf(statusBadRequest, "Instance group %s could not be found.", spec.GroupID)
	}
	return c.cfg.Flavors[i], checkMetadata(spec.Metadata)
}

func (c *Cloud) checkNetwork(spec *ServerSpec) error {
	for _, n := range spec.Networks {
		if n != c.networkID {
			return failf(statusBadRequest, "Network %s could not be found.", n)
		}
	}
	for _, name := range spec.Groups {
		if !slices.ContainsFunc(c.groups, func(g SecurityGroup) bool { return g.Name == name || g.ID == name }) {
			return failf(statusBadRequest, "Unable to find security_group with name or id '%s'", name)
		}
	}
	return nil
}

func checkMetadata(meta map[string]string) error {
	if len(meta) > maxMetaItems {
		return failf(statusForbidden, "Maximum number of metadata items exceeds %d", maxMetaItems)
	}
	for k, v := range meta {
		if k == "" || len(k) > maxMetaBytes || strings.ContainsFunc(k, notOfMetaKey) {
			return failf(statusBadRequest, "Invalid input for field/attribute metadata. Value: {'%s': '%s'}. "+
				"'%s' does not match any of the regexes: '^[a-zA-Z0-9-_:. ]{1,255}$'", k, v, k)
		}
		if len([]rune(v)) > maxMetaBytes {
			return failf(statusBadRequest, "Invalid input for field/attribute %s. Value: %s. '%s' is too long", k, v, v)
		}
	}
	return nil
}

func notOfMetaKey(r rune) bool {
	letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
	return !letter && (r < '0' || r > '9') && !strings.ContainsRune("-_:. ", r)
}

// allowed is how many of the servers the quotas have room for; an error if
// fewer than the least that was asked for.
func (c *Cloud) allowed(spec *ServerSpec, f pool.Flavor) (int, error) {
	q := c.cfg.Quota
	fits, want := int64(spec.Max), pool.Resources{Instances: 1, Cores: f.Cores, RAMMiB: f.RAMMiB}
	var over, requested, used, limit []string
	note := func(name string, each, have, most int64, asks string) {
		if most < 0 || each == 0 {
			return
		}
		if each*int64(spec.Max)+have > most {
			over, requested = append(over, name), append(requested, asks)
			used, limit = append(used, fmt.Sprint(have)), append(limit, fmt.Sprint(most))
		}
		fits = min(fits, max(0, most-have)/each)
	}
	asks := fmt.Sprint(spec.Min)
	if spec.Max > spec.Min {
		asks = fmt.Sprintf("%d-%d", spec.Min, spec.Max)
	}
	note("cores", want.Cores, c.used.Cores, q.Cores, fmt.Sprint(want.Cores*int64(spec.Max)))
	note("instances", 1, c.used.Instances, q.Instances, asks)
	note("ram", want.RAMMiB, c.used.RAMMiB, q.RAMMiB, fmt.Sprint(want.RAMMiB*int64(spec.Max)))
	if fits < int64(spec.Min) {
		names := strings.Join(over, ", ")
		return 0, failf(statusForbidden, "Quota exceeded for %s: Requested %s, but already used %s of %s %s", names,
			strings.Join(requested, ", "), strings.Join(used, ", "), strings.Join(limit, ", "), names)
	}
	if q.Ports >= 0 {
		fits = min(fits, max(0, q.Ports-int64(len(c.ports))))
	}
	fits = min(fits, c.fixedPool.free())
	if fits < int64(spec.Min) {
		return 0, failf(statusForbidden, "Maximum number of ports exceeded")
	}
	return int(fits), nil
}

func (c *Cloud) newServer(spec *ServerSpec, f pool.Flavor) *server {
	c.seq++
	s := &server{
		id: c.uuid(), name: spec.Name, seq: c.seq, spec: spec, flavor: f, zone: spec.Zone,
		created: c.now,
	}
	sum := sha256.Sum256([]byte(s.id))
	s.cell = int(sum[0]) % c.cfg.Cells
	if s.zone == "" {
		zones := c.zones()
		s.zone = c.cfg.Zones[0]
		if len(zones) > 0 {
			s.zone = zones[int(sum[1])%len(zones)]
		}
	}
	host := sha256.Sum256(fmt.Appendf(nil, "%s %s %d", c.projectID, s.zone, sum[2]%16))
	s.hostID = hex.EncodeToString(host[:28])
	return s
}

// doom gives a server the fate that the faults have for it.
func (c *Cloud) doom(s *server) {
	if f := c.take(FaultServerError, s.name); f != nil {
		s.plan.fault = &ServerFault{Code: statusInternalError, Message: f.Body}
		if f.Status != 0 {
			s.plan.fault.Code = f.Status
		}
	}
	s.plan.stuck = c.take(FaultStuckBuild, s.name) != nil
	s.plan.silent = c.take(FaultNoSSH, s.name) != nil
}

// begin books a server and what will become of it.
func (c *Cloud) begin(s *server) {
	c.servers[s.id] = s
	c.live = append(c.live, s)
	c.used = c.used.Add(s.resources())
	if !s.plan.unplaced {
		c.placed++
		c.addPort(s)
	}
	if !s.plan.stuck {
		c.schedule(c.now.Add(c.cfg.Build.sample(c.rng)), eventBuilt, s)
	}
	if f := c.take(FaultVanish, s.name); f != nil {
		c.schedule(c.now.Add(f.Delay), eventGone, s)
	}
}

func (s *server) resources() pool.Resources {
	return pool.Resources{Instances: 1, Cores: s.flavor.Cores, RAMMiB: s.flavor.RAMMiB}
}

// built ends the building of a server, one way or the other.
func (c *Cloud) built(s *server) {
	if !s.asked.IsZero() || !s.gone.IsZero() {
		return
	}
	if s.plan.fault != nil {
		fault := *s.plan.fault
		fault.At = c.now
		s.fault, s.failed = &fault, c.now
		c.unplace(s)
		return
	}
	s.active = c.now
	s.port.Status, s.port.Updated = "ACTIVE", c.now
	if !s.plan.silent {
		c.schedule(c.now.Add(c.cfg.Boot.sample(c.rng)), eventBooted, s)
	}
}

// unplace frees the room and the port of a server.
func (c *Cloud) unplace(s *server) {
	if s.port == nil {
		return
	}
	c.placed--
	c.dropPort(s.port)
	s.port, s.addrs = nil, nil
}

// vanish ends a server's life.
func (c *Cloud) vanish(s *server) {
	if !s.gone.IsZero() {
		return
	}
	s.gone = c.now
	c.used = c.used.Sub(s.resources())
	c.unplace(s)
	c.reachable(s)
	c.gone = append(c.gone, s)
	if c.holes++; c.holes > len(c.live)/2 {
		c.live = slices.DeleteFunc(c.live, func(s *server) bool { return !s.gone.IsZero() })
		c.holes = 0
	}
	c.schedule(c.now.Add(c.cfg.KeepDeleted), eventForgotten, s)
}

// DeleteServer asks to delete a server. It may be asked again.
func (c *Cloud) DeleteServer(now time.Time, id string) error {
	c.lock(now)
	defer c.mu.Unlock()
	s, err := c.find(id)
	if err != nil {
		return err
	}
	if s.asked.IsZero() {
		s.asked = c.now
	} else if !s.plan.stuck {
		return nil
	}
	// plan.stuck is used again for the delete: a later one may work.
	if s.plan.stuck = c.take(FaultStuckDelete, s.name, s.id) != nil; !s.plan.stuck {
		c.schedule(c.now.Add(c.cfg.Delete.sample(c.rng)), eventGone, s)
	}
	return nil
}
