package memkv

import (
	"context"
	"fmt"
	"slices"
	"time"

	"poold/store/kv"
)

// Grant implements kv.KV.
func (k *KV) Grant(ctx context.Context, ttl time.Duration) (kv.LeaseID, time.Duration, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.reachable(ctx); err != nil {
		return 0, 0, fmt.Errorf("grant a lease: %w", err)
	}
	ttl = max(minTTL, (ttl + time.Second - 1).Truncate(time.Second))
	k.lastLease++
	k.leases[k.lastLease] = &lease{ttl: ttl, expires: k.now.Add(ttl)}
	return k.lastLease, ttl, nil
}

// Renew implements kv.KV.
func (k *KV) Renew(ctx context.Context, id kv.LeaseID) (time.Duration, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.reachable(ctx); err != nil {
		return 0, fmt.Errorf("renew a lease: %w", err)
	}
	l := k.leases[id]
	if l == nil {
		return 0, fmt.Errorf("renew a lease: %w", kv.ErrNotFound)
	}
	l.expires = k.now.Add(l.ttl)
	return l.ttl, nil
}

// Revoke implements kv.KV.
func (k *KV) Revoke(ctx context.Context, id kv.LeaseID) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.reachable(ctx); err != nil {
		return fmt.Errorf("revoke a lease: %w", err)
	}
	k.revoke(id)
	return nil
}

// revoke ends a lease and deletes its keys in one revision, sorted.
func (k *KV) revoke(id kv.LeaseID) {
	if k.leases[id] == nil {
		return
	}
	delete(k.leases, id)
	var keys []string
	for key, it := range k.items {
		if it.Lease == id {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	var events []kv.Event
	for _, key := range keys {
		events = append(events, k.apply(kv.Delete(key), k.revision+1)...)
	}
	k.record(events)
}
