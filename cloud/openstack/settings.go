package openstack

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"

	"poold/cloud"
)

// defaultTimeout bounds a call if clouds.yaml does not say api_timeout.
const defaultTimeout = time.Minute

// settings is what a driver needs to know of its cloud, checked.
type settings struct {
	name, region string
	// authURL ends in "/v3".
	authURL string
	options tokens.AuthOptions
	// endpointKind is "public", "internal" or "admin".
	endpointKind      string
	insecure          bool
	cacert, cert, key string
	apiTimeout        time.Duration
	imageFormat       string
	// noFloatingIP says that the cloud has none; wantFloatingIP, that it has
	// them even if no router shows it.
	noFloatingIP, wantFloatingIP bool
	networks                     []netSetting
	private, forceIPv4           bool
	// endpoints replace those of the catalog.
	endpoints map[cloud.Service]string
}

// auth returns a copy of the credentials, since gophercloud takes a pointer.
func (s *settings) auth() *tokens.AuthOptions {
	o := s.options
	return &o
}

// settings checks an entry; here is the place of the cloud as a whole.
func (e *cloudEntry) settings(here text, name, region string) (*settings, error) {
	if e.Profile.value != "" {
		return nil, e.Profile.errorf("profile is not supported: write the auth_url under auth, and what "+
			"differs from the defaults (image_format, floating_ip_source, interface), instead of %q", e.Profile.value)
	}
	if e.CloudAlias.value != "" {
		return nil, e.CloudAlias.errorf("cloud is an old name of profile, which is not supported: write the auth_url under auth")
	}
	s := &settings{
		name: name, region: region,
		insecure: e.Verify != nil && !*e.Verify || e.Insecure != nil && *e.Insecure,
		cacert:   e.CACert.value, cert: e.Cert.value, key: e.Key.value,
		apiTimeout:  defaultTimeout,
		imageFormat: cmp.Or(strings.ToLower(e.Format.value), "qcow2"),
		networks:    e.Networks,
		private:     e.Private != nil && *e.Private, forceIPv4: e.ForceIPv4 != nil && *e.ForceIPv4,
		endpoints: e.overrides(),
	}
	for _, step := range []func(here text, s *settings) error{
		e.readAuth, e.readInterface, e.readTimeout, e.readFloating,
	} {
		if err := step(here, s); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (e *cloudEntry) readInterface(_ text, s *settings) error {
	t := e.Interface
	if t.value == "" {
		t = e.Endpoint
	}
	s.endpointKind = strings.TrimSuffix(cmp.Or(t.value, "public"), "URL")
	switch s.endpointKind {
	case "public", "internal", "admin":
		return nil
	}
	return t.errorf("interface %q is none of public, internal, admin", t.value)
}

func (e *cloudEntry) readTimeout(_ text, s *settings) error {
	if e.APITimeout.value == "" {
		return nil
	}
	seconds, err := strconv.ParseFloat(e.APITimeout.value, 64)
	if err != nil || seconds <= 0 || seconds > time.Hour.Seconds() {
		return e.APITimeout.errorf("api_timeout %q is not a number of seconds up to an hour", e.APITimeout.value)
	}
	s.apiTimeout = time.Duration(seconds * float64(time.Second))
	return nil
}

func (e *cloudEntry) readFloating(_ text, s *settings) error {
	switch strings.ToLower(e.FIPSource.value) {
	case "":
	case "neutron":
		s.wantFloatingIP = true
	case "none":
		s.noFloatingIP = true
	default:
		return e.FIPSource.errorf("floating_ip_source %q is neither neutron nor none", e.FIPSource.value)
	}
	return nil
}

func (e *cloudEntry) overrides() map[cloud.Service]string {
	found := map[cloud.Service]string{}
	for _, o := range []struct {
		service cloud.Service
		url     text
	}{
		{cloud.Compute, e.ComputeURL},
		{cloud.ImageService, e.ImageURL},
		{cloud.Network, e.NetworkURL},
		{cloud.Volume, e.VolumeURL},
		{cloud.Volume, e.BlockURL},
		{cloud.Object, e.ObjectURL},
	} {
		if o.url.value != "" {
			found[o.service] = o.url.value
		}
	}
	return found
}

// readAuth makes credentials of one of the three kinds.
func (e *cloudEntry) readAuth(here text, s *settings) error {
	a := &e.Auth
	if t := cmp.Or(a.TenantName, a.TenantID); t.line > 0 {
		return t.errorf("tenants are called projects: write project_name or project_id")
	}
	if a.AuthURL.value == "" {
		return here.errorf("cloud %q has no auth_url under auth", s.name)
	}
	u := strings.TrimRight(a.AuthURL.value, "/")
	switch {
	case strings.HasSuffix(u, "/v2.0"):
		return a.AuthURL.errorf("auth_url %q is of the identity API 2.0: only 3 is supported", u)
	case !strings.HasSuffix(u, "/v3"):
		u += "/v3"
	}
	s.authURL = u
	kind := strings.TrimPrefix(e.AuthType.value, "v3")
	if kind == "" && (a.CredentialID.value != "" || a.CredentialName.value != "") {
		kind = "applicationcredential"
	}
	switch kind {
	case "", "password":
		return e.readPassword(here, s)
	case "token":
		return e.readToken(here, s)
	case "applicationcredential":
		return e.readCredential(here, s)
	}
	return e.AuthType.errorf("auth_type %q is none of password, token, v3applicationcredential", e.AuthType.value)
}

func (e *cloudEntry) readPassword(here text, s *settings) error {
	a := &e.Auth
	switch {
	case a.Username.value == "" && a.UserID.value == "":
		return here.errorf("cloud %q has no username under auth", s.name)
	case a.Password.value == "":
		return here.errorf("cloud %q has no password under auth, nor in secure.yaml", s.name)
	}
	s.options = tokens.AuthOptions{
		Username: a.Username.value, UserID: a.UserID.value, Password: a.Password.value,
		Scope: a.scope(),
	}
	if s.options.UserID != "" {
		s.options.Username = ""
		return nil
	}
	s.options.DomainID, s.options.DomainName = a.userDomain()
	if s.options.DomainID == "" && s.options.DomainName == "" {
		return here.errorf("cloud %q has no user_domain_name under auth", s.name)
	}
	return nil
}

func (e *cloudEntry) readToken(here text, s *settings) error {
	if e.Auth.Token.value == "" {
		return here.errorf("cloud %q has no token under auth, nor in secure.yaml", s.name)
	}
	s.options = tokens.AuthOptions{TokenID: e.Auth.Token.value, Scope: e.Auth.scope()}
	return nil
}

// readCredential makes an application credential, which has its own scope.
func (e *cloudEntry) readCredential(here text, s *settings) error {
	a := &e.Auth
	if a.CredentialSecret.value == "" {
		return here.errorf("cloud %q has no application_credential_secret under auth, nor in secure.yaml", s.name)
	}
	s.options = tokens.AuthOptions{
		ApplicationCredentialID: a.CredentialID.value, ApplicationCredentialSecret: a.CredentialSecret.value,
	}
	if a.CredentialID.value != "" {
		return nil
	}
	s.options.ApplicationCredentialName = a.CredentialName.value
	s.options.UserID = a.UserID.value
	if a.UserID.value == "" {
		s.options.Username = a.Username.value
		s.options.DomainID, s.options.DomainName = a.userDomain()
	}
	if s.options.ApplicationCredentialName == "" || s.options.UserID == "" && s.options.Username == "" {
		return here.errorf("cloud %q needs application_credential_id, or application_credential_name with a user", s.name)
	}
	return nil
}

func (a *authEntry) userDomain() (id, name string) {
	id = cmp.Or(a.UserDomainID.value, a.DomainID.value)
	if id != "" {
		return id, ""
	}
	return "", cmp.Or(a.UserDomainName.value, a.DomainName.value)
}

// scope is the project that the token shall be for.
func (a *authEntry) scope() tokens.Scope {
	if a.ProjectID.value != "" {
		return tokens.Scope{ProjectID: a.ProjectID.value}
	}
	s := tokens.Scope{ProjectName: a.ProjectName.value}
	if s.ProjectName == "" {
		return s
	}
	s.DomainID = cmp.Or(a.ProjectDomainID.value, a.DomainID.value)
	if s.DomainID == "" {
		s.DomainName = cmp.Or(a.ProjectDomainName.value, a.DomainName.value)
	}
	return s
}
