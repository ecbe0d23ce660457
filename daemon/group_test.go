package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"poold/cloud"
	"poold/cloud/guard"
	"poold/config"
	"poold/pool"
	"poold/store"
	"poold/store/kv"
)

// exit is what leaves the limiters of all peers.
type exit struct {
	mu sync.Mutex
	at map[cloud.Service][]time.Time
	// rest is closed when there are calls to make again, and nil while there are.
	rest chan struct{}
}

// pause has nobody make calls for a time, and then all at once.
func (e *exit) pause(d time.Duration) {
	rest := make(chan struct{})
	e.mu.Lock()
	e.rest = rest
	e.mu.Unlock()
	pass(d)
	close(rest)
}

// wait waits for calls to make.
func (e *exit) wait(ctx context.Context) {
	e.mu.Lock()
	rest := e.rest
	e.mu.Unlock()
	if rest == nil {
		return
	}
	select {
	case <-rest:
	case <-ctx.Done():
	}
}

// forget forgets what left so far.
func (e *exit) forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.at = map[cloud.Service][]time.Time{}
}

func (e *exit) note(s cloud.Service) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.at[s] = append(e.at[s], time.Now())
}

func (e *exit) count(s cloud.Service) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.at[s])
}

// want holds I6: never more than burst + rate x window in any window.
func (e *exit) want(t *testing.T, burst int, interval time.Duration) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	for service, at := range e.at {
		for i := range at {
			for j := i; j < len(at); j++ {
				window := at[j].Sub(at[i])
				if most := float64(burst) + float64(window)/float64(interval) + 1e-6; float64(j-i+1) > most {
					t.Fatalf("%s: %d calls within %v, at most %.1f are allowed", service, j-i+1, window, most)
				}
			}
		}
	}
}

// groupPeer is a peer whose duties make as many calls as they may.
func groupPeer(name string, records kv.KV, e *exit, providers ...pool.Provider) *Daemon {
	d := newDaemon(&config.Config{Name: name, Etcd: config.Etcd{LeaseTTL: ttl}}, Options{Version: "v1", Log: zap.NewNop()})
	d.kv, d.store = records, store.New(records, "", zap.NewNop())
	d.view.Store(d.store.View())
	regroup(d, e, providers...)
	return d
}

// regroup has a peer take over other providers.
func regroup(d *Daemon, e *exit, providers ...pool.Provider) {
	cfg := *d.cfg
	cfg.Catalog.Providers = providers
	s := &setup{cfg: &cfg, clouds: map[string]*access{}}
	groups := d.rateGroups(s.providers(), func(name, region string) (string, error) { return name + " " + region, nil })
	launch, upload := map[*rateGroup][]duty{}, map[*rateGroup][]duty{}
	for _, p := range providers {
		g := groups[p.Name]
		s.clouds[p.Name] = &access{
			place: place{Cloud: p.Cloud, Region: p.Region, Group: g.name}, group: g, metrics: prometheus.NewRegistry(),
		}
		gate := guard.New(guard.Config{Provider: p.Name, Limits: g.launching, ImageLimits: g.uploading, Log: zap.NewNop()})
		works, moves := "provider/"+p.Name, "upload/"+p.Name
		launch[g] = append(launch[g], eager(works, printOf(p), gate, e, cloud.LaneRequest, cloud.Compute, cloud.Identity))
		upload[g] = append(upload[g], eager(moves, printOf(p), gate, e, cloud.LaneImage, cloud.Object, cloud.Identity))
	}
	for g, members := range launch {
		s.duties = append(s.duties, g.launchDuty(members), g.uploadDuty(upload[g]))
	}
	d.enforce(s)
}

// eager is a duty that makes calls of each service, without a pause.
func eager(key, made string, gate *guard.Guard, e *exit, lane cloud.Lane, services ...cloud.Service) duty {
	return duty{key: key, print: made, run: func(ctx context.Context, _ *store.Owned) error {
		var wg sync.WaitGroup
		for _, s := range services {
			for range 10 {
				wg.Go(func() {
					for {
						e.wait(ctx)
						leave, err := gate.Enter(cloud.WithLane(ctx, lane), cloud.Call{Service: s, Operation: "GET /things"})
						if err != nil {
							return
						}
						e.note(s)
						time.Sleep(20 * time.Millisecond)
						leave(cloud.Outcome{Status: 200})
					}
				})
			}
		}
		wg.Wait()
		return context.Cause(ctx)
	}}
}

// The providers of a group share its limit, over all peers and through
// handovers, takeovers and lost groups, and all of them are worked for.
func TestARateGroupIsLimitedOverAllPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const interval = 200 * time.Millisecond
		mem, e := newModel(t), &exit{at: map[cloud.Service][]time.Time{}}
		providers := []pool.Provider{
			{Name: "a", Cloud: "c", Rate: interval / 4}, {Name: "b", Cloud: "c", Rate: interval}, {Name: "z", Cloud: "c", Rate: 0},
		}
		var stops []func()
		for i := range 3 {
			stops = append(stops, start(t, groupPeer(fmt.Sprint(i), mem, e, providers...)))
			pass(10 * time.Second)
		}
		launching, _, err := mem.List(t.Context(), store.DefaultPrefix+"/owners/launching/")
		if err != nil || len(launching) != 1 {
			t.Fatalf("the group's owners are %v, %v", launching, err)
		}
		all := keys(t, mem)
		for _, p := range providers {
			if !slices.Contains(all, "owners/provider/"+p.Name) || !slices.Contains(all, "owners/upload/"+p.Name) {
				t.Errorf("nobody works for %s: %v", p.Name, all)
			}
		}
		// Somebody deletes the group's key, again and again: it is lost, with all
		// that is done for it, and another peer takes it.
		for range 6 {
			if _, _, err := mem.Commit(t.Context(), kv.Txn{Then: []kv.Op{kv.Delete(launching[0].Key)}}); err != nil {
				t.Fatal(err)
			}
			before := e.count(cloud.Compute)
			pass(20 * time.Second)
			if n := e.count(cloud.Compute) - before; n < 80 {
				t.Errorf("%d calls are made within 20s after the group was lost, want nearly 100", n)
			}
		}
		mem.Down()
		pass(2 * ttl)
		mem.Up()
		pass(30 * time.Second)
		for _, stop := range stops {
			stop()
			pass(10 * time.Second)
		}
		e.want(t, 2, interval)
	})
}

// The limit holds through each change of the configuration: of the rate, of what
// else a provider is, of who is in the group, and of all that in one moment.
func TestReloadsKeepTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pool.Provider{Name: "a", Cloud: "c"}, pool.Provider{Name: "b", Cloud: "c", BootTimeout: time.Minute}
		other := func(p pool.Provider) pool.Provider {
			p.BootTimeout = time.Hour
			return p
		}
		at := func(interval time.Duration, providers ...pool.Provider) []pool.Provider {
			all := slices.Clone(providers)
			for i := range all {
				all[i].Rate = interval
			}
			return all
		}
		const fast, slow = 50 * time.Millisecond, 250 * time.Millisecond
		e := &exit{at: map[cloud.Service][]time.Time{}}
		d := groupPeer("one", newModel(t), e, at(fast, a, b)...)
		defer start(t, d)()
		pass(10 * time.Second)
		for _, next := range [][]pool.Provider{
			at(fast, other(a), b), at(fast, a), at(fast, a, b), at(fast, b), at(fast, a, b),
		} {
			regroup(d, e, next...)
			pass(time.Duration(len(next)) * 5 * time.Millisecond)
		}
		pass(10 * time.Second)
		e.pause(10 * time.Second) // until all buckets are full
		regroup(d, e, at(fast, other(a), other(b))...)
		pass(10 * time.Second)
		e.want(t, 5, fast)
		for range 2 {
			e.forget()
			regroup(d, e, at(slow, a, b)...)
			pass(10 * time.Second)
			e.want(t, 2, slow)
			regroup(d, e, at(fast, a, b)...)
			pass(10 * time.Second)
			e.want(t, 5, fast)
		}
	})
}

// What a cloud taught outlives each change of a provider. One that goes to another
// rate group is in the same cloud still: what that taught, this peer or another, goes
// with it. Another cloud taught nothing yet.
func TestReloadsKeepThePenalty(t *testing.T) {
	const pause = time.Minute
	compute := cloud.Call{Service: cloud.Compute, Operation: "GET /things"}
	// call makes one call in the group that provider a is of now.
	call := func(t *testing.T, d *Daemon, o cloud.Outcome) {
		t.Helper()
		gate := guard.New(guard.Config{Provider: "a", Limits: d.setup().clouds["a"].group.launching, Log: zap.NewNop()})
		leave, err := gate.Enter(t.Context(), compute)
		if err != nil {
			t.Fatal(err)
		}
		leave(o)
	}
	here := func(t *testing.T, d *Daemon) {
		t.Helper()
		call(t, d, cloud.Outcome{Status: 429, Kind: cloud.RateLimited, RetryAfter: pause})
	}
	there := func(t *testing.T, d *Daemon) {
		t.Helper()
		group := d.setup().clouds["a"].group.name
		p := &pool.Penalty{V: pool.RecordVersion, Group: group, PauseMS: pause.Milliseconds(), Rates: map[string]float64{"compute": 5}}
		revision, err := d.store.Apply(t.Context(), nil, pool.Write{By: pool.Launcher, Penalties: []pool.Change[pool.Penalty]{pool.Create(p)}})
		if err != nil {
			t.Fatal(err)
		}
		go func() { _ = d.view.Load().Run(t.Context()) }() // ends with the test
		if err := d.view.Load().WaitFor(t.Context(), revision); err != nil {
			t.Fatal(err)
		}
	}
	was := pool.Provider{Name: "a", Cloud: "c", Rate: 100 * time.Millisecond}
	other, slower, another, elsewhere := was, was, was, was
	other.BootTimeout, slower.Rate, another.RateGroup, elsewhere.Cloud = time.Hour, 2*was.Rate, "mine", "d"
	for name, c := range map[string]struct {
		teach func(*testing.T, *Daemon)
		next  pool.Provider
		// first and more are when the first call is made, and how long ten more take.
		first, more time.Duration
	}{
		"another setting":       {here, other, pause - time.Second, 1050 * time.Millisecond},
		"a slower rate":         {here, slower, pause - time.Second, 1800 * time.Millisecond},
		"learned here":          {here, another, pause - time.Second, 1050 * time.Millisecond},
		"learned elsewhere":     {there, another, pause, 2 * time.Second},
		"another cloud":         {here, elsewhere, 100 * time.Millisecond, time.Second},
		"nothing to be learned": {func(*testing.T, *Daemon) {}, another, 100 * time.Millisecond, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := &exit{at: map[cloud.Service][]time.Time{}}
				d := groupPeer("one", newModel(t), e, was)
				c.teach(t, d)
				pass(time.Second)
				regroup(d, e, c.next)
				began := time.Now()
				call(t, d, cloud.Outcome{Status: 200})
				first := time.Since(began)
				for range 10 {
					call(t, d, cloud.Outcome{Status: 200})
				}
				more := time.Since(began) - first
				if first.Round(10*time.Millisecond) != c.first || more.Round(10*time.Millisecond) != c.more {
					t.Errorf("the first call is made after %v and ten more take %v, want %v and %v", first, more, c.first, c.more)
				}
			})
		})
	}
}

// Each has what the configuration or, without it, the cloud says, and the
// strictest rate; a provider without a cloud is alone.
func TestRateGroups(t *testing.T) {
	d := newDaemon(&config.Config{}, Options{Log: zap.NewNop()})
	d.cfg.Catalog.Providers = []pool.Provider{
		{Name: "b", Cloud: "one"},
		{Name: "a", Cloud: "one"},
		{Name: "c", Cloud: "two"},
		{Name: "d", Cloud: "one", RateGroup: "mine"},
		{Name: "e", Cloud: "two", RateGroup: "mine"},
		{Name: "f"},
	}
	groups := d.rateGroups(d.setup().providers(), func(name, _ string) (string, error) {
		if name == "" {
			return "", errors.New("no such cloud")
		}
		return name, nil
	})
	for name, want := range map[string]string{
		"a": "one: a b", "b": "one: a b", "c": "two: c", "d": "mine: d e", "e": "mine: d e", "f": "f: f",
	} {
		if got := groups[name].key("launching"); got != "launching/"+want {
			t.Errorf("%s is of %q, want %q", name, got, want)
		}
	}
	if groups["a"] != groups["b"] || groups["d"] != groups["e"] {
		t.Error("providers of one group do not share it")
	}
}
