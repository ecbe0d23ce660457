package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"poold/pool"
	"poold/store/kv"
)

const (
	// leastMargin is the least time before the possible death of a lease at
	// which it counts as dead already.
	leastMargin = 500 * time.Millisecond
	// longestLook is how long the time left may go unlooked at, because timers
	// stand still while the machine is suspended.
	longestLook = 500 * time.Millisecond
	// renewRetry is the pause after a renewal that failed.
	renewRetry = 500 * time.Millisecond
)

// Session is a lease that is kept alive by [Session.Run]: the life of a peer as
// others see it. Once done it stays done. It is safe for concurrent use.
type Session struct {
	kv    kv.KV
	lease kv.LeaseID
	log   *zap.Logger
	// done is closed when the lease is dead or may be soon.
	done chan struct{}

	mu sync.Mutex
	// Guarded by mu: the renewal that counts was sent at sent and gave ttl.
	sent  instant
	ttl   time.Duration
	ended bool
	// owned are the keys that an Ownership of this session holds.
	owned map[string]bool
}

// OpenSession grants the lease of a session. It lives for ttl, rounded up to
// seconds, unless Run is called.
func OpenSession(ctx context.Context, leases kv.KV, ttl time.Duration, log *zap.Logger) (*Session, error) {
	sent := now()
	id, ttl, err := leases.Grant(ctx, ttl)
	if err != nil {
		return nil, fmt.Errorf("open a session: %w", translate(err))
	}
	return &Session{
		kv: leases, lease: id, log: log.Named("session"), done: make(chan struct{}),
		sent: sent, ttl: ttl, owned: map[string]bool{},
	}, nil
}

// Run renews the lease three times per time to live, until ctx ends, whose
// cause it returns, or the lease is dead or in doubt: then the error is
// [pool.ErrNotOwner], and all that was owned under the lease is given up. It
// does not revoke the lease; see [Session.Close].
func (s *Session) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go s.watchdog(ctx)
	go func() {
		select {
		case <-s.done:
			cancel(fmt.Errorf("the session is over: %w", pool.ErrNotOwner))
		case <-ctx.Done():
		}
	}()
	wait := s.interval()
	for {
		sleep(ctx, wait)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		wait = s.interval()
		if err := s.renew(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("lease not renewed", zap.Duration("left", s.Left()), zap.Error(err))
			wait = renewRetry
		}
	}
}

func (s *Session) interval() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ttl / 3
}

// renew renews once. What counts is when the renewal was sent: etcd's time to
// live begins later.
func (s *Session) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.interval())
	defer cancel()
	sent := now()
	ttl, err := s.kv.Renew(ctx, s.lease)
	if errors.Is(err, kv.ErrNotFound) {
		s.end()
	}
	if err != nil {
		return translate(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.sent, s.ttl = sent, ttl
	}
	return nil
}

// watchdog ends the session when its time is up.
func (s *Session) watchdog(ctx context.Context) {
	for ctx.Err() == nil {
		left := s.Left()
		if left <= 0 {
			s.end()
			return
		}
		sleep(ctx, min(left, longestLook))
	}
}

// Left returns how long the session is safe yet: the time to live since the
// last renewal was sent, less a margin of a fifth and at least 500 ms. It
// counts while the machine is suspended. Calls that must not outlive the lease
// are made only with time left, and end within it.
func (s *Session) Left() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return 0
	}
	return max(0, s.ttl-max(s.ttl/5, leastMargin)-s.sent.elapsed())
}

// Done is closed when the lease is dead or in doubt, while Run runs, or when
// the session was closed.
func (s *Session) Done() <-chan struct{} { return s.done }

func (s *Session) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.ended = true
		close(s.done)
	}
}

// Close ends the session and revokes its lease, so that others take over at
// once. Stop whatever works as owner before.
func (s *Session) Close(ctx context.Context) error {
	s.end()
	if err := s.kv.Revoke(ctx, s.lease); err != nil {
		return fmt.Errorf("close a session: %w", translate(err))
	}
	return nil
}

// claim notes that a key is owned through an Ownership of this session, and
// returns false if it is already.
func (s *Session) claim(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.owned[key] {
		return false
	}
	s.owned[key] = true
	return true
}

func (s *Session) disclaim(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.owned, key)
}
