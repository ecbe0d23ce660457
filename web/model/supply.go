package model

import (
	"slices"
	"strings"
	"time"

	"poold/pool"
)

// Label is what there is of a label, and what is wanted.
type Label struct {
	Name string
	// Floor is how many are to be ready now, Waiting how many are asked for.
	Floor, Waiting int
	// Unknown says that the configuration has no such label.
	Unknown bool
	Counts
}

func labels(in *Input) []Label {
	rows := make([]Label, 0, len(in.Catalog.Labels))
	at := map[string]int{}
	for i := range in.Catalog.Labels {
		at[in.Catalog.Labels[i].Name] = len(rows)
		rows = append(rows, Label{Name: in.Catalog.Labels[i].Name})
	}
	for _, n := range in.Records.Nodes {
		if !n.State.Live() {
			continue
		}
		i, known := at[n.Label]
		if !known {
			i = len(rows)
			at[n.Label] = i
			rows = append(rows, Label{Name: n.Label, Unknown: true})
		}
		rows[i].add(n.State)
	}
	for i := range in.Catalog.Labels {
		rows[i].Floor = in.Catalog.Labels[i].Floor(in.Now, rows[i].InUse)
	}
	slices.SortFunc(rows, func(a, b Label) int { return strings.Compare(a.Name, b.Name) })
	return rows
}

// demand notes with each label how many nodes of it are waited for.
func (s *Site) demand() {
	wanted := map[string]int{}
	for i := range s.Queue {
		for _, l := range s.Queue[i].Labels {
			wanted[l]++
		}
	}
	for i := range s.Labels {
		s.Labels[i].Waiting = wanted[s.Labels[i].Name]
	}
}

// Gauge is how much of a resource is used.
type Gauge struct {
	Name string
	// Ours is what our nodes book, Foreign what others use, Limit how much there
	// may be; below zero is no limit.
	Ours, Foreign, Limit int64
}

// Percent is how full it is, at most 100; 0 where nothing limits.
func (g Gauge) Percent() int {
	if g.Limit <= 0 {
		return 0
	}
	return int(min(100, 100*(g.Ours+g.Foreign)/g.Limit))
}

// Full tells whether nothing fits any more.
func (g Gauge) Full() bool { return g.Limit >= 0 && g.Ours+g.Foreign >= g.Limit }

// Provider is what there is in a provider, and how it is.
type Provider struct {
	Name, Cloud, Region, Driver string
	// Owner is the peer that launches there; empty if nobody does.
	Owner string
	// Gauges are the resources that are limited, and the instances in any case.
	Gauges []Gauge
	// Rate is how many calls a second the configuration lets through; 0 is no
	// limit.
	Rate float64
	// Seen is what this peer saw of the cloud; nil if it does not call it.
	Seen   *Cloud
	Quota  *pool.Quota
	Health *pool.Health
	// Paused is why nothing is launched there by an operator's word; nil if it is.
	Paused   *pool.Pause
	Breakers []pool.Breaker
	Boots    Boots
	// Unknown says that the configuration does not have it any more.
	Unknown bool
	Counts
}

func providers(in *Input) []Provider {
	owners := map[string]string{}
	for _, m := range in.Records.Members {
		for _, key := range m.Owns {
			if name, ok := strings.CutPrefix(key, "provider/"); ok {
				owners[name] = m.Name
			}
		}
	}
	rows := make([]Provider, 0, len(in.Catalog.Providers))
	for i := range in.Catalog.Providers {
		p := &in.Catalog.Providers[i]
		row := Provider{Name: p.Name, Cloud: p.Cloud, Region: p.Region, Driver: p.Driver}
		if p.Rate > 0 {
			row.Rate = float64(time.Second) / float64(p.Rate)
		}
		rows = append(rows, row)
	}
	last := "" // nodes of a provider are together
	for _, n := range in.Records.Nodes {
		if n.Provider == last || !n.State.Live() {
			continue
		}
		last = n.Provider
		if !slices.ContainsFunc(rows, func(p Provider) bool { return p.Name == n.Provider }) {
			rows = append(rows, Provider{Name: n.Provider, Cloud: n.Cloud, Region: n.Region, Unknown: true})
		}
	}
	for i := range rows {
		rows[i].Owner = owners[rows[i].Name]
		rows[i].fill(in)
	}
	slices.SortFunc(rows, func(a, b Provider) int { return strings.Compare(a.Name, b.Name) })
	return rows
}

func (p *Provider) fill(in *Input) {
	var booked pool.Resources
	nodes := in.Records.NodesOf(p.Name)
	for _, n := range nodes {
		p.add(n.State)
		if n.State.Live() {
			booked = booked.Add(n.Resources)
		}
	}
	p.Boots = boots(nodes)
	p.Quota, p.Health, p.Paused = in.Records.Quota(p.Name), in.Records.Health(p.Name), in.Records.ProviderPause(p.Name)
	if p.Quota != nil {
		p.Gauges = gauges(booked, p.Quota)
	}
	if seen, ok := in.Facts.Clouds[p.Name]; ok {
		p.Seen = &seen
	}
	for i := range in.Breakers {
		if in.Breakers[i].Provider == p.Name {
			p.Breakers = append(p.Breakers, in.Breakers[i])
		}
	}
}

func gauges(ours pool.Resources, q *pool.Quota) []Gauge {
	limits := q.Limits
	if q.Lowered != nil {
		limits = *q.Lowered
	}
	all := []Gauge{
		{"instances", ours.Instances, q.Foreign.Instances, limits.Instances},
		{"cores", ours.Cores, q.Foreign.Cores, limits.Cores},
		{"RAM MiB", ours.RAMMiB, q.Foreign.RAMMiB, limits.RAMMiB},
		{"volumes", ours.Volumes, q.Foreign.Volumes, limits.Volumes},
		{"volume GB", ours.VolumeGB, q.Foreign.VolumeGB, limits.VolumeGB},
		{"floating IPs", ours.FloatingIPs, q.Foreign.FloatingIPs, limits.FloatingIPs},
		{"ports", ours.Ports, q.Foreign.Ports, limits.Ports},
	}
	return slices.DeleteFunc(all, func(g Gauge) bool { return g.Limit < 0 && g.Name != "instances" })
}

// Boots is how long the launches on record took from pending until ready: how
// many of them at most as long as each bound, and the last for those above.
type Boots struct {
	Buckets []int
	// All is how many there are, Median is of the middle one.
	All    int
	Median time.Duration
}

// BootBounds are the bounds of the buckets of [Boots].
func BootBounds() []time.Duration {
	return []time.Duration{
		5 * time.Second, 10 * time.Second, 20 * time.Second, 30 * time.Second, 45 * time.Second, time.Minute,
		90 * time.Second, 2 * time.Minute, 3 * time.Minute, 5 * time.Minute, 10 * time.Minute,
	}
}

func boots(nodes []*pool.Node) Boots {
	bounds := BootBounds()
	b := Boots{Buckets: make([]int, len(bounds)+1)}
	var took []time.Duration
	for _, n := range nodes {
		at, ok := n.Entered(pool.NodeReady)
		if !ok {
			continue
		}
		d := at.Sub(n.Created)
		took = append(took, d)
		i := slices.IndexFunc(bounds, func(bound time.Duration) bool { return d <= bound })
		if i < 0 {
			i = len(bounds)
		}
		b.Buckets[i]++
	}
	if b.All = len(took); b.All > 0 {
		slices.Sort(took)
		b.Median = took[b.All/2]
	}
	return b
}
