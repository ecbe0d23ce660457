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
		kind: "events", fields: eventFields(), item: reflect.TypeFor[event.Event](), most: mostEvents,
		cut: func(_ *pool.Snapshot, q url.Values, from, limit int) (any, int) {
			found, all := s.events.Newest(eventFilter(q), from, limit)
			return append([]event.Event{}, found...), all
		},
		since: func() time.Time { since, _ := s.events.Since(time.Now()); return since },
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
	// Since is from when on all events are remembered; Dropped says that there was
	// no room for older ones.
	Since   time.Time
	Dropped bool
	paged[event.Event]
}

func eventsPage(s *Server, _ *model.Site, r *http.Request) (string, any, bool) {
	d := eventsData{Filter: eventFilter(r.URL.Query()), Kinds: event.Kinds()}
	d.Since, d.Dropped = s.events.Since(time.Now())
	from := asked(r)
	found, all := s.events.Newest(d.Filter, from, pageSize)
	if from >= all {
		from = 0
		found, all = s.events.Newest(d.Filter, from, pageSize)
	}
	d.paged = pageOf(found, from, all, r)
	return "Events", d, true
}

// remembered is where the events are of a node or a request that is no more; nil if
// there are none.
func (s *Server) remembered(r *http.Request) any {
	var f event.Filter
	q := url.Values{}
	switch client, id := r.PathValue("client"), r.PathValue("id"); {
	case client != "":
		f.Request = client + "/" + id
		q.Set("request", f.Request)
	case id != "":
		f.Name = id
		q.Set("name", id)
	default:
		return nil
	}
	if found, _ := s.events.Newest(f, 0, 1); len(found) == 0 {
		return nil
	}
	return "/events?" + q.Encode()
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
