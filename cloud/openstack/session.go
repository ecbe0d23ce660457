package openstack

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"
	"go.uber.org/zap"

	"poold/cloud"
)

// session is a token with what came with it. It is immutable.
type session struct {
	token string
	// project is the id of the project that the token is for.
	project string
	region  string
	// endpoints are the base URLs, without the version where paths have it.
	endpoints map[cloud.Service]string
}

// endpoint returns the base URL of a service.
func (s *session) endpoint(service cloud.Service) (string, error) {
	if base, ok := s.endpoints[service]; ok {
		return base, nil
	}
	return "", fmt.Errorf("the catalog has no %s service in region %q", service, s.region)
}

// has tells whether the region has a service.
func (s *session) has(service cloud.Service) bool {
	_, ok := s.endpoints[service]
	return ok
}

// keystone keeps the one session that all calls share. A token is renewed
// after 80 % of its life, or when it is refused, by one caller at a time.
type keystone struct {
	settings *settings
	client   *http.Client
	log      *zap.Logger

	mu      sync.Mutex // guards what follows
	current *session
	// stale says that current should be renewed, though it is still good.
	stale    bool
	timer    *time.Timer
	renewing *renewal
	closed   bool
}

// renewal is one authentication that others wait for.
type renewal struct {
	done chan struct{}
	// What follows is written before done is closed.
	session *session
	err     error
	// abandoned says that whoever made the call gave up: that tells nothing
	// about the credentials.
	abandoned bool
}

// session returns a session other than the one that was refused, which may be
// nil. Its error is a *cloud.Error.
func (k *keystone) session(ctx context.Context, refused *session) (*session, error) {
	for {
		r, mine, good := k.join(refused)
		if r == nil {
			return good, nil
		}
		if mine {
			k.renew(ctx, r)
		}
		select {
		case <-r.done:
		case <-ctx.Done():
			return nil, &cloud.Error{Kind: cloud.Transient, Op: "authenticate", Err: context.Cause(ctx)}
		}
		switch {
		case r.err == nil:
			return r.session, nil
		case good != nil:
			return good, nil
		case !r.abandoned || mine:
			return nil, r.err
		}
	}
}

// join returns the session to use if no renewal is due. Otherwise it returns
// the renewal to wait for, whether the caller is the one to make it, and a
// session that will do if it fails.
func (k *keystone) join(refused *session) (r *renewal, mine bool, good *session) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.current != refused {
		good = k.current
	}
	if good != nil && (!k.stale || k.renewing != nil) {
		return nil, false, good
	}
	if k.renewing != nil {
		return k.renewing, false, good
	}
	k.renewing = &renewal{done: make(chan struct{})}
	return k.renewing, true, good
}

// refuse marks a session as refused, without renewing it.
func (k *keystone) refuse(s *session) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.current == s {
		k.current = nil
	}
}

// close forgets the session.
func (k *keystone) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed, k.current = true, nil
	if k.timer != nil {
		k.timer.Stop()
	}
}

// renew authenticates and publishes the outcome.
func (k *keystone) renew(ctx context.Context, r *renewal) {
	s, life, err := k.authenticate(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	defer close(r.done)
	r.session, r.err, r.abandoned = s, err, ctx.Err() != nil
	k.renewing = nil
	if err != nil {
		if k.current != nil && k.stale {
			k.log.Warn("token not renewed", zap.String("cloud", k.settings.name), zap.Error(err))
			k.arm(time.Minute)
		}
		return
	}
	k.current = s
	k.arm(life * 4 / 5)
}

// arm makes the session stale after a while. It needs no clock: what counts is
// how long a token lives, and the cloud says that by its own.
func (k *keystone) arm(after time.Duration) {
	if k.timer != nil {
		k.timer.Stop()
	}
	k.stale = false
	if k.closed || after <= 0 {
		return
	}
	armed := k.current
	k.timer = time.AfterFunc(after, func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.stale = k.current == armed
	})
}

// authenticate asks keystone for a token, which lives as long as it says. Its
// error is never NotFound, which would prove something about a server.
func (k *keystone) authenticate(ctx context.Context) (*session, time.Duration, error) {
	call := cloud.Call{Service: cloud.Identity, Operation: "POST /auth/tokens"}
	ctx = withPlan(ctx, plan{call: call, timeout: k.settings.apiTimeout})
	identity := &gophercloud.ServiceClient{
		ProviderClient: &gophercloud.ProviderClient{HTTPClient: *k.client},
		Endpoint:       k.settings.authURL + "/",
	}
	result := tokens.Create(ctx, identity, k.settings.auth())
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
	s := &session{
		token: result.Header.Get("X-Subject-Token"), project: body.Project.ID,
		region: k.settings.region, endpoints: k.settings.choose(body.Catalog),
	}
	if s.token == "" {
		return nil, 0, &cloud.Error{Kind: cloud.Unclassified, Op: "authenticate", Err: errors.New("no token in the answer")}
	}
	return s, body.Expires.Sub(body.Issued), nil
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

// catalogTypes are the names that a service goes by in catalogs, best first.
func catalogTypes() map[cloud.Service][]string {
	return map[cloud.Service][]string{
		cloud.Compute:      {"compute"},
		cloud.ImageService: {"image"},
		cloud.Network:      {"network"},
		cloud.Volume:       {"volumev3", "block-storage", "block-store", "volume"},
		cloud.Object:       {"object-store"},
	}
}

// choose picks each service's endpoint of the region and interface; what the
// configuration says goes before the catalog.
func (s *settings) choose(catalog []tokens.CatalogEntry) map[cloud.Service]string {
	chosen := map[cloud.Service]string{}
	for service, types := range catalogTypes() {
		for _, t := range slices.Backward(types) {
			for _, e := range catalog {
				if u := s.find(e); e.Type == t && u != "" {
					chosen[service] = u
				}
			}
		}
	}
	maps.Copy(chosen, s.endpoints)
	for service, u := range chosen {
		chosen[service] = withoutVersion(service, u)
	}
	return chosen
}

func (s *settings) find(entry tokens.CatalogEntry) string {
	for _, e := range entry.Endpoints {
		if e.Interface == s.endpointKind && (s.region == "" || e.Region == s.region || e.RegionID == s.region) {
			return e.URL
		}
	}
	return ""
}

// withoutVersion cuts the version off the URLs of services whose paths have
// it: some catalogs include it there, most do not.
func withoutVersion(service cloud.Service, u string) string {
	u = strings.TrimRight(u, "/")
	switch service {
	case cloud.ImageService, cloud.Network:
		if i := strings.LastIndex(u, "/v2"); i > 0 && !strings.Contains(u[i+1:], "/") {
			return u[:i]
		}
	case cloud.Identity, cloud.Compute, cloud.Volume, cloud.Object:
	}
	return u
}
