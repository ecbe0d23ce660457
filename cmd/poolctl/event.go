package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"poold/allocator"
	"poold/event"
	"poold/pool"
)

func events(e *env) *cobra.Command {
	return noun("event", "Events: list, follow", eventList(e), eventFollow(e))
}

// eventFilter says which events are wanted; what it does not name may be anything.
type eventFilter struct {
	event.Filter

	// since is how long ago the oldest wanted one happened.
	since time.Duration
}

func (f *eventFilter) flags(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&f.Kind, "kind", "", "only those of this kind: "+strings.Join(event.Kinds(), ", "))
	fs.StringVar(&f.Name, "name", "", "only those of what is called so, such as a node's id or CLIENT/ID")
	fs.StringVar(&f.Provider, "provider", "", "only those of this provider")
	fs.StringVar(&f.Label, "label", "", "only those of this label")
	fs.StringVar(&f.Image, "image", "", "only those of this image")
	fs.StringVar(&f.Request, "request", "", "only those of this request, CLIENT/ID, and of its nodes")
	fs.BoolVar(&f.Human, "human", false, "only what humans did")
}

// check refuses a kind that no event is of.
func (f *eventFilter) check() error {
	if f.since < 0 {
		return fmt.Errorf("%w: --since %s: it must not be negative", errUsage, f.since)
	}
	return known("--kind", f.Kind, event.Kinds())
}

// past are the wanted events that the records tell of, oldest first.
func (f *eventFilter) past(s *pool.Snapshot, now time.Time) []event.Event {
	return slices.DeleteFunc(event.Of(s, now), func(e event.Event) bool {
		return !f.Wants(&e) || f.since > 0 && now.Sub(e.At) > f.since
	})
}

func eventList(e *env) *cobra.Command {
	var f eventFilter
	cmd := &cobra.Command{
		Use: "list", Short: "List what happened, as far as the records tell", Args: exactly(0),
		Long: `List what happened, as far as the records tell, oldest first.

Nothing is kept for it: of nodes, builds and uploads that is their timelines, of nodes
until an hour after they are gone; of requests that they were made and answered, until
they are gone; of commands what became of them, for ten minutes; of peers, pauses,
drains and the freeze that they are there. What poold remembers for longer is on its
web pages, see event-age and audit-log in the configuration.`,
	}
	f.flags(cmd)
	cmd.Flags().DurationVar(&f.since, "since", 0, "only those of so long, such as 10m")
	return e.shows(cmd, f.check, func(w io.Writer, s *pool.Snapshot) error {
		return errors.Join(eventTable().print(w, e.output, f.past(s, e.now())), e.noteKept(w, s))
	})
}

// noteKept says below a table what is missing from it. Other formats are for
// programs.
func (e *env) noteKept(w io.Writer, s *pool.Snapshot) error {
	if e.output != formatTable && e.output != formatWide {
		return nil
	}
	since := allocator.Remembered(s.Nodes, e.now()).UTC().Format(time.RFC3339)
	_, err := fmt.Fprintf(w, "\nKept since %s of nodes that are gone, and not at all of requests that are: the web page of events has more\n", since)
	return err
}

// eventTable shows events.
func eventTable() table[event.Event] {
	return table[event.Event]{
		name: func(e event.Event) string { return e.Name },
		columns: []column[event.Event]{
			{title: "AT", value: func(e event.Event) string { return e.At.Format(time.RFC3339) }},
			{title: "KIND", value: func(e event.Event) string { return e.Kind }},
			{title: "NAME", value: func(e event.Event) string { return e.Name }},
			{title: "FROM", value: func(e event.Event) string { return e.From }},
			{title: "TO", value: func(e event.Event) string { return e.To }},
			{title: "AFTER", value: after},
			{title: "BY", value: func(e event.Event) string { return e.By }},
			{title: "REASON", value: reason},
			{title: "PROVIDER", wide: true, value: func(e event.Event) string { return e.Provider }},
			{title: "LABEL", wide: true, value: func(e event.Event) string { return e.Label }},
			{title: "IMAGE", wide: true, value: func(e event.Event) string { return e.Image }},
			{title: "REQUEST", wide: true, value: func(e event.Event) string { return e.Request }},
		},
	}
}

// after is how long it had been as it was before.
func after(e event.Event) string {
	if e.Seconds == 0 {
		return ""
	}
	return time.Duration(e.Seconds * float64(time.Second)).Round(time.Millisecond).String()
}

// reason is why it happened, or of a request that was answered with what.
func reason(e event.Event) string {
	var given []string
	for i := range e.Served {
		given = append(given, string(e.Served[i].Node))
	}
	return cmp.Or(firstLine(e.Reason), strings.Join(given, " "))
}

// printEvent prints an event as soon as it happened: as a line, or as a document of
// its own.
func printEvent(w io.Writer, format string, e event.Event) error {
	switch format {
	case formatJSON:
		return encodeLine(w, e)
	case formatYAML:
		if _, err := io.WriteString(w, "---\n"); err != nil {
			return err
		}
		return encode(w, format, e)
	case formatName:
		_, err := fmt.Fprintln(w, oneLine(e.Name))
		return err
	}
	_, err := fmt.Fprintln(w, oneLine(sentence(e)))
	return err
}

// sentence is an event in a line.
func sentence(e event.Event) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s:", e.At.Format(time.RFC3339), e.Kind, e.Name)
	for _, part := range []struct{ before, text string }{
		{" ", e.From},
		{" -> ", e.To},
		{" after ", after(e)},
		{" by ", e.By},
		{": ", reason(e)},
		{", label ", e.Label},
		{", provider ", e.Provider},
		{", request ", e.Request},
	} {
		if part.text != "" {
			b.WriteString(part.before + part.text)
		}
	}
	return b.String()
}
