package cloudsyaml

import (
	"maps"
	"slices"
	"strings"
)

// region is one region of a cloud, with what is different in it.
type region struct {
	name   string
	values *value
}

// regionsOf lists the regions that a layer knows: regions, or else
// region_name. Nil says that it knows none.
func regionsOf(s *settings, notes *problems) ([]region, error) {
	if v := s.top["regions"]; v != nil && !v.isNull() {
		if v.list == nil {
			return nil, problemf(v.at, "regions must be a list of names, or of mappings of name and values")
		}
		return readRegions(v.list)
	}
	v := s.top["region_name"]
	switch {
	case v == nil || v.isNull():
		return nil, nil
	case v.list != nil:
		return readRegions(v.list)
	case v.scalar == nil:
		return nil, problemf(v.at, "region_name must be the name of a region")
	case v.scalar.text == "":
		return nil, nil
	}
	if err := v.needQuotes("region_name"); err != nil {
		return nil, err
	}
	if strings.Contains(v.scalar.text, ",") {
		notes.addf(v.at, "several names in region_name: write them as a list in regions")
	}
	var all []region
	for name := range strings.SplitSeq(v.scalar.text, ",") {
		all = append(all, region{name: name})
	}
	return all, nil
}

func readRegions(list []*value) ([]region, error) {
	all := make([]region, 0, len(list))
	for _, v := range list {
		r, err := readRegion(v)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

func readRegion(v *value) (region, error) {
	if v.scalar != nil && !v.isNull() {
		return region{name: v.scalar.text}, v.needQuotes("the name of a region")
	}
	name := v.get("name")
	if name == nil || name.scalar == nil || name.isNull() {
		return region{}, problemf(v.at, "a region must be a name, or a mapping of name and values")
	}
	for _, key := range slices.Sorted(maps.Keys(v.mapping)) {
		if key != "name" && key != "values" {
			return region{}, problemf(v.mapping[key].at, "a region has only name and values: put %s below values", printable(key))
		}
	}
	r := region{name: name.scalar.text}
	if values := v.get("values"); values != nil && !values.isNull() {
		if values.mapping == nil {
			return region{}, problemf(values.at, "the values of a region must be a mapping of settings")
		}
		r.values = values
	}
	return r, name.needQuotes("the name of a region")
}

// chooseRegion takes the region that is wanted, or the first if none is.
func chooseRegion(known []region, want string, at Place) (region, error) {
	if len(known) == 0 {
		return region{name: want}, nil
	}
	if want == "" {
		return known[0], nil
	}
	names := make([]string, 0, len(known))
	for _, r := range known {
		if r.name == want {
			return r, nil
		}
		names = append(names, r.name)
	}
	return region{}, problemf(at, "there is no region %q in this cloud, only %s; mind upper and lower case", want, strings.Join(names, ", "))
}

// needQuotes refuses a text that openstacksdk does not read as it is written.
func (v *value) needQuotes(what string) error {
	if taken := v.scalar.mistaken(); taken != "" {
		return problemf(v.at, "%s is taken for %s as it is written: put it in quotes", what, taken)
	}
	return nil
}

// printable is a key for an error: one that does not look like a key may be a
// value that lost its key.
func printable(key string) string {
	for _, r := range key {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' && r != '-' {
			return "that"
		}
	}
	if len(key) > 40 {
		return "that"
	}
	return key
}
