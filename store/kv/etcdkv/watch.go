package etcdkv

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/metadata"

	"poold/store/kv"
)

// progressEvery is how often a watch asks how far it is, where that is safe.
const progressEvery = 5 * time.Second

// errWatchOver is the end of a watch that etcd's client gave no reason for.
var errWatchOver = errors.New("the watch ended")

// errOtherCluster says that another cluster answers at the endpoints, such as
// one restored from a backup, whose revisions mean something else.
var errOtherCluster = errors.New("another cluster answers")

// Watch implements kv.KV. etcd's client reconnects and resumes by itself; a
// server that lost its leader, and a cluster that was replaced, end the watch.
func (k *KV) Watch(ctx context.Context, prefix string, from int64) <-chan kv.Batch {
	out := make(chan kv.Batch)
	go func() {
		defer close(out)
		stream := k.stream.Load()
		began, err := k.watch(ctx, prefix, from, out)
		if !began && k.login != nil && ctx.Err() == nil {
			// Watches share a stream, and etcd goes by the token that it was
			// opened with: that one is over, unless the watch is not allowed.
			k.stream.CompareAndSwap(stream, stream+1)
			_, err = k.watch(ctx, prefix, from, out)
		}
		if ctx.Err() != nil {
			return
		}
		select {
		case out <- kv.Batch{Err: fmt.Errorf("watch %s: %w", prefix, err)}:
		case <-ctx.Done():
		}
	}()
	return out
}

// watch delivers batches until the watch is over, and returns whether it ever
// began, and why it is over.
func (k *KV) watch(ctx context.Context, prefix string, from int64, out chan<- kv.Batch) (began bool, err error) {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	// etcd's client gives watches with the same metadata the same stream.
	ctx = metadata.AppendToOutgoingContext(ctx, "poold-stream", strconv.FormatInt(k.stream.Load(), 10))
	responses := k.client.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(from+1),
		clientv3.WithProgressNotify(), clientv3.WithFragment(), clientv3.WithCreatedNotify())
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	askable := false
	var cluster uint64
	for {
		select {
		case resp, ok := <-responses:
			if !ok {
				return began, fmt.Errorf("%w: %w", kv.ErrUnavailable, errWatchOver)
			}
			if resp.Created {
				cluster = resp.Header.GetClusterId()
				askable = k.progressIsOrdered(ctx)
			}
			if err := failure(ctx, &resp, cluster); err != nil {
				return began, err
			}
			began = true
			b, news := batch(&resp, from)
			if !news {
				continue
			}
			select {
			case out <- b:
				from = b.Revision
			case <-ctx.Done():
				return began, context.Cause(ctx)
			}
		case <-tick.C:
			if askable {
				// A failure needs no care: the watch itself reports trouble.
				_ = k.client.RequestProgress(ctx)
			}
		case <-ctx.Done():
			return began, context.Cause(ctx)
		}
	}
}

// failure returns why a response ends the watch, or nil.
func failure(ctx context.Context, resp *clientv3.WatchResponse, cluster uint64) error {
	if err := resp.Err(); err != nil {
		return readError(ctx, err)
	}
	if resp.Header.GetClusterId() != cluster {
		return fmt.Errorf("%w: %w", kv.ErrCompacted, errOtherCluster)
	}
	return nil
}

// batch turns a response into a batch, unless it says nothing new. The
// revision of a response with events is that of its last event: its header
// may be ahead of what was delivered.
func batch(resp *clientv3.WatchResponse, from int64) (kv.Batch, bool) {
	if resp.IsProgressNotify() {
		revision := resp.Header.GetRevision()
		return kv.Batch{Revision: revision}, revision > from
	}
	if len(resp.Events) == 0 {
		return kv.Batch{}, false
	}
	b := kv.Batch{Events: make([]kv.Event, 0, len(resp.Events))}
	for _, e := range resp.Events {
		if e.Type == clientv3.EventTypeDelete {
			b.Events = append(b.Events, kv.Event{
				Type: kv.EventDelete,
				Item: kv.Item{Key: string(e.Kv.Key), ModRevision: e.Kv.ModRevision},
			})
		} else {
			b.Events = append(b.Events, kv.Event{Type: kv.EventPut, Item: item(e.Kv)})
		}
		b.Revision = e.Kv.ModRevision
	}
	return b, true
}

// progressIsOrdered tells whether every server is new enough that progress may
// be asked for. Older ones answer with a revision whose events they have not
// sent yet (https://github.com/etcd-io/etcd/issues/15220), which would hide a
// gap; with them progress comes only when etcd offers it, every ten minutes.
func (k *KV) progressIsOrdered(ctx context.Context) bool {
	for _, endpoint := range k.endpoints {
		callCtx, cancel := withCallTimeout(ctx)
		status, err := k.client.Status(callCtx, endpoint)
		cancel()
		if err != nil || !orderedSince(status.Version) {
			return false
		}
	}
	return true
}

// orderedSince tells whether a version of etcd has the fix: 3.4.25, 3.5.8 and
// everything later.
func orderedSince(version string) bool {
	version, _, _ = strings.Cut(version, "-")
	var n [3]int
	for i, part := range strings.SplitN(version, ".", len(n)) {
		v, err := strconv.Atoi(part)
		if err != nil {
			return false
		}
		n[i] = v
	}
	switch {
	case n[0] != 3:
		return n[0] > 3
	case n[1] == 4:
		return n[2] >= 25
	case n[1] == 5:
		return n[2] >= 8
	}
	return n[1] > 5
}
