package cloudsyaml

import (
	"maps"
	"slices"
	"strings"
)

// documents is what was found in all files and in the environment.
type documents struct {
	clouds map[string]*value
	// client has settings for all clouds.
	client *value
	// public are the profiles of clouds-public.yaml.
	public *value
	// defaultCloud is the cloud if none is named, "" if that is not clear.
	defaultCloud string
	// envCloud is the name of the cloud that the environment is.
	envCloud string
	// main is clouds.yaml, or whatever stands in for it, for errors.
	main Place
	// hint says more about why a cloud may not be there.
	hint string
}

// read reads what is in all files.
func (f *files) read(p *Places) (*documents, error) {
	config, err := f.config.document()
	if err != nil {
		return nil, err
	}
	secure, err := f.secure.document()
	if err != nil {
		return nil, err
	}
	public, err := f.vendor.document()
	if err != nil {
		return nil, err
	}
	all, err := mergeDeep(config, secure)
	if err != nil {
		return nil, err
	}
	d := &documents{clouds: map[string]*value{}, client: all.get("client"), public: public.get("public-clouds")}
	d.main = Place{File: f.config.path}
	if f.config.path == "" {
		d.main.File = "clouds.yaml"
		d.hint = "; there is none in " + strings.Join(p.Dirs, ", ") + ", and " + configVar + " may name one"
	}
	if f.config.path == "" && len(f.denied) > 0 {
		d.hint = "; " + strings.Join(f.denied, ", ") + " may not be read by this user"
	}
	if clouds := all.get("clouds"); clouds != nil && !clouds.isNull() {
		if clouds.mapping == nil {
			return nil, problemf(clouds.at, "clouds must be a mapping from the name of a cloud to its settings")
		}
		maps.Copy(d.clouds, clouds.mapping)
	}
	return d, d.addEnvironment(p)
}

// document reads what is in a file. Nil says nothing.
func (f *file) document() (*value, error) {
	v, err := parse(f.path, f.text)
	if err != nil {
		return nil, err
	}
	if v != nil && v.mapping == nil {
		return nil, problemf(v.at, "the file must be a mapping; it begins with \"clouds:\"")
	}
	return v, nil
}

// mergeDeep puts a document over another, mapping by mapping.
func mergeDeep(old, over *value) (*value, error) {
	switch {
	case old == nil || old.isNull():
		return over, nil
	case over == nil:
		return old, nil
	case over.mapping == nil:
		return over, nil
	case old.mapping == nil:
		return nil, problemf(over.at, "this is a mapping, but in %s it is not: write it alike in both files", old.at)
	}
	v := &value{at: old.at, mapping: maps.Clone(old.mapping)}
	for _, key := range slices.Sorted(maps.Keys(over.mapping)) {
		one, err := mergeDeep(v.mapping[key], over.mapping[key])
		if err != nil {
			return nil, err
		}
		v.mapping[key] = one
	}
	return v, nil
}

// addEnvironment makes the variables OS_* a cloud, unless they only select one.
func (d *documents) addEnvironment(p *Places) error {
	d.envCloud = p.env("OS_CLOUD_NAME")
	if d.envCloud == "" {
		d.envCloud = "envvars"
	}
	if c, ok := d.clouds[d.envCloud]; ok {
		return problemf(c.at, "the name of cloud %q is taken by the OS_* variables: rename it, or set OS_CLOUD_NAME to another name", d.envCloud)
	}
	d.defaultCloud = p.env("OS_CLOUD")
	if entry := environment(p.Environ); entry != nil {
		d.clouds[d.envCloud] = entry
		if d.defaultCloud == "" {
			d.defaultCloud = d.envCloud
		}
	}
	if d.defaultCloud == "" && len(d.clouds) == 1 {
		d.defaultCloud = slices.Collect(maps.Keys(d.clouds))[0]
	}
	return nil
}

// environment returns the cloud that the variables OS_* are, or nil.
func environment(environ []string) *value {
	v := &value{at: Place{File: "the environment"}, mapping: map[string]*value{}}
	selectOnly := true
	for _, e := range environ {
		key, text, _ := strings.Cut(e, "=")
		name, ok := strings.CutPrefix(key, "OS_")
		if !ok || strings.HasPrefix(name, "TEST") || strings.HasPrefix(name, "STD") || strings.HasPrefix(name, "LOG") {
			continue
		}
		switch key {
		case "OS_CLOUD", "OS_CLOUD_NAME", "OS_REGION_NAME", configVar, secureVar, vendorVar:
		default:
			selectOnly = false
		}
		v.mapping[strings.ToLower(name)] = textValue(Place{File: key}, text)
	}
	if selectOnly {
		return nil
	}
	return v
}

// pick returns the cloud of a name; "" takes the default.
func (d *documents) pick(name string) (string, *value, error) {
	known := slices.Sorted(maps.Keys(d.clouds))
	if name == "" {
		name = d.defaultCloud
	}
	switch {
	case name == "" && len(known) == 0:
		return "", nil, problemf(d.main, "there is no cloud%s", d.hint)
	case name == "":
		return "", nil, problemf(d.main, "there are several clouds: name one of %s, for instance by OS_CLOUD", strings.Join(known, ", "))
	}
	v, ok := d.clouds[name]
	switch {
	case !ok && len(known) == 0:
		return "", nil, problemf(d.main, "there is no cloud %q%s", name, d.hint)
	case !ok:
		return "", nil, problemf(d.main, "there is no cloud %q, only %s%s", name, strings.Join(known, ", "), d.hint)
	case v.isNull():
		v = &value{at: v.at, mapping: map[string]*value{}}
	case v.mapping == nil:
		return "", nil, problemf(v.at, "cloud %q must be a mapping: its settings stand below it, indented", name)
	}
	return name, v, nil
}

// settings are the settings of a cloud: those of auth and the others. Dashes
// in keys are underscores.
type settings struct {
	at        Place
	top, auth map[string]*value
}

// newSettings reads one layer.
func newSettings(v *value) (*settings, error) {
	s := &settings{at: v.at, top: map[string]*value{}, auth: map[string]*value{}}
	for key, one := range v.mapping {
		s.top[strings.ReplaceAll(key, "-", "_")] = one
	}
	auth := s.top["auth"]
	delete(s.top, "auth")
	if auth == nil || auth.isNull() {
		return s, nil
	}
	if auth.mapping == nil {
		return nil, problemf(auth.at, "auth must be a mapping: auth_url, username and so on stand below it, indented")
	}
	for key, one := range auth.mapping {
		s.auth[strings.ReplaceAll(key, "-", "_")] = one
	}
	return s, nil
}

// add puts a later layer over what is there, key by key.
func (s *settings) add(later *settings) {
	maps.Copy(s.top, later.top)
	maps.Copy(s.auth, later.auth)
}

// addPresent does the same for the values of a region, in which an empty
// value says nothing.
func (s *settings) addPresent(later *settings) {
	for key, v := range later.top {
		if !v.isNull() {
			s.top[key] = v
		}
	}
	maps.Copy(s.auth, later.auth)
}
