package daemon

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"poold/config"
	"poold/pool"
	"poold/store"
	"poold/store/kv"
	"poold/store/kv/memkv"
)

const ttl = 15 * time.Second

// newModel returns a model of etcd whose leases die by the clock of the bubble.
func newModel(t *testing.T) *memkv.KV {
	t.Helper()
	mem := memkv.New(time.Now())
	go func() { _ = mem.Run(t.Context()) }()
	return mem
}

// newPeer returns a peer with duties of the test's.
func newPeer(name string, records kv.KV, duties ...duty) *Daemon {
	d := newDaemon(&config.Config{Name: name, Etcd: config.Etcd{LeaseTTL: ttl}}, Options{Version: "v1", Log: zap.NewNop()})
	d.kv, d.store = records, store.New(records, "", zap.NewNop())
	d.enforce(&setup{cfg: d.cfg, duties: duties})
	d.view.Store(d.store.View())
	return d
}

// start runs a peer until the test or stop ends it. stop waits for the end.
func start(t *testing.T, d *Daemon) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { _ = d.view.Load().Run(ctx) }()
	go func() { ended <- d.sessions(ctx) }()
	return func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("%s ended with %v", d.name, err)
		}
	}
}

// work is a component that notes its lives.
type work struct {
	mu sync.Mutex
	// began and ended are when each life did; causes is why it ended.
	began, ended []time.Time
	causes       []error
	// fail ends a life with an error.
	fail chan error
}

func newWork() *work { return &work{fail: make(chan error)} }

func (w *work) duty(key string) duty {
	return duty{key: key, run: func(ctx context.Context, _ *store.Owned) error {
		w.mu.Lock()
		w.began = append(w.began, time.Now())
		w.mu.Unlock()
		var err error
		select {
		case <-ctx.Done():
			err = context.Cause(ctx)
		case err = <-w.fail:
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.ended, w.causes = append(w.ended, time.Now()), append(w.causes, err)
		return err
	}}
}

// lives returns how often the component began and ended.
func (w *work) lives() (began, ended int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.began), len(w.ended)
}

func (w *work) want(t *testing.T, began, ended int) {
	t.Helper()
	if b, e := w.lives(); b != began || e != ended {
		t.Fatalf("began %d times and ended %d times, want %d and %d", b, e, began, ended)
	}
}

// pass lets time pass and then everything settle.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// keys lists what etcd holds of owners and members.
func keys(t *testing.T, db kv.KV) []string {
	t.Helper()
	var list []string
	for _, family := range []string{"owners/", "members/"} {
		items, _, err := db.List(t.Context(), store.DefaultPrefix+"/"+family)
		if err != nil {
			t.Fatal(err)
		}
		for _, it := range items {
			list = append(list, strings.TrimPrefix(it.Key, store.DefaultPrefix+"/"))
		}
	}
	return list
}

func problems(d *Daemon) []string {
	var list []string
	for _, c := range d.ready() {
		if c.Problem != "" {
			list = append(list, c.Name)
		}
	}
	return list
}

// Duties outlive an etcd that is away for a moment, end before their lease can,
// and are taken again when etcd is back.
func TestDutiesFollowTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem, a, b := newModel(t), newWork(), newWork()
		d := newPeer("one", mem, a.duty("allocator"), b.duty("provider/p"))
		if got := problems(d); !slices.Equal(got, []string{"session", "records"}) {
			t.Errorf("problems before the first session: %v", got)
		}
		stop := start(t, d)
		pass(time.Minute)
		a.want(t, 1, 0)
		b.want(t, 1, 0)
		if got := problems(d); got != nil {
			t.Errorf("problems in a session: %v", got)
		}
		if got, want := keys(t, mem), []string{"owners/allocator", "owners/provider/p", "members/one"}; !slices.Equal(got, want) {
			t.Errorf("etcd holds %v, want %v", got, want)
		}
		if m := d.view.Load().Snapshot().Members[0]; !slices.Equal(m.Owns, []string{"allocator", "provider/p"}) || m.Version != "v1" {
			t.Errorf("the member is %+v", m)
		}
		mem.Down()
		pass(ttl / 3)
		mem.Up()
		pass(time.Minute)
		a.want(t, 1, 0)
		mem.Down()
		down := time.Now()
		pass(2 * ttl)
		a.want(t, 1, 1)
		b.want(t, 1, 1)
		if a.ended[0].Sub(down) >= ttl || !errors.Is(a.causes[0], pool.ErrNotOwner) {
			t.Errorf("ended %v after the last contact, cause %v", a.ended[0].Sub(down), a.causes[0])
		}
		if got := problems(d); !slices.Equal(got, []string{"session"}) {
			t.Errorf("problems without etcd: %v", got)
		}
		mem.Up()
		pass(time.Minute)
		a.want(t, 2, 1)
		b.want(t, 2, 1)
		if got := problems(d); got != nil {
			t.Errorf("problems in the second session: %v", got)
		}
		stop()
	})
}

// A component that fails is run again after a pause; the others do not notice.
func TestFailingComponent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem, good, bad := newModel(t), newWork(), newWork()
		d := newPeer("one", mem, good.duty("allocator"), bad.duty("provider/p"))
		stop := start(t, d)
		pass(time.Minute)
		bad.fail <- errors.New("a defect")
		pass(dutyPause - time.Second)
		bad.want(t, 1, 1)
		if m := d.view.Load().Snapshot().Members[0]; !slices.Equal(m.Owns, []string{"allocator"}) {
			t.Errorf("meanwhile the peer says it owns %v", m.Owns)
		}
		pass(time.Second)
		bad.want(t, 2, 1)
		// Its failure while etcd is away for a moment is no reason to give up
		// the session, and with it what the others do.
		mem.Down()
		bad.fail <- errors.New("etcd is away")
		pass(3 * time.Second)
		mem.Up()
		pass(time.Minute)
		bad.want(t, 3, 2)
		good.want(t, 1, 0)
		stop()
	})
}

// The metrics of a component go with its duty.
func TestMetricsGoWithTheDuty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const key = "allocator"
		d, w := newPeer("one", newModel(t)), newWork()
		inner := w.duty(key)
		d.enforce(&setup{cfg: d.cfg, duties: []duty{{key: key, run: func(ctx context.Context, records *store.Owned) error {
			d.registry.duty(key).MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "poold_thing", Help: "A thing."}))
			return inner.run(ctx, records)
		}}}})
		told := func() bool {
			families, err := d.registry.Gather()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range families {
				if f.GetName() == "poold_thing" {
					return true
				}
			}
			return false
		}
		stop := start(t, d)
		for range 3 {
			pass(time.Minute)
			if !told() {
				t.Error("the metrics of the duty are missing")
			}
			w.fail <- errors.New("a defect")
			synctest.Wait()
			if told() {
				t.Error("there are metrics of a duty that is not done")
			}
		}
		stop()
	})
}

// A peer that is asked to stop leaves nothing that another would wait for.
func TestHandover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem, first, second := newModel(t), newWork(), newWork()
		stopFirst := start(t, newPeer("one", mem, first.duty("allocator")))
		pass(time.Second)
		other := newPeer("two", mem, second.duty("allocator"))
		stopSecond := start(t, other)
		pass(time.Minute)
		first.want(t, 1, 0)
		second.want(t, 0, 0)
		asked := time.Now()
		stopFirst()
		synctest.Wait()
		second.want(t, 1, 0)
		if took := second.began[0].Sub(asked); took > 0 || second.began[0].Before(first.ended[0]) {
			t.Errorf("taken over after %v", took)
		}
		if peer, err := other.store.Owner(t.Context(), "allocator"); err != nil || peer != "two" {
			t.Errorf("the owner is %s, %v", peer, err)
		}
		stopSecond()
		if got := keys(t, mem); got != nil {
			t.Errorf("nobody is left, and etcd holds %v", got)
		}
	})
}
