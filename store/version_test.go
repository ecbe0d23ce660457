package store

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	"poold/pool"
	"poold/store/kv"
	"poold/store/kv/memkv"
)

// The records of every version that there ever was are read, and rewritten
// without loss.
func TestEveryVersionIsRead(t *testing.T) {
	c := newCodec(pool.RecordVersion)
	for version := pool.OldestVersion; version <= pool.RecordVersion; version++ {
		files, err := filepath.Glob(filepath.Join(versionDir(version), "*.json"))
		if err != nil || len(files) == 0 {
			t.Fatalf("there are no records of version %d: %v", version, err)
		}
		for _, file := range files {
			value, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			reread(t, &c, strings.TrimSuffix(filepath.Base(file), ".json"), value)
		}
	}
}

// reread reads a record of a kind, writes it and compares.
func reread(t *testing.T, c *codec, kind string, value []byte) {
	t.Helper()
	rewrite, found := map[string]func([]byte) ([]byte, error){
		"node": rewriter(c.nodes), "request": rewriter(c.requests), "allocation": rewriter(c.allocations),
		"build": rewriter(c.builds), "upload": rewriter(c.uploads), "command": rewriter(c.commands),
		"quota": rewriter(c.quotas), "health": rewriter(c.healths), "member": rewriter(c.members),
		"penalty": rewriter(c.penalties), "freeze": rewriter(c.freezes), "pause": rewriter(c.pauses),
		"drain": rewriter(c.drains), "offer": rewriter(c.offers),
	}[kind]
	if !found {
		t.Fatalf("nothing reads a %s", kind)
	}
	again, err := rewrite(value)
	if err != nil {
		t.Fatal(err)
	}
	var want, got any
	if err := json.Unmarshal(value, &want); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(again, &got); err != nil {
		t.Fatal(err)
	}
	want.(map[string]any)["v"] = float64(pool.RecordVersion)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("a %s is rewritten otherwise (-stored +written):\n%s", kind, diff)
	}
}

// rewriter reads a value of a kind, wherever it is stored, and writes it.
func rewriter[T any](c kind[T]) func(value []byte) ([]byte, error) {
	return func(value []byte) ([]byte, error) {
		r := new(T)
		if err := json.Unmarshal(value, r); err != nil {
			return nil, err
		}
		record, _ := c.meta(r)
		record.Stored = value
		return c.encode(r, pool.RecordVersion)
	}
}

// crew is peers of different versions on one etcd.
type crew struct {
	*testing.T

	mem *memkv.KV
}

// crewPeer is a running member of a version.
type crewPeer struct {
	*rig

	view *View
	end  func()
}

// join starts a peer of a version, which all others have met when it returns.
func (c *crew) join(name string, version int) *crewPeer {
	c.Helper()
	s := newVersion(c.mem, "", zap.NewNop(), version)
	session, err := OpenSession(c.Context(), c.mem, time.Minute, zap.NewNop())
	if err != nil {
		c.Fatal(err)
	}
	own, err := s.TryAcquire(c.Context(), session, "provider/"+name, name)
	if err != nil {
		c.Fatal(err)
	}
	ctx, cancel := context.WithCancel(c.Context())
	view := s.View()
	go func() { _ = view.Run(ctx) }()
	if err := s.PutMember(ctx, session, &pool.Member{Name: name, Records: version}); err != nil {
		c.Fatal(err)
	}
	synctest.Wait()
	return &crewPeer{rig: &rig{s, c.mem, own}, view: view, end: func() {
		cancel()
		if err := session.Close(c.Context()); err != nil {
			c.Fatal(err)
		}
		synctest.Wait()
	}}
}

// node is what a peer knows of a node, nil if it cannot read it.
func (p *crewPeer) node(id pool.NodeID) *pool.Node {
	synctest.Wait()
	for _, n := range p.view.Snapshot().Nodes {
		if n.ID == id {
			return n
		}
	}
	return nil
}

// turn moves a node on as the peer.
func (p *crewPeer) turn(t *testing.T, id pool.NodeID, to pool.NodeState, by pool.Actor) error {
	t.Helper()
	n := p.node(id)
	if n == nil {
		t.Fatalf("node %s cannot be read", id)
	}
	_, err := p.Apply(t.Context(), p.own, move(n, to, by))
	return err
}

// A rolling upgrade to a version of records that the older program does not
// know, and back: each writes what all that are there can read, and what an
// older one cannot read it leaves alone.
func TestRollingUpgrade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &crew{t, memkv.New(time.Now())}
		old := c.join("old", 1)
		fresh := c.join("fresh", 2)
		old.apply(t, create(pending("a")))
		if err := fresh.turn(t, "a", pool.NodeBuilding, pool.Launcher); err != nil {
			t.Fatal(err)
		}
		if n := old.node("a"); n == nil || n.V != 1 || n.State != pool.NodeBuilding {
			t.Errorf("the older peer reads %+v of what the newer has written beside it", n)
		}
		old.end()
		if err := fresh.turn(t, "a", pool.NodeReady, pool.Launcher); err != nil {
			t.Fatal(err)
		}
		if n := fresh.node("a"); n.V != 2 || n.State != pool.NodeReady {
			t.Errorf("alone it writes version %d", n.V)
		}
		before, err := c.mem.Get(t.Context(), fresh.keys.node("p", "a"))
		if err != nil {
			t.Fatal(err)
		}
		old = c.join("back", 1)
		if n := old.node("a"); n != nil {
			t.Errorf("the older peer believes to read %+v", n)
		}
		if got := old.view.Snapshot().Unreadable; len(got) != 1 || got[0] != before.Key {
			t.Errorf("unreadable is %q, not the node", got)
		}
		if _, err := old.Apply(t.Context(), old.own, create(pending("a"))); err == nil {
			t.Error("the older peer has made the node again")
		}
		if after, err := c.mem.Get(t.Context(), before.Key); err != nil || after.ModRevision != before.ModRevision {
			t.Errorf("the newer record was touched: %s, %v", after.Value, err)
		}
		if m := old.view.Snapshot().Members; len(m) != 2 || m[0].Records != 1 || m[1].Records != 2 {
			t.Errorf("the older peer does not know who there is: %+v", m)
		}
		// The newer makes it readable when it next has to do with it.
		if err := fresh.turn(t, "a", pool.NodeInUse, pool.Allocator); err != nil {
			t.Fatal(err)
		}
		if n := old.node("a"); n == nil || n.V != 1 || n.State != pool.NodeInUse {
			t.Errorf("the older peer reads %+v", n)
		}
		old.end()
		fresh.end()
	})
}

// A newer program of the same version of records may write more, anywhere; an
// older one that changes the record leaves it there, also when it does so twice.
func TestUnknownFieldsSurvive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &crew{t, memkv.New(time.Now())}
		old := c.join("old", 1)
		const parts = `"later":{"a":[1,2]},"addresses":[{"ip":"192.0.2.1","version":4,"later":"x"}],` +
			`"connection":{"type":"ssh","port":22,"later":true}`
		old.raw(t, kv.Put(old.keys.node("p", "a"), fmt.Appendf(nil,
			`{"v":1,"id":"a","provider":"p","label":"l","state":"building","since":%q,"timeline":[{"state":"building","later":1}],%s}`,
			at.Format(time.RFC3339Nano), parts)))
		for _, m := range []struct {
			to pool.NodeState
			by pool.Actor
		}{{pool.NodeReady, pool.Launcher}, {pool.NodeInUse, pool.Allocator}, {pool.NodeUsed, pool.Allocator}} {
			if err := old.turn(t, "a", m.to, m.by); err != nil {
				t.Fatal(err)
			}
			it, err := c.mem.Get(t.Context(), old.keys.node("p", "a"))
			if err != nil {
				t.Fatal(err)
			}
			var got map[string]any
			if err := json.Unmarshal(it.Value, &got); err != nil {
				t.Fatal(err)
			}
			if got["state"] != string(m.to) {
				t.Fatalf("%s is not %s", it.Value, m.to)
			}
			for _, want := range []string{`"later":{"a":[1,2]}`, `"later":"x"`, `"later":true`, `"later":1`} {
				if !strings.Contains(string(it.Value), want) {
					t.Errorf("as %s the node has lost %s:\n%s", m.to, want, it.Value)
				}
			}
		}
		old.end()
	})
}
