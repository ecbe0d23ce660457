package sim

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "the only seed to run; 0 runs many")
	fromFlag  = flag.Uint64("from", 1, "the first of many seeds")
	timeFlag  = flag.Duration("for", 0, "how long to begin new seeds; 0 is 20s, and 1s under the race detector")
	wantFlag  = flag.Int("decisions", 0, "run until so many decisions were made, however long that takes")
	timesFlag = flag.Int("times", 2, "how often TestReplay runs a seed")
	traceFlag = flag.Bool("diff", false, "keep every change, and show where runs of one seed differ first")
	tailFlag  = flag.Int("tail", 40, "how much to print of what happened before a failure")
)

const (
	// fullRun is how many decisions fill the whole table.
	fullRun = 1_000_000
	// progress is after how many decisions a long run says how far it is.
	progress = 100_000
	// A decision is one on as many live nodes and requests at least, on average.
	leastNodes, leastRequests = 50, 10
)

// TestMain lets garbage grow: worlds are short.
func TestMain(m *testing.M) {
	flag.Parse()
	debug.SetGCPercent(400)
	os.Exit(m.Run())
}

// The invariants hold in every world.
func TestSimulator(t *testing.T) {
	r := &runner{t: t, tab: newTable(), began: time.Now(), next: seed(*fromFlag)}
	if *seedFlag != 0 {
		r.one(seed(*seedFlag))
	} else {
		r.many()
	}
	var b strings.Builder
	r.tab.print(&b)
	holes := r.tab.holes()
	b.WriteString(r.tab.explanations())
	fmt.Fprintf(&b, "%d of %d cells are empty without a reason\n", len(holes), len(edges())*len(allFaults()))
	if *wantFlag >= fullRun && len(holes) > 0 {
		t.Errorf("never seen:\n%s", strings.Join(holes, "\n"))
	}
	if nodes, requests := r.sum.mean(); nodes < leastNodes || requests < leastRequests {
		t.Errorf("the worlds are small: decisions on %.1f nodes and %.1f requests on average", nodes, requests)
	}
	t.Logf("%s%d worlds in %v: %s", &b, r.worlds, time.Since(r.began).Round(time.Second), &r.sum)
}

// runner runs one world after the other, some at the same time.
type runner struct {
	t     *testing.T
	began time.Time

	mu     sync.Mutex
	tab    *table
	sum    stats
	next   seed
	worlds int
}

// many runs worlds until the time is over or enough was decided.
func (r *runner) many() {
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for s, ok := r.take(); ok; s, ok = r.take() {
				r.one(s)
			}
		})
	}
	all.Wait()
}

// take returns the next seed, or false if it was enough.
func (r *runner) take() (seed, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	enough := r.sum.decisions >= *wantFlag
	if *wantFlag == 0 {
		enough = time.Since(r.began) > long()
	}
	r.next++
	return r.next - 1, !enough && !r.t.Failed()
}

// long is how long new worlds are begun.
func long() time.Duration {
	switch {
	case *timeFlag > 0:
		return *timeFlag
	case underRace:
		return time.Second
	}
	return 20 * time.Second
}

// one runs a world and judges it.
func (r *runner) one(s seed) {
	tab := newTable()
	o := live(r.t, s, bug{}, tab)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tab.add(tab)
	r.worlds++
	before := r.sum.decisions
	r.sum.add(o.stats)
	if r.sum.decisions/progress > before/progress {
		r.t.Logf("%v: seeds before %d: %s", time.Since(r.began).Round(time.Second), r.next, &r.sum)
	}
	if o.verdict != nil {
		r.t.Logf("the last of what happened:\n%s", strings.Join(o.recent[max(0, len(o.recent)-*tailFlag):], "\n"))
		r.t.Errorf("seed %d, %v into it, after %d decisions: %s\n%s\nreplay: %s",
			s, o.verdict.at, o.verdict.decisions, o.verdict.invariant, o.verdict.text, replay(s))
	}
}

func replay(s seed) string {
	return fmt.Sprintf("go test ./test/sim -count=1 -run 'TestSimulator$' -v -seed %d", s)
}

func (s *stats) add(o stats) {
	s.decisions += o.decisions
	s.nodes += o.nodes
	s.requests += o.requests
	s.events += o.events
	s.answered += o.answered
	s.failed += o.failed
	s.frozen += o.frozen
	s.virtual += o.virtual
}

// mean is how many live nodes and requests a decision was about on average.
func (s *stats) mean() (nodes, requests float64) {
	per := float64(max(1, s.decisions))
	return float64(s.nodes) / per, float64(s.requests) / per
}

func (s *stats) String() string {
	nodes, requests := s.mean()
	return fmt.Sprintf("%d decisions on %.1f live nodes and %.1f requests on average; %d changes of records, %d requests served, %d failed, %v lived",
		s.decisions, nodes, requests, s.events, s.answered, s.failed, s.virtual.Round(time.Minute))
}

// A seed replays, to the byte of every record.
func TestReplay(t *testing.T) {
	s := seed(max(1, *seedFlag))
	runs := make(chan outcome)
	var all sync.WaitGroup
	var left atomic.Int64
	left.Store(int64(*timesFlag))
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				runs <- live(t, s, bug{}, newTable())
			}
		})
	}
	go func() {
		all.Wait()
		close(runs)
	}()
	digests := map[uint64]int{}
	var first *outcome
	for o := range runs {
		digests[o.digest]++
		if first == nil {
			first = &o
		}
		compareRuns(t, first.trace, o.trace)
	}
	t.Logf("%d runs of seed %d: %v", *timesFlag, s, digests)
	if len(digests) > 1 {
		t.Errorf("%d different courses of the same seed", len(digests))
	}
}

// compareRuns shows where two runs part, if their changes were kept.
func compareRuns(t *testing.T, a, b []string) {
	t.Helper()
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			t.Logf("the first difference, at change %d of %d:\n%s\n%s\n--\n%s", i, len(a), a[max(0, i-1)], a[i], b[i])
			return
		}
	}
	if len(a) != len(b) {
		t.Logf("%d and %d changes", len(a), len(b))
	}
}
