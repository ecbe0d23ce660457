package daemon

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"poold/peers"
	"poold/pool"
	"poold/store"
	"poold/store/kv"
)

// floor is the duties of a site, who does each, and how often it changed hands.

type floor struct {
	mu      sync.Mutex
	by      map[string]string
	starts  map[string]int
	longest time.Duration // that nobody did a duty, once somebody had
	idle    map[string]time.Time
	clashes []string
}

func newFloor() *floor {
	return &floor{by: map[string]string{}, starts: map[string]int{}, idle: map[string]time.Time{}}
}

// peer is a peer that can do these duties.
func (f *floor) peer(name string, records kv.KV, duties ...string) *Daemon {
	var all []duty
	for _, key := range duties {
		all = append(all, duty{key: key, run: func(ctx context.Context, _ *store.Owned) error {
			f.begin(key, name)
			<-ctx.Done()
			f.end(key)
			return context.Cause(ctx)
		}})
	}
	return newPeer(name, records, all...)
}

func (f *floor) begin(key, name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.by[key] != "" {
		f.clashes = append(f.clashes, key)
	}
	if since, was := f.idle[key]; was {
		f.longest = max(f.longest, time.Since(since))
	}
	f.by[key] = name
	f.starts[key]++
}

func (f *floor) end(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.by[key], f.idle[key] = "", time.Now()
}

// shares counts the duties of each peer.
func (f *floor) shares() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := map[string]int{}
	for _, by := range f.by {
		n[by]++
	}
	return n
}

// started is how often duties began.
func (f *floor) started() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	sum := 0
	for _, n := range f.starts {
		sum += n
	}
	return sum
}

// pause is the longest time that nobody did a duty, and begins anew.
func (f *floor) pause() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	longest := f.longest
	f.longest = 0
	return longest
}

func groups(n int) []string {
	all := []string{"allocator"}
	for i := range n {
		all = append(all, fmt.Sprintf("launching/g%d: p%d", i, i))
	}
	return all
}

// Duties spread over the peers as these come, one at a time and each at most
// once for each that comes; when one goes only what it had moves, and at once.
func TestDutiesSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem, f, keys := newModel(t), newFloor(), groups(23)
		stop := map[string]func(){}
		for _, name := range []string{"one", "two", "three"} {
			before := f.started()
			stop[name] = start(t, f.peer(name, mem, keys...))
			pass(2 * peers.Settled)
			if name == "one" {
				before = len(keys)
			}
			if moved, givers := f.started()-before, len(stop)-1; moved > 2*givers {
				t.Errorf("%d duties moved within a minute, from %d peers", moved, givers)
			}
			pass(time.Duration(len(keys)) * peers.Settled)
			before += len(keys)
			if f.started() > before {
				t.Errorf("%d duties began, more than %d, when %s came", f.started(), before, name)
			}
		}
		for name, n := range f.shares() {
			if n < 3 || n > 13 {
				t.Errorf("%s has %d of %d duties", name, n, len(keys))
			}
		}
		if pause := f.pause(); pause > time.Second {
			t.Errorf("a duty was done by nobody for %v while it moved", pause)
		}
		before, had := f.started(), f.shares()["two"]
		stop["two"]()
		pass(peers.Deference + time.Second)
		if n := f.shares(); n["one"]+n["three"] != len(keys) || f.started()-before != had {
			t.Errorf("%d duties moved of the %d that two had; now %v", f.started()-before, had, n)
		}
		if pause := f.pause(); pause > time.Second {
			t.Errorf("a duty was done by nobody for %v when its peer stopped", pause)
		}
		pass(time.Hour)
		if again := f.started() - before - had; again > 0 {
			t.Errorf("%d duties moved though nobody came or went", again)
		}
		if len(f.clashes) > 0 {
			t.Errorf("done twice at once: %v", f.clashes)
		}
		stop["one"]()
		stop["three"]()
	})
}

// A peer that comes takes no images from who has their files.
func TestImagesStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem, f := newModel(t), newFloor()
		keys := []string{"image/a", "image/b", "image/c", "uploading/g: p", "uploading/h: q"}
		for _, name := range []string{"one", "two", "three", "four"} {
			defer start(t, f.peer(name, mem, keys...))()
			pass(10 * time.Minute)
		}
		if n := f.shares(); n["one"] != len(keys) {
			t.Errorf("the duties are with %v", n)
		}
	})
}

// When a peer with images goes, they all go to the same one.
func TestImagesMoveTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem, f := newModel(t), newFloor()
		keys := []string{"image/a", "image/b", "image/c", "uploading/g: p", "uploading/h: q"}
		stop := start(t, f.peer("one", mem, keys...))
		for _, name := range []string{"two", "three", "four"} {
			pass(time.Second)
			defer start(t, f.peer(name, mem, keys...))()
		}
		pass(time.Minute)
		stop()
		pass(time.Minute)
		if n := f.shares(); len(n) != 1 || n[""] > 0 {
			t.Errorf("the duties are with %v", n)
		}
	})
}

// drain drains a peer, or ends that.
func drain(t *testing.T, records kv.KV, peer string) {
	t.Helper()
	s := store.New(records, "", zap.NewNop())
	snap, err := s.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	change := pool.Create(&pool.Drain{V: pool.RecordVersion, Peer: peer})
	if is := snap.Drain(peer); is != nil {
		change = pool.Remove(is)
	}
	if _, err := s.Apply(t.Context(), nil, pool.Write{By: pool.Operator, Drains: []pool.Change[pool.Drain]{change}}); err != nil {
		t.Fatal(err)
	}
}

// A drained peer hands everything over at once, images too, and takes nothing
// as long as another can; a peer alone goes on.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem, f := newModel(t), newFloor()
		keys := append(groups(9), "image/a", "uploading/g: p")
		defer start(t, f.peer("one", mem, keys...))()
		pass(time.Minute)
		drain(t, mem, "one")
		pass(time.Minute)
		if n := f.shares(); n["one"] != len(keys) || f.started() != len(keys) {
			t.Errorf("alone and drained: %v after %d starts", n, f.started())
		}
		stop := start(t, f.peer("two", mem, keys...))
		pass(5 * time.Second)
		if n := f.shares(); n["two"] != len(keys) {
			t.Errorf("drained: %v", n)
		}
		if pause := f.pause(); pause > time.Second {
			t.Errorf("a duty was done by nobody for %v", pause)
		}
		pass(10 * time.Minute)
		stop()
		pass(peers.Deference + time.Second)
		if n := f.shares(); n["one"] != len(keys) {
			t.Errorf("drained and alone again: %v", n)
		}
		defer start(t, f.peer("two", mem, keys...))()
		pass(5 * time.Second)
		drain(t, mem, "one")
		pass(time.Hour)
		if n := f.shares(); n["one"] == 0 || n["one"] > len(keys)-2 || n["one"]+n["two"] != len(keys) {
			t.Errorf("not drained any more: %v", n)
		}
		if len(f.clashes) > 0 {
			t.Errorf("done twice at once: %v", f.clashes)
		}
	})
}

// A peer that is there and does not take what belongs to it costs a short pause
// now and then, and no more.
func TestDutyThatIsSpurned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem, f, keys := newModel(t), newFloor(), groups(20)
		lazy := newPeer("lazy", mem)
		session, err := store.OpenSession(t.Context(), mem, ttl, zap.NewNop())
		if err != nil {
			t.Fatal(err)
		}
		go func() { _ = session.Run(t.Context()) }()
		if err := lazy.store.PutMember(t.Context(), session, &pool.Member{V: 1, Name: "lazy", Duties: keys}); err != nil {
			t.Fatal(err)
		}
		defer start(t, f.peer("one", mem, keys...))()
		pass(time.Hour)
		if n := f.shares(); n["one"] != len(keys) {
			t.Errorf("the duties are with %v", n)
		}
		if n, most := f.started(), len(keys)*(1+int(time.Hour/peers.Grudge)); n > most || n == len(keys) {
			t.Errorf("%d starts of %d duties in an hour, want more than those and at most %d", n, len(keys), most)
		}
		if pause := f.pause(); pause > peers.Deference+time.Second {
			t.Errorf("a duty was done by nobody for %v", pause)
		}
	})
}
