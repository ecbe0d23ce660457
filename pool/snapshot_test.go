package pool_test

import (
	"testing"
	"time"

	"poold/pool"
)

func TestBuildsOf(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := &pool.Snapshot{Builds: []*pool.Build{
		{Image: "a", ID: "old", Created: at},
		{Image: "b", ID: "other", Created: at.Add(time.Hour)},
		{Image: "a", ID: "twin-1", Created: at.Add(time.Minute)},
		{Image: "a", ID: "twin-2", Created: at.Add(time.Minute)},
	}}
	var got string
	for _, b := range s.BuildsOf("a") {
		got += b.ID + " "
	}
	if want := "twin-2 twin-1 old "; got != want || s.Builds[0].ID != "old" {
		t.Errorf("got %q, want %q and the snapshot as it was", got, want)
	}
}

func TestAnswers(t *testing.T) {
	one := &pool.Allocation{Client: "ci", ID: "1", RequestRevision: 5}
	s := &pool.Snapshot{Allocations: []*pool.Allocation{one}}
	if got := s.Answers(); len(got) != 1 || got[one.Ref()] != one {
		t.Errorf("got %v", got)
	}
}
