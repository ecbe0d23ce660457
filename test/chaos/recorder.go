//go:build chaos || lab

package chaos

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// recorder keeps every version of every record.
type recorder struct {
	etcd *clientv3.Client

	mu      sync.Mutex // guards what follows
	history []event
	// seen is the revision up to which the history is complete.
	seen int64
	err  error
}

// record starts recording, until the test ends.
func record(t *testing.T, urls ...string) *recorder {
	t.Helper()
	etcd, err := clientv3.New(clientv3.Config{
		Endpoints: urls, Logger: zap.NewNop(), DialKeepAliveTime: 10 * time.Second, DialKeepAliveTimeout: 5 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{etcd: etcd}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for answer := range etcd.Watch(t.Context(), prefix, clientv3.WithPrefix(), clientv3.WithRev(1)) {
			r.take(answer)
		}
	}()
	t.Cleanup(func() {
		<-done
		_ = etcd.Close() // the test is over
	})
	return r
}

func (r *recorder) take(answer clientv3.WatchResponse) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := answer.Err(); err != nil && r.err == nil {
		r.err = err
	}
	at := time.Now()
	for _, e := range answer.Events {
		v := event{revision: e.Kv.ModRevision, key: string(e.Kv.Key), created: e.Kv.CreateRevision, at: at}
		if e.Type == clientv3.EventTypePut {
			v.value = append([]byte{}, e.Kv.Value...)
		}
		r.history = append(r.history, v)
	}
	r.seen = answer.Header.Revision
}

// at is the revision up to which the history is complete.
func (r *recorder) at() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen
}

// upTo returns the history if it is complete up to a revision.
func (r *recorder) upTo(ctx context.Context, revision int64) ([]event, bool, error) {
	if err := r.etcd.RequestProgress(ctx); err != nil {
		return nil, false, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.history, r.seen >= revision, r.err
}

// records reads the nodes and uploads as they are, and the revision.
func (r *recorder) records(ctx context.Context) (now, int64, error) {
	var n now
	answer, err := r.etcd.Get(ctx, prefix, clientv3.WithPrefix())
	if err != nil {
		return n, 0, err
	}
	for _, item := range answer.Kvs {
		key := strings.TrimPrefix(string(item.Key), prefix)
		switch {
		case strings.HasPrefix(key, "nodes/"):
			var v nodeRecord
			err = json.Unmarshal(item.Value, &v)
			n.nodes = append(n.nodes, v)
		case strings.Contains(key, "/uploads/"):
			var v uploadRecord
			err = json.Unmarshal(item.Value, &v)
			n.uploads = append(n.uploads, v)
		}
		if err != nil {
			return n, 0, err
		}
	}
	return n, answer.Header.Revision, nil
}
