package openstackapi

import (
	"net/http"

	"poold/cloud/sim"
	"poold/pool"
)

// ServerView is a server as /sim/servers shows it.
type ServerView struct {
	ID        string            `json:"id"`
	Name      string            `json:"name"`
	Status    string            `json:"status"`
	Task      string            `json:"task"`
	Booted    bool              `json:"booted"`
	Metadata  map[string]string `json:"metadata"`
	Addresses []sim.Address     `json:"addresses"`
	HostKeys  []string          `json:"host_keys"`
	Zone      string            `json:"zone"`
	Cell      int               `json:"cell"`
	ImageID   string            `json:"image_id"`
	Flavor    string            `json:"flavor"`
}

// serveSim answers what tests ask and do. It is not counted, limited or
// struck by faults.
func serveSim(w http.ResponseWriter, r *request) {
	if name := r.URL.Query().Get("region"); name != "" {
		r.region = nil
		for _, region := range r.h.regions {
			if region.name == name {
				r.region = region
			}
		}
	}
	if r.region == nil || len(r.path) != 1 {
		http.NotFound(w, r.Request)
		return
	}
	a, err := inspect(r)
	if err != nil {
		f := failure(err)
		a = answer{status: f.Status, body: map[string]string{"error": f.Message}}
	}
	write(w, r, a)
}

func inspect(r *request) (answer, error) {
	c := r.region.cloud
	switch r.Method + " " + r.path[0] {
	case "GET servers":
		return simServers(r)
	case "GET images":
		return ok(c.Images(r.now))
	case "GET objects":
		return simObjects(r)
	case "GET floatingips":
		return ok(c.FloatingIPs(r.now))
	case "GET calls":
		return ok(c.Calls())
	case "DELETE calls":
		c.ResetCalls()
	case "GET quota":
		return ok(c.Facts(r.now).Limits)
	case "PUT quota", "PUT rate":
		return simLimit(r)
	case "POST faults":
		var f sim.Fault
		return apply(r, &f, func() { c.AddFault(f) })
	case "DELETE faults":
		c.ClearFaults()
	default:
		return answer{}, &sim.CallError{Status: http.StatusNotFound, Message: "no such thing"}
	}
	return answer{status: http.StatusNoContent}, nil
}

// apply reads the body and does something with it.
func apply(r *request, into any, do func()) (answer, error) {
	if err := r.decode(into); err != nil {
		return answer{}, err
	}
	do()
	return answer{status: http.StatusNoContent}, nil
}

// simLimit changes the quota, or how many calls the cloud takes.
func simLimit(r *request) (answer, error) {
	if r.path[0] == "quota" {
		limits := pool.NoLimits()
		return apply(r, &limits, func() { r.region.cloud.SetQuota(limits) })
	}
	var limit struct {
		Rate  float64
		Burst int
	}
	return apply(r, &limit, func() { r.region.cloud.SetRate(limit.Rate, limit.Burst) })
}

func simServers(r *request) (answer, error) {
	views := []ServerView{}
	for _, s := range r.region.cloud.Truth(r.now) {
		keys, err := r.region.cloud.HostKeys(s.ID)
		if err != nil {
			return answer{}, err
		}
		views = append(views, ServerView{
			ID: s.ID, Name: s.Name, Status: s.Status, Task: s.Task, Booted: s.Booted, Metadata: s.Metadata,
			Addresses: s.Addresses, HostKeys: keys, Zone: s.Zone, Cell: s.Cell, ImageID: s.ImageID, Flavor: s.Flavor.Name,
		})
	}
	return ok(views)
}

// simObjects lists the containers with the names of their objects.
func simObjects(r *request) (answer, error) {
	all := map[string][]string{}
	for _, container := range r.region.cloud.Containers(r.now) {
		all[container] = []string{}
		objects, err := r.region.cloud.Objects(r.now, container, "")
		if err != nil {
			return answer{}, err
		}
		for _, o := range objects {
			all[container] = append(all[container], o.Name)
		}
	}
	return ok(all)
}
