package cloudsyaml

import (
	_ "embed" // the table of profiles
	"maps"
	"slices"
	"strings"
)

//go:embed vendors.yaml
var vendorTable []byte

// vendorFile is how places in the table are told in errors.
const vendorFile = "the built-in profiles"

// builtin returns a profile of the table, or nil.
func builtin(name string) (*value, error) {
	all, err := parse(vendorFile, vendorTable)
	if err != nil {
		return nil, err
	}
	return all.get(name), nil
}

// profile returns the settings of the vendor profile that a cloud names, or
// empty ones.
func (d *documents) profile(ours *settings, notes *problems) (*settings, error) {
	none := &settings{at: ours.at, top: map[string]*value{}, auth: map[string]*value{}}
	key := ours.top["profile"]
	if key == nil {
		if key = ours.top["cloud"]; key != nil && key.at.File != "OS_CLOUD" {
			notes.addf(key.at, "cloud is the old name of profile: write profile")
		}
	}
	if !said(key) {
		return none, nil
	}
	if key.scalar == nil {
		return nil, problemf(key.at, "profile must be the name of a vendor profile")
	}
	name := key.scalar.text
	if name == d.envCloud {
		return none, nil
	}
	found, err := d.lookUp(name)
	switch {
	case err != nil:
		return nil, err
	case found != nil:
		return newSettings(found)
	case strings.Contains(name, "://"):
		return nil, problemf(key.at, "a profile that must be fetched from an address is not supported: "+
			"write what it says (auth_url, regions, image_format) into the cloud, or into clouds-public.yaml under a name")
	}
	notes.addf(key.at, "there is no vendor profile %q: the cloud has only what stands here. Known are %s", name, knownProfiles())
	return none, nil
}

// lookUp returns a profile, or nil. What the site says goes before the table.
func (d *documents) lookUp(name string) (*value, error) {
	found := d.public.get(name)
	if found == nil {
		return builtin(name)
	}
	if found.mapping == nil {
		return nil, problemf(found.at, "profile %q must be a mapping", name)
	}
	return found, nil
}

// knownProfiles lists the names of the table.
func knownProfiles() string {
	all, err := parse(vendorFile, vendorTable)
	if err != nil {
		return "none"
	}
	return strings.Join(slices.Sorted(maps.Keys(all.mapping)), ", ")
}
