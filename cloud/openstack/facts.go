package openstack

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"go.uber.org/zap"

	"poold/cloud"
	"poold/pool"
)

// Facts asks for flavors, zones and limits. What a region has no service for
// is unlimited. Flavors and zones are mostly known already.
func (d *Driver) Facts(ctx context.Context) (cloud.Facts, error) {
	if n := d.looks.Add(1); n%refreshEvery == 0 || n <= d.doubted.Load()+refreshEvery {
		d.memory.forget(flavorsKey, zonesKey)
	}
	f := cloud.Facts{Limits: pool.NoLimits()}
	// Nova's limits are asked for each time. If that works, so does the login,
	// of which a wrong one must not be tried five times.
	if err := d.readComputeLimits(ctx, &f); err != nil {
		return cloud.Facts{}, err
	}
	// Nobody launches before all of it is known, and none of it waits for
	// anything else. Each has fields of its own.
	reads := []func(context.Context, *cloud.Facts) error{
		d.readFlavors, d.readZones, d.readNetworkQuota, d.readVolumeLimits, d.lookAhead,
	}
	failures := make([]error, len(reads))
	var reading sync.WaitGroup
	for i, read := range reads {
		reading.Go(func() { failures[i] = read(ctx, &f) })
	}
	reading.Wait()
	for _, err := range failures {
		if err != nil {
			return cloud.Facts{}, err
		}
	}
	return f, nil
}

// lookAhead asks for the networks that the address of each server is chosen
// by, before anybody waits for the first. If that fails it is asked for again
// then.
func (d *Driver) lookAhead(ctx context.Context, _ *cloud.Facts) error {
	_, _ = d.topology(ctx) // see above
	return nil
}

// The keys in memory of what launches are made from.
const (
	flavorsKey = "flavors"
	zonesKey   = "zones"
)

// refreshEvery is with which look at the limits flavors and zones are asked
// for again, though nothing speaks against what is known: new ones appear, but
// rarely. After a refusal, as many looks ask each time: what has gone may come
// back, and somebody waits for it.
const refreshEvery = 12

// Doubt has flavors and zones asked for anew by the next look at the facts.
func (d *Driver) Doubt() { d.memory.forget(flavorsKey, zonesKey) }

func (d *Driver) readFlavors(ctx context.Context, f *cloud.Facts) error {
	known, err := remembered(ctx, &d.memory, flavorsKey, d.askFlavors)
	f.Flavors = slices.Clone(known)
	return err
}

func (d *Driver) askFlavors(ctx context.Context) ([]pool.Flavor, error) {
	found := []pool.Flavor{}
	r := request{
		service: cloud.Compute, method: http.MethodGet, path: "/flavors/detail", what: "list flavors",
	}
	err := d.pages(ctx, r, func(body io.Reader) (string, error) {
		var page struct {
			Flavors []struct {
				ID       string `json:"id"`
				Name     string `json:"name"`
				VCPUs    int64  `json:"vcpus"`
				RAM      int64  `json:"ram"`
				Disk     int64  `json:"disk"`
				Disabled bool   `json:"OS-FLV-DISABLED:disabled"`
			} `json:"flavors"`
			Links []link `json:"flavors_links"`
		}
		if err := json.NewDecoder(io.LimitReader(body, maxAnswer)).Decode(&page); err != nil {
			return "", err
		}
		for _, v := range page.Flavors {
			if !v.Disabled {
				found = append(found, pool.Flavor{
					ID: v.ID, Name: v.Name, Cores: v.VCPUs, RAMMiB: v.RAM, DiskGB: v.Disk,
				})
			}
		}
		return nextLink(page.Links), nil
	})
	return found, err
}

func (d *Driver) readZones(ctx context.Context, f *cloud.Facts) error {
	known, err := remembered(ctx, &d.memory, zonesKey, d.askZones)
	f.Zones = slices.Clone(known)
	return err
}

func (d *Driver) askZones(ctx context.Context) ([]string, error) {
	found := []string{}
	var answer struct {
		Zones []struct {
			Name  string `json:"zoneName"`
			State struct {
				Available bool `json:"available"`
			} `json:"zoneState"`
		} `json:"availabilityZoneInfo"`
	}
	err := d.call(ctx, request{
		service: cloud.Compute, method: http.MethodGet, path: "/os-availability-zone", what: "list zones",
	}, &answer)
	for _, z := range answer.Zones {
		if z.State.Available {
			found = append(found, z.Name)
		}
	}
	return found, err
}

func (d *Driver) readComputeLimits(ctx context.Context, f *cloud.Facts) error {
	answer := absolute{"maxTotalInstances": pool.Unlimited, "maxTotalCores": pool.Unlimited, "maxTotalRAMSize": pool.Unlimited}
	err := d.readLimits(ctx, cloud.Compute, "/limits", answer)
	f.Limits.Instances, f.Used.Instances = answer["maxTotalInstances"], answer["totalInstancesUsed"]
	f.Limits.Cores, f.Used.Cores = answer["maxTotalCores"], answer["totalCoresUsed"]
	f.Limits.RAMMiB, f.Used.RAMMiB = answer["maxTotalRAMSize"], answer["totalRAMUsed"]
	return err
}

// readVolumeLimits reads cinder's. That cinder says nothing is no reason to
// launch nothing: most labels have no volumes, and for the others what was
// heard last is believed.
func (d *Driver) readVolumeLimits(ctx context.Context, f *cloud.Facts) error {
	if ok, err := d.has(ctx, cloud.Volume); !ok || err != nil {
		return err
	}
	answer := absolute{"maxTotalVolumes": pool.Unlimited, "maxTotalVolumeGigabytes": pool.Unlimited}
	err := d.readLimits(ctx, cloud.Volume, "/limits", answer)
	if err != nil {
		d.log.Warn("cinder's limits are not known", zap.Error(err))
		known := d.volumes.Load()
		if known == nil {
			return nil
		}
		answer = *known
	}
	d.volumes.Store(&answer)
	f.Limits.Volumes, f.Used.Volumes = answer["maxTotalVolumes"], answer["totalVolumesUsed"]
	f.Limits.VolumeGB, f.Used.VolumeGB = answer["maxTotalVolumeGigabytes"], answer["totalGigabytesUsed"]
	return nil
}

// absolute are the limits of nova and cinder, with the use beside each.
type absolute map[string]int64

func (d *Driver) readLimits(ctx context.Context, service cloud.Service, path string, into absolute) error {
	var answer struct {
		Limits struct {
			Absolute absolute `json:"absolute"`
		} `json:"limits"`
	}
	answer.Limits.Absolute = into
	return d.call(ctx, request{
		service: service, method: http.MethodGet, path: path, what: "get " + string(service) + " limits",
	}, &answer)
}

// readNetworkQuota reads neutron's quota with its use.
func (d *Driver) readNetworkQuota(ctx context.Context, f *cloud.Facts) error {
	if ok, err := d.has(ctx, cloud.Network); !ok || err != nil {
		return err
	}
	s, err := d.access().keystone.session(ctx, nil)
	if err != nil {
		return err
	}
	if !d.plainQuota.Load() {
		err := d.readQuotaDetails(ctx, s.project, f)
		if kind := cloud.KindOf(err); kind != cloud.NotFound && kind != cloud.Unclassified {
			return err
		}
	}
	// Details are an extension, and an extension that is not there does not
	// come while a process lives.
	err = d.readPlainQuota(ctx, s.project, f)
	d.plainQuota.Store(err == nil)
	return err
}

func (d *Driver) readQuotaDetails(ctx context.Context, project string, f *cloud.Facts) error {
	type detail struct {
		Limit    int64 `json:"limit"`
		Used     int64 `json:"used"`
		Reserved int64 `json:"reserved"`
	}
	var answer struct {
		Quota map[string]detail `json:"quota"`
	}
	err := d.call(ctx, request{
		service: cloud.Network, method: http.MethodGet, path: "/v2.0/quotas/{id}/details.json", id: project,
		what: "get network quota",
	}, &answer)
	if q, ok := answer.Quota["port"]; ok {
		f.Limits.Ports, f.Used.Ports = q.Limit, q.Used+q.Reserved
	}
	if q, ok := answer.Quota["floatingip"]; ok {
		f.Limits.FloatingIPs, f.Used.FloatingIPs = q.Limit, q.Used+q.Reserved
	}
	return err
}

// readPlainQuota reads the limits alone, and counts what a limit is of.
func (d *Driver) readPlainQuota(ctx context.Context, project string, f *cloud.Facts) error {
	var answer struct {
		Quota map[string]int64 `json:"quota"`
	}
	err := d.call(ctx, request{
		service: cloud.Network, method: http.MethodGet, path: "/v2.0/quotas/{id}", id: project, what: "get network quota",
	}, &answer)
	if kind := cloud.KindOf(err); kind == cloud.NotFound || kind == cloud.Unclassified {
		return nil // no quotas at all
	}
	for _, q := range []struct {
		name, path  string
		limit, used *int64
	}{
		{"port", "/v2.0/ports", &f.Limits.Ports, &f.Used.Ports},
		{"floatingip", "/v2.0/floatingips", &f.Limits.FloatingIPs, &f.Used.FloatingIPs},
	} {
		limit, ok := answer.Quota[q.name]
		if err != nil || !ok || limit < 0 {
			continue // there is nothing to count for
		}
		*q.limit = limit
		*q.used, err = d.count(ctx, project, q.path)
	}
	return err
}

// count counts the project's own entries of one of neutron's lists.
func (d *Driver) count(ctx context.Context, project, path string) (int64, error) {
	var n int64
	r := request{
		service: cloud.Network, method: http.MethodGet, path: path, what: "count use",
		query: url.Values{"fields": {"id"}, "project_id": {project}},
	}
	err := d.pages(ctx, r, func(body io.Reader) (string, error) {
		var page map[string]json.RawMessage
		if err := json.NewDecoder(io.LimitReader(body, maxAnswer)).Decode(&page); err != nil {
			return "", err
		}
		name := strings.TrimPrefix(path, "/v2.0/")
		var all []struct{}
		var links []link
		if err := json.Unmarshal(page[name], &all); err != nil {
			return "", err
		}
		n += int64(len(all))
		if more := page[name+"_links"]; more != nil {
			if err := json.Unmarshal(more, &links); err != nil {
				return "", err
			}
		}
		return nextLink(links), nil
	})
	return n, err
}

// has tells whether the region has a service.
func (d *Driver) has(ctx context.Context, service cloud.Service) (bool, error) {
	s, err := d.access().keystone.session(ctx, nil)
	return err == nil && s.has(service), err
}

// FindImage looks an active image up, by id if it looks like one, else by
// name. Of several of that name it takes the newest: clouds replace their
// public images so.
func (d *Driver) FindImage(ctx context.Context, nameOrID string) (string, error) {
	const what = "find image"
	if looksLikeUUID(nameOrID) {
		i, err := d.image(ctx, nameOrID)
		if err == nil && i.Status == "active" {
			return i.ID, nil
		}
		if err != nil && cloud.KindOf(err) != cloud.NotFound {
			return "", named(what, err)
		}
	}
	var answer struct {
		Images []image `json:"images"`
	}
	err := d.call(ctx, request{
		service: cloud.ImageService, method: http.MethodGet, path: "/v2/images", what: what,
		query: url.Values{"name": {nameOrID}, "status": {"active"}, "sort": {"created_at:desc"}, "limit": {"1"}},
	}, &answer)
	if err != nil {
		return "", err
	}
	if len(answer.Images) == 0 {
		return "", &cloud.Error{Kind: cloud.NotFound, Op: what, Err: errNone("active image", nameOrID)}
	}
	return answer.Images[0].ID, nil
}
