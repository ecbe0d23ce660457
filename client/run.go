package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"poold/pool"
	"poold/store/kv"
)

// watchPause is how long to wait before watching again after etcd was away.
const watchPause = time.Second

// keepAlive renews the lease, if there is one, three times in its life, until
// ctx ends or the lease is dead.
func (r *Request) keepAlive(ctx context.Context, ttl time.Duration) {
	defer close(r.lost)
	if r.lease == 0 {
		<-ctx.Done()
		return
	}
	tick := time.NewTicker(ttl / 3)
	defer tick.Stop()
	died := time.Now().Add(ttl)
	for time.Now().Before(died) {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		asked := time.Now()
		renewal, cancel := context.WithTimeout(ctx, ttl/3)
		left, err := r.client.kv.Renew(renewal, r.lease)
		cancel()
		switch {
		case errors.Is(err, kv.ErrNotFound):
			return
		case err == nil:
			died = asked.Add(left)
		}
	}
}

// Watch calls enough for every version of the answer, from the current one on,
// until it returns true, and returns that version. It goes on through times
// when etcd is away. Errors are those of Wait.
func (r *Request) Watch(ctx context.Context, enough func(*pool.Allocation) bool) (*pool.Allocation, error) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-r.lost:
			return nil, ErrLost
		case <-pause.C:
		}
		answer, err := r.look(ctx, enough)
		if answer != nil || err != nil {
			return answer, err
		}
		pause.Reset(watchPause)
	}
}

// look lists and then follows the answer. It returns nothing when etcd is away
// or the watch broke.
func (r *Request) look(ctx context.Context, enough func(*pool.Allocation) bool) (*pool.Allocation, error) {
	// The lists are of one key and whatever starts like it; the first tells
	// the revision to watch from.
	asked, revision, err := r.client.kv.List(ctx, r.client.key("requests", r.id))
	if err != nil {
		return nil, nil //nolint:nilerr,nilnil // etcd is away: the caller asks again
	}
	if !slices.ContainsFunc(asked, func(i kv.Item) bool { return i.CreateRevision == r.ref.CreateRevision }) {
		return nil, ErrLost
	}
	answers, _, err := r.client.kv.List(ctx, r.client.key("allocations", r.id))
	if err != nil {
		return nil, nil //nolint:nilerr,nilnil // etcd is away: the caller asks again
	}
	for _, item := range answers {
		if a, err := r.answer(item); err != nil || (a != nil && enough(a)) {
			return a, err
		}
	}
	return r.follow(ctx, revision, enough)
}

// follow watches the request and its answer from a revision on. It returns
// nothing when a watch broke.
func (r *Request) follow(
	ctx context.Context, revision int64, enough func(*pool.Allocation) bool,
) (*pool.Allocation, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	requests := r.client.kv.Watch(ctx, r.client.key("requests", r.id), revision)
	answers := r.client.kv.Watch(ctx, r.client.key("allocations", r.id), revision)
	for {
		var b kv.Batch
		var open bool
		select {
		case <-r.lost:
			return nil, ErrLost
		case b, open = <-requests:
		case b, open = <-answers:
		}
		if !open || b.Err != nil {
			return nil, nil //nolint:nilnil // the watch broke: the caller lists again
		}
		for _, e := range b.Events {
			a, err := r.event(e)
			if err != nil || (a != nil && enough(a)) {
				return a, err
			}
		}
	}
}

// event turns one change into an answer, or into ErrLost if it is the end of
// the request.
func (r *Request) event(e kv.Event) (*pool.Allocation, error) {
	switch {
	case e.Type == kv.EventPut:
		return r.answer(e.Item)
	case e.Item.Key == r.client.key("requests", r.id):
		return nil, ErrLost
	}
	return nil, nil //nolint:nilnil // a deleted answer is none
}

// answer reads the answer to this very request; any other item, also an answer
// to an earlier request of the same id, is none.
func (r *Request) answer(item kv.Item) (*pool.Allocation, error) {
	if item.Key != r.client.key("allocations", r.id) {
		return nil, nil //nolint:nilnil // not an answer to this id
	}
	a := &pool.Allocation{Client: r.client.name, ID: r.id}
	if err := json.Unmarshal(item.Value, a); err != nil {
		return nil, fmt.Errorf("read the answer to request %s: %w", r.id, err)
	}
	if a.RequestRevision != r.ref.CreateRevision {
		return nil, nil //nolint:nilnil // an answer to an earlier request
	}
	return a, nil
}
