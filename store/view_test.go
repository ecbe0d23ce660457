package store

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"pgregory.net/rapid"

	"poold/pool"
	"poold/store/kv"
	"poold/store/kv/memkv"
)

// A list is what a map would hold, sorted, and one that was handed out never
// changes.
func TestTable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var tab table[string]
		model := map[string]string{}
		var old []*string
		var copied []string
		values := func(list []*string) []string {
			out := make([]string, 0, len(list))
			for _, v := range list {
				out = append(out, *v)
			}
			return out
		}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			key := rapid.StringMatching("[a-f]{1,2}").Draw(t, "key")
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				tab.set(key, nil)
				delete(model, key)
			case 1:
				old = tab.list()
				copied = values(old)
			default:
				value := fmt.Sprintf("%s=%d", key, rapid.Int().Draw(t, "value"))
				tab.set(key, &value)
				model[key] = value
			}
		}
		var want []string
		for _, key := range slices.Sorted(func(yield func(string) bool) {
			for k := range model {
				if !yield(k) {
					return
				}
			}
		}) {
			want = append(want, model[key])
		}
		if got := values(tab.list()); !slices.Equal(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
		if got := values(old); !slices.Equal(got, copied) {
			t.Fatalf("a list changed from %q to %q", copied, got)
		}
	})
}

// watching returns a view that runs on a model, in a bubble.
func watching(t *testing.T) (*rig, *View) {
	t.Helper()
	r := newRig(t)
	v := r.View()
	go func() { _ = v.Run(t.Context()) }()
	synctest.Wait()
	return r, v
}

func ids(s *pool.Snapshot) string {
	out := ""
	for _, n := range s.Nodes {
		out += string(n.ID)
	}
	return out
}

func TestViewFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, v := watching(t)
		if !v.Synced() || v.LastContact() != time.Now() {
			t.Fatalf("synced %v, contact %v", v.Synced(), v.LastContact())
		}
		changed, cancel := v.Subscribe()
		revision := r.apply(t, create(pending("b"), pending("a")))
		if err := v.WaitFor(t.Context(), revision); err != nil {
			t.Fatal(err)
		}
		<-changed
		before := v.Snapshot()
		if before.Revision != revision || ids(before) != "ab" || before != v.Snapshot() {
			t.Fatalf("at %d: %+v", revision, before)
		}
		r.apply(t, move(before.Nodes[0], pool.NodeDeleted, pool.Allocator))
		r.apply(t, create(pending("c")))
		synctest.Wait()
		after := v.Snapshot()
		if ids(after) != "abc" || after.Nodes[0].State != pool.NodeDeleted || after.Nodes[1] != before.Nodes[1] {
			t.Errorf("after: %+v", after.Nodes)
		}
		if ids(before) != "ab" || before.Nodes[0].State != pool.NodePending {
			t.Errorf("the old snapshot changed: %+v", before.Nodes)
		}
		r.apply(t, pool.Write{By: pool.Allocator, Nodes: []pool.Change[pool.Node]{pool.Remove(after.Nodes[0])}})
		synctest.Wait()
		if got := ids(v.Snapshot()); got != "bc" {
			t.Errorf("after the removal: %s", got)
		}
		if len(changed) != 1 {
			t.Errorf("%d wakes wait, want 1", len(changed))
		}
		<-changed
		cancel()
		r.apply(t, create(pending("d")))
		synctest.Wait()
		if len(changed) != 0 {
			t.Error("woken after the end of the subscription")
		}
	})
}

// What we wrote ourselves is not read again, unless somebody else came first.
func TestViewTakesOwnWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, v := watching(t)
		r.apply(t, create(pending("a"), pending("b")))
		synctest.Wait()
		if left := len(r.Store.own.written); left != 0 {
			t.Errorf("%d writes are still remembered after the watch told of them", left)
		}
		mine := pending("c")
		mine.HostKeys = []string{"ours"}
		r.Store.own.expect(map[string]ownWrite{r.keys.node("p", "c"): {value: []byte("what was never written"), record: mine}})
		other := New(r.kv, "", zap.NewNop())
		if _, err := other.Apply(t.Context(), nil, create(pending("c"))); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if diff := cmp.Diff(r.read(t), v.Snapshot()); diff != "" {
			t.Errorf("the view differs from what is stored (-stored +view):\n%s", diff)
		}
		// This one has something that its value does not tell of.
		own := pending("d")
		value, err := r.codec.nodes.encode(own, pool.RecordVersion)
		if err != nil {
			t.Fatal(err)
		}
		own.HostKeys = []string{"ours"}
		r.Store.own.expect(map[string]ownWrite{r.keys.node("p", "d"): {value: value, record: own, version: pool.RecordVersion}})
		r.raw(t, kv.Put(r.keys.node("p", "d"), value))
		synctest.Wait()
		if nodes := v.Snapshot().Nodes; len(nodes[len(nodes)-1].HostKeys) != 1 {
			t.Errorf("%+v was read though we wrote it", nodes[len(nodes)-1])
		}
		if _, err := r.Apply(t.Context(), nil, create(pending("a"))); err == nil {
			t.Fatal("made twice")
		}
		if _, left := r.Store.own.written[r.keys.node("p", "a")]; left {
			t.Error("a write that was not made is remembered")
		}
	})
}

// Every kind of record arrives where it belongs.
func TestReadHasEveryKind(t *testing.T) {
	r := newRig(t)
	r.apply(t, create(pending("n")))
	r.apply(t, pool.Write{
		By:      pool.Builder,
		Builds:  []pool.Change[pool.Build]{pool.Create(&pool.Build{Image: "i", ID: "b", State: pool.BuildBuilding})},
		Quotas:  []pool.Change[pool.Quota]{pool.Create(&pool.Quota{Provider: "p"})},
		Healths: []pool.Change[pool.Health]{pool.Create(&pool.Health{Provider: "p"})},
	})
	r.apply(t, pool.Write{
		By:        pool.Operator,
		Penalties: []pool.Change[pool.Penalty]{pool.Create(&pool.Penalty{Group: "g"})},
		Freezes:   []pool.Change[pool.Freeze]{pool.Create(&pool.Freeze{By: "me"})},
		Pauses:    []pool.Change[pool.Pause]{pool.Create(&pool.Pause{Image: "i"})},
	})
	r.apply(t, pool.Write{
		By:      pool.Uploader,
		Uploads: []pool.Change[pool.Upload]{pool.Create(&pool.Upload{Image: "i", Build: "b", Provider: "p", State: pool.UploadPending})},
	})
	r.apply(t, pool.Write{
		By:          pool.Allocator,
		Allocations: []pool.Change[pool.Allocation]{pool.Create(&pool.Allocation{Client: "c", ID: "1", State: pool.AllocationFailed})},
	})
	if _, err := r.PutCommand(t.Context(), &pool.Command{ID: "1"}); err != nil {
		t.Fatal(err)
	}
	r.ask(t, `{"v":1,"labels":["l"],"max_lifetime":"1h"}`)
	if err := r.PutMember(t.Context(), r.own.session, &pool.Member{Name: "one"}); err != nil {
		t.Fatal(err)
	}
	s, err := r.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := []int{
		len(s.Nodes), len(s.Builds), len(s.Quotas), len(s.Uploads), len(s.Allocations), len(s.Commands),
		len(s.Requests), len(s.Members), len(s.Healths), len(s.Penalties), len(s.Pauses), len(s.Unreadable),
	}
	if !slices.Equal(got, []int{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0}) || s.Freeze == nil || s.Revision != r.mem.Revision() {
		t.Errorf("got %v at %d", got, s.Revision)
	}
}

// What cannot be read is told, never taken for absent, and never shown in an
// older version.
func TestUnreadableRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, v := watching(t)
		r.apply(t, create(pending("a"), pending("b")))
		key := r.keys.node("p", "a")
		r.raw(t, kv.Put(key, []byte(`{"v":2,"id":"a","provider":"p"}`)))
		r.raw(t, kv.Put(r.keys.prefix+"nodes/stray", []byte(`{}`)))
		r.raw(t, kv.Put(r.keys.request("c", "1"), []byte(`garbage`)))
		synctest.Wait()
		s := v.Snapshot()
		if ids(s) != "b" || !slices.Equal(s.Unreadable, []string{key, r.keys.prefix + "nodes/stray"}) {
			t.Errorf("nodes %s, unreadable %q", ids(s), s.Unreadable)
		}
		if len(s.Requests) != 1 || s.Requests[0].Defect == "" {
			t.Errorf("requests: %+v", s.Requests)
		}
		r.raw(t, kv.Put(key, []byte(`{"v":1,"id":"a","provider":"p"}`)))
		r.raw(t, kv.Delete(r.keys.prefix+"nodes/stray"))
		synctest.Wait()
		if s := v.Snapshot(); ids(s) != "ab" || len(s.Unreadable) != 0 {
			t.Errorf("mended: nodes %s, unreadable %q", ids(s), s.Unreadable)
		}
	})
}

// An etcd that is older than it has been, as after a restore, is told of once.
func TestViewWentBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, v := watching(t)
		r.apply(t, create(pending("a")))
		synctest.Wait()
		back := v.WentBack()
		told := func() bool {
			select {
			case <-back:
				return true
			default:
				return false
			}
		}
		if err := v.load(t.Context()); err != nil || told() {
			t.Errorf("listed again, %v: told that etcd went back: %v", err, told())
		}
		v.mu.Lock()
		v.revision += 100 // seen before etcd was restored
		v.mu.Unlock()
		if err := v.load(t.Context()); err != nil || !told() {
			t.Errorf("etcd went back, %v: told: %v", err, told())
		}
		if back = v.WentBack(); told() {
			t.Error("told twice")
		}
	})
}

// An etcd that is away, breaks watches or compacts costs time, never a change.
func TestViewRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, v := watching(t)
		var top atomic.Int64
		changed, cancel := v.Subscribe()
		defer cancel()
		go func() {
			for {
				select {
				case <-changed:
				case <-t.Context().Done():
					return
				}
				if at := v.Snapshot().Revision; at < top.Load() {
					t.Errorf("the view went from %d to %d", top.Load(), at)
				} else {
					top.Store(at)
				}
			}
		}()
		r.mem.Down()
		contact := v.LastContact()
		time.Sleep(time.Minute)
		if v.LastContact() != contact {
			t.Error("contact with an etcd that is down")
		}
		r.mem.Up()
		r.apply(t, create(pending("a")))
		r.mem.BreakWatches()
		r.apply(t, create(pending("b")))
		time.Sleep(longestPause)
		if got := ids(v.Snapshot()); got != "ab" {
			t.Errorf("after broken watches: %s", got)
		}
		r.mem.BreakWatches() // and while the view pauses
		r.apply(t, pool.Write{By: pool.Allocator, Nodes: []pool.Change[pool.Node]{
			pool.Update(r.node(t, "a"), r.node(t, "a").Moved(pool.NodeDeleted, pool.Allocator, "", at)),
		}})
		r.apply(t, pool.Write{By: pool.Allocator, Nodes: []pool.Change[pool.Node]{pool.Remove(r.node(t, "a"))}})
		if v.Gaps() != 0 {
			t.Errorf("%d gaps, and nothing was forgotten", v.Gaps())
		}
		if err := r.mem.Compact(r.mem.Revision()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * longestPause)
		if v.Gaps() != 1 {
			t.Errorf("%d gaps after compaction, want 1", v.Gaps())
		}
		if got := ids(v.Snapshot()); got != "b" {
			t.Errorf("after compaction: %s", got)
		}
		if time.Since(v.LastContact()) > probeEvery {
			t.Errorf("the last contact was %v ago", time.Since(v.LastContact()))
		}
	})
}

// A restored etcd waits in silence for the revisions it lost; the view finds
// out and shows what there is.
func TestViewNoticesRestore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, v := watching(t)
		r.apply(t, create(pending("a")))
		backup := r.mem.Backup()
		for _, id := range []pool.NodeID{"b", "c", "d"} {
			r.apply(t, create(pending(id)))
		}
		synctest.Wait()
		r.mem.Restore(backup)
		time.Sleep(2 * probeEvery)
		if s := v.Snapshot(); ids(s) != "a" || s.Revision != r.mem.Revision() {
			t.Errorf("nodes %s at %d, want a at %d", ids(s), s.Revision, r.mem.Revision())
		}
		r.raw(t, kv.Put(r.keys.node("p", "e"), []byte(`{"id":"e","provider":"p"}`)))
		synctest.Wait()
		if got := ids(v.Snapshot()); got != "ae" {
			t.Errorf("the view no longer follows: %s", got)
		}
	})
}

func TestInstallation(t *testing.T) {
	mem := memkv.New(at)
	for i, fault := range []memkv.Fault{memkv.CommitReplyLost, memkv.NoFault} {
		mem.FailCommits(fault)
		id, err := New(mem, "/x/", zap.NewNop()).Installation(t.Context(), func() (string, error) { return fmt.Sprint("id", i), nil })
		if err != nil || id != "id0" {
			t.Errorf("peer %d: %s, %v", i, id, err)
		}
	}
}

// Who launches in a provider is not woken by what it has no part in, and misses
// nothing of its own.
func TestOwnedProviderHearsOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, v := watching(t)
		o := r.OwnedProvider(v, r.own, "p")
		defer o.Close()
		foreign := func(id pool.NodeID) *pool.Node {
			n := pending(id)
			n.Provider = "p2"
			return n
		}
		for _, c := range []struct {
			name string
			do   func()
			want bool
		}{
			{"its node", func() { r.apply(t, create(pending("a"))) }, true},
			{"another's node", func() { r.apply(t, create(foreign("f"))) }, false},
			{"a request", func() { r.ask(t, `{"v":1}`) }, false},
			{"an answer", func() { r.raw(t, kv.Put(r.keys.allocation("c", "r"), []byte(`{"v":1,"client":"c","id":"r"}`))) }, false},
			{"its quota", func() { r.raw(t, kv.Put(r.keys.quota("p"), []byte(`{"v":1,"provider":"p"}`))) }, true},
			{"a command", func() { r.raw(t, kv.Put(r.keys.command("c"), []byte(`{"v":1}`))) }, true},
			{"its node among others", func() { r.apply(t, create(foreign("g"), pending("b"))) }, true},
		} {
			c.do()
			synctest.Wait()
			heard := false
			select {
			case <-o.Changed():
				heard = true
			default:
			}
			if heard != c.want {
				t.Errorf("%s: heard %v, want %v", c.name, heard, c.want)
			}
		}
	})
}

// Who moves images is not woken by nodes and requests.
func TestOwnedUploadsHearsOfImages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, v := watching(t)
		o := r.OwnedUploads(v, r.own)
		defer o.Close()
		for _, c := range []struct {
			name string
			do   func()
			want bool
		}{
			{"a build", func() { r.raw(t, kv.Put(r.keys.build("i", "b"), []byte(`{"v":1}`))) }, true},
			{"an upload", func() { r.raw(t, kv.Put(r.keys.upload("i", "b", "p"), []byte(`{"v":1}`))) }, true},
			{"a command", func() { r.raw(t, kv.Put(r.keys.command("c"), []byte(`{"v":1}`))) }, true},
			{"a node", func() { r.apply(t, create(pending("a"))) }, false},
			{"a request", func() { r.ask(t, `{"v":1}`) }, false},
		} {
			c.do()
			synctest.Wait()
			if heard := len(o.Changed()) > 0; heard != c.want {
				t.Errorf("%s: heard %v, want %v", c.name, heard, c.want)
			} else if heard {
				<-o.Changed()
			}
		}
	})
}

// Whoever owns a provider reads its nodes and what its sweeps found, up to the
// last write, and nothing of the others; what of it cannot be read is told.
func TestOwnedProviderReadsItsOwn(t *testing.T) {
	r := newRig(t)
	o := r.OwnedProvider(r.View(), r.own, "p")
	defer o.Close()
	foreign := pending("f")
	foreign.Provider = "p2"
	r.apply(t, create(pending("a"), foreign, pending("b")))
	r.ask(t, `{"v":1}`)
	r.raw(t, kv.Put(r.keys.health("p"), []byte(`{"v":1,"provider":"p"}`)))
	r.raw(t, kv.Put(r.keys.health("p2"), []byte(`{"v":1,"provider":"p2"}`)))
	r.raw(t, kv.Put(r.keys.node("p2", "x"), []byte(`broken`)))
	r.raw(t, kv.Put(r.keys.health("p3"), []byte(`broken`)))
	for _, broken := range []string{"", r.keys.node("p", "x")} {
		if broken != "" {
			r.raw(t, kv.Put(broken, []byte(`broken`)))
		}
		s, err := o.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(s.Nodes) != 2 || s.Nodes[0].ID != "a" || s.Nodes[1].ID != "b" || len(s.Requests) != 0 ||
			len(s.Healths) != 1 || s.Health("p") == nil || s.Revision == 0 || strings.Join(s.Unreadable, "") != broken {
			t.Errorf("read %+v", s)
		}
	}
}

func TestOwnedHandle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, v := watching(t)
		o := r.Owned(v, r.own)
		defer o.Close()
		if _, err := o.Apply(t.Context(), create(pending("a"))); err != nil {
			t.Fatal(err)
		}
		<-o.Changed()
		read, err := o.Read(t.Context())
		if err != nil || ids(read) != "a" || ids(o.Snapshot()) != "a" {
			t.Errorf("read %+v, %v", read, err)
		}
		if err := r.own.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := o.Apply(t.Context(), create(pending("b"))); err == nil {
			t.Error("wrote after the release")
		}
	})
}

// A burst of changes costs one merge: at 10 000 nodes and 300 changes a second
// a snapshot per 100 ms must cost next to nothing.
func BenchmarkSnapshot(b *testing.B) {
	var tab table[pool.Node]
	for i := range 10_000 {
		tab.set(fmt.Sprintf("/poold/v1/nodes/provider/%012d", i), &pool.Node{})
	}
	tab.list()
	n := 0
	for b.Loop() {
		for range 30 {
			n++
			tab.set(fmt.Sprintf("/poold/v1/nodes/provider/%012d", n%11_000), &pool.Node{})
		}
		tab.list()
	}
}

// A loop lags from when something changed until it fetches that, and not because
// it was nudged before or has had nothing to do.
func TestLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, v := watching(t)
		o := r.Owned(v, r.own)
		defer o.Close()
		lags := func(what string, want time.Duration) {
			t.Helper()
			synctest.Wait()
			if got := o.Lag(); got != want {
				t.Errorf("%s: it lags by %v, want %v", what, got, want)
			}
		}
		time.Sleep(time.Minute)
		lags("nothing changed", 0)
		r.apply(t, create(pending("a")))
		synctest.Wait()
		time.Sleep(time.Second)
		r.apply(t, create(pending("b")))
		synctest.Wait()
		time.Sleep(time.Second)
		lags("two changes", 2*time.Second)
		<-o.Changed()
		lags("fetched", 0)
		o.Nudge()
		time.Sleep(time.Second)
		lags("nudged", time.Second)
		<-o.Changed()
		lags("fetched again", 0)
	})
}
