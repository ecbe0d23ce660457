package daemon

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"poold/pool"
	"poold/store"
	"poold/store/kv"
	"poold/store/kv/memkv"
)

// printed is a duty whose component is made from something.
func printed(w *work, key, made string) duty {
	d := w.duty(key)
	d.print = made
	return d
}

// With a new configuration a duty that is the same goes on, one that differs is
// begun anew under the same ownership, and one that is gone is given back.
func TestDutiesFollowTheConfiguration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem, same, other, gone, late := newModel(t), newWork(), newWork(), newWork(), newWork()
		d := newPeer("one", mem, printed(same, "a", "1"), printed(other, "b", "1"), printed(gone, "c", "1"))
		stop := start(t, d)
		pass(time.Minute)
		revision := func() int64 {
			it, err := mem.Get(t.Context(), store.DefaultPrefix+"/owners/b")
			if err != nil {
				t.Fatal(err)
			}
			return it.CreateRevision
		}
		before := revision()
		d.enforce(&setup{cfg: d.cfg, duties: []duty{printed(same, "a", "1"), printed(other, "b", "2"), printed(late, "d", "1")}})
		pass(time.Minute)
		same.want(t, 1, 0)
		other.want(t, 2, 1)
		gone.want(t, 1, 1)
		late.want(t, 1, 0)
		if !errors.Is(other.causes[0], errAnother) || !errors.Is(gone.causes[0], errLeft) {
			t.Errorf("the causes are %v and %v", other.causes, gone.causes)
		}
		if now := revision(); now != before {
			t.Errorf("the duty that differs was given up between: owned at %d, then at %d", before, now)
		}
		if got, want := keys(t, mem), []string{"owners/a", "owners/b", "owners/d", "members/one"}; !slices.Equal(got, want) {
			t.Errorf("etcd holds %v, want %v", got, want)
		}
		if m := d.view.Load().Snapshot().Members[0]; !slices.Equal(m.Owns, []string{"a", "b", "d"}) || !slices.Equal(m.Duties, m.Owns) {
			t.Errorf("the member is %+v", m)
		}
		// What is gone and is back at once is done again.
		d.enforce(&setup{cfg: d.cfg})
		d.enforce(&setup{cfg: d.cfg, duties: []duty{printed(same, "a", "1")}})
		pass(time.Minute)
		if began, ended := same.lives(); began != ended+1 {
			t.Errorf("began %d times, ended %d times", began, ended)
		}
		stop()
	})
}

// unheard is an etcd that answers nobody who takes a duty.
type unheard struct {
	*memkv.KV

	key string
	// taken receives when the duty was taken.
	taken chan struct{}
}

func (u *unheard) Commit(ctx context.Context, txn kv.Txn) (int64, bool, error) {
	revision, done, err := u.KV.Commit(ctx, txn)
	if err == nil && done && txn.Then[0].Key == u.key {
		select {
		case u.taken <- struct{}{}:
			<-ctx.Done()
			return 0, false, kv.ErrUnknown
		default:
		}
	}
	return revision, done, err
}

// A duty that leaves the configuration before it is known to be taken belongs
// to nobody afterwards.
func TestADutyLeavesWhileItIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem, w := newModel(t), newWork()
		etcd := &unheard{KV: mem, key: store.DefaultPrefix + "/owners/a", taken: make(chan struct{}, 1)}
		d := newPeer("one", etcd, w.duty("a"))
		go func() {
			<-etcd.taken
			d.enforce(&setup{cfg: d.cfg})
		}()
		stop := start(t, d)
		pass(time.Minute)
		if got, want := keys(t, mem), []string{"members/one"}; !slices.Equal(got, want) {
			t.Errorf("etcd holds %v, want %v", got, want)
		}
		w.want(t, 0, 0)
		stop()
	})
}

// The members of a group follow the configuration, and the group goes on.
func TestAGroupFollowsTheConfiguration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem, stays, comes := newModel(t), newWork(), newWork()
		d := newPeer("one", mem)
		g := &rateGroup{name: "g", providers: []string{"p"}, launching: d.limitsOf("g", 0)}
		d.enforce(&setup{cfg: d.cfg, duties: []duty{g.launchDuty([]duty{printed(stays, "provider/p", "1")})}})
		stop := start(t, d)
		pass(time.Minute)
		d.enforce(&setup{cfg: d.cfg, duties: []duty{g.launchDuty([]duty{
			printed(stays, "provider/p", "1"), printed(comes, "image/i", "1"),
		})}})
		pass(time.Minute)
		stays.want(t, 1, 0)
		comes.want(t, 1, 0)
		d.enforce(&setup{cfg: d.cfg, duties: []duty{g.launchDuty([]duty{printed(comes, "image/i", "2")})}})
		pass(time.Minute)
		stays.want(t, 1, 1)
		comes.want(t, 2, 1)
		if got, want := keys(t, mem), []string{"owners/image/i", "owners/launching/g:%20p", "members/one"}; !slices.Equal(got, want) {
			t.Errorf("etcd holds %v, want %v", got, want)
		}
		stop()
	})
}

// Providers leave when no peer has them and while they have nodes; what is
// known of them is kept, and nothing is launched there.
func TestLeavers(t *testing.T) {
	slot := 0
	node := func(provider string, s pool.NodeState) *pool.Node {
		return &pool.Node{Provider: provider, State: s, Cloud: "c", Region: "r"}
	}
	static := node("hosts", pool.NodeInUse)
	static.Slot, static.Cloud, static.Region = &slot, "", ""
	snap := &pool.Snapshot{
		Members: []*pool.Member{{Name: "one", Providers: []string{"left"}}, {Name: "two", Providers: []string{"others"}}, {Name: "builder", Providers: []string{"left", "here"}}},
		Offers: []*pool.Offer{
			{Peer: "one", Catalog: pool.Catalog{Providers: []pool.Provider{{Name: "left"}}}},
			{Peer: "away", Catalog: pool.Catalog{Providers: []pool.Provider{{Name: "absent"}}}},
			{Peer: "builder", Catalog: pool.Catalog{Providers: []pool.Provider{
				{Name: "left", Images: make([]pool.ProviderImage, 1)}, {Name: "here", Images: make([]pool.ProviderImage, 1)},
			}}},
		},
		Nodes: []*pool.Node{
			node("absent", pool.NodeReady), node("here", pool.NodeReady), node("others", pool.NodeReady), node("left", pool.NodeInUse), node("left", pool.NodeReady),
			node("empty", pool.NodeDeleted), node("before", pool.NodeReady), static,
		},
	}
	had := map[string]*pool.Provider{"left": {Name: "left", Cloud: "mine", RateGroup: "g", Pools: make([]pool.Pool, 1), Images: make([]pool.ProviderImage, 1)}}
	got := leavers(snap, "one", &pool.Catalog{Providers: []pool.Provider{{Name: "here"}}}, had)
	if names(got) != "before hosts left" {
		t.Fatalf("there leave %q", names(got))
	}
	if p := got[0]; p.Cloud != "c" || p.Region != "r" || p.Rate == 0 || p.Static() {
		t.Errorf("what only a record knows of: %+v", p)
	}
	if !got[1].Static() {
		t.Errorf("hosts are %+v", got[1])
	}
	if p := got[2]; p.Cloud != "mine" || p.RateGroup != "g" || p.Pools != nil || p.Images != nil {
		t.Errorf("what was configured: %+v", p)
	}
}
