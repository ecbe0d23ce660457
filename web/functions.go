package web

import (
	"fmt"
	"html/template"
	"math"
	"time"

	"poold/pool"
	"poold/web/model"
)

// functions are what templates can call; ages are as of the call.
func functions() template.FuncMap {
	return template.FuncMap{
		"ago":      func(t time.Time) template.HTML { return ago(time.Now(), t) },
		"until":    func(t *time.Time) string { return until(time.Now(), t) },
		"span":     span,
		"bytes":    bytesText,
		"rate":     rateText,
		"clock":    func(t time.Time) string { return t.UTC().Format("15:04:05") },
		"node":     model.NodePath,
		"request":  model.RequestPath,
		"image":    model.ImagePath,
		"provider": model.ProviderPath,
		"label":    model.LabelPath,
		"peer":     model.PeerPath,
		"wants":    model.Wants,
		"about":    eventPath,
		"seconds":  func(s float64) string { return span(time.Duration(s * float64(time.Second))) },
		"short":    short,
		"plural":   model.Plural,
		"level":    level,
		"slotText": slotText,
		"slowest":  slowest,
		"grouped":  grouped,
		"tab":      func(v view, section, href, text string) tab { return tab{href, text, v.Section == section} },
		"half":     func(x, wide int) int { return x + wide/2 },
		"above":    func(y int) int { return y - 5 },
	}
}

// ago is how long something is ago, with when exactly for who wants to know.
func ago(now, t time.Time) template.HTML {
	if t.IsZero() {
		return "–"
	}
	at := t.UTC().Format(time.RFC3339)
	return template.HTML(fmt.Sprintf(`<time datetime=%q title=%q>%s</time>`, at, at, span(now.Sub(t)))) //nolint:gosec // made of digits
}

func until(now time.Time, t *time.Time) string {
	if t == nil {
		return ""
	}
	if d := t.Sub(now); d > 0 {
		return "in " + span(d)
	}
	return "now"
}

// span is a duration in its two largest units.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	switch d = max(0, d); {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < 10*time.Minute:
		return fmt.Sprintf("%d min %02d s", d/time.Minute, d%time.Minute/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < day:
		return fmt.Sprintf("%d h %02d min", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%d d %d h", d/day, d%day/time.Hour)
}

func bytesText(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	f, i := float64(n), 0
	for f >= 1024 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	if i == 0 || f >= 100 {
		return fmt.Sprintf("%.0f %s", f, units[i])
	}
	return fmt.Sprintf("%.1f %s", f, units[i])
}

// rateText is how many calls a second are let through.
func rateText(perSecond float64) string {
	if model.Unlimited(perSecond) {
		return "no limit"
	}
	return fmt.Sprintf("%.3g/s", math.Max(0, perSecond))
}

// short is the beginning of an id that is long.
func short(id string) string {
	const most = 12
	if len(id) <= most {
		return id
	}
	return id[:most] + "…"
}

// level is the class of a gauge.
func level(g model.Gauge) string {
	const high = 85
	switch {
	case g.Limit > 0 && g.Full():
		return "full"
	case g.Percent() >= high:
		return "high"
	}
	return "fine"
}

// slotText is where a node's host is.
func slotText(n *pool.Node) string {
	if n.Slot == nil {
		return n.AZ
	}
	return fmt.Sprintf("%s slot %d", n.AZ, *n.Slot)
}

// tab is an entry of the navigation.
type tab struct {
	Href, Text string
	Here       bool
}

// troubleGroup is the troubles of one class: those that are shown, and those that
// are shown to who wants to see them.
type troubleGroup struct {
	Class       string
	Shown, More []model.Trouble
}

// grouped groups troubles, so that the many of one class hide no other one.
func grouped(all []model.Trouble) []troubleGroup {
	const few = 3
	var groups []troubleGroup
	at := map[string]int{}
	for _, t := range all {
		i, known := at[t.Class]
		if !known {
			i = len(groups)
			at[t.Class] = i
			groups = append(groups, troubleGroup{Class: t.Class})
		}
		if g := &groups[i]; len(g.Shown) < few {
			g.Shown = append(g.Shown, t)
		} else {
			g.More = append(g.More, t)
		}
	}
	for i := range groups {
		if g := &groups[i]; len(g.More) == 1 { // as long as the word that there is more
			g.Shown, g.More = append(g.Shown, g.More...), nil
		}
	}
	return groups
}

// slowest is the service of a provider that is let through least; without a name
// if this peer calls none.
func slowest(p model.Provider) model.Service {
	var least model.Service
	if p.Seen == nil {
		return least
	}
	for _, s := range p.Seen.Services {
		if s.Rate > 0 && (least.Name == "" || s.Rate < least.Rate) {
			least = s
		}
	}
	return least
}
