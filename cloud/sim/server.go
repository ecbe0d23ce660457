package sim

import (
	"time"

	"poold/pool"
)

// Server is a server as it was at some time. What it refers to may not be
// changed.
type Server struct {
	ID, Name string
	// Status is Nova's: BUILD, ACTIVE, ERROR or DELETED.
	Status string
	// Task is Nova's task state: "", "scheduling", "spawning" or "deleting".
	// A server that is being deleted keeps its status.
	Task      string
	Fault     *ServerFault
	Metadata  map[string]string
	Flavor    pool.Flavor
	ImageID   string
	KeyName   string
	Zone      string
	HostID    string
	Cell      int
	Addresses []Address
	Groups    []string
	UserData  string
	// ConfigDrive tells that one was asked for.
	ConfigDrive bool
	// Description is "" unless it was given.
	Description string
	// FromVolume tells that it boots from a volume made of the image.
	FromVolume bool
	Tags       []string
	GroupID    string
	// Booted tells that it answers.
	Booted               bool
	Created, Updated     time.Time
	Launched, Terminated time.Time
}

// ServerFault is why a server is in ERROR.
type ServerFault struct {
	Code    int
	Message string
	At      time.Time
}

// Address is an address of a server.
type Address struct {
	Network  string `json:"network"`
	IP       string `json:"ip"`
	MAC      string `json:"mac"`
	Floating bool   `json:"floating,omitempty"`
}

// server is what the cloud knows of a server: what it was made from, and when
// what happened to it. What it is like at a time follows from that.
type server struct {
	id, name string
	seq      uint64
	spec     *ServerSpec
	flavor   pool.Flavor
	zone     string
	hostID   string
	cell     int
	addrs    []Address
	port     *Port
	plan     plan
	fault    *ServerFault

	created, active, failed, booted time.Time
	asked, gone                     time.Time
	// settled is when logins are let in.
	settled time.Time
	// rekeyed is how often its host keys were changed; ran what was run on it.
	rekeyed int
	ran     []Ran
}

// plan is the fate that was chosen for a server when it was made.
type plan struct {
	fault    *ServerFault
	stuck    bool
	silent   bool
	unplaced bool
}

// at returns the server as it was at a time; false if it did not exist yet.
func (s *server) at(t time.Time) (Server, bool) {
	if s.created.After(t) {
		return Server{}, false
	}
	v := Server{
		ID: s.id, Name: s.name, Metadata: s.spec.Metadata, Flavor: s.flavor, ImageID: s.spec.ImageID,
		KeyName: s.spec.KeyName, Zone: s.zone, Cell: s.cell, Groups: s.spec.Groups, UserData: s.spec.UserData,
		ConfigDrive: s.spec.ConfigDrive, FromVolume: s.spec.FromVolume, Description: s.spec.Description, Created: s.created, Updated: s.created,
		Tags: s.spec.Tags, GroupID: s.spec.GroupID,
		Status: "BUILD", Task: "scheduling",
	}
	happened := func(when time.Time) bool { return !when.IsZero() && !when.After(t) }
	if happened(s.created.Add(time.Millisecond)) && !s.plan.unplaced {
		v.Task, v.HostID = "spawning", s.hostID
	}
	if happened(s.failed) {
		v.Status, v.Task, v.Fault, v.HostID, v.Updated = "ERROR", "", s.fault, "", s.failed
	}
	if happened(s.active) {
		v.Status, v.Task, v.Addresses, v.HostID = "ACTIVE", "", s.addrs, s.hostID
		v.Launched, v.Updated = s.active, s.active
		v.Booted = happened(s.booted)
	}
	if happened(s.asked) {
		v.Task, v.Updated = "deleting", s.asked
	}
	if happened(s.gone) {
		v.Status, v.Task, v.Addresses, v.Booted = "DELETED", "", nil, false
		v.Metadata = nil // Nova forgets it
		v.Terminated, v.Updated = s.gone, s.gone
	}
	return v, true
}

// updated is when something last happened to it.
func (s *server) updated() time.Time {
	last := s.created
	for _, t := range []time.Time{s.failed, s.active, s.asked, s.gone} {
		if t.After(last) {
			last = t
		}
	}
	return last
}
