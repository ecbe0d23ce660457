package web

import (
	"fmt"
	"strings"
	"time"

	"poold/pool"
	"poold/web/model"
)

// The size of a chart's field, in its own units.
const (
	chartWide, chartHigh = 600, 120
	steps                = 3
)

// curve is one line of a chart.
type curve struct {
	// Class is how it is drawn, Name what it is, Last its value now.
	Class, Name string
	Last        int
	// Area is what is below it, if that is drawn.
	Path, Area string
}

// mark is a word at a place of a chart.
type mark struct {
	At   int
	Text string
}

// chart is how some numbers went.
type chart struct {
	Lines []curve
	// Rows are marks of the height, Columns of time.
	Rows, Columns []mark
	// Left is how much room the marks of the height need, Wide all of the width.
	Left, Wide int
	Summary    string
}

// drawHistory draws samples, the newest at the right; there is at least one.
func drawHistory(all []sample) chart {
	last := all[len(all)-1]
	begin, top := all[0].at, 1
	for _, s := range all {
		top = max(top, s.ready, s.inUse, s.waiting)
	}
	top = (top + steps - 1) / steps * steps
	width := max(last.at.Sub(begin), time.Minute)
	x := func(t time.Time) int { return chartWide - int(int64(chartWide)*int64(last.at.Sub(t))/int64(width)) }
	c := chart{Summary: fmt.Sprintf("Over the last %s; now %d ready, %d in use, %d asked for and waited for.",
		span(last.at.Sub(begin)), last.ready, last.inUse, last.waiting)}
	for _, l := range []struct {
		class, name string
		of          func(sample) int
	}{
		{"ready", "ready", func(s sample) int { return s.ready }},
		{"in-use", "in use", func(s sample) int { return s.inUse }},
		{"waiting", "waited for", func(s sample) int { return s.waiting }},
	} {
		var path strings.Builder
		for i, s := range all {
			y := chartHigh - chartHigh*l.of(s)/top
			if i == 0 {
				fmt.Fprintf(&path, "M%d %d", x(s.at), y)
			} else {
				fmt.Fprintf(&path, "H%dV%d", x(s.at), y)
			}
		}
		drawn := curve{Class: l.class, Name: l.name, Last: l.of(last), Path: path.String()}
		if l.class == "ready" {
			drawn.Area = fmt.Sprintf("%sV%dH%dZ", drawn.Path, chartHigh, x(begin))
		}
		c.Lines = append(c.Lines, drawn)
	}
	for i := range steps + 1 {
		c.Rows = append(c.Rows, mark{chartHigh - chartHigh*i/steps, fmt.Sprint(top * i / steps)})
	}
	const digit, gap, right = 12, 12, 16 // as large as on a phone
	c.Left = digit*len(fmt.Sprint(top)) + gap
	c.Wide = c.Left + chartWide + right
	c.Columns = []mark{{0, span(width) + " ago"}, {chartWide, "now"}}
	return c
}

// bar is one bar of a distribution.
type bar struct {
	X, Y, Wide, High int
	Count            int
	Text             string
	// Minor says that the text is left out where there is little room.
	Minor bool
}

// bars is how something is distributed.
type bars struct {
	Bars    []bar
	Summary string
}

// drawBoots draws how long launches took; nothing if there were none.
func drawBoots(b model.Boots) bars {
	if b.All == 0 {
		return bars{}
	}
	most := 1
	for _, n := range b.Buckets {
		most = max(most, n)
	}
	bounds := model.BootBounds()
	d := bars{Summary: fmt.Sprintf("%s took %s in the middle.", model.Plural(b.All, "launch", "launches"), span(b.Median))}
	step := chartWide / len(b.Buckets)
	for i, n := range b.Buckets {
		text := "more"
		if i < len(bounds) {
			text = boundText(bounds[i])
		}
		high := (chartHigh - 20) * n / most
		if n > 0 {
			high = max(2, high)
		}
		d.Bars = append(d.Bars, bar{X: i * step, Y: chartHigh - high, Wide: step - 4, High: high, Count: n, Text: text, Minor: i%2 == 1})
	}
	return d
}

// boundText is a bound of a bucket, short.
func boundText(d time.Duration) string {
	if d < 2*time.Minute && d%time.Minute != 0 {
		return fmt.Sprintf("%d s", d/time.Second)
	}
	return fmt.Sprintf("%d min", d/time.Minute)
}

// stage is a part of a node's life.
type stage struct {
	State  pool.NodeState
	Took   time.Duration
	At     time.Time
	By     pool.Actor
	Reason string
	X      int
	Wide   int
	// Now says that it is not over.
	Now bool
}

// life is the stages of a node's life.
type life struct {
	Stages []stage
	All    time.Duration
}

// drawLife draws a node's timeline until now, or until it was gone. Each stage
// is wide enough to be seen.
func drawLife(n *pool.Node, now time.Time) life {
	var l life
	stamps := n.Timeline
	if len(stamps) == 0 || stamps[0].State != pool.NodePending {
		stamps = append([]pool.Stamp{{State: pool.NodePending, At: n.Created, By: pool.Allocator}}, stamps...)
	}
	for i, st := range stamps {
		s := stage{State: st.State, At: st.At, By: st.By, Reason: st.Reason}
		end := now
		if i+1 < len(stamps) {
			end = stamps[i+1].At
		} else {
			s.Now = st.State != pool.NodeDeleted
		}
		if st.State != pool.NodeDeleted {
			s.Took = max(0, end.Sub(st.At))
			l.All += s.Took
		}
		l.Stages = append(l.Stages, s)
	}
	const least = 8
	free, x := chartWide-least*len(l.Stages), 0
	for i := range l.Stages {
		s := &l.Stages[i]
		s.X, s.Wide = x, least
		if l.All > 0 && free > 0 {
			s.Wide += int(int64(free) * int64(s.Took) / int64(l.All))
		}
		x += s.Wide
	}
	return l
}
