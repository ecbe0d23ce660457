package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"poold/pool"
	"poold/web/model"
)

// providerStory is a provider with all that the records say of it.
type providerStory struct {
	Name   string `json:"name"`
	Cloud  string `json:"cloud,omitempty"`
	Region string `json:"region,omitempty"`
	Driver string `json:"driver,omitempty"`
	// Peers have it in their configuration; Owner launches there, Uploader brings
	// images there.
	Peers    []string `json:"peers"`
	Owner    string   `json:"owner,omitempty"`
	Uploader string   `json:"uploader,omitempty"`
	// Troubles are what is wrong, the worst first.
	Troubles []model.Trouble        `json:"troubles"`
	Pause    *pool.Pause            `json:"pause,omitempty"`
	Freeze   *pool.Freeze           `json:"freeze,omitempty"`
	Nodes    map[pool.NodeState]int `json:"nodes"`
	// Booked is what our live nodes book of the quota.
	Booked   pool.Resources `json:"booked"`
	Quota    *pool.Quota    `json:"quota,omitempty"`
	Breakers []pool.Breaker `json:"breakers"`
	Calls    callBudget     `json:"calls"`
	Health   *pool.Health   `json:"health,omitempty"`
	Uploads  []*pool.Upload `json:"uploads"`

	gauges []model.Gauge
	boots  model.Boots
}

// callBudget is how fast the cloud may be called.
type callBudget struct {
	// PerSecond is what the configuration lets through; 0 is no limit or not
	// known.
	PerSecond float64 `json:"per_second,omitempty"`
	// Group is the rate group, whose providers share it.
	Group string `json:"group,omitempty"`
	// Launching and Images are what the cloud's refusals taught, of calls about
	// nodes and about images.
	Launching *pool.Penalty `json:"launching,omitempty"`
	Images    *pool.Penalty `json:"images,omitempty"`
}

func providerShow(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "show PROVIDER", Short: "Show a provider: what works, what it has, and what keeps it from more", Args: exactly(1),
		Long: `Show a provider: what works, what it has, and what keeps it from more.

All of it is from the records. How many calls a peer makes, and how long they take,
is on the pages and in the metrics of the peer that launches there.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := e.snapshot(cmd.Context())
			if err != nil {
				return err
			}
			site := siteOf(s, e.now())
			if providers(s)[args[0]] == nil && site.Provider(args[0]) == nil {
				return fmt.Errorf("provider %s: %w", args[0], pool.ErrNotFound)
			}
			story := tellProvider(s, site, args[0])
			if encoded(e.output) {
				return encode(cmd.OutOrStdout(), e.output, story)
			}
			return printProvider(cmd.OutOrStdout(), &story, e.now())
		},
	}
}

func tellProvider(s *pool.Snapshot, site *model.Site, name string) providerStory {
	story := providerStory{
		Name: name, Peers: []string{}, Troubles: append([]model.Trouble{}, troublesOf(site, name)...),
		Pause: s.ProviderPause(name), Freeze: s.Freeze, Nodes: map[pool.NodeState]int{}, Quota: s.Quota(name), Health: s.Health(name),
		Breakers: []pool.Breaker{}, Uploads: []*pool.Upload{}, Calls: budgetOf(s, name),
	}
	if p := site.Provider(name); p != nil {
		story.Cloud, story.Region, story.Driver, story.gauges, story.boots = p.Cloud, p.Region, p.Driver, p.Gauges, p.Boots
		story.Breakers, story.Calls.PerSecond = append(story.Breakers, p.Breakers...), p.Rate
	}
	for _, n := range s.NodesOf(name) {
		if n.State.Live() {
			story.Nodes[n.State]++
			story.Booked = story.Booked.Add(n.Resources)
		}
	}
	for _, u := range s.Uploads {
		if u.Provider == name {
			story.Uploads = append(story.Uploads, u)
		}
	}
	for _, m := range s.Members {
		if slices.Contains(m.Providers, name) {
			story.Peers = append(story.Peers, m.Name)
		}
		if slices.Contains(m.Owns, "provider/"+name) {
			story.Owner = m.Name
		}
		if slices.Contains(m.Owns, "upload/"+name) {
			story.Uploader = m.Name
		}
	}
	return story
}

// budgetOf finds the rate group of a provider among the duties of the peers, and
// what its owners learned.
func budgetOf(s *pool.Snapshot, name string) callBudget {
	var b callBudget
	for _, m := range s.Members {
		for _, key := range m.Duties {
			group, found := strings.CutPrefix(key, "launching/")
			at := strings.LastIndex(group, ": ")
			if found && at >= 0 && slices.Contains(strings.Fields(group[at+2:]), name) {
				b.Group = group[:at]
			}
		}
	}
	if b.Group != "" {
		b.Launching, b.Images = s.Penalty(b.Group), s.Penalty("images of "+b.Group)
	}
	return b
}

// printProvider prints a story.
func printProvider(w io.Writer, p *providerStory, now time.Time) error {
	var t text
	t.field("provider", p.Name)
	t.field("cloud", strings.TrimSpace(strings.Join([]string{p.Cloud, p.Region, p.Driver}, " ")))
	t.field("configured", cmp.Or(strings.Join(p.Peers, ", "), "by no running peer"))
	t.field("launches", cmp.Or(p.Owner, "nobody"))
	t.field("uploads", p.Uploader)
	if p.Pause != nil {
		t.field("launching", fmt.Sprintf("%s (%s ago)", p.Pause.Text(), ago(now, p.Pause.At)))
	}
	if p.Freeze != nil {
		t.field("launching", fmt.Sprintf("%s (%s ago)", p.Freeze.Text(), ago(now, p.Freeze.At)))
	}
	for _, wrong := range p.Troubles {
		t.field("trouble", lasting(wrong.Text, now, wrong.Since))
	}
	t.field("nodes", inStates(p.Nodes))
	if p.boots.All > 0 {
		t.field("ready after", fmt.Sprintf("%s, the median of %d", p.boots.Median.Round(time.Second), p.boots.All))
	}
	t.quota(p, now)
	t.calls(&p.Calls)
	if p.Health != nil {
		t.field("swept", ago(now, p.Health.At)+" ago")
		if n := len(p.Health.Leaks); n > 0 {
			t.field("leaks", fmt.Sprintf("%d, see leak list --provider %s", n, p.Name))
		}
	}
	t.breakers(p.Breakers, now)
	if len(p.Uploads) > 0 {
		t.WriteString("\nuploads\n")
		if err := uploadTable(now).print(&t.Builder, formatTable, p.Uploads); err != nil {
			return err
		}
	}
	_, err := io.WriteString(w, t.String())
	return err
}

// lasting says for how long something is so, if that is known.
func lasting(what string, now, since time.Time) string {
	if since.IsZero() {
		return what
	}
	return fmt.Sprintf("%s (for %s)", what, ago(now, since))
}

// inStates says how many nodes are in which state, in the order of their life.
func inStates(nodes map[pool.NodeState]int) string {
	var parts []string
	for _, state := range pool.NodeMachine().States() {
		if n := nodes[state]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, state))
		}
	}
	return cmp.Or(strings.Join(parts, ", "), "none")
}

// quota adds what of each limited resource is used by whom.
func (t *text) quota(p *providerStory, now time.Time) {
	if p.Quota == nil {
		t.field("quota", "not known yet")
		return
	}
	for _, g := range p.gauges {
		limit := "no limit"
		if g.Limit >= 0 {
			limit = fmt.Sprintf("of %d", g.Limit)
		}
		said := fmt.Sprintf("%d %s", g.Ours+g.Foreign, limit)
		if g.Foreign > 0 {
			said += fmt.Sprintf(", %d by others", g.Foreign)
		}
		t.field(g.Name, said)
	}
	if p.Quota.Lowered != nil {
		t.field("lowered", "by a refusal, until the cloud is asked again")
	}
	t.field("asked", ago(now, p.Quota.At)+" ago")
}

// calls adds how fast the cloud may be called.
func (t *text) calls(b *callBudget) {
	limit := ""
	if b.PerSecond > 0 {
		limit = fmt.Sprintf("at most %.3g a second", b.PerSecond)
	}
	if b.Group != "" {
		limit = strings.TrimPrefix(limit+", shared by the rate group "+b.Group, ", ")
	}
	t.field("calls", limit)
	for _, learned := range []struct {
		of string
		*pool.Penalty
	}{{"nodes", b.Launching}, {"images", b.Images}} {
		if learned.Penalty == nil {
			continue
		}
		if learned.PauseMS > 0 {
			t.field("refused", fmt.Sprintf("calls for %s: none for %s", learned.of, time.Duration(learned.PauseMS)*time.Millisecond))
		}
		for _, service := range slices.Sorted(maps.Keys(learned.Rates)) {
			t.field("learned", fmt.Sprintf("%s for %s: %.3g a second", service, learned.of, learned.Rates[service]))
		}
	}
}

// breakers adds what is not launched because it failed, and when it is tried.
func (t *text) breakers(all []pool.Breaker, now time.Time) {
	if len(all) == 0 {
		return
	}
	t.WriteString("\nstopped, because it failed\n")
	for i := range all {
		b := &all[i]
		next := "a try is under way"
		switch {
		case b.Next == nil:
		case b.Next.After(now):
			next = "next try in " + ago(*b.Next, now)
		default:
			next = "next try when it is wanted"
		}
		where := []string{"pool " + b.Pool}
		for _, part := range [][2]string{{"zone ", b.AZ}, {"flavor ", b.FlavorID}, {"image ", b.ImageID}} {
			if part[1] != "" {
				where = append(where, part[0]+part[1])
			}
		}
		fmt.Fprintf(&t.Builder, "  %s: %s; %s\n", strings.Join(where, ", "), lasting(b.Text, now, b.Since), next)
	}
}
