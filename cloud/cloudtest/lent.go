package cloudtest

import (
	"context"
	"errors"
	"time"

	"poold/cloud"
)

func hasProver(s *subject) bool {
	_, ok := s.Driver.(cloud.Prover)
	return ok && s.Lent
}

// lentOut asks for more than there is: nothing is lent then, and what was lent
// can be had again once it is given back.
func lentOut(s *subject) {
	first := s.create(s.spec(3))
	more := s.spec(2)
	s.is("more than there is", s.Driver.Create(s.t.Context(), more), cloud.Capacity)
	if made := s.batch(more); len(made) > 0 {
		s.t.Errorf("refused, but %d instances were lent", len(made))
	}
	s.create(s.spec(1))
	if err := s.Driver.Delete(s.t.Context(), first[1].ID); err != nil {
		s.t.Fatalf("give back: %v", err)
	}
	s.untilGone(first[1].ID)
	again := s.create(s.spec(1))[0]
	if again.ID == first[1].ID {
		s.t.Errorf("two instances are called %s: nobody could tell whether the first one is gone", again.ID)
	}
	for _, i := range []cloud.Instance{first[0], first[2]} {
		if _, err := s.Driver.Instance(s.t.Context(), i.ID); err != nil {
			s.t.Errorf("%s, which was not given back: %v", i.ID, err)
		}
	}
}

func prove(s *subject) {
	d, ok := s.Driver.(cloud.Prover)
	if !ok {
		s.t.Fatal("no prover")
	}
	i := s.create(s.spec(1))[0]
	keys, err := d.Prove(s.t.Context(), i.ID, time.Time{})
	if err != nil || len(keys) == 0 {
		s.t.Errorf("prove: got %v, %v", keys, err)
	}
	_, err = d.Prove(s.t.Context(), newUUID(), time.Time{})
	s.is("prove nothing", err, cloud.NotFound)
	why := errors.New("no longer the owner")
	ctx, end := context.WithCancelCause(s.t.Context())
	end(why)
	_, err = d.Prove(ctx, i.ID, time.Time{})
	s.is("prove under a context that has ended", err, cloud.Transient)
	if !errors.Is(err, why) {
		s.t.Errorf("prove: got %v, which does not say why the context ended", err)
	}
}
