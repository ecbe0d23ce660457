//go:build chaos

package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"poold/test/demo"
	"poold/test/protocol"
)

const (
	// leaseLife is how long a client's nodes outlive it.
	leaseLife = time.Minute
	// answerLimit is how long a client waits. It is longer than poold may take
	// to give up on a server that it cannot know to have been asked for.
	answerLimit = 5 * time.Minute
	// holdLimit is how long a client keeps its nodes, at most.
	holdLimit = 2 * time.Second
)

// clients are CI systems that ask for nodes, use them for a moment and give
// them back.
type clients struct {
	etcd string

	mu       sync.Mutex // guards what follows
	outcomes []outcome
	worst    time.Duration
	worker   sync.WaitGroup
}

// job is what one client asks for.
type job struct {
	name     string
	labels   []string
	explicit bool
	// decline says not to accept what was offered.
	decline bool
	hold    time.Duration
}

// newJob makes up a job.
func newJob(random *rand.Rand, name string) job {
	j := job{name: name, hold: time.Duration(random.Int64N(int64(holdLimit)))}
	for range 1 + random.IntN(3) {
		label := demo.Small
		if random.IntN(5) == 0 {
			label = demo.Large
		}
		j.labels = append(j.labels, label)
	}
	j.explicit = random.IntN(4) == 0
	j.decline = j.explicit && random.IntN(4) == 0
	return j
}

// start lets workers do jobs, one after the other each, in the background.
func (c *clients) start(t *testing.T, workers int, jobs []job) {
	t.Helper()
	queue := make(chan job, len(jobs))
	for _, j := range jobs {
		queue <- j
	}
	close(queue)
	for range workers {
		c.worker.Go(func() {
			for j := range queue {
				began := time.Now()
				o := c.do(t.Context(), j, began)
				c.mu.Lock()
				c.outcomes = append(c.outcomes, o)
				c.mu.Unlock()
			}
		})
	}
}

// do does a job.
func (c *clients) do(ctx context.Context, j job, began time.Time) outcome {
	o := outcome{name: j.name, declined: j.decline}
	ctx, cancel := context.WithTimeoutCause(ctx, answerLimit, fmt.Errorf("not answered within %v", answerLimit))
	defer cancel()
	want := protocol.Want{Labels: j.labels}
	if j.explicit {
		want.Accept = "explicit"
	}
	var r *protocol.Request
	if r, o.err = protocol.New(c.etcd, "chaos").Ask(ctx, j.name, want, leaseLife); o.err != nil {
		return o
	}
	o.nodes, o.err = c.use(ctx, r, j, began)
	o.err = errors.Join(o.err, r.Delete(context.WithoutCancel(ctx)))
	return o
}

// use waits for the nodes of a request, reaches them the moment they are
// given, and keeps them for a while.
func (c *clients) use(ctx context.Context, r *protocol.Request, j job, began time.Time) ([]string, error) {
	a, err := r.Wait(ctx)
	if err == nil && j.explicit && !j.decline {
		a, err = r.Accept(ctx)
	}
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.worst = max(c.worst, time.Since(began))
	c.mu.Unlock()
	var ids []string
	for i, n := range a.Nodes {
		ids = append(ids, n.ID)
		if n.Label != j.labels[i] {
			return ids, fmt.Errorf("asked for %v, got %+v", j.labels, a.Nodes)
		}
		if !j.decline {
			err = errors.Join(err, n.Reach(ctx))
		}
	}
	if len(ids) != len(j.labels) {
		return ids, fmt.Errorf("asked for %v, got %+v", j.labels, a.Nodes)
	}
	timer := time.NewTimer(j.hold)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return ids, err
}

// finished is closed when all jobs are done.
func (c *clients) finished() <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.worker.Wait()
	}()
	return done
}
