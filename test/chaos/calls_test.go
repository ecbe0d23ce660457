package chaos

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// aCall is what a peer logs of a call, whose clock is wrong.
func aCall(msg string, at time.Time, rest string) string {
	return fmt.Sprintf(`{"level":"debug","ts":%q,"logger":"guard","msg":%q,"provider":"p","limits":"g","service":"compute","operation":"GET /servers",%s}`+"\n",
		at.Format(time.RFC3339Nano), msg, rest)
}

// Calls are read from a log with the times of a clock that is right: when they
// left, and from when on they cannot come any more.
func TestCallsOf(t *testing.T) {
	begin, wrong := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), 10*time.Minute
	at := func(seconds int) time.Time { return begin.Add(time.Duration(seconds) * time.Second) }
	turn := func(seconds int) string {
		return fmt.Sprintf(`"turn":%q`, at(seconds).Add(wrong).Format(time.RFC3339Nano))
	}
	log := aCall("call leaves", at(9).Add(wrong), turn(1)) +
		aCall("call leaves", at(9).Add(wrong), turn(2)) +
		aCall("call leaves", at(9).Add(wrong), turn(3)) +
		`not a line of poold's` + "\n" +
		aCall("call", at(4).Add(wrong), `"status":200`) +
		aCall("call", at(5).Add(wrong), `"status":0`) +
		aCall("call leaves", at(9), turn(7))[:50]
	calls := callsOf([]byte(log), wrong)["g compute"]
	want := []call{{at(1), at(4)}, {at(2), at(5).Add(tardy)}, {at(3), time.Time{}}}
	if len(calls) != len(want) {
		t.Fatalf("the calls are %v, want %v", calls, want)
	}
	for i := range want {
		if !calls[i].left.Equal(want[i].left) || !calls[i].over.Equal(want[i].over) {
			t.Errorf("a call is %v, want %v", calls[i], want[i])
		}
	}
	under := underWay(calls)
	for seconds, n := range map[int]int{1: 0, 2: 1, 3: 2, 4: 3, 5: 2, 34: 2, 36: 1, 1000: 1} {
		if got := under(at(seconds)); got != n {
			t.Errorf("after %d s %d calls are on their way, want %d", seconds, got, n)
		}
	}
}

// At ten calls a second five may leave at once, and all the time ten a second;
// never more, and not after a handover either.
func TestExceeded(t *testing.T) {
	begin := time.Now()
	// every makes n calls, one per so many milliseconds, from a time on.
	every := func(n, from, ms int) []call {
		var all []call
		for i := range n {
			all = append(all, call{left: begin.Add(time.Duration(from+i*ms) * time.Millisecond)})
		}
		return all
	}
	for name, c := range map[string]struct {
		limit string
		calls []call
		bad   bool
	}{
		"none":                       {"g compute", nil, false},
		"a burst":                    {"g compute", every(5, 0, 0), false},
		"a burst and the rate":       {"g compute", append(every(5, 0, 0), every(100, 100, 100)...), false},
		"one too many at once":       {"g compute", every(6, 0, 0), true},
		"a new owner's burst, too":   {"g compute", slices.Concat(every(5, 0, 0), every(100, 100, 100), every(5, 10100, 0)), true},
		"a burst after a pause":      {"g compute", slices.Concat(every(5, 0, 0), every(100, 100, 100), every(5, 10600, 0)), false},
		"a little too fast for long": {"g compute", every(400, 0, 95), true},
		"a halved service":           {"g identity", append(every(2, 0, 0), every(100, 200, 200)...), false},
		"a halved one at full rate":  {"g identity", every(100, 0, 100), true},
	} {
		got, _ := exceeded(map[string][]call{c.limit: c.calls}, 10)
		if (len(got) > 0) != c.bad {
			t.Errorf("%s: got %q, want any: %t", name, got, c.bad)
		}
	}
	if _, fullest := exceeded(map[string][]call{"g compute": every(3, 0, 0), "h compute": every(4, 0, 0)}, 10); fullest != "4.0 of 5 at once at h compute" {
		t.Errorf("the fullest is %q", fullest)
	}
}

// What comes to the cloud may be as much as what left and was on its way, and no
// more.
func TestCrowded(t *testing.T) {
	begin := time.Now()
	at := func(ms int) time.Time { return begin.Add(time.Duration(ms) * time.Millisecond) }
	var left []call
	var prompt, held []time.Time
	for i := range 100 {
		left = append(left, call{at(100 * i), at(100*i + 50)})
		prompt = append(prompt, at(100*i+20))
		held = append(held, at(max(3000, 100*i+20)))
	}
	late := make([]call, len(left))
	for i, c := range left {
		late[i] = call{c.left, held[i].Add(10 * time.Millisecond)}
	}
	for name, c := range map[string]struct {
		came  []time.Time
		calls []call
		bad   string
	}{
		"as they left":               {prompt, left, ""},
		"held up, and then at once":  {held, late, ""},
		"at once, and not held up":   {held, left, "came within"},
		"each twice":                 {append(append([]time.Time{}, prompt...), prompt...), left, "came within"},
		"twice, and nobody logs any": {append(append([]time.Time{}, prompt...), prompt...), nil, "when 0 were on their way"},
	} {
		got := strings.Join(crowded(map[string][]time.Time{"g compute": c.came}, map[string][]call{"g compute": c.calls}, 10), "\n")
		if (got == "") != (c.bad == "") || !strings.Contains(got, c.bad) {
			t.Errorf("%s: got %q, want %q", name, got, c.bad)
		}
	}
}
