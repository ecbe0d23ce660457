package cloudsyaml

import (
	"cmp"
	"maps"
	"net/url"
	"slices"
	"strings"

	"poold/internal/spell"
)

// authKeys are the keys of auth, which may also stand beside it.
func authKeys() []string {
	return []string{
		"auth_url", "username", "user_name", "user_id", "user_domain_id", "user_domain_name", "password", "passcode",
		"project_id", "project_name", "tenant_id", "tenant_name", "project_domain_id", "project_domain_name",
		"domain_id", "domain_name", "default_domain", "default_domain_id", "default_domain_name",
		"system_scope", "trust_id", "token", "auth_token", "auth_methods",
		"application_credential_id", "application_credential_name", "application_credential_secret",
	}
}

// method is what an auth_type means.
type method struct {
	by      Method
	version Version
}

// methods are the values of auth_type that poold can do. The names without a
// version leave it to the address.
func methods() map[string]method {
	return map[string]method{
		"password":                {ByPassword, AskVersion},
		"token":                   {ByToken, AskVersion},
		"v2password":              {ByPassword, Version2},
		"v2token":                 {ByToken, Version2},
		"v3password":              {ByPassword, Version3},
		"v3token":                 {ByToken, Version3},
		"v3applicationcredential": {ByCredential, Version3},
		"v3totp":                  {ByPasscode, Version3},
		"v3multifactor":           {ByBoth, Version3},
	}
}

// foreign are values of auth_type that openstacksdk can do and poold cannot.
func foreign() []string {
	return []string{
		"admin_token", "gnocchi-basic", "gnocchi-noauth", "http_basic", "none", "noauth", "token_endpoint",
		"v1password", "v3adfspassword", "v3fedkerb", "v3kerberos", "v3oauth1", "v3oauth2clientcredential",
		"v3oauth2mtlsclientcredential", "v3oidcaccesstoken", "v3oidcauthcode", "v3oidcclientcredentials",
		"v3oidcdeviceauthz", "v3oidcpassword", "v3samlpassword", "v3tokenlessauth",
	}
}

// useCredential is the way out of a login that needs more than poold has.
const useCredential = "make an application credential (openstack application credential create) and write " +
	"auth_type: v3applicationcredential with its id and secret"

// auth reads how to log in.
func (r *reader) auth() Auth {
	m, ok := r.method()
	if !ok {
		return Auth{}
	}
	r.unknownKeys()
	a := Auth{
		Method: m.by, Version: m.version, At: r.s.at,
		Username: r.cred("username"), UserID: r.cred("user_id"),
		Password: r.secret("password"), Passcode: r.secret("passcode"), Token: r.secret("token"),
		CredentialID: r.cred("application_credential_id"), CredentialName: r.cred("application_credential_name"),
		CredentialSecret: r.secret("application_credential_secret"),
		ProjectID:        r.cred("project_id"), ProjectName: r.cred("project_name"),
		ProjectDomainID: r.cred("project_domain_id"), ProjectDomainName: r.cred("project_domain_name"),
		UserDomainID: r.cred("user_domain_id"), UserDomainName: r.cred("user_domain_name"),
		DomainID: r.cred("domain_id"), DomainName: r.cred("domain_name"),
		TrustID: r.cred("trust_id"),
	}
	a.System = r.system()
	r.readURL(&a)
	r.defaultDomain(&a)
	r.need(&a)
	r.needDomains(&a)
	return a
}

// method reads auth_type.
func (r *reader) method() (method, bool) {
	key := "auth_type"
	if !said(r.s.top[key]) {
		key = "auth_plugin"
	}
	if !said(r.s.top[key]) {
		return methods()[r.impliedType()], true
	}
	at, name := r.s.top[key].at, r.text(key)
	m, ok := methods()[name]
	switch {
	case ok && m.by == ByBoth:
		m.by, ok = r.multifactor()
	case ok:
	case name == "": // has been told
	case slices.Contains(foreign(), name):
		r.wrong.addf(at, "%s %q is not supported: %s", key, name, useCredential)
	default:
		r.wrong.addf(at, "%s is none of %s", key, strings.Join(slices.Sorted(maps.Keys(methods())), ", "))
	}
	return m, ok
}

// impliedType is the auth_type that the other keys tell.
func (r *reader) impliedType() string {
	a := r.s.auth
	switch {
	case said(a["password"]):
	case said(a["application_credential_id"]), said(a["application_credential_name"]):
		return "v3applicationcredential"
	case said(a["token"]):
		return "token"
	}
	return "password"
}

// multifactor reads which factors there are: a password, a passcode, or both.
func (r *reader) multifactor() (Method, bool) {
	v := r.s.auth["auth_methods"]
	if !said(v) {
		r.wrong.addf(r.s.at, "auth_type v3multifactor needs auth_methods under auth, for instance [v3password, v3totp]")
		return "", false
	}
	names := v.list
	if v.scalar != nil {
		names = nil
		for name := range strings.SplitSeq(v.scalar.text, ",") {
			names = append(names, textValue(v.at, strings.TrimSpace(name)))
		}
	}
	has := map[string]bool{}
	for _, one := range names {
		if one.scalar == nil || one.scalar.text != "v3password" && one.scalar.text != "v3totp" {
			r.wrong.addf(one.at, "auth_methods can only have v3password and v3totp: %s", useCredential)
			return "", false
		}
		has[one.scalar.text] = true
	}
	switch {
	case has["v3password"] && has["v3totp"]:
		return ByBoth, true
	case has["v3totp"]:
		return ByPasscode, true
	}
	return ByPassword, true
}

// cred reads a key of auth that is no secret.
func (r *reader) cred(key string) string {
	v := r.s.auth[key]
	if !said(v) {
		return ""
	}
	if v.scalar == nil {
		r.wrong.addf(v.at, "%s must be a single value", key)
		return ""
	}
	if taken := v.scalar.mistaken(); taken != "" {
		r.wrong.addf(v.at, "%s is taken for %s as it is written: put it in quotes", key, taken)
		return ""
	}
	return v.scalar.text
}

func (r *reader) secret(key string) Secret { return Secret(r.cred(key)) }

func (r *reader) system() bool {
	v := r.s.auth["system_scope"]
	if !said(v) {
		return false
	}
	if r.cred("system_scope") != "all" {
		r.wrong.addf(v.at, "system_scope can only be all")
	}
	return true
}

// unknownKeys finds keys of auth that nothing reads, as openstacksdk does when
// it logs in.
func (r *reader) unknownKeys() {
	known := slices.Concat(authKeys(), []string{"auth_type"})
	for _, key := range slices.Sorted(maps.Keys(r.s.auth)) {
		if slices.Contains(known, key) {
			continue
		}
		v := r.s.auth[key]
		if near := nearest(key, known); near != "" {
			r.wrong.addf(v.at, "auth has no key %s: did you mean %s?", printable(key), near)
			continue
		}
		r.wrong.addf(v.at, "auth has no key %s: remove it, or move it out of auth, one step to the left", printable(key))
	}
	if v := r.s.auth["auth_type"]; v != nil {
		r.wrong.addf(v.at, "auth_type stands beside auth, not in it: move it one step to the left")
	}
}

// nearest returns the known key that differs by one or two letters, or "".
func nearest(key string, known []string) string {
	for limit := 1; limit <= 2; limit++ {
		for _, k := range known {
			if spell.Distance(key, k) <= limit {
				return k
			}
		}
	}
	return ""
}

// readURL reads the address, and from it, if need be, the version.
func (r *reader) readURL(a *Auth) {
	v := r.s.auth["auth_url"]
	if !said(v) {
		r.noURL()
		return
	}
	a.At = v.at
	if r.cred("auth_url") == "" {
		return
	}
	u := strings.TrimRight(r.expand(v, "auth_url"), "/")
	switch {
	case u == "": // has been told
		return
	case !isURL(u):
		r.wrong.addf(v.at, "auth_url must be a http or https address")
		return
	case hasUser(u):
		r.wrong.addf(v.at, "auth_url has a user or password in it: write username and password")
		return
	}
	r.settleVersion(a, u)
}

// settleVersion makes the version of the address, that of auth_type and what
// is said of domains agree.
func (r *reader) settleVersion(a *Auth, u string) {
	base, written := splitVersion(u)
	if a.Version == AskVersion {
		a.Version = written
		if written == AskVersion && a.tellsDomain(r) {
			a.Version = Version3
		}
	}
	a.URL = u
	switch a.Version {
	case AskVersion:
	case Version2:
		a.URL = base + "/v2.0"
		if written == Version3 {
			r.wrong.addf(a.At, "auth_url is of the identity API 3, but auth_type is of 2.0: write auth_type password, and domains")
		} else if a.tellsDomain(r) {
			r.wrong.addf(a.At, "auth_url is of the identity API 2.0, which knows no domains: write an auth_url that ends in /v3, or remove the domains")
		}
	case Version3:
		a.URL = base + "/v3"
		if written == Version2 {
			r.wrong.addf(a.At, "auth_url is of the identity API 2.0, but auth_type is of 3: write an auth_url that ends in /v3")
		}
	}
}

// noURL says that the address is missing, and why that may be.
func (r *reader) noURL() {
	for _, n := range r.notes {
		if strings.HasPrefix(n.Text, "there is no vendor profile") {
			r.wrong.addf(n.At, "%s; without one, auth needs auth_url", strings.TrimSuffix(n.Text, "."))
			return
		}
	}
	r.wrong.addf(r.s.at, "cloud %q has no auth_url under auth", r.name)
}

// hasUser tells an address with credentials.
func hasUser(t string) bool {
	u, err := url.Parse(t)
	return err == nil && u.User != nil
}

// splitVersion cuts the version of the identity API off an address.
func splitVersion(u string) (base string, v Version) {
	i := strings.LastIndex(u, "/")
	switch u[i+1:] {
	case "v3":
		return u[:i], Version3
	case "v2.0", "v2":
		return u[:i], Version2
	}
	return u, AskVersion
}

// tellsDomain tells whether a domain is said anywhere: then 2.0, which has
// none, is out of the question.
func (a *Auth) tellsDomain(r *reader) bool {
	return cmp.Or(a.UserDomainID, a.UserDomainName, a.ProjectDomainID, a.ProjectDomainName, a.DomainID, a.DomainName) != "" ||
		a.System || a.Version == AskVersion && (said(r.s.auth["default_domain_id"]) || said(r.s.auth["default_domain_name"]))
}

// defaultDomain fills in the domains that are not said. Of id and name, the
// id goes before the name, as it does where both are said.
func (r *reader) defaultDomain(a *Auth) {
	id, name := r.cred("default_domain_id"), r.cred("default_domain_name")
	if a.Version == Version2 {
		return
	}
	if a.UserDomainID == "" && a.UserDomainName == "" {
		a.UserDomainID, a.UserDomainName = id, name
	}
	if a.ProjectDomainID == "" && a.ProjectDomainName == "" {
		a.ProjectDomainID, a.ProjectDomainName = id, name
	}
}

// need finds credentials that are missing.
func (r *reader) need(a *Auth) {
	for _, key := range a.Method.keys() {
		if !said(r.s.auth[key]) {
			r.wrong.addf(r.s.at, "cloud %q has no %s under auth, nor in secure.yaml", r.name, key)
		}
	}
	nobody := !said(r.s.auth["username"]) && !said(r.s.auth["user_id"])
	switch a.Method {
	case ByPassword, ByPasscode, ByBoth:
		if nobody {
			r.wrong.addf(r.s.at, "cloud %q has no username under auth, nor in secure.yaml", r.name)
		} else if a.Version == Version2 && !said(r.s.auth["username"]) {
			r.wrong.addf(r.place("user_id"), "the identity API 2.0 needs username, not user_id")
		}
	case ByCredential:
		r.needCredential(nobody)
	case ByToken:
	}
}

// needCredential finds out whether an application credential is named.
func (r *reader) needCredential(nobody bool) {
	switch {
	case said(r.s.auth["application_credential_id"]):
	case !said(r.s.auth["application_credential_name"]):
		r.wrong.addf(r.s.at, "cloud %q has no application_credential_id under auth", r.name)
	case nobody:
		r.wrong.addf(r.s.at, "application_credential_name needs the user: write application_credential_id, or also username and user_domain_name")
	}
}

// keys are the keys of auth that a method cannot do without.
func (m Method) keys() []string {
	switch m {
	case ByPassword:
		return []string{"password"}
	case ByToken:
		return []string{"token"}
	case ByCredential:
		return []string{"application_credential_secret"}
	case ByPasscode:
		return []string{"passcode"}
	case ByBoth:
		return []string{"password", "passcode"}
	}
	return nil
}

// In returns how to log in with a version that the cloud was asked for. Its
// error is that it cannot be done.
func (a *Auth) In(v Version) (Auth, error) {
	c := *a
	c.Version = v
	switch v {
	case Version2:
		c.URL += "/v2.0"
		if a.UserID != "" && a.Username == "" {
			return c, problemf(a.At, "this address offers only the identity API 2.0, which needs username, not user_id")
		}
	case Version3:
		c.URL += "/v3"
		if c.needsUserDomain() {
			return c, problemf(a.At, "this address offers only the identity API 3, in which username needs its domain: add user_domain_name")
		}
		if c.needsProjectDomain() {
			return c, problemf(a.At, "this address offers only the identity API 3, in which project_name needs its domain: add project_domain_name")
		}
	case AskVersion:
	}
	return c, nil
}

// needsProjectDomain tells whether the project is said by a name that stands
// alone.
func (a *Auth) needsProjectDomain() bool {
	return a.ProjectID == "" && a.ProjectName != "" && a.ProjectDomainID == "" && a.ProjectDomainName == "" && a.Method != ByCredential
}

// needDomains finds a name that the identity API 3 cannot tell without its
// domain. Keystone would refuse it, with few words.
func (r *reader) needDomains(a *Auth) {
	if a.Version != Version3 {
		return
	}
	if a.needsUserDomain() && r.noneWrong("username", "user_id", "user_domain_id", "user_domain_name") {
		r.wrong.addf(r.place("username"), "username needs its domain: add user_domain_name (Default in most clouds)")
	}
	if a.needsProjectDomain() && r.noneWrong("project_id", "project_domain_id", "project_domain_name") {
		r.wrong.addf(r.place("project_name"), "project_name needs its domain: add project_domain_name (Default in most clouds)")
	}
}

// needsUserDomain tells whether the user is said by a name that stands alone.
func (a *Auth) needsUserDomain() bool {
	byName := a.UserID == "" && a.Username != "" && a.UserDomainID == "" && a.UserDomainName == ""
	switch a.Method {
	case ByPassword, ByPasscode, ByBoth:
		return byName
	case ByCredential:
		return byName && a.CredentialID == ""
	case ByToken:
	}
	return false
}

// noneWrong tells whether no problem was found at the keys of auth.
func (r *reader) noneWrong(keys ...string) bool {
	for _, key := range keys {
		for _, p := range r.wrong {
			if v := r.s.auth[key]; v != nil && v.at == p.At {
				return false
			}
		}
	}
	return true
}

// place is where a key of auth is written.
func (r *reader) place(key string) Place {
	if v := r.s.auth[key]; v != nil {
		return v.at
	}
	return r.s.at
}
