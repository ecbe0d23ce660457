package daemon

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"poold/store/kv"
)

// paceCalls is how many calls the pace of etcd is of.
const paceCalls = 16

// pace is how fast etcd is: of all its calls, and of the last few.
type pace struct {
	seconds *prometheus.HistogramVec

	// mu guards everything below.
	mu   sync.Mutex
	last []time.Duration
	next int
}

func newPace(reg prometheus.Registerer) *pace {
	return &pace{seconds: promauto.With(reg).NewHistogramVec(prometheus.HistogramOpts{
		Name: "poold_etcd_call_seconds", Help: "Time that etcd took to answer a call, by operation.",
		Buckets: []float64{.001, .003, .01, .03, .1, .3, 1, 3, 10},
	}, []string{"operation"})}
}

// took notes a call.
func (p *pace) took(operation string, begin time.Time) {
	d := time.Since(begin)
	p.seconds.WithLabelValues(operation).Observe(d.Seconds())
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.last) < paceCalls {
		p.last = append(p.last, d)
		return
	}
	p.last[p.next] = d
	p.next = (p.next + 1) % paceCalls
}

// latency is how long the last calls took on average.
func (p *pace) latency() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.last) == 0 {
		return 0
	}
	var sum time.Duration
	for _, d := range p.last {
		sum += d
	}
	return sum / time.Duration(len(p.last))
}

// paced measures the calls of an etcd whose answers are small. Lists are as slow
// as they are long, and watches last.
type paced struct {
	kv.KV

	pace *pace
}

// Get is part of [kv.KV].
func (p paced) Get(ctx context.Context, key string) (kv.Item, error) {
	defer p.pace.took("get", time.Now())
	return p.KV.Get(ctx, key)
}

// Commit is part of [kv.KV].
func (p paced) Commit(ctx context.Context, txn kv.Txn) (int64, bool, error) {
	defer p.pace.took("commit", time.Now())
	return p.KV.Commit(ctx, txn)
}

// Renew is part of [kv.KV].
func (p paced) Renew(ctx context.Context, id kv.LeaseID) (time.Duration, error) {
	defer p.pace.took("renew", time.Now())
	return p.KV.Renew(ctx, id)
}
