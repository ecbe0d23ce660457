package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"poold/event"
	"poold/pool"
	"poold/web/model"
)

const (
	// eventBytes and defaultEventAge bound the events that are remembered: of a
	// day of 20,000 nodes there are 300,000, which take two thirds of that.
	eventBytes      = 32 << 20
	defaultEventAge = 24 * time.Hour
	// mostEvents is how many of them an answer has at most that is not limited.
	mostEvents = 20_000
	// eventBatch is how many events are sent at once to who watches.
	eventBatch = 200
)

// eventFields are what events can be chosen by.
func eventFields() []string {
	return []string{"human", "image", "kind", "label", "name", "provider", "request"}
}

func eventFilter(q url.Values) event.Filter {
	return event.Filter{
		Kind: q.Get("kind"), Name: q.Get("name"), Provider: q.Get("provider"), Label: q.Get("label"), Image: q.Get("image"),
		Request: q.Get("request"), Human: q.Get("human") == "true",
	}
}

// eventList lists events, the newest first.
func (s *Server) eventList() listing {
	return listing{
		kind: "events", fields: eventFields(), item: reflect.TypeFor[event.Event](),
		cut: func(_ *pool.Snapshot, q url.Values, from, limit int) (any, int) {
			if limit < 0 {
				limit = mostEvents
			}
			found, all := s.events.Newest(eventFilter(q), from, limit)
			return append([]event.Event{}, found...), all
		},
	}
}

// note takes in what happened since the last look.
func (s *Server) note(now time.Time) {
	records := s.Snapshot()
	if records == nil || records == s.noted || s.noted == nil && records.Revision == 0 {
		return
	}
	var happened []event.Event
	if s.noted == nil {
		happened = event.Of(records, now)
	} else {
		happened = event.Between(s.noted, records, now)
		s.phases.note(s.noted, records)
	}
	s.noted = records
	if s.Keep != nil {
		s.Keep(slices.DeleteFunc(slices.Clone(happened), func(e event.Event) bool { return !e.Kept() }))
	}
	s.events.Add(now, happened)
}

// watch streams events as they happen, from the one after Last-Event-ID on or
// else from now on. Nothing is kept for a reader: one that is too slow for what
// is remembered is told "missed".
func (s *Server) watch(w http.ResponseWriter, r *http.Request) {
	if _, _, err := part(r.URL.Query(), eventFields()); err != nil {
		s.reply(w, http.StatusBadRequest, problem{err.Error()})
		return
	}
	filter := eventFilter(r.URL.Query())
	seq, err := strconv.ParseInt(r.Header.Get("Last-Event-ID"), 10, 64)
	if err != nil || seq < 0 {
		seq = s.events.Last()
	}
	s.stream(w, r, func() (string, bool) {
		found, next, missed := s.events.After(seq, filter, eventBatch)
		var text strings.Builder
		if missed {
			text.WriteString("event: missed\ndata: {}\n\n")
		}
		for i := range found {
			data, err := json.Marshal(found[i])
			if err != nil {
				continue // an event is made of words and numbers
			}
			fmt.Fprintf(&text, "id: %d\nevent: %s\ndata: %s\n\n", found[i].Seq, found[i].Kind, data)
		}
		seq = next
		return text.String(), len(found) == eventBatch
	})
}

type eventsData struct {
	Filter event.Filter
	Kinds  []string
	paged[event.Event]
}

func eventsPage(s *Server, _ *model.Site, r *http.Request) (string, any, bool) {
	d := eventsData{Filter: eventFilter(r.URL.Query()), Kinds: event.Kinds()}
	all, _ := s.events.Newest(d.Filter, 0, mostEvents)
	d.paged = cut(all, r)
	return "Events", d, true
}

// eventPath is the page of what an event is about, or "".
func eventPath(e event.Event) string {
	switch e.Kind {
	case event.Node:
		return model.NodePath(pool.NodeID(e.Name))
	case event.Build, event.Upload, event.Pause:
		return model.ImagePath(e.Image)
	case event.Peer, event.Drain:
		return model.PeerPath(e.Name)
	}
	return ""
}
