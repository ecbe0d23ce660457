package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"poold/pool"
	"poold/web/model"
)

const (
	// topTime is the time that launches and failures are counted over.
	topTime = 10 * time.Minute
	// topRows is how many troubles and how many requests are shown.
	topRows = 8
)

// overview is what top shows.
type overview struct {
	At       time.Time       `json:"at"`
	Nodes    counts          `json:"nodes"`
	Launched flow            `json:"launched"`
	Waiting  int             `json:"waiting"`
	Labels   []topLabel      `json:"labels"`
	Clouds   []topProvider   `json:"providers"`
	Queue    []topRequest    `json:"longest_waiting"`
	Troubles []model.Trouble `json:"troubles"`

	freeze *pool.Freeze
	asking int
}

// counts is how many nodes are in which part of their life.
type counts struct {
	Ready    int `json:"ready"`
	Building int `json:"building"`
	InUse    int `json:"in_use"`
	Held     int `json:"held"`
	Leaving  int `json:"leaving"`
}

func countsOf(c *model.Counts) counts {
	return counts{Ready: c.Ready, Building: c.Building, InUse: c.InUse, Held: c.Held, Leaving: c.Leaving + c.Failed}
}

// flow is what became of launches within the last minutes.
type flow struct {
	Ready  int `json:"ready"`
	Failed int `json:"failed"`
}

// perMinute is how many became ready in a minute.
func (f flow) perMinute() string {
	return fmt.Sprintf("%.1f/min", float64(f.Ready)/topTime.Minutes())
}

// topLabel is one label.
type topLabel struct {
	Name     string `json:"name"`
	Floor    int    `json:"floor"`
	Waiting  int    `json:"waiting"`
	Nodes    counts `json:"nodes"`
	Launched flow   `json:"launched"`
}

// topProvider is one provider.
type topProvider struct {
	Name     string `json:"name"`
	Nodes    counts `json:"nodes"`
	Launched flow   `json:"launched"`
	Breakers int    `json:"breakers"`

	instances string
}

// topRequest is one request that waits.
type topRequest struct {
	Request string    `json:"request"`
	Labels  []string  `json:"labels"`
	Since   time.Time `json:"since,omitzero"`
	Why     string    `json:"why,omitempty"`
}

func top(e *env) *cobra.Command {
	var once bool
	cmd := &cobra.Command{
		Use: "top", Short: "Watch all at a glance: nodes, demand, launches, who waits longest, what is wrong", Args: exactly(0),
		Long: `Watch all at a glance: nodes, demand, launches, who waits longest, what is wrong.

It is shown again whenever it changes, until interrupted; once with --once, where the
output is no terminal, and as JSON or YAML. Launches and failures are those of the
last ten minutes.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			show := func(w io.Writer, s *pool.Snapshot) error { return printTop(w, e.output, look(s, e.now())) }
			if !once && terminal(cmd.OutOrStdout()) && !encoded(e.output) {
				return e.watch(cmd.Context(), cmd.OutOrStdout(), show)
			}
			s, err := e.snapshot(cmd.Context())
			if err != nil {
				return err
			}
			return show(cmd.OutOrStdout(), s)
		},
	}
	cmd.Flags().BoolVar(&once, "once", false, "show it once")
	return cmd
}

// look works out what there is to be seen.
func look(s *pool.Snapshot, now time.Time) *overview {
	site := siteOf(s, now)
	o := &overview{At: now, Nodes: countsOf(&site.Counts), Waiting: site.Waiting, freeze: s.Freeze, asking: len(site.Queue)}
	o.Troubles = append([]model.Trouble{}, site.Troubles...)
	all, byLabel, byProvider := flows(s.Nodes, now)
	o.Launched, o.Labels, o.Clouds, o.Queue = all, []topLabel{}, []topProvider{}, []topRequest{}
	for i := range site.Labels {
		l := &site.Labels[i]
		o.Labels = append(o.Labels, topLabel{Name: l.Name, Floor: l.Floor, Waiting: l.Waiting, Nodes: countsOf(&l.Counts), Launched: byLabel[l.Name]})
	}
	stock := providers(s)
	for i := range site.Providers {
		p := &site.Providers[i]
		o.Clouds = append(o.Clouds, topProvider{
			Name: p.Name, Nodes: countsOf(&p.Counts), Launched: byProvider[p.Name], Breakers: len(p.Breakers), instances: instances(stock.of(p.Name)),
		})
	}
	waiting := slices.SortedStableFunc(slices.Values(site.Queue), func(a, b model.Waiting) int { return oldest(a.Since, b.Since) })
	for i := range waiting[:min(len(waiting), topRows)] {
		w := &waiting[i]
		o.Queue = append(o.Queue, topRequest{Request: w.Client + "/" + w.ID, Labels: w.Labels, Since: w.Since, Why: w.Why()})
	}
	return o
}

// oldest orders by time; what has none yet has only just come.
func oldest(a, b time.Time) int {
	if a.IsZero() || b.IsZero() {
		return b.Compare(a)
	}
	return a.Compare(b)
}

// flows counts the launches that ended within the last minutes.
func flows(nodes []*pool.Node, now time.Time) (all flow, byLabel, byProvider map[string]flow) {
	byLabel, byProvider = map[string]flow{}, map[string]flow{}
	lately := func(n *pool.Node, state pool.NodeState) int {
		if at, ok := n.Entered(state); ok && now.Sub(at) < topTime {
			return 1
		}
		return 0
	}
	for _, n := range nodes {
		ready, failed := lately(n, pool.NodeReady), lately(n, pool.NodeFailed)
		all = flow{all.Ready + ready, all.Failed + failed}
		l, p := byLabel[n.Label], byProvider[n.Provider]
		byLabel[n.Label] = flow{l.Ready + ready, l.Failed + failed}
		byProvider[n.Provider] = flow{p.Ready + ready, p.Failed + failed}
	}
	return all, byLabel, byProvider
}

func printTop(w io.Writer, format string, o *overview) error {
	if encoded(format) {
		return encode(w, format, o)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %d ready, %d building, %d in use, %d held, %d leaving; %d requests wait for %d nodes; %s ready, %d failed\n",
		o.At.UTC().Format(time.TimeOnly), o.Nodes.Ready, o.Nodes.Building, o.Nodes.InUse, o.Nodes.Held, o.Nodes.Leaving,
		o.asking, o.Waiting, o.Launched.perMinute(), o.Launched.Failed)
	if o.freeze != nil {
		fmt.Fprintf(&b, "%s (%s ago)\n", o.freeze.Text(), ago(o.At, o.freeze.At))
	}
	for i := range o.Troubles[:min(len(o.Troubles), topRows)] {
		t := &o.Troubles[i]
		fmt.Fprintf(&b, "%s: %s\n", t.Severity, lasting(firstLine(t.Text), o.At, t.Since))
	}
	if more := len(o.Troubles) - topRows; more > 0 {
		fmt.Fprintf(&b, "and %d more things are wrong\n", more)
	}
	if err := o.tables(&b); err != nil {
		return err
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// tables adds one table for each kind of thing.
func (o *overview) tables(b *strings.Builder) error {
	b.WriteByte('\n')
	err := table[topLabel]{columns: []column[topLabel]{
		{title: "LABEL", value: func(l topLabel) string { return l.Name }},
		{title: "WAITING", value: func(l topLabel) string { return fmt.Sprint(l.Waiting) }},
		{title: "READY", value: func(l topLabel) string { return fmt.Sprintf("%d of %d", l.Nodes.Ready, l.Floor) }},
		{title: "BUILDING", value: func(l topLabel) string { return fmt.Sprint(l.Nodes.Building) }},
		{title: "IN USE", value: func(l topLabel) string { return fmt.Sprint(l.Nodes.InUse) }},
		{title: "RATE", value: func(l topLabel) string { return l.Launched.perMinute() }},
		{title: "FAILED", value: func(l topLabel) string { return fmt.Sprint(l.Launched.Failed) }},
	}}.print(b, formatTable, o.Labels)
	if err != nil {
		return err
	}
	b.WriteByte('\n')
	err = table[topProvider]{columns: []column[topProvider]{
		{title: "PROVIDER", value: func(p topProvider) string { return p.Name }},
		{title: "INSTANCES", value: func(p topProvider) string { return p.instances }},
		{title: "READY", value: func(p topProvider) string { return fmt.Sprint(p.Nodes.Ready) }},
		{title: "BUILDING", value: func(p topProvider) string { return fmt.Sprint(p.Nodes.Building) }},
		{title: "IN USE", value: func(p topProvider) string { return fmt.Sprint(p.Nodes.InUse) }},
		{title: "RATE", value: func(p topProvider) string { return p.Launched.perMinute() }},
		{title: "FAILED", value: func(p topProvider) string { return fmt.Sprint(p.Launched.Failed) }},
		{title: "STOPPED", value: func(p topProvider) string { return fmt.Sprint(p.Breakers) }},
	}}.print(b, formatTable, o.Clouds)
	if err != nil || len(o.Queue) == 0 {
		return err
	}
	b.WriteByte('\n')
	return table[topRequest]{columns: []column[topRequest]{
		{title: "WAITING LONGEST", value: func(r topRequest) string { return r.Request }},
		{title: "FOR", value: func(r topRequest) string { return ago(o.At, r.Since) }},
		{title: "LABELS", value: func(r topRequest) string { return strings.Join(r.Labels, ",") }},
		{title: "WHY", value: func(r topRequest) string { return r.Why }},
	}}.print(b, formatTable, o.Queue)
}
