package openstack

import (
	"slices"
	"strings"

	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"

	"poold/cloud"
	"poold/cloud/openstack/cloudsyaml"
)

// catalogTypes are the names that a service goes by in catalogs, best first.
func catalogTypes() map[cloud.Service][]string {
	return map[cloud.Service][]string{
		cloud.Compute:      {"compute"},
		cloud.ImageService: {"image"},
		cloud.Network:      {"network"},
		cloud.Volume:       {"volumev3", "block-storage", "block-store", "volume"},
		cloud.Object:       {"object-store"},
	}
}

// choose picks each service's endpoint of the region and interface; what
// clouds.yaml says goes before the catalog.
func (s *settings) choose(catalog []tokens.CatalogEntry) map[cloud.Service]string {
	chosen := map[cloud.Service]string{}
	for service, types := range catalogTypes() {
		said := s.service(service)
		u := said.Endpoint
		if u == "" {
			u = endpoint(catalog, types, said)
		}
		if u != "" && !said.Absent {
			chosen[service] = withoutVersion(service, u)
		}
	}
	return chosen
}

// endpoint finds a service in the catalog, under the best of its names.
func endpoint(catalog []tokens.CatalogEntry, types []string, said cloudsyaml.ServiceSettings) string {
	if said.Type != "" {
		types = []string{said.Type}
	}
	for _, t := range types {
		for _, entry := range catalog {
			if entry.Type != t || said.Name != "" && entry.Name != said.Name {
				continue
			}
			i := slices.IndexFunc(entry.Endpoints, func(e tokens.Endpoint) bool {
				return e.Interface == said.Interface && e.URL != "" &&
					(said.Region == "" || e.Region == said.Region || e.RegionID == said.Region)
			})
			if i >= 0 {
				return entry.Endpoints[i].URL
			}
		}
	}
	return ""
}

// withoutVersion cuts the version off the URLs of services whose paths have
// it: some catalogs include it there, most do not.
func withoutVersion(service cloud.Service, u string) string {
	u = strings.TrimRight(u, "/")
	switch service {
	case cloud.ImageService, cloud.Network:
		if i := strings.LastIndex(u, "/v2"); i > 0 && !strings.Contains(u[i+1:], "/") {
			return u[:i]
		}
	case cloud.Identity, cloud.Compute, cloud.Volume, cloud.Object:
	}
	return u
}
