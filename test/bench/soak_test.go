//go:build bench

package bench

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"poold/pool"
	"poold/test/proc"
)

// soakFor is how long TestSoak lasts; 0 leaves it out. soakWidth is how many
// requests are in flight meanwhile.
var (
	soakFor   = flag.Duration("soak", 0, "how long TestSoak lasts; 0 leaves it out")
	soakWidth = flag.Int("width", 500, "how many requests TestSoak has in flight")
)

const (
	// samples is how often a soak looks.
	samples = 60
	// history is how many samples long etcd keeps what was.
	history = 2
	// slack is what a median may grow by and count as flat: a heap is as
	// large as the garbage collector lets it be.
	slack = 1.25
	// few is how many more goroutines or files are none.
	few = 8
	// record is what a node's record may take in etcd, and in poold's memory.
	record = 8 << 10
	// cooling is within which connections are given up that nobody uses.
	cooling = 3 * time.Minute
)

// sample is what a soak looks at.
type sample struct {
	resident, etcd     int64
	goroutines, files  float64
	lives, remembered  int
	allocations, leaks int
}

// Work for a long time, as much as the machine can do: nothing grows, and
// nothing is left.
func TestSoak(t *testing.T) {
	if *soakFor == 0 {
		t.Skip("it takes as long as -soak says")
	}
	w := newSite(t, setup{regions: []region{plain(2 * time.Second)}})
	raw, err := clientv3.New(clientv3.Config{Endpoints: []string{w.etcd.Etcd}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = raw.Close() }) // the etcd goes, too
	a := w.newAsker()
	a.inFlight(patience(t, 5*time.Minute), *soakWidth, *soakWidth, one) // it is not the first of its kind
	w.awaitGone(0, time.Minute)
	idle := w.sample(raw, 0)

	over := make(chan struct{})
	time.AfterFunc(*soakFor, func() { close(over) })
	var lives atomic.Int64
	done := make(chan struct{})
	began := time.Now()
	go func() {
		defer close(done)
		a.busy(over, *soakWidth, &lives)
	}()
	seen := w.watchOver(over, raw, a, &lives)
	<-done
	perSecond := float64(lives.Load()) / time.Since(began).Seconds()
	if left := w.awaitGone(0, 2*time.Minute); left > 0 {
		t.Errorf("%d servers are left", left)
	}
	w.awaitQuiet()
	after := w.coolDown(raw, idle)
	if after.leaks > 0 {
		t.Errorf("%d leaks were found in the cloud", after.leaks)
	}
	judgeSoak(t, seen)
	t.Logf("%d nodes lived in %v, %.1f a second, %d in flight", lives.Load(), *soakFor, perSecond, *soakWidth)
}

// busy has width requests in flight until it is over, and counts the lives of
// nodes.
func (a *asker) busy(over <-chan struct{}, width int, lives *atomic.Int64) {
	var wg sync.WaitGroup
	for range width {
		wg.Go(func() {
			for !closed(over) {
				j, err := a.ask(a.t.Context(), label(0))
				if err == nil {
					err = a.release(a.t.Context(), j)
				}
				if err != nil || j.failed != "" {
					a.t.Errorf("a request: %v %+v", err, j)
					return
				}
				lives.Add(1)
			}
		})
	}
	wg.Wait()
}

// closed tells whether a channel is closed.
func closed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// watchOver takes samples until it is over, keeps the clients' lease alive and
// lets etcd forget.
func (w *site) watchOver(over <-chan struct{}, raw *clientv3.Client, a *asker, lives *atomic.Int64) []sample {
	w.t.Helper()
	var seen []sample
	var revisions []int64
	tick := time.NewTicker(*soakFor / samples)
	defer tick.Stop()
	for {
		select {
		case <-over:
			return seen
		case <-tick.C:
		}
		if _, err := w.kv.Renew(w.t.Context(), a.lease); err != nil {
			w.t.Fatal(err)
		}
		_, revision, err := w.kv.List(w.t.Context(), requestsPrefix)
		if err != nil {
			w.t.Fatal(err)
		}
		if revisions = append(revisions, revision); len(revisions) > history {
			_, err := raw.Compact(w.t.Context(), revisions[len(revisions)-1-history])
			if err != nil && !errors.Is(err, rpctypes.ErrCompacted) { // poold's etcd does so, too
				w.t.Fatal(err)
			}
		}
		s := w.sample(raw, int(lives.Load()))
		seen = append(seen, s)
		w.t.Logf("%+v", s)
	}
}

// sample looks at everything.
func (w *site) sample(raw *clientv3.Client, lives int) sample {
	w.t.Helper()
	status, err := raw.Status(w.t.Context(), w.etcd.Etcd)
	if err != nil {
		w.t.Fatal(err)
	}
	records := w.records()
	return sample{
		resident: resident(w.t, w.poold), etcd: status.DbSizeInUse, lives: lives,
		goroutines: w.metric("go_goroutines"), files: w.metric("process_open_fds"),
		remembered: len(records.Nodes), allocations: len(records.Allocations),
		leaks: int(w.metric("poold_launcher_leaks_total")),
	}
}

// awaitQuiet waits until no node is alive and no answer is left.
func (w *site) awaitQuiet() {
	w.t.Helper()
	ctx := patience(w.t, 2*time.Minute)
	for {
		records := w.records()
		alive := slices.ContainsFunc(records.Nodes, func(n *pool.Node) bool { return n.State != pool.NodeDeleted })
		if !alive && len(records.Allocations) == 0 {
			return
		}
		select {
		case <-ctx.Done():
			w.t.Fatalf("%d nodes and %d answers are left", len(records.Nodes), len(records.Allocations))
		case <-time.After(time.Second):
		}
	}
}

// coolDown waits until as few goroutines and files are in use as before, and
// returns what is then.
func (w *site) coolDown(raw *clientv3.Client, before sample) sample {
	w.t.Helper()
	w.t.Logf("idle before: %+v", before)
	var s sample
	proc.Await(w.t, "as few goroutines and files as before", cooling, func() (string, bool) {
		s = w.sample(raw, 0)
		return fmt.Sprintf("%+v", s), s.goroutines <= before.goroutines+few && s.files <= before.files+few
	}, w.poold)
	w.t.Logf("idle after: %+v", s)
	return s
}

// judgeSoak compares the middle of a soak with its end. The records of nodes
// that are gone may be more by then, up to as many as poold remembers.
func judgeSoak(t *testing.T, seen []sample) {
	t.Helper()
	third := len(seen) / 3
	middle, end := seen[third:2*third], seen[2*third:]
	remembered := func(s sample) float64 { return float64(s.remembered) }
	more := record * max(0, median(end, remembered)-median(middle, remembered))
	for what, of := range map[string]struct {
		figure func(sample) float64
		extra  float64
	}{
		"memory":     {func(s sample) float64 { return float64(s.resident) }, more},
		"etcd":       {func(s sample) float64 { return float64(s.etcd) }, more},
		"goroutines": {func(s sample) float64 { return s.goroutines }, few},
		"files":      {func(s sample) float64 { return s.files }, few},
	} {
		was, is := median(middle, of.figure), median(end, of.figure)
		t.Logf("%s: median of the middle third %.0f, of the last third %.0f", what, was, is)
		if is > slack*was+of.extra {
			t.Errorf("%s grows: from %.0f to %.0f", what, was, is)
		}
	}
}

// median is the median of one figure.
func median(of []sample, figure func(sample) float64) float64 {
	all := make([]float64, len(of))
	for i, s := range of {
		all[i] = figure(s)
	}
	slices.SortFunc(all, cmp.Compare)
	return all[len(all)/2]
}
