package survey

import (
	"context"
	"fmt"

	"poold/cloud"
	"poold/config"
	"poold/pool"
)

// wanted is a name that the configuration counts on, and where it does.
type wanted struct {
	name  string
	paths [][]string
}

// checkNames checks what is referred to by name or id. What nothing refers to
// is not asked for.
func (s *survey) checkNames(ctx context.Context) {
	all := map[cloud.NamedKind][]wanted{}
	want := func(kind cloud.NamedKind, name string, paths ...[]string) {
		if name != "" {
			all[kind] = append(all[kind], wanted{name, paths})
		}
	}
	for i := range s.provider.Pools {
		p := &s.provider.Pools[i]
		for _, group := range p.SecurityGroups {
			want(cloud.NamedSecurityGroup, group, s.inPool(p, "security-groups", group))
		}
	}
	s.eachLabel(func(p *pool.Pool, l *pool.LabelSpec) {
		for _, n := range l.Networks {
			want(cloud.NamedNetwork, n, s.inLabel(p, l, "networks", n), s.inPool(p, "networks", n))
		}
		want(cloud.NamedKeyPair, l.KeyName, s.inLabel(p, l, "key-name"))
		want(cloud.NamedServerGroup, l.ServerGroup, s.inLabel(p, l, "server-group"))
	})
	s.checkVolumes(ctx)
	for _, kind := range []cloud.NamedKind{
		cloud.NamedNetwork, cloud.NamedSecurityGroup, cloud.NamedKeyPair, cloud.NamedServerGroup,
	} {
		s.checkKind(ctx, kind, all[kind])
	}
}

// checkKind checks all names of a kind by one list.
func (s *survey) checkKind(ctx context.Context, kind cloud.NamedKind, all []wanted) {
	if len(all) == 0 {
		return
	}
	there, err := s.driver.Names(ctx, kind)
	if err != nil {
		s.add(config.Finding{Problem: fmt.Sprintf("the cloud does not tell its %ss: %s", kind, err)}, all[0].paths...)
		return
	}
	var known []string
	ids, names := map[string]bool{}, map[string]int{}
	for _, n := range there {
		ids[n.ID] = true
		names[n.Name]++
		known = append(known, n.Name)
	}
	for _, w := range all {
		switch n := names[w.name]; {
		case ids[w.name] || n == 1:
		case n > 1:
			s.add(config.Finding{Problem: fmt.Sprintf("the cloud has %d %ss {name}: an id is needed", n, kind), Name: w.name}, w.paths...)
		default:
			s.add(config.Finding{Problem: fmt.Sprintf("the cloud has no %s {name}", kind), Name: w.name, Known: known}, w.paths...)
		}
	}
}

// checkVolumes looks for who makes volumes. Nova may know one that the catalog
// does not show.
func (s *survey) checkVolumes(ctx context.Context) {
	s.eachLabel(func(p *pool.Pool, l *pool.LabelSpec) {
		if !l.BootFromVolume {
			return
		}
		// A second login is not needed, so that no error is to be told here.
		if ok, err := s.driver.Has(ctx, cloud.Volume); !ok && err == nil {
			s.add(config.Finding{Note: true, Problem: "the catalog of the cloud has no volume service: its quota of volumes is not known"},
				s.inLabel(p, l, "boot-from-volume"))
		}
	})
}

// checkCloudImages looks for the images that are to be there.
func (s *survey) checkCloudImages(ctx context.Context) {
	for i := range s.provider.CloudImages {
		image := &s.provider.CloudImages[i]
		name, key := image.ID, "image-id"
		if name == "" {
			name, key = image.ImageName, "image-name"
		}
		_, err := s.driver.FindImage(ctx, name)
		switch {
		case err == nil:
		case cloud.KindOf(err) == cloud.NotFound:
			s.add(config.Finding{Problem: "the cloud has no active image {name}", Name: name},
				s.at("cloud-images", image.Name, key), s.at("cloud-images", image.Name, "name"))
		default:
			s.add(config.Finding{Problem: "the cloud does not tell its images: " + err.Error()}, s.at("cloud-images", image.Name))
			return // nor the next
		}
	}
}
