package chaos

import (
	"strings"
	"testing"
)

const (
	requestA = prefix + "requests/c/a"
	answerA  = prefix + "allocations/c/a"
	answerB  = prefix + "allocations/c/b"
	nodeN    = prefix + "nodes/p/n"
)

func node(state, allocatedTo string) string {
	return `{"id":"n","provider":"p","state":"` + state + `"` + allocatedTo + `}`
}

const (
	forA = `,"allocated_to":{"client":"c","id":"a","create_revision":1}`
	forB = `,"allocated_to":{"client":"c","id":"b","create_revision":2}`
	// The same client and id, made anew.
	forA2 = `,"allocated_to":{"client":"c","id":"a","create_revision":9}`
)

func answer(state, revision, nodes string) string {
	return `{"state":"` + state + `","request_revision":` + revision + `,"nodes":[` + nodes + `]}`
}

const (
	hidden = `{"id":"n","provider":"p"}`
	shown  = `{"id":"n","provider":"p","interface_ip":"10.0.0.1"}`
)

// The judge finds every wrong, and nothing in a good history.
func TestVerdict(t *testing.T) {
	type step struct{ key, value string }
	ready := step{nodeN, node("ready", "")}
	for name, c := range map[string]struct {
		history []step
		want    string
	}{
		"a whole life": {[]step{
			{requestA, `{}`},
			{nodeN, node("pending", "")},
			{nodeN, node("building", "")},
			ready,
			{nodeN, node("in-use", forA)},
			{answerA, answer("fulfilled", "1", shown)},
			{requestA, ""},
			{nodeN, node("used", forA)},
			{answerA, ""},
			{nodeN, node("deleting", forA)},
			{nodeN, node("deleted", forA)},
			{nodeN, ""},
		}, ""},
		"offered, declined and given to another": {[]step{
			ready,
			{nodeN, node("ready", forA)},
			{answerA, answer("fulfilled", "1", hidden)},
			{answerA, ""},
			ready,
			{answerB, answer("fulfilled", "2", shown)},
			{nodeN, node("in-use", forB)},
		}, ""},
		"in use for two": {[]step{
			ready, {nodeN, node("in-use", forA)}, {nodeN, node("in-use", forB)},
		}, "given to {c/b 2} after {c/a 1}"},
		"in use for the same id made anew": {[]step{
			ready, {nodeN, node("in-use", forA)}, {nodeN, node("in-use", forA2)},
		}, "given to {c/a 9} after {c/a 1}"},
		"in use for nobody": {[]step{ready, {nodeN, node("in-use", "")}}, "in use for nobody"},
		"shown and ready again": {[]step{
			ready, {answerA, answer("fulfilled", "1", shown)}, ready,
		}, "shown to {c/a 1} and is ready again"},
		"shown to two": {[]step{
			ready, {answerA, answer("fulfilled", "1", shown)}, {answerB, answer("fulfilled", "2", shown)},
		}, "node n of {c/a 1}"},
		"offered after it was shown": {[]step{
			ready, {answerA, answer("fulfilled", "1", shown)}, {answerB, answer("fulfilled", "2", hidden)},
		}, "node n of {c/a 1}"},
		"backwards":            {[]step{{nodeN, node("deleting", "")}, {nodeN, node("used", "")}}, "it was deleting and became used"},
		"a record removed":     {[]step{ready, {nodeN, ""}}, "record of a live node was removed"},
		"an id used again":     {[]step{{nodeN, node("deleted", "")}, {nodeN, ""}, {nodeN, node("pending", "")}}, "used again"},
		"an answer taken back": {[]step{ready, {answerA, answer("fulfilled", "1", hidden)}, {answerA, answer("failed", "1", "")}}, "taken back"},
		"an answer removed":    {[]step{{requestA, `{}`}, {answerA, answer("waiting", "1", "")}, {answerA, ""}}, "that stands was removed"},
		"a node made up":       {[]step{{answerA, answer("fulfilled", "1", hidden)}}, "node n does not exist"},
		"one too many":         {[]step{ready, {prefix + "nodes/p/m", node("pending", "")}}, "p has 2 nodes and may have 1"},
		"one after another": {[]step{
			ready, {nodeN, node("deleted", "")}, {prefix + "nodes/p/m", node("pending", "")},
		}, ""},
		"several places": {[]step{
			ready, {answerA, answer("fulfilled", "1", hidden+`,{"id":"n","provider":"q"}`)},
		}, "several places"},
	} {
		var history []event
		for i, s := range c.history {
			e := event{revision: int64(i + 1), key: s.key, created: 1}
			if s.value != "" {
				e.value = []byte(s.value)
			}
			history = append(history, e)
		}
		got := strings.Join(verdict(history, map[string]int{"p": 1}), "\n")
		if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

// What a sweep writes down as a leak it takes for ours, whether it removes it or not.
func TestSuspected(t *testing.T) {
	health := func(provider, leaks string) event {
		return event{revision: 7, key: prefix + "health/" + provider, value: []byte(`{"leaks":[` + leaks + `],"frozen":"instance s is old"}`)}
	}
	for name, c := range map[string]struct {
		e    event
		want int64
	}{
		"nothing":        {health("p", ""), 0},
		"the stranger":   {health("p", `{"kind":"instance","id":"r"},{"kind":"instance","id":"s"}`), 7},
		"a leak":         {health("p", `{"kind":"instance","id":"s2"}`), 0},
		"not by a sweep": {event{revision: 7, key: nodeN, value: []byte(`{"instance_id":"s"}`)}, 0},
	} {
		if got := suspected([]event{{revision: 1, key: nodeN}, c.e, health("q", `{"id":"r"}`)}, "s"); got != c.want {
			t.Errorf("%s: got %d, want %d", name, got, c.want)
		}
	}
}
