package web

import (
	"sync"
	"time"

	"poold/web/model"
)

const (
	// fresh is how old a site may be before a change of the records makes
	// another, and stale how old before time alone does.
	fresh, stale = 250 * time.Millisecond, 5 * time.Second
	// patience is how long nobody may do a duty: they change hands.
	patience = 30 * time.Second
	// mostKeys bounds what is remembered of troubles.
	mostKeys = 10_000
)

// sites is the model of the pages, made once for any number of readers.
type sites struct {
	// mu guards everything below.
	mu      sync.Mutex
	current *model.Site
	facts   model.Facts
	// seen is when each trouble that lasts was first there.
	seen map[string]time.Time
}

// Site returns what the pages show now, or nil before the records were read.
func (s *Server) Site(now time.Time) *model.Site {
	records := s.Snapshot()
	if records == nil {
		return nil
	}
	s.site.mu.Lock()
	defer s.site.mu.Unlock()
	if c := s.site.current; c != nil {
		age := now.Sub(c.At)
		if age < fresh || age < stale && c.Records == records {
			return c
		}
	}
	in := model.Input{Records: records, Catalog: s.Catalog(), Facts: s.site.facts, Now: now}
	if s.Breakers != nil {
		in.Breakers = s.Breakers(records.Nodes, now)
	}
	if s.Etcd != nil {
		in.Facts.EtcdContact, in.Facts.EtcdLatency = s.Etcd()
	}
	made := model.New(in)
	made.Troubles = s.site.date(made.Troubles, now)
	s.site.current = made
	return made
}

// renew has the next one who looks see what was just changed.
func (s *Server) renew() {
	s.site.mu.Lock()
	defer s.site.mu.Unlock()
	s.site.current = nil
}

// date fills in since when the troubles last that the records do not date, and
// leaves out what is none if it is over soon.
func (s *sites) date(all []model.Trouble, now time.Time) []model.Trouble {
	seen := make(map[string]time.Time, len(all))
	kept := all[:0]
	for _, t := range all {
		first, known := s.seen[t.Key()]
		if !known {
			first = now
		}
		if len(seen) < mostKeys {
			seen[t.Key()] = first
		}
		if t.Since.IsZero() {
			t.Since = first
		}
		if t.Class == model.NobodyDoes && now.Sub(first) < patience {
			continue
		}
		kept = append(kept, t)
	}
	s.seen = seen
	return kept
}
