package openstack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	tokens2 "github.com/gophercloud/gophercloud/v2/openstack/identity/v2/tokens"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"

	"poold/cloud"
	"poold/cloud/openstack/cloudsyaml"
)

// authenticate asks keystone for a token, which lives as long as it says. Its
// error is never NotFound, which would prove something about a server.
func (k *keystone) authenticate(ctx context.Context) (*session, time.Duration, error) {
	auth, err := k.credentials(ctx)
	if err != nil {
		return nil, 0, err
	}
	operation, login := "POST /auth/tokens", k.login3
	if auth.Version == cloudsyaml.Version2 {
		operation, login = "POST /tokens", k.login2
	}
	call := cloud.Call{Service: cloud.Identity, Operation: operation}
	ctx = withPlan(ctx, plan{call: call, timeout: k.settings.apiTimeout})
	identity := &gophercloud.ServiceClient{
		ProviderClient: &gophercloud.ProviderClient{HTTPClient: *k.client},
		Endpoint:       auth.URL + "/",
	}
	s, life, err := login(ctx, identity, auth)
	if err == nil && s.token == "" {
		err = &cloud.Error{Kind: cloud.Unclassified, Op: "authenticate", Err: errors.New("no token in the answer")}
	}
	if err != nil {
		return nil, 0, err
	}
	return s, life, nil
}

// credentials are how to log in, with a version that the cloud has. Where
// clouds.yaml does not tell, the cloud is asked, once.
func (k *keystone) credentials(ctx context.Context) (*cloudsyaml.Auth, error) {
	auth := &k.settings.Auth
	if auth.Version != cloudsyaml.AskVersion {
		return auth, nil
	}
	version := k.knownVersion()
	if version == cloudsyaml.AskVersion {
		var err error
		if version, err = k.askVersion(ctx, auth.URL); err != nil {
			return nil, err
		}
		k.mu.Lock()
		k.version = version
		k.mu.Unlock()
	}
	in, err := auth.In(version)
	if err != nil {
		return nil, &cloud.Error{Kind: cloud.Invalid, Op: "authenticate", Err: err}
	}
	return &in, nil
}

func (k *keystone) knownVersion() cloudsyaml.Version {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.version
}

// maxVersions bounds the list of versions that a cloud has.
const maxVersions = 1 << 20

// askVersion asks which versions of the identity API a cloud has. Of several
// it takes the oldest, as openstacksdk does: no domain was said.
func (k *keystone) askVersion(ctx context.Context, u string) (cloudsyaml.Version, error) {
	call := cloud.Call{Service: cloud.Identity, Operation: "GET /"}
	ctx = withPlan(ctx, plan{call: call, timeout: k.settings.apiTimeout, choices: true})
	fail := func(kind cloud.Kind, err error) error {
		return &cloud.Error{Kind: kind, Op: "ask for the identity API's versions", Err: err}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u+"/", http.NoBody)
	if err != nil {
		return 0, fail(cloud.Invalid, err)
	}
	req.Header.Set("Accept", "application/json")
	resp, err := k.client.Do(req)
	if err != nil {
		return 0, fail(cloud.KindOf(err), err)
	}
	defer closeBody(resp.Body)
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxVersions))
	if err != nil {
		return 0, fail(cloud.Transient, err)
	}
	if resp.StatusCode > http.StatusMultipleChoices {
		kind, _ := classify(plan{call: call}, resp.StatusCode, resp.Header, body)
		if kind == cloud.NotFound || kind == cloud.Unclassified {
			kind = cloud.Invalid
		}
		return 0, fail(kind, fmt.Errorf("keystone says %d: write an auth_url that ends in /v3", resp.StatusCode))
	}
	version := oldest(body)
	if version == cloudsyaml.AskVersion {
		return 0, fail(cloud.Invalid, errors.New("the address lists no version 2.0 or 3: write an auth_url that ends in /v3"))
	}
	return version, nil
}

// oldest reads the oldest usable version of a list of versions, or of the
// description of one.
func oldest(body []byte) cloudsyaml.Version {
	type version struct {
		ID     string `json:"id"`
		Status string `json:"status"`
	}
	var answer struct {
		Version  version `json:"version"`
		Versions struct {
			Values []version `json:"values"`
		} `json:"versions"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return cloudsyaml.AskVersion
	}
	found := cloudsyaml.AskVersion
	for _, v := range append(answer.Versions.Values, answer.Version) {
		switch {
		case strings.EqualFold(v.Status, "experimental"):
		case strings.HasPrefix(v.ID, "v2."):
			return cloudsyaml.Version2
		case strings.HasPrefix(v.ID, "v3"):
			found = cloudsyaml.Version3
		}
	}
	return found
}

// login3 logs in with the identity API 3.
func (k *keystone) login3(ctx context.Context, identity *gophercloud.ServiceClient, auth *cloudsyaml.Auth) (*session, time.Duration, error) {
	result := tokens.Create(ctx, identity, options3(auth))
	if result.Err != nil {
		return nil, 0, authError(result.Err)
	}
	var body struct {
		Expires time.Time             `json:"expires_at"`
		Issued  time.Time             `json:"issued_at"`
		Catalog []tokens.CatalogEntry `json:"catalog"`
		Project struct {
			ID string `json:"id"`
		} `json:"project"`
	}
	if err := result.ExtractInto(&body); err != nil {
		return nil, 0, &cloud.Error{Kind: cloud.Transient, Op: "authenticate", Err: err}
	}
	return &session{
		token: result.Header.Get("X-Subject-Token"), project: body.Project.ID,
		region: k.settings.Region, endpoints: k.settings.choose(body.Catalog),
	}, body.Expires.Sub(body.Issued), nil
}

// options3 are credentials in the words of gophercloud, which takes only what
// the method needs.
func options3(a *cloudsyaml.Auth) *tokens.AuthOptions {
	o := &tokens.AuthOptions{Scope: scope(a)}
	switch a.Method {
	case cloudsyaml.ByToken:
		o.TokenID = a.Token.Reveal()
		return o
	case cloudsyaml.ByCredential:
		// It has a scope of its own.
		o.Scope = tokens.Scope{}
		o.ApplicationCredentialSecret = a.CredentialSecret.Reveal()
		if a.CredentialID != "" {
			o.ApplicationCredentialID = a.CredentialID
			return o
		}
		o.ApplicationCredentialName = a.CredentialName
	case cloudsyaml.ByPassword:
		o.Password = a.Password.Reveal()
	case cloudsyaml.ByPasscode:
		o.Passcode = a.Passcode.Reveal()
	case cloudsyaml.ByBoth:
		o.Password, o.Passcode = a.Password.Reveal(), a.Passcode.Reveal()
	}
	if a.UserID != "" {
		o.UserID = a.UserID
		return o
	}
	o.Username = a.Username
	o.DomainID, o.DomainName = oneOf(a.UserDomainID, a.UserDomainName)
	return o
}

// oneOf drops the name where there is an id.
func oneOf(id, name string) (string, string) {
	if id != "" {
		return id, ""
	}
	return "", name
}

// scope is what the token shall be for.
func scope(a *cloudsyaml.Auth) tokens.Scope {
	switch {
	case a.TrustID != "":
		return tokens.Scope{TrustID: a.TrustID}
	case a.System:
		return tokens.Scope{System: true}
	case a.ProjectID != "":
		return tokens.Scope{ProjectID: a.ProjectID}
	}
	s := tokens.Scope{ProjectName: a.ProjectName}
	if a.ProjectName != "" {
		s.DomainID, s.DomainName = oneOf(a.ProjectDomainID, a.ProjectDomainName)
	} else {
		s.DomainID, s.DomainName = oneOf(a.DomainID, a.DomainName)
	}
	return s
}

// login2 logs in with the identity API 2.0.
func (k *keystone) login2(ctx context.Context, identity *gophercloud.ServiceClient, auth *cloudsyaml.Auth) (*session, time.Duration, error) {
	o := tokens2.AuthOptions{TenantID: auth.ProjectID, TenantName: auth.ProjectName}
	if auth.ProjectID != "" {
		o.TenantName = ""
	}
	if auth.Method == cloudsyaml.ByToken {
		o.TokenID = auth.Token.Reveal()
	} else {
		o.Username, o.Password = auth.Username, auth.Password.Reveal()
	}
	result := tokens2.Create(ctx, identity, o)
	if result.Err != nil {
		return nil, 0, authError(result.Err)
	}
	var body struct {
		Access struct {
			Token struct {
				ID      string `json:"id"`
				Issued  string `json:"issued_at"`
				Expires string `json:"expires"`
				Tenant  struct {
					ID string `json:"id"`
				} `json:"tenant"`
			} `json:"token"`
			Catalog []tokens2.CatalogEntry `json:"serviceCatalog"`
		} `json:"access"`
	}
	if err := result.ExtractInto(&body); err != nil {
		return nil, 0, &cloud.Error{Kind: cloud.Transient, Op: "authenticate", Err: err}
	}
	t := &body.Access.Token
	return &session{
		token: t.ID, project: t.Tenant.ID, region: k.settings.Region, endpoints: k.settings.choose(catalog3(body.Access.Catalog)),
	}, life2(t.Issued, t.Expires, result.Header), nil
}

// life2 is how long a token of the identity API 2.0 lives; 0 if that is not
// told. The time of issue, which not every cloud tells, has no zone.
func life2(issued, expires string, h http.Header) time.Duration {
	until, err := time.Parse(time.RFC3339, expires)
	if err != nil {
		return 0
	}
	from, err := time.Parse("2006-01-02T15:04:05", strings.TrimSuffix(issued, "Z"))
	if err != nil {
		if from, err = http.ParseTime(h.Get("Date")); err != nil {
			return 0
		}
	}
	return until.Sub(from)
}

// catalog3 turns a catalog of the identity API 2.0 into one of 3.
func catalog3(old []tokens2.CatalogEntry) []tokens.CatalogEntry {
	catalog := make([]tokens.CatalogEntry, 0, len(old))
	for _, o := range old {
		entry := tokens.CatalogEntry{Type: o.Type, Name: o.Name}
		for _, e := range o.Endpoints {
			entry.Endpoints = append(entry.Endpoints,
				tokens.Endpoint{Interface: "public", Region: e.Region, URL: e.PublicURL},
				tokens.Endpoint{Interface: "internal", Region: e.Region, URL: e.InternalURL},
				tokens.Endpoint{Interface: "admin", Region: e.Region, URL: e.AdminURL})
		}
		catalog = append(catalog, entry)
	}
	return catalog
}

// authError classifies what kept keystone from answering with a token.
func authError(err error) error {
	if refused, ok := errors.AsType[gophercloud.ErrUnexpectedResponseCode](err); ok {
		p := plan{call: cloud.Call{Service: cloud.Identity}}
		kind, after := classify(p, refused.Actual, refused.ResponseHeader, refused.Body)
		if refused.Actual == http.StatusNotFound {
			kind = cloud.Invalid
		}
		return &cloud.Error{Kind: kind, Op: "authenticate", RetryAfter: after, Err: fmt.Errorf(
			"keystone says %d: %s", refused.Actual, message(refused.Body))}
	}
	if lost, ok := errors.AsType[*cloud.Error](err); ok {
		return named("authenticate", lost)
	}
	// What is left is credentials that cannot be made into a request.
	return &cloud.Error{Kind: cloud.Invalid, Op: "authenticate", Err: err}
}
