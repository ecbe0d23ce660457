package e2e

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"poold/test/demo"
	"poold/test/proc"
	"poold/test/protocol"
)

const (
	// hugeRequests times hugeRequest is what a flood brings, far beyond what poold
	// may keep of it.
	hugeRequests = 48
	hugeRequest  = 1 << 20
	// moreMemory is how much larger poold's memory may be for a flood.
	moreMemory = 32 << 20
	// smallRounds is how often it brings all kinds of nonsense.
	smallRounds = 25
)

// nonsense are values of requests that cannot be served, each for another reason.
func nonsense() []string {
	return []string{
		"", "{", "null", "[]", "7", "\x00\xff\xfe", `{"v":99,"labels":["small"]}`, `{"labels":[]}`, `{"labels":[""]}`, `{"labels":"small"}`,
		`{"labels":["no-such-label"]}`, `{"labels":["\u001b[2J"]}`, `{"labels":["small"],"accept":"never"}`, `{"labels":["small"],"max_lifetime":"-4h"}`,
		`{"labels":[` + strings.Repeat(`"small",`, 200) + `"small"]}`, strings.Repeat("[", 10000), strings.Repeat(`{"a":`, 2000),
		`{"labels":["small"],"provider":"../../x"}`, `{"labels":["small"],"priority":1e400}`,
		`{"labels":["small"],"max_lifetime":"4h","max_lifetime":"0s"}`,
	}
}

// A client may write what it likes below its own keys: poold goes on, says why a
// request cannot be served, keeps nothing of what is too large, and serves others
// meanwhile, whose nodes stay theirs.
func TestHostileClient(t *testing.T) {
	t.Parallel()
	site := demo.NewSite(t, poold(), root)
	// Garbage is collected early, so that what is in memory is what is kept.
	peer := site.Run(poold(), "GOGC=20")
	w := &world{
		t: t, etcd: site.Etcd.Etcd, web: site.Web, clouds: site.Clouds.Clouds,
		needs: []*proc.Process{peer, site.Etcd.Process, site.Clouds.Process},
	}
	site.AwaitReady(peer)
	w.awaitMinReady()
	first := w.ask("before", protocol.Want{Labels: []string{demo.Small}})
	others := w.fulfilled(first, demo.Small)
	servers := w.serversOf(others...)
	before := w.heap()

	etcd := w.clientOf()
	lease := flood(t, etcd, others[0].ID)

	w.reach(w.fulfilled(w.ask("during", protocol.Want{Labels: []string{demo.Small}}), demo.Small)...)
	if left := w.standing(servers); len(left) != len(servers) || w.node(others[0].ID).State != "in-use" {
		t.Errorf("of the other client's servers %v are left %v: %+v", servers, left, w.node(others[0].ID))
	}
	w.reach(others...)
	w.await("all that is wrong is answered with the reason", answerLimit, func() (string, bool) {
		got, err := etcd.Get(t.Context(), "/poold/v1/allocations/evil/", clientv3.WithPrefix())
		if err != nil {
			t.Fatal(err)
		}
		failed := 0
		for _, kv := range got.Kvs {
			if bytes.Contains(kv.Value, []byte(`"state":"failed"`)) && bytes.Contains(kv.Value, []byte(`"error":"`)) {
				failed++
			}
		}
		return fmt.Sprintf("%d answers, %d refusals", len(got.Kvs), failed), failed >= hugeRequests+smallRounds*len(nonsense())
	})
	w.await("nothing of it is kept in memory", answerLimit, func() (string, bool) {
		now := w.heap()
		return fmt.Sprintf("%d MiB, and %d before", now>>20, before>>20), now < before+moreMemory
	})
	if out := w.poolctl(exitDone, "request", "list"); strings.ContainsAny(out, "\x1b\x07") || !strings.Contains(out, "huge-0") {
		t.Errorf("poolctl says %.2000q", out)
	}
	if _, err := etcd.Revoke(t.Context(), lease); err != nil {
		t.Fatal(err)
	}
	w.await("the answers go with the requests", answerLimit, func() (string, bool) {
		got, err := etcd.Get(t.Context(), "/poold/v1/allocations/evil/", clientv3.WithPrefix(), clientv3.WithCountOnly())
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(got.Count, " are left"), got.Count == 0
	})
	for _, p := range w.needs {
		p.Stop()
	}
}

// flood writes requests of the client "evil", which have no use but to be a burden:
// huge ones, many, with odd names, and one that disposes of somebody else's node.
func flood(t *testing.T, etcd *clientv3.Client, node string) clientv3.LeaseID {
	t.Helper()
	lease, err := etcd.Grant(t.Context(), 3600)
	if err != nil {
		t.Fatal(err)
	}
	put := func(id, value string) clientv3.Op {
		return clientv3.OpPut("/poold/v1/requests/evil/"+id, value, clientv3.WithLease(lease.ID))
	}
	commit := func(ops ...clientv3.Op) {
		if _, err := etcd.Txn(t.Context()).Then(ops...).Commit(); err != nil {
			t.Fatal(err)
		}
	}
	huge, small := strings.Repeat("x", hugeRequest), nonsense()
	for n := range hugeRequests {
		commit(put(fmt.Sprint("huge-", n), huge))
	}
	for round := range smallRounds {
		var ops []clientv3.Op
		for n, value := range small {
			ops = append(ops, put(fmt.Sprint("small-", round, "-", n), value))
		}
		commit(ops...)
	}
	var odd []clientv3.Op
	for _, id := range []string{"", "/", "a/b", "\x1b]0;x\x07", "\xff", strings.Repeat("long", 1000), "..", "%2F"} {
		odd = append(odd, put(id, `{"labels":["small"]}`))
	}
	commit(odd...)
	// What it has not got it can neither give away nor hold.
	commit(put("thief", fmt.Sprintf(`{"v":1,"labels":["small"],"release":[%[1]q],"hold":{"nodes":[%[1]q],"reason":"mine"}}`, node)))
	return lease.ID
}

// heap is how many bytes the heap of poold has, garbage included.
func (w *world) heap() int64 {
	w.t.Helper()
	for line := range strings.Lines(string(w.page("/metrics"))) {
		if value, ok := strings.CutPrefix(line, "go_memstats_heap_alloc_bytes "); ok {
			size, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				w.t.Fatal(err)
			}
			return int64(size)
		}
	}
	w.t.Fatal("no metric tells the size of the heap")
	return 0
}

// clientOf is a client of etcd that writes what it likes.
func (w *world) clientOf() *clientv3.Client {
	w.t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{w.etcd}, DialTimeout: answerLimit})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = c.Close() })
	return c
}
