//go:build chaos

package chaos

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"poold/client"
	"poold/pool"
	"poold/store/kv"
	"poold/test/proc"
)

// plantBugs does what a poold without fences, compares, limits and marks could.
func (s *storm) plantBugs(db kv.KV, ci *client.Client) {
	s.t.Helper()
	s.plantUser()
	s.plantAnswer(db, ci)
	s.plantCalls()
	if err := s.clouds[0].DeleteServer(time.Now(), s.alien[0].id); err != nil {
		s.t.Fatal(err)
	}
}

// plantUser gives a node that is in use to somebody else, by its record.
func (s *storm) plantUser() {
	s.t.Helper()
	proc.Await(s.t, "a node is given twice", time.Minute, func() (string, bool) {
		answer, err := s.recorder.etcd.Get(s.t.Context(), prefix+"nodes/", clientv3.WithPrefix())
		if err != nil {
			return err.Error(), false
		}
		for _, item := range answer.Kvs {
			// Every record of a node holds its earlier states, too.
			var n nodeRecord
			if err := json.Unmarshal(item.Value, &n); err != nil || n.State != "in-use" {
				continue
			}
			changed := strings.Replace(string(item.Value), `"client":"ci"`, `"client":"other"`, 1)
			key := string(item.Key)
			done, err := s.recorder.etcd.Txn(s.t.Context()).
				If(clientv3.Compare(clientv3.ModRevision(key), "=", item.ModRevision)).
				Then(clientv3.OpPut(key, changed)).Commit()
			return fmt.Sprint(err), err == nil && done.Succeeded
		}
		return "no node is in use", false
	})
}

// plantAnswer has two clients be told of the same nodes, and writes it nowhere
// where poold or a judge of its records looks.
func (s *storm) plantAnswer(db kv.KV, ci *client.Client) {
	s.t.Helper()
	const elsewhere = "/planted"
	other, err := client.New(db, elsewhere, "ci")
	if err != nil {
		s.t.Fatal(err)
	}
	want := pool.Request{Labels: []string{label}}
	begin := func(ci *client.Client, id string) (*client.Request, answered) {
		o := answered{outcome: outcome{name: id}, asked: time.Now()}
		r, err := ci.Create(s.t.Context(), id, want, leaseLife)
		if err != nil {
			s.t.Fatal(err)
		}
		return r, o
	}
	first, one := begin(ci, "first")
	s.heed(s.t.Context(), first, one, func(a *pool.Allocation) {
		second, two := begin(other, "second")
		copied := *a
		copied.RequestRevision = second.Ref().CreateRevision
		text, err := json.Marshal(&copied)
		if err == nil {
			_, err = s.recorder.etcd.Put(s.t.Context(), elsewhere+"/allocations/ci/second", string(text))
		}
		if err != nil {
			s.t.Fatal(err)
		}
		s.heed(s.t.Context(), second, two, func(*pool.Allocation) {})
	})
}

// plantCalls has more calls come to a cloud than any limit lets through.
func (s *storm) plantCalls() {
	s.t.Helper()
	for range 20 * perSecond {
		request, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://"+s.ip+":5000/R0/compute/v2.1/servers", http.NoBody)
		if err != nil {
			s.t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			s.t.Fatal(err)
		}
		_ = answer.Body.Close() // what it says is of no interest
	}
}
