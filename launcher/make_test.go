package launcher

import (
	"context"
	"errors"
	"maps"
	"testing"
	"time"

	"poold/cloud"
	"poold/pool"
)

const publicKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKur4e4eBhpuGBbUoumM0vTc3aA2U7D11bZl3BJXKguE x"

// keyedCloud is a cloud that key pairs can be brought to.
type keyedCloud struct {
	*fakeCloud

	key func(name, publicKey string) error
}

func (c keyedCloud) EnsureKeyPair(ctx context.Context, name, key string) error {
	return c.do(ctx, "key", func() error { return c.key(name, key) })
}

// All that a label says of its servers is asked for, and the key pair of a
// public key is there before them.
func TestSpecIsTheLabels(t *testing.T) {
	bubble(t, func(w *world) {
		ls := &w.cfg.Provider.Pools[0].Labels[0]
		ls.PublicKey, ls.Tags, ls.ServerGroup = publicKey, []string{"ci"}, "apart"
		ls.SchedulerHints = map[string]string{"a": "b"}
		name := cloud.KeyPairName("inst", publicKey)
		w.cfg.Driver = keyedCloud{w.cloud, func(got, key string) error {
			if got != name || key != publicKey || len(w.cloud.creates) > 0 {
				t.Errorf("key pair %s of %q after %d creates", got, key, len(w.cloud.creates))
			}
			return nil
		}}
		w.start()
		w.store.add(ids(2)...)
		pass(time.Minute)
		w.want(pool.NodeReady, 2)
		s := w.cloud.specs()[0]
		if s.KeyName != name || s.Tags[0] != "ci" || s.ServerGroup != "apart" || s.Hints["a"] != "b" {
			t.Errorf("asked for %+v", s)
		}
		w.end()
	})
}

// Without its key pair nothing is asked for: the nodes fail, and neither wait
// for instances that cannot come nor blame the quota.
func TestNoKeyPair(t *testing.T) {
	for kind, want := range map[cloud.Kind]pool.Kind{
		cloud.Quota: pool.KindInvalid, cloud.Ambiguous: pool.KindTransient, cloud.Invalid: pool.KindInvalid,
	} {
		bubble(t, func(w *world) {
			w.cfg.Provider.Pools[0].Labels[0].PublicKey = publicKey
			w.cfg.Driver = keyedCloud{w.cloud, func(string, string) error { return fail(kind) }}
			w.start()
			w.store.add("a")
			pass(20 * time.Second)
			if n := w.store.node("a"); n.Failure != want || n.State != pool.NodeDeleted {
				t.Errorf("%s: the node is %s for %s, want it deleted for %s", kind, n.State, n.Failure, want)
			}
			if w.cloud.called("create") != 0 || w.store.published().Lowered != nil {
				t.Errorf("%s: %d creates, quota %+v", kind, w.cloud.called("create"), w.store.published())
			}
			w.end()
		})
	}
}

// What cannot change is not looked up again, unless a create says that it did.
func TestImagesAreLookedUpOnce(t *testing.T) {
	bubble(t, func(w *world) {
		w.cfg.Provider.CloudImages = []pool.CloudImage{{Name: "deb", ID: "id-1"}, {Name: "by-name", ImageName: "Debian"}}
		gone := false
		w.cfg.Driver = imageCloud{w.cloud, &gone}
		w.start()
		pass(time.Hour)
		looks := w.cloud.called("image")
		if facts := w.cloud.called("facts"); looks != facts+1 || facts < 10 {
			t.Errorf("%d looks at images with %d facts, want the name each time and the id once", looks, facts)
		}
		w.cloud.mu.Lock()
		w.cloud.fault = func(op string) (error, bool) {
			if op == "create" {
				return fail(cloud.Invalid), false
			}
			return nil, false
		}
		gone = true
		w.cloud.mu.Unlock()
		w.store.add("a")
		pass(time.Minute)
		if images := w.store.published().CloudImages; images["deb"] != "" || images["by-name"] == "" {
			t.Errorf("the images are %v, want one gone", images)
		}
		w.end()
	})
}

// imageCloud finds images by id until they are gone.
type imageCloud struct {
	*fakeCloud

	gone *bool
}

func (c imageCloud) FindImage(ctx context.Context, name string) (string, error) {
	id := "of " + name
	err := c.do(ctx, "image", func() error {
		if name != "id-1" {
			return nil
		}
		id = name
		if *c.gone {
			return &cloud.Error{Kind: cloud.NotFound, Op: "find image", Err: errors.New("deleted")}
		}
		return nil
	})
	return id, err
}

// choosyCloud says which address to connect to.
type choosyCloud struct {
	*fakeCloud

	choose func(i cloud.Instance) (string, error)
}

func (c choosyCloud) InterfaceIP(_ context.Context, i cloud.Instance) (string, error) {
	return c.choose(i)
}

// The driver says where to connect to, floating IP and all; where it has no
// opinion the best address is taken, and where it has trouble it is asked
// again.
func TestChosenAddress(t *testing.T) {
	for opinion, want := range map[string]string{"192.0.2.1": "192.0.2.1", "": "203.0.113.1"} {
		bubble(t, func(w *world) {
			w.cfg.Provider.Pools[0].AutoFloatingIP = true
			asked := 0
			w.cfg.Driver = choosyCloud{w.cloud, func(i cloud.Instance) (string, error) {
				if len(i.Addresses) != 2 || !i.Addresses[1].Floating {
					t.Errorf("asked about %+v", i.Addresses)
				}
				if asked++; asked == 1 {
					return "", fail(cloud.Transient)
				}
				return opinion, nil
			}}
			w.start()
			w.store.add("a")
			pass(30 * time.Second)
			w.want(pool.NodeReady, 1)
			if got := w.store.node("a").InterfaceIP; got != want || asked != 2 {
				t.Errorf("connected to %s after asking %d times, want %s after 2", got, asked, want)
			}
			w.end()
		})
	}
}

// Servers say whom they were launched for: the sets' nodes their set's request,
// others whoever is first in line. Those that nobody waits for say nothing.
func TestDynamicProperties(t *testing.T) {
	bubble(t, func(w *world) {
		ls := &w.cfg.Provider.Pools[0].Labels[0]
		ls.Properties = map[string]string{"who": "nobody", "static": "yes"}
		ls.DynamicProperties = map[string]string{"who": "{request.requestor}/{request.id}"}
		request := func(id string, revision int64, labels ...string) *pool.Request {
			return &pool.Request{Client: "ci", ID: id, CreateRevision: revision, Labels: labels}
		}
		set := request("set", 30, "small", "small")
		w.store.mu.Lock()
		w.store.requests = []*pool.Request{
			request("other-set", 5, "small", "small"), request("late", 20, "small"), set, request("early", 10, "small"),
		}
		w.store.mu.Unlock()
		w.store.add(ids(5)...)
		ref := set.Ref()
		for _, id := range ids(5)[3:] {
			w.store.node(id).ForSet = &ref
		}
		w.start()
		pass(30 * time.Second)
		w.want(pool.NodeReady, 5)
		got := map[string]int{}
		for _, s := range w.cloud.specs() {
			got[s.Properties["who"]] += s.Count
			if s.Properties["static"] != "yes" {
				t.Errorf("properties are %v", s.Properties)
			}
		}
		if want := map[string]int{"ci/set": 2, "ci/early": 1, "ci/late": 1, "nobody": 1}; !maps.Equal(got, want) {
			t.Errorf("launched for %v, want %v", got, want)
		}
		w.end()
	})
}

// A request that a building node is meant for is out of the line.
func TestNextInLine(t *testing.T) {
	bubble(t, func(w *world) {
		w.cfg.Provider.Pools[0].Labels[0].DynamicProperties = map[string]string{"who": "{request.id}"}
		w.store.requests = []*pool.Request{
			{Client: "ci", ID: "first", CreateRevision: 1, Labels: []string{"small"}},
			{Client: "ci", ID: "second", CreateRevision: 2, Labels: []string{"small"}},
		}
		w.start()
		for _, id := range ids(2) {
			w.store.add(id)
			pass(2 * time.Second)
		}
		specs := w.cloud.specs()
		if len(specs) != 2 || specs[0].Properties["who"] != "first" || specs[1].Properties["who"] != "second" {
			t.Errorf("asked for %+v", specs)
		}
		w.end()
	})
}
