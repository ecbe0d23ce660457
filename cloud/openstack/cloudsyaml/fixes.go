package cloudsyaml

import (
	"maps"
	"slices"
	"strings"
)

// fix rewrites the many ways of saying a thing into one, in the order of
// openstacksdk, which decides what wins.
func (s *settings) fix(notes *problems) {
	s.fixPasscode()
	s.fixTimeouts(notes)
	s.fixInterfaces()
	s.moveAuth()
	s.fixDomains()
}

// fixPasscode moves a passcode, which may come from the environment, to auth.
func (s *settings) fixPasscode() {
	if v := s.top["passcode"]; said(v) {
		s.auth["passcode"] = v
		delete(s.top, "passcode")
	}
}

// fixTimeouts makes old keys like nova_timeout mean api_timeout, over which
// they go. There can be only one: of several the last is taken.
func (s *settings) fixTimeouts(notes *problems) {
	var last *value
	for _, key := range slices.Sorted(maps.Keys(s.top)) {
		v := s.top[key]
		if !strings.HasSuffix(key, "timeout") || key == "timeout" || key == "api_timeout" || !said(v) {
			continue
		}
		notes.addf(v.at, "%s is taken for api_timeout: write that", printable(key))
		if last == nil || v.at.Line >= last.at.Line {
			last = v
		}
		delete(s.top, key)
	}
	if last != nil {
		s.top["api_timeout"] = last
	}
}

// fixInterfaces makes endpoint_type mean interface, over which it goes, also
// behind the name of a service.
func (s *settings) fixInterfaces() {
	for _, key := range slices.Sorted(maps.Keys(s.top)) {
		if prefix, ok := strings.CutSuffix(key, "endpoint_type"); ok {
			s.top[prefix+"interface"] = s.top[key]
			delete(s.top, key)
		}
	}
}

// aliases are the other names of keys of auth: of those that are said, the
// last in its list is taken.
func aliases() map[string][]string {
	return map[string][]string{
		"token":             {"auth_token", "token"},
		"project_id":        {"tenant_id", "project_id"},
		"project_name":      {"tenant_name", "project_name"},
		"username":          {"user_name", "username"},
		"default_domain_id": {"default_domain", "default_domain_id"},
	}
}

// moveAuth moves what belongs to auth there from beside it. What auth says
// itself stays, unless it is empty.
func (s *settings) moveAuth() {
	for _, key := range authKeys() {
		if v := s.top[key]; said(v) && !said(s.auth[key]) {
			s.auth[key] = v
		}
		delete(s.top, key)
	}
	v2 := s.text("auth_type") == "v2password"
	for key, names := range aliases() {
		if v2 && strings.HasPrefix(key, "project_") {
			names = slices.Clone(names)
			slices.Reverse(names) // openstacksdk looks from the other side here
		}
		var winner *value
		for _, name := range names {
			if said(s.auth[name]) {
				winner = s.auth[name]
			}
			delete(s.auth, name)
		}
		if winner != nil {
			s.auth[key] = winner
		}
	}
}

// fixDomains makes domain_id and domain_name mean the domains of user and
// project, where those are not said. Without a project they are the scope.
func (s *settings) fixDomains() {
	if !said(s.auth["project_id"]) && !said(s.auth["project_name"]) {
		return
	}
	for _, key := range []string{"domain_id", "domain_name"} {
		if v := s.auth[key]; said(v) {
			for _, target := range []string{"user_" + key, "project_" + key} {
				if !said(s.auth[target]) {
					s.auth[target] = v
				}
			}
		}
		delete(s.auth, key)
	}
}

// said tells whether a value says anything.
func said(v *value) bool {
	return v != nil && !v.isNull() && (v.scalar == nil || v.scalar.text != "")
}

// text returns a single value beside auth, or "".
func (s *settings) text(key string) string {
	if v := s.top[key]; said(v) && v.scalar != nil {
		return v.scalar.text
	}
	return ""
}
