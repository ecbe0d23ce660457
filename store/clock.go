package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"poold/pool"
	"poold/store/kv"
)

// beat is the value of the clock.
type beat struct {
	V    int       `json:"v"`
	Peer string    `json:"peer"`
	At   time.Time `json:"at"`
}

// SetClock tells all peers what time it is, as the owner of what own permits.
// There is no sense in repeating it later.
func (o *Owned) SetClock(ctx context.Context, peer string, at time.Time) error {
	value, err := json.Marshal(beat{V: pool.OldestVersion, Peer: peer, At: at.UTC()})
	if err != nil {
		return fmt.Errorf("set the clock: %w", err)
	}
	revision, done, err := o.store.kv.Commit(ctx, kv.Txn{
		If:   []kv.Cond{kv.Created(o.own.key, o.own.created)},
		Then: []kv.Op{kv.Put(o.store.keys.clock(), value)},
	})
	if err != nil {
		return fmt.Errorf("set the clock: %w", translate(err))
	}
	o.store.saw(revision)
	if !done {
		return fmt.Errorf("set the clock: %w", pool.ErrNotOwner)
	}
	return nil
}

// Clock asks etcd what time a peer told last, zero if none ever did, and for its
// revision.
func (s *Store) Clock(ctx context.Context) (told time.Time, revision int64, err error) {
	items, revision, err := s.kv.List(ctx, s.keys.clock())
	if err != nil {
		return time.Time{}, 0, translate(err)
	}
	for _, it := range items {
		if c, ok := s.beat(it); ok {
			told = c.At
		}
	}
	return told, revision, nil
}

// beat reads the clock; false if an item is not it.
func (s *Store) beat(it kv.Item) (c beat, ok bool) {
	ok = it.Key == s.keys.clock() && json.Unmarshal(it.Value, &c) == nil && !c.At.IsZero()
	return c, ok
}

// FollowClock calls heard whenever a peer tells what time it is after a revision,
// as soon as it does, until heard returns an error or ctx ends. What was told long
// before is of no use, for nobody knows when.
func (s *Store) FollowClock(ctx context.Context, from int64, heard func(peer string, at time.Time) error) error {
	pause := firstPause
	for ctx.Err() == nil {
		err := s.followClock(ctx, from, heard)
		if own := (*heardError)(nil); errors.As(err, &own) {
			return own.err
		}
		if ctx.Err() == nil && pause == longestPause {
			s.log.Warn("clock not followed", zap.Error(err))
		}
		sleep(ctx, pause)
		pause = min(2*pause, longestPause)
		// What was told meanwhile was told too long ago.
		if _, at, err := s.Clock(ctx); err == nil {
			from, pause = at, firstPause
		}
	}
	return context.Cause(ctx)
}

// heardError is an error of who hears the clock.
type heardError struct{ err error }

func (e *heardError) Error() string { return e.err.Error() }

// followClock is FollowClock until the watch ends.
func (s *Store) followClock(ctx context.Context, from int64, heard func(string, time.Time) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for b := range s.kv.Watch(ctx, s.keys.clock(), from) {
		if b.Err != nil {
			return b.Err
		}
		for _, e := range b.Events {
			c, ok := s.beat(e.Item)
			if e.Type != kv.EventPut || !ok {
				continue
			}
			if err := heard(c.Peer, c.At); err != nil {
				return &heardError{err}
			}
		}
	}
	return context.Cause(ctx)
}
