package openstack

import (
	"cmp"
	"strings"

	"poold/cloud/openstack/cloudsyaml"
)

// RateGroup names what the limits of a cloud are for, as far as clouds.yaml
// tells: the address, the project (or who logs in, where that decides) and the
// region. Its errors are those of [Open].
func RateGroup(cloudName, region string) (string, error) {
	c, err := cloudsyaml.Load(cloudsyaml.Usual(), cloudName, region)
	if err != nil {
		return "", err
	}
	return rateGroup(c), nil
}

func rateGroup(c *cloudsyaml.Cloud) string {
	a := &c.Auth
	domain := cmp.Or(a.ProjectDomainID, a.ProjectDomainName)
	project := cmp.Or(a.ProjectID, a.ProjectName)
	if project == "" {
		domain, project = cmp.Or(a.UserDomainID, a.UserDomainName), cmp.Or(a.TrustID, a.CredentialID, a.CredentialName, a.UserID, a.Username)
	}
	return strings.Join([]string{a.URL, domain, project, c.Region}, " ")
}
