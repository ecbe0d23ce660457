package client

import (
	"errors"
	"testing"
	"time"

	"poold/pool"
)

// A process that is back before the lease ends has its request and its nodes
// again, and keeps both alive; later there is nothing to be resumed.
func TestResume(t *testing.T) {
	inBubble(t, func(b *bench) {
		first := b.create("job", 30*time.Second)
		b.answer(pool.Allocation{
			State: pool.AllocationFulfilled, RequestRevision: first.Ref().CreateRevision, Nodes: []pool.AllocatedNode{{ID: "n1"}},
		})
		first.stop() // the process dies
		time.Sleep(20 * time.Second)
		again, err := b.client.Resume(b.Context(), "job")
		if err != nil {
			b.Fatal(err)
		}
		time.Sleep(time.Hour)
		answer, err := again.Wait(b.Context())
		if err != nil || len(answer.Nodes) != 1 || again.Ref() != first.Ref() {
			b.Errorf("resumed %+v, %v", answer, err)
		}
		if err := again.SetPriority(b.Context(), 50, 0); err != nil {
			b.Errorf("a resumed request cannot be changed: %v", err)
		}
		if !b.exists(jobKey) {
			b.Fatal("the lease was not kept alive")
		}
		again.stop()
		time.Sleep(time.Minute)
		if _, err := b.client.Resume(b.Context(), "job"); !errors.Is(err, pool.ErrNotFound) {
			b.Errorf("resumed after its end: %v", err)
		}
	})
}

// A request without a lease outlives its process, and is resumed as any other.
func TestResumeWithoutLease(t *testing.T) {
	inBubble(t, func(b *bench) {
		first := b.create("job", 0)
		first.stop()
		again, err := b.client.Resume(b.Context(), "job")
		if err != nil {
			b.Fatal(err)
		}
		if err := again.Close(b.Context()); err != nil || b.exists(jobKey) {
			b.Errorf("closed: %v, and it is there: %v", err, b.exists(jobKey))
		}
	})
}
