package cloudsyaml

import (
	"cmp"
	"maps"
	"math"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxTimeout is more than anybody waits for a call.
const maxTimeout = time.Hour

// reader turns the settings of a cloud into a Cloud, and goes on after a
// problem to find the others.
type reader struct {
	home, name string
	profile    string
	region     string
	s          *settings
	wrong      problems
	notes      problems
}

// resolve puts the layers of a cloud over each other.
func (r *reader) resolve(d *documents, entry *value, wantRegion string) error {
	ours, err := newSettings(entry)
	if err != nil {
		return err
	}
	if err := r.implyProfile(ours); err != nil {
		return err
	}
	vendor, err := d.profile(ours, &r.notes)
	if err != nil {
		return err
	}
	known, err := regionsOf(ours, &r.notes)
	if err == nil && known == nil {
		known, err = regionsOf(vendor, &r.notes)
	}
	if err != nil {
		return err
	}
	chosen, err := chooseRegion(known, wantRegion, entry.at)
	if err != nil {
		return err
	}
	r.region = chosen.name
	r.s = &settings{at: entry.at, top: map[string]*value{}, auth: map[string]*value{}}
	r.s.add(vendor)
	r.s.add(ours)
	if chosen.values != nil {
		values, err := newSettings(chosen.values)
		if err != nil {
			return err
		}
		r.s.addPresent(values)
	}
	delete(r.s.top, "regions")
	r.s.top["region_name"] = textValue(entry.at, chosen.name)
	r.profile = cmp.Or(r.s.text("profile"), r.s.text("cloud"))
	r.s.fix(&r.notes)
	return nil
}

// implyProfile takes the name of a cloud for that of its profile, if nothing
// else says where the cloud is.
func (r *reader) implyProfile(ours *settings) error {
	if slices.ContainsFunc([]*value{ours.top["profile"], ours.top["cloud"], ours.top["auth_url"], ours.auth["auth_url"]}, said) {
		return nil
	}
	for _, one := range ours.top["regions"].items() {
		if values := one.get("values"); said(values.get("auth").get("auth_url")) || said(values.get("auth_url")) {
			return nil
		}
	}
	found, err := builtin(r.name)
	if err == nil && found != nil {
		ours.top["profile"] = textValue(ours.at, r.name)
	}
	return err
}

// items returns the values of a list.
func (v *value) items() []*value {
	if v == nil {
		return nil
	}
	return v.list
}

// read reads all settings.
func (r *reader) read(d *documents, p *Places) (*Cloud, error) {
	c := &Cloud{Name: r.name, Region: r.region, At: r.s.at, Service: map[Service]ServiceSettings{}}
	r.readTLS(c)
	c.Timeout = r.timeout()
	c.ImageFormat = strings.ToLower(cmp.Or(r.text("image_format"), "qcow2"))
	c.ImageByTask = r.flag("image_api_use_tasks", false)
	c.Private = r.flag("private", false)
	c.ForceIPv4 = r.forceIPv4(d, p)
	r.readFloating(c)
	c.Networks = r.networks()
	c.Auth = r.auth()
	for _, service := range Services() {
		c.Service[service] = r.service(service, &c.Auth)
	}
	c.Notes = r.notes
	if err := r.wrong.err(); err != nil {
		return nil, err
	}
	return c, nil
}

// text reads a single value, in which {region_name} and the like are replaced.
func (r *reader) text(key string) string {
	v := r.s.top[key]
	if !said(v) {
		return ""
	}
	return r.single(v, key)
}

// single reads a value as text.
func (r *reader) single(v *value, key string) string {
	if v.scalar == nil {
		r.wrong.addf(v.at, "%s must be a single value", printable(key))
		return ""
	}
	if err := v.needQuotes(printable(key)); err != nil {
		r.wrong.addf(v.at, "%s", strings.TrimPrefix(err.Error(), v.at.String()+": "))
		return ""
	}
	return r.expand(v, key)
}

// flag reads true or false.
func (r *reader) flag(key string, unless bool) bool {
	return r.flagOf(r.s.top[key], key, unless)
}

func (r *reader) flagOf(v *value, key string, unless bool) bool {
	if !said(v) {
		return unless
	}
	if v.scalar != nil {
		if b, ok := v.scalar.boolean(); ok {
			return b
		}
	}
	r.wrong.addf(v.at, "%s must be true or false", printable(key))
	return unless
}

// expand replaces {key} by the value of another key, as Python's format does.
func (r *reader) expand(v *value, key string) string {
	text := v.scalar.text
	if !strings.ContainsAny(text, "{}") {
		return text
	}
	var b strings.Builder
	for rest := text; rest != ""; {
		i := strings.IndexAny(rest, "{}")
		if i < 0 {
			b.WriteString(rest)
			break
		}
		b.WriteString(rest[:i])
		if rest[i:] != rest[i:i+1] && rest[i+1] == rest[i] {
			b.WriteByte(rest[i])
			rest = rest[i+2:]
			continue
		}
		name, after, closed := strings.Cut(rest[i+1:], "}")
		with, known := r.placeholder(name)
		if rest[i] == '}' || !closed || !known {
			r.wrong.addf(v.at, "%s has braces that name no other key of the cloud: write {region_name}, or {{ and }} for braces", printable(key))
			return ""
		}
		b.WriteString(with)
		rest = after
	}
	return b.String()
}

// placeholder returns the text of a key that may stand in braces.
func (r *reader) placeholder(name string) (text string, ok bool) {
	v := r.s.top[name]
	if v == nil || v.scalar == nil || v.isNull() {
		return "", false
	}
	return v.scalar.text, true
}

func (r *reader) readTLS(c *Cloud) {
	c.Insecure = !r.flag("verify", true)
	if r.flag("insecure", false) {
		c.Insecure = true
	}
	c.CACert, c.Cert, c.Key = r.path("cacert"), r.path("cert"), r.path("key")
	if c.CACert != "" && c.Insecure {
		r.notes.addf(r.s.top["cacert"].at, "cacert has no effect, since the cloud is not verified: remove verify: false (or insecure: true)")
	}
	if c.Key != "" && c.Cert == "" {
		r.wrong.addf(r.s.top["key"].at, "key without cert: name the client certificate that the key belongs to")
	}
}

// path reads the path of a file.
func (r *reader) path(key string) string {
	t := r.text(key)
	if rest, ok := strings.CutPrefix(t, "~"); ok && r.home != "" && (rest == "" || rest[0] == '/') {
		return filepath.Join(r.home, rest)
	}
	return t
}

func (r *reader) timeout() time.Duration {
	v := r.s.top["api_timeout"]
	if !said(v) {
		return 0
	}
	if v.scalar != nil {
		seconds, err := strconv.ParseFloat(v.scalar.text, 64)
		if err == nil && seconds > 0 && seconds <= maxTimeout.Seconds() && !math.IsNaN(seconds) {
			return time.Duration(seconds * float64(time.Second))
		}
	}
	r.wrong.addf(v.at, "api_timeout must be a number of seconds, up to an hour")
	return 0
}

// forceIPv4 reads the word of the cloud, else that of all clouds, under the
// names they ever had.
func (r *reader) forceIPv4(d *documents, p *Places) bool {
	all := map[string]*value{}
	if d.client != nil {
		maps.Copy(all, d.client.mapping)
	}
	force, prefer := first(all, "force_ipv4", "broken-ipv6"), first(all, "prefer_ipv6", "prefer-ipv6")
	for variable, target := range map[string]**value{"OS_FORCE_IPV4": &force, "OS_PREFER_IPV6": &prefer} {
		if t := p.env(variable); t != "" {
			*target = textValue(Place{File: variable}, t)
		}
	}
	forced := r.flagOf(force, "force_ipv4", false) || !r.flagOf(prefer, "prefer_ipv6", true)
	forced = r.flag("force_ipv4", forced)
	return forced || !r.flag("prefer_ipv6", true)
}

func first(m map[string]*value, keys ...string) *value {
	for _, key := range keys {
		if v := m[key]; v != nil {
			return v
		}
	}
	return nil
}

func (r *reader) readFloating(c *Cloud) {
	c.FloatingIPs = FloatingByNeutron
	if v := r.s.top["floating_ip_source"]; v != nil {
		// Without a value it is Python's None, which people also write as text.
		c.FloatingIPs = FloatingNone
		if said(v) {
			c.FloatingIPs = FloatingIPSource(strings.ToLower(r.single(v, "floating_ip_source")))
		}
		switch c.FloatingIPs {
		case FloatingByNeutron, FloatingByNova, FloatingNone, "":
		default:
			r.wrong.addf(v.at, "floating_ip_source must be neutron, nova or None")
		}
	}
	if v := r.s.top["requires_floating_ip"]; said(v) {
		needs := r.flagOf(v, "requires_floating_ip", false)
		c.NeedsFloatingIP = &needs
	}
	if c.FloatingIPs == FloatingNone {
		c.NeedsFloatingIP = new(bool)
	}
}

// names are the prefixes of a service's keys: its type, then the other names
// it goes by, in the order in which openstacksdk looks.
func (s Service) names() []string {
	if s == BlockStorage {
		return []string{"block_storage", "volumev3", "volumev2", "volume", "block_store"}
	}
	return []string{strings.ReplaceAll(string(s), "-", "_")}
}

// service reads what is said about a service.
func (r *reader) service(service Service, a *Auth) ServiceSettings {
	get := func(key string) string {
		for _, name := range service.names() {
			if t := r.text(name + "_" + key); t != "" {
				return t
			}
		}
		return ""
	}
	s := ServiceSettings{
		Endpoint: cmp.Or(get("endpoint_override"), get("endpoint")),
		Region:   cmp.Or(get("region_name"), r.region),
		Type:     get("service_type"), Name: get("service_name"), APIVersion: get("api_version"),
	}
	s.Interface = r.iface(service)
	for _, name := range service.names() {
		s.Absent = s.Absent || !r.flag("has_"+name, true)
	}
	if s.Endpoint == "" {
		return s
	}
	if !isURL(s.Endpoint) {
		r.wrong.addf(r.placeOf(service, "endpoint_override", "endpoint"), "the endpoint of the %s service must be a http or https address", service)
	}
	// Rackspace's catalog has only an old version, at another address, which
	// needs the project.
	if service == BlockStorage && r.profile == "rackspace" {
		s.Endpoint += a.ProjectID
	}
	return s
}

// placeOf is where a service's key is written.
func (r *reader) placeOf(service Service, keys ...string) Place {
	for _, key := range keys {
		for _, name := range service.names() {
			if v := r.s.top[name+"_"+key]; said(v) {
				return v.at
			}
		}
	}
	return r.s.at
}

// iface reads which of the catalog's endpoints of a service to take.
func (r *reader) iface(service Service) string {
	keys := make([]string, 0, len(service.names())+1)
	for _, name := range service.names() {
		keys = append(keys, name+"_interface")
	}
	for _, key := range append(keys, "interface") {
		v := r.s.top[key]
		if !said(v) {
			continue
		}
		t := strings.TrimSuffix(r.single(v, key), "URL")
		switch t {
		case "public", "internal", "admin", "":
			return t
		}
		r.wrong.addf(v.at, "%s must be public, internal or admin", key)
		return ""
	}
	return "public"
}

// isURL tells an address that can be called.
func isURL(t string) bool {
	u, err := url.Parse(t)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// networks reads what is said about networks.
func (r *reader) networks() []NetworkSettings {
	v := r.s.top["networks"]
	var all []NetworkSettings
	old := map[string]*value{}
	for _, key := range []string{"external_network", "internal_network"} {
		if said(r.s.top[key]) {
			old[key] = r.s.top[key]
		}
	}
	for key, one := range old {
		if v != nil {
			r.wrong.addf(one.at, "%s and networks cannot both be there: put it into networks, with routes_externally", key)
			return nil
		}
	}
	if said(v) && v.list == nil {
		r.wrong.addf(v.at, "networks must be a list, each with a name")
	}
	for _, one := range v.items() {
		if n, ok := r.network(one); ok {
			all = append(all, n)
		}
	}
	for _, key := range []string{"external_network", "internal_network"} {
		one := old[key]
		if one == nil {
			continue
		}
		external := key == "external_network"
		r.notes.addf(one.at, "%s is old: write networks, a list of name and routes_externally", key)
		all = append(all, NetworkSettings{
			Name: r.single(one, key), RoutesIPv4: external, RoutesIPv6: external, NATDestination: !external, Default: external,
		})
	}
	r.onlyOne(v, all)
	return all
}

// network reads one entry of networks.
func (r *reader) network(v *value) (NetworkSettings, bool) {
	if name := v.get("name"); !said(name) || name.scalar == nil {
		r.wrong.addf(v.at, "a network must have a name")
		return NetworkSettings{}, false
	}
	flag := func(key string, unless bool) bool {
		one := v.get(key)
		if one == nil {
			one = v.get(strings.ReplaceAll(key, "_", "-"))
		}
		return r.flagOf(one, key, unless)
	}
	routes := flag("routes_externally", false)
	return NetworkSettings{
		Name:       r.single(v.get("name"), "name"),
		RoutesIPv4: flag("routes_ipv4_externally", routes), RoutesIPv6: flag("routes_ipv6_externally", routes),
		NATDestination: flag("nat_destination", false), NATSource: flag("nat_source", false),
		Default: flag("default_interface", false),
	}, true
}

// onlyOne finds a role that two networks have.
func (r *reader) onlyOne(v *value, all []NetworkSettings) {
	for key, has := range map[string]func(NetworkSettings) bool{
		"nat_destination":   func(n NetworkSettings) bool { return n.NATDestination },
		"default_interface": func(n NetworkSettings) bool { return n.Default },
	} {
		var names []string
		for _, n := range all {
			if has(n) {
				names = append(names, strconv.Quote(n.Name))
			}
		}
		if len(names) > 1 && v != nil {
			r.wrong.addf(v.at, "only one network can have %s, not %s", key, strings.Join(names, " and "))
		}
	}
}
