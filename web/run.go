package web

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// lookEvery is the time between two looks at what the process measures.
const lookEvery = 5 * time.Second

// Run keeps what the pages remember until ctx ends: samples for the drawings,
// and what the metrics say of the clouds. It tells readers of changes.
func (s *Server) Run(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var changed <-chan struct{} // nil never receives
	if s.Changed != nil {
		var cancel func()
		changed, cancel = s.Changed()
		defer cancel()
	}
	s.note(time.Now())
	s.look(time.Now())
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-changed:
		case <-tick.C:
			s.look(time.Now()) // time alone changes what is wrong
		}
		s.note(time.Now())
		s.live.tell()
	}
}

// look looks once.
func (s *Server) look(now time.Time) {
	s.events.Forget(now)
	clouds, err := gathered(s.Gatherer)
	if err != nil {
		s.Log.Warn("metrics not gathered", zap.Error(err))
	}
	s.site.mu.Lock()
	s.site.facts.Clouds = clouds
	s.site.mu.Unlock()
	if site := s.Site(now); site != nil {
		s.history.note(site)
	}
}
