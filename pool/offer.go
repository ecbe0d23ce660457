package pool

import (
	"encoding/json"
	"fmt"
)

// Offer is what one peer's file has of what the allocator must know, for
// whichever peer allocates. It outlives the peer: what is ready in its providers
// stays of use.
type Offer struct {
	V       int     `json:"v"`
	Peer    string  `json:"peer"`
	Catalog Catalog `json:"catalog"`

	Record
}

// Offered is the part of a catalog that an allocator needs, and how fast clouds
// may be called, for who wants to see it: nothing of how nodes and images are
// made, which is much, may be secret, and is the matter of who makes them.
func (c *Catalog) Offered() Catalog {
	out := Catalog{Labels: c.Labels, Tenants: c.Tenants, MaxHoldAge: c.MaxHoldAge}
	for i := range c.Providers {
		p := &c.Providers[i]
		lean := Provider{
			Name: p.Name, Driver: p.Driver, Cloud: p.Cloud, Region: p.Region, Rate: p.Rate,
			MaxConcurrency: p.MaxConcurrency, Priority: p.Priority, Weight: p.Weight, CloudImages: p.CloudImages,
		}
		for k := range p.Images {
			lean.Images = append(lean.Images, ProviderImage{Name: p.Images[k].Name, Connection: p.Images[k].Connection})
		}
		for k := range p.Pools {
			lean.Pools = append(lean.Pools, p.Pools[k].offered())
		}
		out.Providers = append(out.Providers, lean)
	}
	return out
}

func (p *Pool) offered() Pool {
	out := *p
	out.SecurityGroups, out.Labels = nil, nil
	for i := range p.Labels {
		l := &p.Labels[i]
		out.Labels = append(out.Labels, LabelSpec{
			Name: l.Name, MinReady: l.MinReady, DiskImage: l.DiskImage, CloudImage: l.CloudImage,
			FlavorName: l.FlavorName, MinRAMMiB: l.MinRAMMiB, BootFromVolume: l.BootFromVolume, VolumeGB: l.VolumeGB,
			Networks: l.Networks,
		})
	}
	return out
}

// Same tells whether two offers say the same.
func (o *Offer) Same(as *Offer) (bool, error) {
	a, err := json.Marshal(&o.Catalog)
	if err != nil {
		return false, fmt.Errorf("compare offers: %w", err)
	}
	b, err := json.Marshal(&as.Catalog)
	if err != nil {
		return false, fmt.Errorf("compare offers: %w", err)
	}
	return string(a) == string(b), nil
}
