package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"poold/store/kv"
	"poold/store/kv/etcdkv"
	"poold/test/demo"
	"poold/test/protocol"
)

// What a newer program of the same version of records may have written besides,
// at every depth.
var novelties = []string{`"later":{"a":[1,2]}`, `"later":"of an address"`, `"later":"of a stamp"`}

// A peer finds idle nodes that an older program has written, others with fields
// that it does not know, and one in a version that it does not know. The first
// two serve requests, and the fields stay; the last is left alone, and so is its
// server.
func TestRecordsOfOtherVersions(t *testing.T) {
	t.Parallel()
	w, site, first := startSite(t)
	w.poolctl(exitDone, "freeze", "--reason", "so that only what is idle is given")
	w.settled()
	stop(t, first)
	db, err := etcdkv.Open(t.Context(), etcdkv.Config{Endpoints: []string{strings.TrimPrefix(w.etcd, "http://")}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	a := &archive{world: w, db: db}
	known, newer, unknown := a.rewrite()

	second := site.Run(poold())
	w.needs[0] = second
	site.AwaitReady(second)
	var got []protocol.Node
	var requests []*protocol.Request
	for i := range len(known) {
		r := w.ask(fmt.Sprintf("of-versions-%d", i), protocol.Want{Labels: []string{demo.Small}})
		nodes := w.fulfilled(r, demo.Small)
		w.reach(nodes...)
		got, requests = append(got, nodes...), append(requests, r)
	}
	for _, n := range got {
		if !slices.Contains(known, n.ID) {
			t.Errorf("%s was given, which was not idle before: %v", n.ID, known)
		}
	}
	for _, key := range newer {
		a.hasNovelties(key)
	}
	used := w.serversOf(got...)
	for _, r := range requests {
		w.delete(r)
	}
	w.awaitGone(used)
	for _, n := range got {
		w.await(n.ID+" is deleted", goneLimit, func() (string, bool) {
			state := w.node(n.ID).State
			return state, state == "deleted"
		})
	}
	for _, key := range newer {
		a.hasNovelties(key)
	}
	if now := a.get(unknown.Key); string(now.Value) != string(unknown.Value) || now.ModRevision != unknown.ModRevision {
		t.Errorf("a record of an unknown version was touched: %s, before %s", now.Value, unknown.Value)
	}
	var lost struct {
		ID string `json:"instance_id"`
	}
	if err := json.Unmarshal(unknown.Value, &lost); err != nil {
		t.Fatal(err)
	}
	if len(w.standing([]string{lost.ID})) != 1 {
		t.Errorf("the server %s of a record of an unknown version is gone", lost.ID)
	}
	stop(t, second)
	stop(t, site.Clouds.Process)
	stop(t, site.Etcd.Process)
}

// archive is the records of a world, as they are stored.
type archive struct {
	*world

	db kv.KV
}

// rewrite makes the idle nodes those of other versions: one of a version that is
// not known, the others by turns of an older and a newer program. It returns the
// ids of those that are known and the keys of the newer ones among them.
func (a *archive) rewrite() (known, newer []string, unknown kv.Item) {
	a.t.Helper()
	items, _, err := a.db.List(a.t.Context(), "/poold/v1/nodes/")
	if err != nil {
		a.t.Fatal(err)
	}
	for _, it := range items {
		var n map[string]any
		if err := json.Unmarshal(it.Value, &n); err != nil {
			a.t.Fatal(err)
		}
		if n["state"] != "ready" || n["label"] != demo.Small {
			continue
		}
		id := n["id"].(string)
		if unknown.Key != "" {
			known = append(known, id)
		}
		switch {
		case unknown.Key == "":
			n["v"], n["label"], n["state"] = 99, []string{"another layout"}, map[string]any{"is": "ready"}
			unknown = a.put(it.Key, n)
		case len(known)%2 == 0:
			a.add(n)
			a.put(it.Key, n)
			a.hasNovelties(it.Key)
			newer = append(newer, it.Key)
		default:
			a.forget(n)
			a.put(it.Key, n)
		}
	}
	if len(known) < 2 {
		a.t.Fatalf("there are not enough idle nodes: %v", known)
	}
	return known, newer, unknown
}

// forget removes what the oldest version did not have.
func (a *archive) forget(n map[string]any) {
	a.t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "store/testdata/v1/node.json"))
	if err != nil {
		a.t.Fatal(err)
	}
	var golden map[string]any
	if err := json.Unmarshal(text, &golden); err != nil {
		a.t.Fatal(err)
	}
	maps.DeleteFunc(n, func(name string, _ any) bool { return golden[name] == nil })
}

// add adds what this version does not know.
func (a *archive) add(n map[string]any) {
	n["later"] = map[string]any{"a": []int{1, 2}}
	for list, what := range map[string]string{"addresses": "of an address", "timeline": "of a stamp"} {
		n[list].([]any)[0].(map[string]any)["later"] = what
	}
}

func (a *archive) put(key string, n map[string]any) kv.Item {
	a.t.Helper()
	value, err := json.Marshal(n)
	if err != nil {
		a.t.Fatal(err)
	}
	if _, _, err := a.db.Commit(a.t.Context(), kv.Txn{Then: []kv.Op{kv.Put(key, value)}}); err != nil {
		a.t.Fatal(err)
	}
	return a.get(key)
}

func (a *archive) get(key string) kv.Item {
	a.t.Helper()
	it, err := a.db.Get(a.t.Context(), key)
	if err != nil {
		a.t.Fatal(err)
	}
	return it
}

func (a *archive) hasNovelties(key string) {
	a.t.Helper()
	value := string(a.get(key).Value)
	for _, want := range novelties {
		if !strings.Contains(value, want) {
			a.t.Errorf("%s has lost %s: %s", key, want, value)
		}
	}
}
