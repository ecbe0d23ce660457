package openstack

import (
	"cmp"
	"crypto/sha256"
	"time"

	"poold/cloud"
	"poold/cloud/openstack/cloudsyaml"
)

// defaultTimeout bounds a call if clouds.yaml does not say api_timeout.
const defaultTimeout = time.Minute

// settings is what clouds.yaml says of the driver's cloud and region.
type settings struct {
	*cloudsyaml.Cloud
	apiTimeout time.Duration
	// tls is the fingerprint of the files with certificates and keys.
	tls [sha256.Size]byte
}

// load reads clouds.yaml.
func load(places cloudsyaml.Places, cloudName, region string) (*settings, error) {
	c, err := cloudsyaml.Load(places, cloudName, region)
	if err != nil {
		return nil, err
	}
	if c.FloatingIPs == cloudsyaml.FloatingByNova {
		return nil, &cloudsyaml.Problem{
			At: c.At, Text: "floating_ip_source nova is not supported: write neutron or None",
		}
	}
	s := &settings{Cloud: c, apiTimeout: cmp.Or(c.Timeout, defaultTimeout)}
	s.tls = s.tlsPrint()
	return s, nil
}

// noFloatingIP says that no server is to have one.
func (s *settings) noFloatingIP() bool {
	return s.FloatingIPs == cloudsyaml.FloatingNone || s.NeedsFloatingIP != nil && !*s.NeedsFloatingIP
}

// inCloudsYAML is a service as clouds.yaml calls it.
func inCloudsYAML(s cloud.Service) cloudsyaml.Service {
	switch s {
	case cloud.Identity:
		return cloudsyaml.Identity
	case cloud.Compute:
		return cloudsyaml.Compute
	case cloud.ImageService:
		return cloudsyaml.Image
	case cloud.Network:
		return cloudsyaml.Network
	case cloud.Volume:
		return cloudsyaml.BlockStorage
	case cloud.Object:
		return cloudsyaml.ObjectStore
	}
	return ""
}

// service is what clouds.yaml says of a service.
func (s *settings) service(of cloud.Service) cloudsyaml.ServiceSettings {
	return s.Service[inCloudsYAML(of)]
}
