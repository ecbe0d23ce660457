package allocator

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap/zaptest"

	"poold/internal/rest"
	"poold/pool"
)

// fakeStore is a model behind a lag: what is written shows in the snapshot
// only after delay.
type fakeStore struct {
	changed chan struct{}
	delay   time.Duration

	mu      sync.Mutex // guards what follows
	model   *model
	cat     *pool.Catalog
	shown   *pool.Snapshot
	written int
	// fail, if set, is asked before each write.
	fail              func(w pool.Write) error
	under, mostAtOnce int
	reads             int
	// slow is how long a look at the records takes.
	slow time.Duration
}

func newFakeStore(m *model) *fakeStore {
	return &fakeStore{changed: make(chan struct{}, 1), model: m, shown: m.snapshot()}
}

func (s *fakeStore) Snapshot() *pool.Snapshot {
	time.Sleep(s.slow)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	return s.shown
}

func (s *fakeStore) catalog() *pool.Catalog {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cat
}

func (s *fakeStore) Changed() <-chan struct{} { return s.changed }

// Apply takes 10 ms, like a write to etcd.
func (s *fakeStore) Apply(_ context.Context, w pool.Write) (int64, error) {
	s.begin()
	time.Sleep(10 * time.Millisecond)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.under--
	if s.fail != nil {
		if err := s.fail(w); err != nil {
			return 0, err
		}
	}
	revision, err := s.model.apply(w)
	if err == nil {
		s.written++
		time.AfterFunc(s.delay, s.publish)
	}
	return revision, err
}

func (s *fakeStore) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.under++
	s.mostAtOnce = max(s.mostAtOnce, s.under)
}

func (s *fakeStore) publish() {
	s.mu.Lock()
	s.shown = s.model.snapshot()
	s.mu.Unlock()
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// change is what others do to the records.
func (s *fakeStore) change(f func()) {
	s.mu.Lock()
	f()
	s.mu.Unlock()
	s.publish()
}

func (s *fakeStore) passes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reads
}

func (s *fakeStore) nodes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.model.nodes)
}

func (s *fakeStore) state(id string) pool.AllocationState {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.model.allocations["ci/"+id]; a != nil {
		return a.State
	}
	return ""
}

// running is an allocator that runs over a world in a bubble, on the bubble's
// clock.
func running(t *testing.T, w *world, prepare func(s *fakeStore)) (*fakeStore, *Allocator, <-chan error) {
	t.Helper()
	s := newFakeStore(w.model)
	s.cat = w.cat
	if prepare != nil {
		prepare(s)
	}
	a := New(Config{
		Store: s, Catalog: s.catalog, Random: rand.Reader,
		Log: zaptest.NewLogger(t), Registerer: prometheus.NewRegistry(),
	})
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel(errors.New("the test is over"))
		synctest.Wait()
	})
	return s, a, done
}

// A snapshot that lags behind our own writes must not be decided on: the same
// launches would be made again and again.
func TestRunDecidesNothingOnASnapshotBeforeItsOwnWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, aProvider("east", nil))
		w.cat.Labels[1].MinReady = 3
		s, _, _ := running(t, w, func(s *fakeStore) { s.delay = time.Minute })
		for range 30 {
			time.Sleep(time.Second)
			s.changed <- struct{}{} // somebody else's change
			synctest.Wait()
		}
		if n := s.nodes(); n != 3 {
			t.Errorf("%d nodes, want 3", n)
		}
	})
}

func TestRunServesARequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, aProvider("east", nil))
		w.now = time.Now()
		s, a, _ := running(t, w, nil)
		s.change(func() { w.request("a", "small small") })
		time.Sleep(time.Second)
		if n := s.nodes(); n != 2 {
			t.Fatalf("%d nodes, want 2", n)
		}
		if got := testutil.ToFloat64(a.metrics.waiting); got != 1 {
			t.Errorf("%v requests wait, want 1", got)
		}
		s.change(func() { w.boot() })
		time.Sleep(time.Second)
		if got := s.state("a"); got != pool.AllocationFulfilled {
			t.Errorf("got %q, want fulfilled", got)
		}
		if got := testutil.ToFloat64(a.metrics.decisions.WithLabelValues("serve", "written")); got != 1 {
			t.Errorf("%v served, want 1", got)
		}
	})
}

// An answer does not wait for the write of what replaces the node.
func TestRunWritesAnswersFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, aProvider("east", nil))
		w.cat.Labels[1].MinReady = 1
		w.now = time.Now()
		launches, early := 0, 0
		s, _, _ := running(t, w, nil)
		time.Sleep(time.Second)
		s.change(func() {
			w.boot()
			s.fail = func(wr pool.Write) error {
				if len(wr.Nodes) == 1 && wr.Nodes[0].Before == nil {
					launches++
					if a := w.allocations["ci/a"]; a == nil || a.State != pool.AllocationFulfilled {
						early++
					}
				}
				return nil
			}
			w.request("a", "small")
		})
		time.Sleep(time.Second)
		synctest.Wait()
		if launches != 1 || early != 0 {
			t.Errorf("%d launches, %d before the answer; want 1 after it", launches, early)
		}
	})
}

// The first event is decided upon at once, and what comes while that is
// written, or while a pass rests from what it cost, is one decision more.
func TestRunDecidesOnceForABurst(t *testing.T) {
	const cost = time.Millisecond
	for name, c := range map[string]struct {
		slow   time.Duration
		event  func(s *fakeStore, w *world)
		pause  time.Duration
		passes int
	}{
		"while the first is written": {0, func(_ *fakeStore, w *world) { w.request("a", "small") }, 0, 2},
		"while a pass rests":         {cost, func(*fakeStore, *world) {}, cost / 50, 2},
		"far apart":                  {cost, func(*fakeStore, *world) {}, 10 * cost, 101},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, aProvider("east", nil))
				s, _, _ := running(t, w, func(s *fakeStore) { s.slow, s.delay = c.slow, time.Minute })
				time.Sleep(time.Second)
				synctest.Wait()
				before := s.passes()
				s.change(func() { c.event(s, w) })
				synctest.Wait()
				for range 100 {
					time.Sleep(c.pause)
					s.publish()
					synctest.Wait()
				}
				time.Sleep(rest.Longest)
				if n := s.passes() - before; n != c.passes {
					t.Errorf("%d passes for a burst, want %d", n, c.passes)
				}
			})
		})
	}
}

// Deadlines come true without any event.
func TestRunWakesUpForADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, aProvider("east", nil))
		w.quota("east", cores(2))
		w.have(1, "big", "east")
		deadline := time.Now().Add(3 * time.Second)
		w.request("a", "small", func(r *pool.Request) { r.Deadline = &deadline; r.Tenant = "t" })
		w.cat.Tenants = []pool.TenantLimit{{Tenant: "t", Limits: cores(2)}}
		s, _, _ := running(t, w, nil)
		time.Sleep(2900 * time.Millisecond)
		if got := s.state("a"); got != pool.AllocationWaiting {
			t.Fatalf("got %q before the deadline, want waiting", got)
		}
		time.Sleep(200 * time.Millisecond)
		if got := s.state("a"); got != pool.AllocationFailed {
			t.Errorf("got %q after the deadline, want failed", got)
		}
	})
}

// A lost race is decided again, on what is true then; a store that is away is
// asked again.
func TestRunDecidesAgainAfterAFailedWrite(t *testing.T) {
	for _, failure := range []error{pool.ErrConflict, pool.ErrUnavailable, errors.New("a defect")} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, aProvider("east", nil))
			w.request("a", "small")
			failures := 3
			s, _, _ := running(t, w, func(s *fakeStore) {
				s.fail = func(w pool.Write) error {
					if len(w.Nodes) > 0 && failures > 0 {
						failures--
						return fmt.Errorf("write: %w", failure)
					}
					return nil
				}
			})
			time.Sleep(5 * time.Second)
			if n := s.nodes(); n != 1 {
				t.Errorf("after %v: %d nodes, want 1", failure, n)
			}
		})
	}
}

// Whoever lost the role, or does not know what it wrote, writes nothing more.
func TestRunEndsWithTheRole(t *testing.T) {
	for _, failure := range []error{pool.ErrNotOwner, pool.ErrUnknown} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, aProvider("east", nil))
			w.request("a", "small")
			_, a, done := running(t, w, func(s *fakeStore) { s.fail = func(pool.Write) error { return failure } })
			time.Sleep(time.Minute)
			select {
			case err := <-done:
				if !errors.Is(err, failure) {
					t.Errorf("got %v, want %v", err, failure)
				}
			default:
				t.Errorf("still running a minute after %v", failure)
			}
			if got := testutil.ToFloat64(a.metrics.waiting); got != 0 {
				t.Errorf("%v requests wait by a metric that nobody keeps", got)
			}
		})
	}
}

// Writes go out at once, but not all of them.
func TestRunBoundsTheWritesUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, aProvider("east", nil))
		const many = (inParallel + 10) * groupMax
		w.have(many, "small", "east")
		for i := range many {
			w.request(fmt.Sprintf("r%04d", i), "small")
		}
		s, _, _ := running(t, w, nil)
		time.Sleep(time.Second)
		s.change(func() {
			if s.mostAtOnce != inParallel {
				t.Errorf("%d writes at once, want %d", s.mostAtOnce, inParallel)
			}
		})
		if got := s.state(fmt.Sprintf("r%04d", many-1)); got != pool.AllocationFulfilled {
			t.Errorf("got %q, want fulfilled", got)
		}
	})
}

func TestRunWaitsForACatalog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, aProvider("east", nil))
		w.request("a", "small")
		s, _, _ := running(t, w, func(s *fakeStore) { s.cat = nil })
		time.Sleep(time.Second)
		s.change(func() {
			if s.written != 0 {
				t.Error("decided without a catalog")
			}
		})
		s.change(func() { s.cat = w.cat })
		time.Sleep(time.Second)
		if n := s.nodes(); n != 1 {
			t.Errorf("%d nodes, want 1", n)
		}
	})
}

// A burst is written with few transactions; one decision that loses a race
// does not take the others with it.
func TestRunWritesABurstTogether(t *testing.T) {
	for name, lost := range map[string]string{"all written": "", "one lost": "r-07"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, aProvider("east", nil))
				writes := 0
				s, _, _ := running(t, w, func(s *fakeStore) {
					s.delay = time.Hour // one pass
					s.fail = func(w pool.Write) error {
						writes++
						for _, r := range w.Unchanged {
							if r.ID == lost {
								return pool.ErrConflict
							}
						}
						return nil
					}
				})
				time.Sleep(time.Second)
				writes = 0
				s.change(func() {
					for i := range 64 {
						w.request(fmt.Sprintf("r-%02d", i), "small")
					}
				})
				time.Sleep(time.Second)
				answered := 0
				for i := range 64 {
					if s.state(fmt.Sprintf("r-%02d", i)) != "" {
						answered++
					}
				}
				switch {
				case lost == "" && (answered != 64 || writes > 8):
					t.Errorf("%d of 64 answered with %d writes", answered, writes)
				case lost != "" && (answered != 63 || writes > 25 || s.state(lost) != ""):
					t.Errorf("%d of 63 answered with %d writes, the lost one is %q", answered, writes, s.state(lost))
				}
			})
		})
	}
}

// What is written together keeps its order, and fits into a transaction.
func TestGrouped(t *testing.T) {
	node := func(n int) []pool.Change[pool.Node] { return make([]pool.Change[pool.Node], n) }
	for _, c := range []struct {
		name  string
		sizes []int
		want  []int
	}{
		{"few stay alone", []int{1, 1, 1, 1, 1, 1, 1}, []int{1, 1, 1, 1, 1, 1, 1}},
		{"many do not", []int{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, []int{3, 3, 3, 3}},
		{"large ones stay alone", []int{60, 60, 60, 60, 60, 60, 60, 60}, []int{1, 1, 1, 1, 1, 1, 1, 1}},
		{"what fits", []int{30, 30, 1, 59, 2, 58, 1, 1}, []int{2, 2, 2, 2}},
	} {
		var deeds []deed
		for _, n := range c.sizes {
			deeds = append(deeds, deed{&Decision{}, pool.Write{Nodes: node(n)}})
		}
		var got []int
		for _, g := range grouped(deeds) {
			got = append(got, len(g))
			if n := records(new(together(g))); n > groupChanges {
				t.Errorf("%s: %d records in one write", c.name, n)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

// There is an end to what is written together, and each writes as who it is.
func TestGroupedBounds(t *testing.T) {
	deeds := make([]deed, 8*groupMax)
	for i := range deeds {
		deeds[i] = deed{&Decision{}, pool.Write{By: pool.Allocator}}
	}
	for _, g := range grouped(deeds) {
		if len(g) != groupMax {
			t.Errorf("%d decisions in one write, want %d", len(g), groupMax)
		}
	}
	for i := range deeds {
		if i%3 == 0 {
			deeds[i].write.By = pool.Operator
		}
	}
	for _, g := range grouped(deeds) {
		for _, d := range g {
			if d.write.By != g[0].write.By {
				t.Fatalf("a write by %s and %s", g[0].write.By, d.write.By)
			}
		}
	}
}

// A write of several decisions does, and compares, all that they do. No
// decision writes what belongs to others.
func TestTogetherLeavesNothingOut(t *testing.T) {
	one := deed{write: pool.Write{By: pool.Allocator}}
	fields, kinds := reflect.ValueOf(&one.write).Elem(), 0
	for _, f := range fields.Fields() {
		if f.Kind() == reflect.Slice {
			f.Set(reflect.MakeSlice(f.Type(), 1, 1))
			kinds++
		}
	}
	w := together([]deed{one, one, one})
	if records(&one.write) != kinds || records(&w) != 3*kinds {
		t.Errorf("%d records in a write of three, each with %d of %d kinds", records(&w), records(&one.write), kinds)
	}
}
