package web

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"poold/event"
	"poold/pool"
	"poold/web/model"
)

// collector tells Prometheus what the pages show. All of it is worked out from
// the records when it is asked for, so that nothing of what is gone stays.
type collector struct {
	site   func(now time.Time) *model.Site
	of     map[string]*prometheus.Desc
	phases *phases
	events *event.Log
}

// Collector returns the metrics of the whole system, the same from every peer.
func (s *Server) Collector() prometheus.Collector {
	c := &collector{site: s.Site, of: map[string]*prometheus.Desc{}, phases: s.phases, events: s.events}
	for _, m := range []struct {
		name, help string
		labels     []string
	}{
		{"poold_nodes", "Nodes by provider and state.", []string{"provider", "state"}},
		{"poold_nodes_oldest_age_seconds", "How long the node has been in its state that has been in it longest.", []string{"provider", "state"}},
		{"poold_label_nodes", "Nodes by label and state.", []string{"label", "state"}},
		{"poold_label_waiting_nodes", "Nodes that requests wait for, by label.", []string{"label"}},
		{"poold_label_floor_nodes", "How many nodes of a label are to be kept ready now.", []string{"label"}},
		{"poold_quota_ours", "What our nodes book of a resource.", []string{"provider", "resource"}},
		{"poold_quota_foreign", "What others use of a resource.", []string{"provider", "resource"}},
		{"poold_quota_limit", "How much of a resource there may be; absent where there is no limit.", []string{"provider", "resource"}},
		{"poold_breakers_open", "Kinds of launch that are stopped because they failed.", []string{"provider"}},
		{"poold_leaks", "What has our mark in a cloud and no record explains, as of the last sweep.", []string{"provider"}},
		{"poold_image_build_age_seconds", "Age of the newest build that can serve.", []string{"image"}},
		{"poold_image_age_seconds", "Age of the build that nodes are made from in a provider.", []string{"image", "provider"}},
		{"poold_image_build_running_seconds", "For how long the build of an image that is under way has run; 0 if none is.", []string{"image"}},
		{"poold_image_last_build_seconds", "How long the newest build of an image took that became ready.", []string{"image"}},
		{"poold_image_failed_builds", "How many builds of an image have failed since one became ready, as far as they are on record.", []string{"image"}},
		{"poold_upload_running_seconds", "For how long the upload of an image has been on its way that has not ended; 0 if none is.", []string{"image", "provider"}},
		{"poold_upload_sent_ratio", "How much of an upload that is under way was sent, from 0 to 1.", []string{"image", "provider"}},
		{"poold_troubles", "What the overview says is wrong, by its class; 0 without a provider and an image where nothing is.", []string{"class", "severity", "provider", "image"}},
		{"poold_events_kept_since_timestamp_seconds", "From when on this peer remembers all events: event-age ago, or later if it began later or there is no room for more; 0 before it has read the records.", nil},
		{"poold_etcd_contact_timestamp_seconds", "When etcd last answered this peer.", nil},
	} {
		c.of[m.name] = prometheus.NewDesc(m.name, m.help, m.labels, nil)
	}
	return c
}

// Describe is part of prometheus.Collector.
func (c *collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range c.of {
		to <- d
	}
	c.phases.seconds.Describe(to)
}

// Collect is part of prometheus.Collector.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	site := c.site(time.Now())
	if site == nil {
		return
	}
	send := func(name string, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(c.of[name], prometheus.GaugeValue, v, labels...) //nolint:promlinter // names stand above
	}
	c.phases.keep(site)
	c.phases.seconds.Collect(to)
	c.nodes(site, send)
	for i := range site.Providers {
		budgets(&site.Providers[i], send)
	}
	freshness(site, send)
	type key struct{ class, severity, provider, image string }
	troubles := map[key]float64{} // of each class at least that there is none
	for _, c := range model.Classes() {
		troubles[key{class: c.Name, severity: string(c.Severity)}] = 0
	}
	for i := range site.Troubles {
		t := &site.Troubles[i]
		troubles[key{t.Class, string(t.Severity), t.Provider, t.Image}]++
	}
	for k, n := range troubles {
		send("poold_troubles", n, k.class, k.severity, k.provider, k.image)
	}
	if at := site.Facts.EtcdContact; !at.IsZero() {
		send("poold_etcd_contact_timestamp_seconds", float64(at.UnixMilli())/1000)
	}
	kept := 0.0
	if since, _ := c.events.Since(site.At); !since.IsZero() {
		kept = float64(since.UnixMilli()) / 1000
	}
	send("poold_events_kept_since_timestamp_seconds", kept)
}

// sender sends one value.
type sender func(name string, v float64, labels ...string)

// nodes tells of the nodes by provider and by label. Every state has a value,
// so that none stays where it was last seen.
func (*collector) nodes(site *model.Site, send sender) {
	type key struct {
		of    string
		state pool.NodeState
	}
	providers, labels, oldest := map[key]int{}, map[key]int{}, map[key]time.Time{}
	for _, n := range site.Records.Nodes {
		if !n.State.Live() {
			continue
		}
		k := key{n.Provider, n.State}
		providers[k]++
		labels[key{n.Label, n.State}]++
		if at, ok := oldest[k]; !ok || n.Since.Before(at) {
			oldest[k] = n.Since
		}
	}
	for _, state := range pool.NodeMachine().States() {
		if !state.Live() {
			continue
		}
		for i := range site.Providers {
			k := key{site.Providers[i].Name, state}
			send("poold_nodes", float64(providers[k]), k.of, string(state))
			age := 0.0
			if at, ok := oldest[k]; ok {
				age = site.At.Sub(at).Seconds()
			}
			send("poold_nodes_oldest_age_seconds", age, k.of, string(state))
		}
		for i := range site.Labels {
			k := key{site.Labels[i].Name, state}
			send("poold_label_nodes", float64(labels[k]), k.of, string(state))
		}
	}
	for i := range site.Labels {
		l := &site.Labels[i]
		send("poold_label_waiting_nodes", float64(l.Waiting), l.Name)
		send("poold_label_floor_nodes", float64(l.Floor), l.Name)
	}
}

func budgets(p *model.Provider, send sender) {
	for _, g := range p.Gauges {
		send("poold_quota_ours", float64(g.Ours), p.Name, g.Name)
		send("poold_quota_foreign", float64(g.Foreign), p.Name, g.Name)
		if g.Limit >= 0 {
			send("poold_quota_limit", float64(g.Limit), p.Name, g.Name)
		}
	}
	send("poold_breakers_open", float64(len(p.Breakers)), p.Name)
	if p.Health != nil {
		send("poold_leaks", float64(len(p.Health.Leaks)), p.Name)
	}
}

func freshness(site *model.Site, send sender) {
	for i := range site.Images.Rows {
		row := &site.Images.Rows[i]
		builds(row.Name, site.Records.BuildsOf(row.Name), site.At, send)
		if row.Serving != nil {
			send("poold_image_build_age_seconds", site.At.Sub(row.Serving.Created).Seconds(), row.Name)
		}
		for j := range row.Cells {
			c := &row.Cells[j]
			uploads(row.Name, c, site.At, send)
		}
	}
}

// uploads tells of an image in one provider. Where it belongs and nothing is on its
// way there, nothing has been for 0 seconds.
func uploads(image string, c *model.Cell, now time.Time, send sender) {
	if c.Serving != nil {
		send("poold_image_age_seconds", now.Sub(c.Built).Seconds(), image, c.Provider)
	}
	u, took := c.Coming, 0.0
	if u != nil && u.State == pool.UploadFailed {
		u = nil
	}
	if u != nil {
		took = now.Sub(u.Created).Seconds()
		if u.State == pool.UploadUploading && u.Bytes > 0 {
			send("poold_upload_sent_ratio", float64(u.SentBytes)/float64(u.Bytes), image, c.Provider)
		}
	}
	if c.Wanted || u != nil {
		send("poold_upload_running_seconds", took, image, c.Provider)
	}
}

// builds tells of the builds of an image, which are newest first.
func builds(image string, list []*pool.Build, now time.Time, send sender) {
	running, failed := 0.0, 0
	if len(list) > 0 && list[0].State == pool.BuildBuilding {
		running = now.Sub(list[0].Created).Seconds()
	}
	for _, b := range list {
		if at, ok := entered(b.Timeline, pool.BuildReady); ok {
			send("poold_image_last_build_seconds", at.Sub(b.Created).Seconds(), image)
			break
		}
		if b.Error != "" {
			failed++
		}
	}
	send("poold_image_build_running_seconds", running, image)
	send("poold_image_failed_builds", float64(failed), image)
}

// entered is when a timeline entered a state last.
func entered[S ~string](line []pool.Entry[S], state S) (time.Time, bool) {
	for _, e := range slices.Backward(line) {
		if e.State == state {
			return e.At, true
		}
	}
	return time.Time{}, false
}
