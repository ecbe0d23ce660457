package survey

import (
	"context"
	"fmt"
	"slices"

	"poold/cloud"
	"poold/config"
	"poold/pool"
)

// Driver is what is asked.
type Driver interface {
	cloud.Surveyor
	Facts(ctx context.Context) (cloud.Facts, error)
	FindImage(ctx context.Context, nameOrID string) (string, error)
	ImageMeans(ctx context.Context) (cloud.ImageMeans, error)
	ImageFormat() string
}

// survey is one provider that is being asked about.
type survey struct {
	driver   Driver
	provider *pool.Provider
	found    []config.Finding
	// quota is what the cloud tells of itself; nil if it does not.
	quota *pool.Quota
}

// Check asks the cloud of a provider.
func Check(ctx context.Context, d Driver, p *pool.Provider) []config.Finding {
	s := &survey{driver: d, provider: p}
	ctx = cloud.WithLane(ctx, cloud.LaneSweep)
	switch ok, err := d.Has(ctx, cloud.Compute); {
	case err != nil:
		s.add(config.Finding{Problem: "the cloud cannot be asked: " + err.Error()}, s.at("cloud"))
		return s.found
	case !ok:
		s.add(config.Finding{Problem: "the catalog of the cloud has no compute service in this region"}, s.at("region-name"))
		return s.found
	}
	s.checkFacts(ctx)
	s.checkQuota()
	s.checkNames(ctx)
	s.checkCloudImages(ctx)
	s.checkUploads(ctx)
	return s.found
}

// add says of which provider it is: where providers share a part of the file, the
// place does not tell.
func (s *survey) add(f config.Finding, paths ...[]string) {
	f.Paths, f.Problem = paths, s.provider.Name+": "+f.Problem
	s.found = append(s.found, f)
}

// at is a path into the provider.
func (s *survey) at(path ...string) []string {
	return append([]string{"providers", s.provider.Name}, path...)
}

// inPool is a path into a pool, inLabel one into one of its labels.
func (s *survey) inPool(p *pool.Pool, path ...string) []string {
	return s.at(append([]string{"pools", p.Name}, path...)...)
}

func (s *survey) inLabel(p *pool.Pool, l *pool.LabelSpec, path ...string) []string {
	return s.inPool(p, append([]string{"labels", l.Name}, path...)...)
}

// eachLabel shows the labels of all pools.
func (s *survey) eachLabel(show func(p *pool.Pool, l *pool.LabelSpec)) {
	for i := range s.provider.Pools {
		p := &s.provider.Pools[i]
		for j := range p.Labels {
			show(p, &p.Labels[j])
		}
	}
}

// checkFacts checks what launches are made from.
func (s *survey) checkFacts(ctx context.Context) {
	facts, err := s.driver.Facts(ctx)
	if err != nil {
		s.add(config.Finding{Problem: "the cloud does not tell its flavors, zones and limits: " + err.Error()}, s.at("cloud"))
		return
	}
	s.quota = &pool.Quota{Flavors: facts.Flavors, Zones: facts.Zones, Limits: facts.Limits}
	for i := range s.provider.Pools {
		p := &s.provider.Pools[i]
		for _, az := range p.AZs {
			if !slices.Contains(facts.Zones, az) {
				s.add(config.Finding{Problem: "the cloud has no available zone {name}", Name: az, Known: facts.Zones},
					s.inPool(p, "availability-zones", az))
			}
		}
	}
	s.eachLabel(s.checkFlavor)
}

// checkFlavor checks that a label has a flavor, and that one node of it fits into
// the quota.
func (s *survey) checkFlavor(p *pool.Pool, l *pool.LabelSpec) {
	flavor, ok := s.quota.Flavor(l)
	if !ok {
		var known []string
		for _, f := range s.quota.Flavors {
			known = append(known, f.Name)
		}
		problem := "the cloud has no flavor {name}"
		switch {
		case l.MinRAMMiB > 0 && l.FlavorName != "":
			problem = fmt.Sprintf("the cloud has no flavor with {name} in its name and at least %d MiB of RAM", l.MinRAMMiB)
		case l.MinRAMMiB > 0:
			problem = fmt.Sprintf("the cloud has no flavor with at least %d MiB of RAM", l.MinRAMMiB)
		}
		s.add(config.Finding{Problem: problem, Name: l.FlavorName, Known: known},
			s.inLabel(p, l, "flavor-name"), s.inLabel(p, l, "min-ram"))
		return
	}
	if p.IgnoreProviderQuota {
		return
	}
	if what := s.quota.Limits.Short(pool.Resources{}, l.Needs(flavor)); what != "" {
		s.add(config.Finding{Problem: "no node of flavor " + flavor.Name + " fits into the quota of the cloud: not enough " + what},
			s.inLabel(p, l, "flavor-name"), s.inLabel(p, l, "min-ram"))
	}
}

// checkQuota compares what pools may have with what the cloud allows. That the
// quota is the smaller one is no mistake: it is what counts then.
func (s *survey) checkQuota() {
	if s.quota == nil {
		return
	}
	for _, bound := range []struct {
		key string
		of  func(l *pool.Limits) int64
	}{
		{"max-servers", func(l *pool.Limits) int64 { return l.Instances }},
		{"max-cores", func(l *pool.Limits) int64 { return l.Cores }},
		{"max-ram", func(l *pool.Limits) int64 { return l.RAMMiB }},
		{"max-volumes", func(l *pool.Limits) int64 { return l.Volumes }},
		{"max-volume-gb", func(l *pool.Limits) int64 { return l.VolumeGB }},
	} {
		quota, sum := bound.of(&s.quota.Limits), int64(0)
		for i := range s.provider.Pools {
			p := &s.provider.Pools[i]
			limit := bound.of(&p.Limits)
			if quota < 0 || limit < 0 || p.IgnoreProviderQuota {
				continue
			}
			if sum += limit; sum > quota {
				s.add(config.Finding{Note: true, Problem: fmt.Sprintf(
					"the pools up to this one may have %d, the quota of the cloud is %d, which is what counts", sum, quota)},
					s.inPool(p, bound.key))
			}
		}
	}
}
