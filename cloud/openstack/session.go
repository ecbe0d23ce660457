package openstack

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"

	"poold/cloud"
	"poold/cloud/openstack/cloudsyaml"
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
	// closed forgets every session; replaced makes no more of them either.
	closed, replaced bool
	// version is that of the identity API, once the cloud was asked for it.
	version cloudsyaml.Version
	// project is that of the last token.
	project string
}

// errReplaced says that a reload has brought other credentials.
var errReplaced = errors.New("these credentials were replaced")

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
	if k.replaced {
		// The credentials are perhaps not good any more, and too many tries of
		// such lock a user out.
		r = &renewal{done: make(chan struct{}), err: &cloud.Error{Kind: cloud.Unauthorized, Op: "authenticate", Err: errReplaced}}
		close(r.done)
		return r, false, good
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

// knownProject is the id of the project, once there was a token.
func (k *keystone) knownProject() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.project
}

// replace closes for good: other credentials are used from now on.
func (k *keystone) replace() {
	k.mu.Lock()
	k.replaced = true
	k.mu.Unlock()
	k.close()
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
			k.log.Warn("token not renewed", zap.String("cloud", k.settings.Name), zap.Error(err))
			k.arm(time.Minute)
		}
		return
	}
	k.current, k.project = s, s.project
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
