package memkv

import (
	"context"
	"fmt"
	"strings"

	"poold/store/kv"
)

// Watch implements kv.KV. Progress is reported as soon as a change elsewhere
// raises the revision.
func (k *KV) Watch(ctx context.Context, prefix string, from int64) <-chan kv.Batch {
	out := make(chan kv.Batch)
	k.mu.Lock()
	broken := k.broken
	k.mu.Unlock()
	go func() {
		defer close(out)
		for {
			b, changed := k.next(prefix, from, broken)
			if changed != nil {
				select {
				case <-changed:
					continue
				case <-ctx.Done():
					return
				}
			}
			select {
			case out <- b:
			case <-ctx.Done():
				return
			}
			if b.Err != nil {
				return
			}
			from = b.Revision
		}
	}()
	return out
}

// next returns what a watch that knows everything up to a revision gets next,
// or the channel to wait on if there is nothing.
func (k *KV) next(prefix string, from int64, broken int) (kv.Batch, <-chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.broken != broken:
		return kv.Batch{Err: fmt.Errorf("watch %s: %w", prefix, kv.ErrUnavailable)}, nil
	case k.down, from >= k.revision:
		return kv.Batch{}, k.changed
	case from < k.compacted:
		return kv.Batch{Err: fmt.Errorf("watch %s from %d: %w", prefix, from, kv.ErrCompacted)}, nil
	}
	b := kv.Batch{Revision: k.revision}
	for _, e := range k.history[k.after(from):] {
		if strings.HasPrefix(e.Item.Key, prefix) {
			b.Events = append(b.Events, e)
		}
	}
	return b, nil
}
