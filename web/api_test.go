package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"poold/event"
	"poold/internal/golden"
	"poold/pool"
)

// listed asks for a list, which must be answered.
func listed(t *testing.T, s *Server, path string) (items []map[string]any, total, next int) {
	t.Helper()
	rec := get(t, s, "/api/v1/"+path)
	var a struct {
		Items       []map[string]any
		Total, Next int
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &a); err != nil || rec.Code != http.StatusOK {
		t.Fatalf("%s: status %d, %v", path, rec.Code, err)
	}
	return a.Items, a.Total, a.Next
}

func TestPartsOfLists(t *testing.T) {
	s := crowded(t, 40)
	if items, total, _ := listed(t, s, "nodes"); len(items) != 40 || total != 0 {
		t.Errorf("%d items of %d", len(items), total)
	}
	if items, total, next := listed(t, s, "nodes?state=ready&limit=4&from=8"); len(items) != 2 || total != 10 || next != 0 {
		t.Errorf("%d items of %d, next %d", len(items), total, next)
	}
	seen := map[any]bool{}
	for from, parts := 0, 0; ; parts++ {
		items, total, next := listed(t, s, fmt.Sprintf("nodes?limit=7&from=%d", from))
		for _, item := range items {
			seen[item["id"]] = true
		}
		if from = next; next == 0 || parts > 9 {
			if total != 40 || len(seen) != 40 {
				t.Errorf("%d of %d", len(seen), total)
			}
			break
		}
	}
	if items, _, _ := listed(t, s, "nodes?provider=provider-00&label=label-01"); len(items) != 1 || items[0]["id"] != "n00001" {
		t.Errorf("got %v", items)
	}
}

// What cannot be understood is refused, and lists nothing.
func TestMalformedQueries(t *testing.T) {
	s := crowded(t, 4)
	for _, path := range []string{
		"nodes?stat=ready", "nodes?limit=0", "nodes?limit=1001", "nodes?limit=x", "nodes?limit=1&from=-1", "nodes?from=3",
		"nodes?state=ready&state=failed", "events?x=1", "watch?x=1",
	} {
		if rec := get(t, s, "/api/v1/"+path); rec.Code != http.StatusBadRequest || !strings.Contains(rec.Body.String(), `"error"`) {
			t.Errorf("%s: status %d: %s", path, rec.Code, rec.Body)
		}
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete} {
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), method, "/api/v1/nodes", strings.NewReader("{}")))
		if rec.Code != http.StatusMethodNotAllowed {
			t.Errorf("%s: status %d", method, rec.Code)
		}
	}
}

// docs/openapi.json is what is served, and what is served is as it says.
func TestOpenAPI(t *testing.T) {
	s := crowded(t, 8)
	s.Snapshot().Members[0].Prints = map[string]string{"a": "b"}
	s.note(time.Now())
	text := get(t, s, "/api/v1/openapi.json").Body.String()
	golden.Equal(t, "../docs/openapi.json", text)
	var doc struct {
		Paths map[string]map[string]struct {
			Responses map[string]struct {
				Content map[string]struct{ Schema map[string]any }
			}
		}
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	checked := 0
	for path, methods := range doc.Paths {
		schema := methods["get"].Responses["200"].Content["application/json"].Schema
		if schema == nil {
			continue // a stream
		}
		var body any
		if err := json.Unmarshal(get(t, s, path).Body.Bytes(), &body); err != nil {
			t.Fatal(err)
		}
		for _, problem := range disagree(schema, body, path) {
			t.Error(problem)
		}
		if items := body.(map[string]any)["items"].([]any); len(items) > 0 { //nolint:forcetypeassert // just checked
			checked++
		}
	}
	if checked < 8 {
		t.Errorf("only %d lists had items to be checked", checked)
	}
}

// disagree lists where a value is not as a schema says.
func disagree(schema map[string]any, value any, at string) (problems []string) {
	want, _ := schema["type"].(string)
	is := map[string]bool{}
	switch v := value.(type) {
	case map[string]any:
		is["object"] = true
		properties, _ := schema["properties"].(map[string]any)
		for name, inner := range v {
			known, ok := properties[name].(map[string]any)
			if more, free := schema["additionalProperties"].(map[string]any); !ok && free {
				known, ok = more, true
			}
			if !ok {
				problems = append(problems, at+"."+name+" is not described")
				continue
			}
			problems = append(problems, disagree(known, inner, at+"."+name)...)
		}
	case []any:
		is["array"] = true
		items, _ := schema["items"].(map[string]any)
		for _, inner := range v {
			problems = append(problems, disagree(items, inner, at+"[]")...)
		}
	case string:
		is["string"] = true
	case bool:
		is["boolean"] = true
	case float64:
		is["number"], is["integer"] = true, v == float64(int64(v))
	}
	if want != "" && value != nil && !is[want] {
		problems = append(problems, fmt.Sprintf("%s is %T, not %s", at, value, want))
	}
	return problems
}

// Who watches is told of what happens from then on, and goes on where it was.
func TestWatch(t *testing.T) {
	s := crowded(t, 4)
	s.note(time.Now())
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	next := func(last, query, want string) {
		t.Helper()
		lines := watched(t, server, last, query)
		if last == "" {
			before := s.Snapshot()
			after := *before
			after.Freeze = &pool.Freeze{By: "ann", Reason: "fire", At: time.Now()}
			s.Snapshot = func() *pool.Snapshot { return &after }
			s.note(time.Now())
		}
		s.live.tell()
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				if !strings.Contains(data, want) {
					t.Errorf("told %s, want %s", data, want)
				}
				return
			}
		}
		t.Errorf("it ended: %v", lines.Err())
	}
	next("", "", `"to":"frozen","by":"ann","reason":"fire"`)
	next("1", "?kind=freeze", `"to":"frozen"`)
}

// Events are listed newest first, those that the records tell of the past among
// them; what is to be kept is given away once.
func TestEvents(t *testing.T) {
	s := crowded(t, 4)
	var kept []event.Event
	s.Keep = func(e []event.Event) { kept = append(kept, e...) }
	s.note(time.Now())
	s.note(time.Now())
	items, total, _ := listed(t, s, "events?kind=node&name=n00003&limit=10")
	if total != 2 || items[0]["to"] != "failed" || items[0]["seconds"] != 60.0 || items[1]["to"] != "ready" {
		t.Errorf("got %v", items)
	}
	if len(kept) == 0 || len(kept) > 4 {
		t.Errorf("kept %v", kept)
	}
	body := get(t, s, "/events?kind=node").Body.String()
	if !strings.Contains(body, `href="/nodes/n00003"`) {
		t.Error("the page does not show it")
	}
	s.look(time.Now().Add(2 * defaultEventAge))
	if _, total, _ := listed(t, s, "events?limit=10"); total != 0 {
		t.Errorf("%d events are remembered for longer than they should be", total)
	}
}
