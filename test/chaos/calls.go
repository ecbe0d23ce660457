package chaos

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"time"
)

const (
	// clockSlew is by which part two clocks that are right may run at different
	// speeds, and fraction what that makes of one call.
	clockSlew, fraction = 0.001, 0.1
	// cloudSlack is by how much calls may come faster than they left (I6).
	cloudSlack = 0.05
	// tardy is how long after a call was given up it may still come: the longest
	// fault, and TCP's pause after it.
	tardy = 30 * time.Second
)

// call is one that left a limiter: when, and from when on it was not on its way
// any more; zero is for ever.
type call struct{ left, over time.Time }

// limit is a bound of calls.
type limit struct {
	burst int
	// rate is in calls a second.
	rate float64
}

// limitOf is what the calls of one service, the last word of a limit's name, are
// bound by with a rate in the configuration of so many a second.
func limitOf(name string, perSecond float64) limit {
	most := 5.0
	if strings.HasSuffix(name, " identity") || strings.HasSuffix(name, " image") {
		perSecond, most = perSecond/2, most/2 // launching and moving images share it
	}
	return limit{burst: int(max(1, min(most, perSecond/2))), rate: perSecond}
}

// logLine is what the judge looks at in a line of a peer's log.
type logLine struct {
	TS                         time.Time
	Msg                        string
	Limits, Service, Operation string
	Turn                       time.Time
	Status                     int
}

// callsOf reads the calls in a peer's log, by limits and service, with times of a
// clock that is right. The last line of a program that was killed may be half a
// line.
func callsOf(log []byte, wrong time.Duration) map[string][]call {
	calls, open := map[string][]call{}, map[string][]int{}
	lines := bufio.NewScanner(bytes.NewReader(log))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var l logLine
		if json.Unmarshal(lines.Bytes(), &l) != nil {
			continue
		}
		key := l.Limits + " " + l.Service
		same := key + " " + l.Operation
		switch l.Msg {
		case "call leaves":
			open[same] = append(open[same], len(calls[key]))
			calls[key] = append(calls[key], call{left: l.Turn.Add(-wrong)})
		case "call":
			if len(open[same]) == 0 {
				continue
			}
			// Which of those that are alike it was makes no difference to their number.
			at := open[same][0]
			open[same] = open[same][1:]
			over := l.TS.Add(-wrong)
			if l.Status == 0 {
				over = over.Add(tardy)
			}
			calls[key][at].over = over
		}
	}
	return calls
}

// exceeded lists the limits that more calls left than they let through, whoever's
// they were (I6), and says how full the fullest one was.
func exceeded(calls map[string][]call, perSecond float64) (problems []string, fullest string) {
	most := 0.0
	for _, name := range slices.Sorted(maps.Keys(calls)) {
		l := limitOf(name, perSecond)
		left := make([]time.Time, 0, len(calls[name]))
		for _, c := range calls[name] {
			left = append(left, c.left)
		}
		slices.SortFunc(left, time.Time.Compare)
		level, at, worst, when := 0.0, time.Time{}, 0.0, time.Time{}
		for _, t := range left {
			level = max(0, level-t.Sub(at).Seconds()*l.rate*(1+clockSlew)) + 1
			if at = t; level > worst {
				worst, when = level, t
			}
		}
		if worst > float64(l.burst)+fraction {
			problems = append(problems, fmt.Sprintf("limit %s: at %s it let through %.1f calls at once, and may %d",
				name, when.Format(time.RFC3339Nano), worst, l.burst))
		}
		if share := worst / float64(l.burst); share > most {
			most, fullest = share, fmt.Sprintf("%.1f of %d at once at %s", worst, l.burst, name)
		}
	}
	return problems, fullest
}

// crowded lists the limits behind which more calls came to the cloud than left and
// were on their way, with some slack.
func crowded(came map[string][]time.Time, calls map[string][]call, perSecond float64) []string {
	var problems []string
	for _, name := range slices.Sorted(maps.Keys(came)) {
		if p := crowd(came[name], calls[name], limitOf(name, perSecond)); p != "" {
			problems = append(problems, fmt.Sprintf("at the cloud, limit %s: %s", name, p))
		}
	}
	return problems
}

// crowd looks at every window that begins and ends with a call that came, and
// says which held too many; "" is none.
func crowd(came []time.Time, calls []call, l limit) string {
	came = slices.SortedFunc(slices.Values(came), time.Time.Compare)
	under := underWay(calls)
	for i, from := range came {
		most := float64(l.burst) + fraction + float64(under(from))
		for j := i; j < len(came); j++ {
			window := came[j].Sub(from)
			if n := float64(j - i + 1); n > most+window.Seconds()*l.rate*(1+cloudSlack) {
				return fmt.Sprintf("%.0f calls came within %v of %s, when %d were on their way",
					n, window, from.Format(time.RFC3339Nano), under(from))
			}
		}
	}
	return ""
}

// underWay returns how many calls were on their way at a time.
func underWay(calls []call) func(at time.Time) int {
	var left, over []time.Time
	for _, c := range calls {
		left = append(left, c.left)
		if !c.over.IsZero() {
			over = append(over, c.over)
		}
	}
	slices.SortFunc(left, time.Time.Compare)
	slices.SortFunc(over, time.Time.Compare)
	before := func(all []time.Time, at time.Time) int {
		return sort.Search(len(all), func(i int) bool { return !all[i].Before(at) })
	}
	return func(at time.Time) int { return before(left, at) - before(over, at) }
}
