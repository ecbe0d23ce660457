package cloudtest

import (
	"context"
	"errors"

	"poold/cloud"
)

func lostReply(s *subject) {
	spec := s.spec(2)
	s.Inject(LostReply)
	before := s.creates()
	s.is("create", s.Driver.Create(s.t.Context(), spec), cloud.Ambiguous)
	s.active(spec)
	if n := len(s.batch(spec)); n != 2 {
		s.t.Errorf("got %d instances, want 2: was it asked twice?", n)
	}
	if asked := s.creates() - before; s.Gate != nil && asked != 1 {
		s.t.Errorf("the cloud was asked %d times, want once", asked)
	}
}

// creates counts the creates that passed the gate.
func (s *subject) creates() int {
	n := 0
	if s.Gate != nil {
		for _, c := range s.Gate.calls() {
			if c.Operation == "POST /servers" {
				n++
			}
		}
	}
	return n
}

func refusals(s *subject) {
	spec := s.spec(1)
	s.Inject(QuotaFull)
	s.is("create beyond the quota", s.Driver.Create(s.t.Context(), spec), cloud.Quota)
	s.Inject(TooMany)
	err := s.Driver.Create(s.t.Context(), spec)
	s.is("create too fast", err, cloud.RateLimited)
	if e, ok := errors.AsType[*cloud.Error](err); !ok || e.RetryAfter <= 0 {
		s.t.Errorf("create too fast: no time to wait in %v", err)
	}
	s.settle()
	if made := s.batch(spec); len(made) > 0 {
		s.t.Errorf("refused, but %d instances were made", len(made))
	}
	s.Inject(Gone)
	_, err = s.Driver.Instance(s.t.Context(), newUUID())
	s.is("look at what is gone", err, cloud.NotFound)
}

func gateSeesAll(s *subject) {
	sent := s.sent()
	ctx := cloud.WithLane(s.t.Context(), cloud.LaneRequest)
	id := newUUID()
	for _, call := range []func() error{
		func() error { _, err := s.Driver.Instances(ctx, cloud.ListMark{}); return err },
		func() error { _, err := s.Driver.Instance(ctx, id); return err },
		func() error { return s.Driver.Delete(ctx, id) },
		func() error { _, err := s.Driver.Facts(ctx); return err },
		func() error { _, err := s.Driver.FindImage(ctx, id); return err },
	} {
		before := len(s.Gate.calls())
		if err := call(); err != nil {
			s.is("call", err, cloud.NotFound)
		}
		if len(s.Gate.calls()) == before {
			s.t.Error("a call did not pass the gate")
		}
	}
	passed := s.Gate.calls()
	for _, c := range passed {
		if idLike().MatchString(c.Operation) || c.Operation == "" || c.Service == "" {
			s.t.Errorf("the gate saw %+v", c)
		}
		if c.Lane != cloud.LaneRequest {
			s.t.Errorf("%s passed in lane %d", c.Operation, c.Lane)
		}
	}
	if s.Sent != nil && s.sent()-sent != len(passed) {
		s.t.Errorf("%d calls passed the gate, %d reached the cloud", len(passed), s.sent()-sent)
	}
	s.Gate.balanced(s.t)
}

func (s *subject) sent() int {
	if s.Sent == nil {
		return 0
	}
	return s.Sent()
}

func gateRefuses(s *subject) {
	s.list(cloud.ListMark{}) // so that the refused call is not the first
	sent := s.sent()
	spec := s.spec(1)
	for why, kind := range map[error]cloud.Kind{
		errors.New("not now"):    cloud.Transient,
		context.DeadlineExceeded: cloud.RateLimited,
	} {
		s.Gate.refuse(why)
		_, lookErr := s.Driver.Instance(s.t.Context(), newUUID())
		for what, err := range map[string]error{
			"create": s.Driver.Create(s.t.Context(), spec),
			"delete": s.Driver.Delete(s.t.Context(), newUUID()),
			"look":   lookErr,
		} {
			s.is(what, err, kind)
			if !errors.Is(err, why) {
				s.t.Errorf("%s: got %v, which does not say why", what, err)
			}
		}
	}
	s.Gate.refuse(nil)
	if got := s.sent(); got != sent {
		s.t.Errorf("%d calls reached the cloud", got-sent)
	}
	s.Gate.balanced(s.t)
	if made := s.batch(spec); len(made) > 0 {
		s.t.Errorf("%d instances were made", len(made))
	}
}
