package rate

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"poold/allocator"
	"poold/client"
	"poold/cloud"
	"poold/cloud/guard"
	"poold/cloud/sim"
	"poold/launcher"
	"poold/pool"
	"poold/store"
	"poold/store/kv/memkv"
)

const installation = "inst"

// passed is a call that went through the guard.
type passed struct {
	at   time.Time
	call cloud.Call
	lane cloud.Lane
	kind cloud.Kind
}

// recorder is a gate that remembers what went through the one behind it.
type recorder struct {
	cloud.Gate

	mu    sync.Mutex
	calls []passed
}

func (r *recorder) Enter(ctx context.Context, call cloud.Call) (func(cloud.Outcome), error) {
	leave, err := r.Gate.Enter(ctx, call)
	if err != nil {
		return nil, err
	}
	at := time.Now()
	return func(o cloud.Outcome) {
		r.mu.Lock()
		r.calls = append(r.calls, passed{at, call, cloud.LaneOf(ctx), o.Kind})
		r.mu.Unlock()
		leave(o)
	}, nil
}

// count counts the calls since a time that are as wanted.
func (r *recorder) count(since time.Time, is func(p passed) bool) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, p := range r.calls {
		if !p.at.Before(since) && is(p) {
			n++
		}
	}
	return n
}

func anything(passed) bool { return true }

func compute(p passed) bool { return p.call.Service == cloud.Compute }

func refused(p passed) bool { return p.kind == cloud.RateLimited }

func operation(methods ...string) func(p passed) bool {
	return func(p passed) bool { return slices.Contains(methods, p.call.Operation) }
}

const (
	create = "POST /servers"
	remove = "DELETE /servers/{id}"
)

// world is a provider with all that works on it, within a bubble.
type world struct {
	t     *testing.T
	cloud *sim.Cloud
	gate  *recorder
	store *store.Store
	view  *store.View
	ci    *client.Client

	catalog atomic.Pointer[pool.Catalog]
}

// newWorld starts everything: a cloud, and a provider of it that may make a
// call per interval.
func newWorld(t *testing.T, cfg sim.Config, interval time.Duration) *world {
	t.Helper()
	ctx, log := t.Context(), zap.NewNop()
	mem := memkv.New(time.Now())
	go func() { _ = mem.Run(ctx) }()
	w := &world{t: t, store: store.New(mem, "", log)}
	w.view = w.store.View()
	go func() { _ = w.view.Run(ctx) }()
	session, err := store.OpenSession(ctx, mem, 10*time.Second, log)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = session.Run(ctx) }()

	cfg.Images = []string{"debian"}
	w.cloud = sim.New(cfg, time.Now())
	w.gate = &recorder{Gate: guard.New(guard.Config{Provider: "p", Interval: interval, Log: log})}
	w.spare(0)
	records := func(duty string) *store.Owned {
		own, err := w.store.Acquire(ctx, session, duty, "peer")
		if err != nil {
			t.Fatal(err)
		}
		if err := w.view.WaitFor(ctx, own.CreateRevision()); err != nil {
			t.Fatal(err)
		}
		return w.store.Owned(w.view, own)
	}
	l, err := launcher.New(launcher.Config{
		Provider: w.catalog.Load().Providers[0], Installation: installation, Store: records("provider/p"),
		Driver: sim.NewDriver(w.cloud, time.Now, w.gate, installation), Random: rand.Reader, Log: log,
		Reach: func(context.Context, launcher.Target) ([]string, error) { return []string{"ssh-ed25519 AAAA"}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	a := allocator.New(allocator.Config{
		Store: records("allocator"), Catalog: w.catalog.Load, Random: rand.Reader, Log: log,
	})
	go func() { _ = l.Run(ctx) }()
	go func() { _ = a.Run(ctx) }()
	if w.ci, err = client.New(mem, "", "ci"); err != nil {
		t.Fatal(err)
	}
	return w
}

// spare has so many nodes of another label kept ready from now on.
func (w *world) spare(n int) { w.catalog.Store(aCatalog(n)) }

// aCatalog offers the label "job", and spares of the label "spare" kept ready.
func aCatalog(spares int) *pool.Catalog {
	spec := func(name string) pool.LabelSpec {
		return pool.LabelSpec{Name: name, CloudImage: "debian", FlavorName: "small", HostKeyChecking: true}
	}
	return &pool.Catalog{
		Labels: []pool.Label{{Name: "job"}, {Name: "spare", MinReady: spares}},
		Providers: []pool.Provider{{
			Name: "p", Cloud: "sim", BootTimeout: time.Minute, LaunchTimeout: 10 * time.Minute,
			CloudImages: []pool.CloudImage{{Name: "debian", ImageName: "debian"}},
			Pools: []pool.Pool{{
				Name: "main", Limits: pool.NoLimits(), Labels: []pool.LabelSpec{spec("job"), spec("spare")},
			}},
		}},
	}
}

// lifecycle asks for a node, and gives it back when it has it.
func (w *world) lifecycle(id string) {
	r := w.ask(id)
	a, err := r.Wait(w.t.Context())
	if err != nil || a.State != pool.AllocationFulfilled {
		w.t.Errorf("request %s: %+v, %v", id, a, err)
	}
	if err := r.Close(w.t.Context()); err != nil {
		w.t.Error(err)
	}
}

func (w *world) ask(id string) *client.Request {
	r, err := w.ci.Create(w.t.Context(), id, pool.Request{Labels: []string{"job"}, MaxLifetime: "24h"}, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// clean waits until nothing of ours is left in the cloud.
func (w *world) clean() {
	w.t.Helper()
	for range 600 {
		if len(w.servers()) == 0 {
			return
		}
		time.Sleep(time.Second)
	}
	w.t.Errorf("%d servers are left", len(w.servers()))
}

func (w *world) failures() string {
	kinds := map[pool.Kind]int{}
	for _, n := range w.view.Snapshot().Nodes {
		if n.Failure != "" {
			kinds[n.Failure]++
		}
	}
	return strings.TrimPrefix(fmt.Sprint(kinds), "map")
}

func (w *world) servers() []sim.Server { return w.cloud.Truth(time.Now()) }
