//go:build bench

package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"poold/pool"
	"poold/store/kv"
)

const (
	requestsPrefix    = store1 + "requests/bench/"
	allocationsPrefix = store1 + "allocations/bench/"
	store1            = "/poold/v1/"
)

// asker is a CI system: one lease for all of its requests, one watch for all
// of the answers.
type asker struct {
	t      testing.TB
	kv     kv.KV
	lease  kv.LeaseID
	serial atomic.Int64

	mu      sync.Mutex // guards waiting
	waiting map[string]chan answered
}

// answered is an answer and when it was heard of.
type answered struct {
	at time.Time
	a  pool.Allocation
}

// newAsker begins to ask in the name of "bench".
func (w *site) newAsker() *asker {
	w.t.Helper()
	ctx := w.t.Context()
	lease, _, err := w.kv.Grant(ctx, 10*time.Minute) // longer than any row takes
	if err != nil {
		w.t.Fatal(err)
	}
	_, revision, err := w.kv.List(ctx, allocationsPrefix)
	if err != nil {
		w.t.Fatal(err)
	}
	a := &asker{t: w.t, kv: w.kv, lease: lease, waiting: map[string]chan answered{}}
	batches := w.kv.Watch(ctx, allocationsPrefix, revision)
	go a.listen(batches)
	return a
}

// listen hands out answers.
func (a *asker) listen(batches <-chan kv.Batch) {
	for b := range batches {
		now := time.Now()
		if b.Err != nil {
			a.t.Errorf("the watch for answers: %v", b.Err)
			return
		}
		for _, e := range b.Events {
			if e.Type == kv.EventDelete {
				continue
			}
			got := answered{at: now}
			if err := json.Unmarshal(e.Item.Value, &got.a); err != nil {
				a.t.Errorf("an answer: %v", err)
				return
			}
			if got.a.State == pool.AllocationWaiting {
				continue
			}
			id := strings.TrimPrefix(e.Item.Key, allocationsPrefix)
			a.mu.Lock()
			ch := a.waiting[id]
			delete(a.waiting, id)
			a.mu.Unlock()
			if ch != nil {
				ch <- got
			}
		}
	}
}

// job is one request and what came of it.
type job struct {
	id           string
	asked, heard time.Time
	released     time.Time
	failed       string
	nodes        []pool.AllocatedNode
}

// latency is how long the answer took.
func (j *job) latency() time.Duration { return j.heard.Sub(j.asked) }

// ask makes a request for one node and waits for the answer.
func (a *asker) ask(ctx context.Context, name string) (*job, error) {
	value, err := json.Marshal(pool.Request{V: pool.RecordVersion, Labels: []string{name}})
	if err != nil {
		return nil, err
	}
	j := &job{id: fmt.Sprintf("r%06d", a.serial.Add(1))}
	ch := make(chan answered, 1)
	a.mu.Lock()
	a.waiting[j.id] = ch
	a.mu.Unlock()
	key := requestsPrefix + j.id
	j.asked = time.Now()
	_, ok, err := a.kv.Commit(ctx, kv.Txn{
		If: []kv.Cond{kv.Absent(key)}, Then: []kv.Op{kv.PutLeased(key, value, a.lease)},
	})
	if err != nil || !ok {
		return nil, fmt.Errorf("ask: %v, %w", ok, err)
	}
	select {
	case got := <-ch:
		j.heard = got.at
		j.failed, j.nodes = got.a.Error, got.a.Nodes
		return j, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("no answer to %s: %w", j.id, context.Cause(ctx))
	}
}

// release gives the nodes of a request back.
func (a *asker) release(ctx context.Context, j *job) error {
	j.released = time.Now()
	_, _, err := a.kv.Commit(ctx, kv.Txn{Then: []kv.Op{kv.Delete(requestsPrefix + j.id)}})
	return err
}

// inFlight makes n requests, at most width at a time, releases each when it is
// answered, and returns them all.
func (a *asker) inFlight(ctx context.Context, n, width int, label func(i int) string) []*job {
	a.t.Helper()
	jobs := make([]*job, n)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(n, width) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				j, err := a.ask(ctx, label(i))
				if err == nil {
					err = a.release(ctx, j)
				}
				if err != nil {
					a.t.Error(err)
					return
				}
				jobs[i] = j
			}
		})
	}
	wg.Wait()
	if a.t.Failed() {
		a.t.FailNow()
	}
	return jobs
}

// one is the label of all requests where there is only one.
func one(int) string { return label(0) }

// burst makes n requests at once, waits for all answers, and then releases
// all.
func (a *asker) burst(ctx context.Context, n int) []*job {
	a.t.Helper()
	jobs := make([]*job, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			j, err := a.ask(ctx, label(0))
			if err != nil {
				a.t.Error(err)
				return
			}
			jobs[i] = j
		})
	}
	wg.Wait()
	if a.t.Failed() {
		a.t.FailNow()
	}
	a.releaseAll(ctx, jobs)
	return jobs
}

// releaseAll gives all nodes back at once.
func (a *asker) releaseAll(ctx context.Context, jobs []*job) {
	a.t.Helper()
	var wg sync.WaitGroup
	for _, j := range jobs {
		wg.Go(func() {
			if err := a.release(ctx, j); err != nil {
				a.t.Error(err)
			}
		})
	}
	wg.Wait()
}

// latencies are those of all jobs, sorted.
func latencies(jobs []*job) times {
	all := make(times, len(jobs))
	for i, j := range jobs {
		all[i] = j.latency()
	}
	slices.Sort(all)
	return all
}

// failures is how many of the requests failed.
func failures(jobs []*job) int {
	n := 0
	for _, j := range jobs {
		if j.failed != "" {
			n++
		}
	}
	return n
}

// times are sorted.
type times []time.Duration

// at returns a quantile.
func (d times) at(q float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	return d[min(len(d)-1, int(q*float64(len(d))))]
}

// less returns the times with something taken off each.
func (d times) less(off time.Duration) times {
	all := make(times, len(d))
	for i := range d {
		all[i] = d[i] - off
	}
	return all
}
