//go:build chaos

package chaos

import (
	"encoding/json"
	"net/http"
	"time"

	"poold/client"
	"poold/pool"
)

// plantBugs does what a poold without fences, compares, limits and marks could.
func (s *Storm) plantBugs(clouds *clouds) {
	s.t.Helper()
	s.PlantUser()
	s.plantAnswer()
	s.plantCalls()
	if err := clouds.sims[0].DeleteServer(time.Now(), clouds.alien[0].id); err != nil {
		s.t.Fatal(err)
	}
}

// plantAnswer has two clients be told of the same nodes, and writes it nowhere
// where poold or a judge of its records looks.
func (s *Storm) plantAnswer() {
	s.t.Helper()
	const elsewhere = "/planted"
	other, err := client.New(s.db, elsewhere, "ci")
	if err != nil {
		s.t.Fatal(err)
	}
	want := pool.Request{Labels: []string{Label}}
	begin := func(ci *client.Client, id string) (*client.Request, answered) {
		o := answered{outcome: outcome{name: id}, asked: time.Now()}
		r, err := ci.Create(s.t.Context(), id, want, leaseLife)
		if err != nil {
			s.t.Fatal(err)
		}
		return r, o
	}
	first, one := begin(s.ci, "first")
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
func (s *Storm) plantCalls() {
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
