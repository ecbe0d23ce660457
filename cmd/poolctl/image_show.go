package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"poold/pool"
)

// imageStory is an image with all that is known of it.
type imageStory struct {
	Image  string       `json:"image"`
	Pause  *pool.Pause  `json:"pause,omitempty"`
	Builds []buildStory `json:"builds"`
}

// buildStory is a build with its uploads.
type buildStory struct {
	*pool.Build

	Uploads []*pool.Upload `json:"uploads"`
}

func imageShow(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "show IMAGE[/BUILD]", Short: "Show an image, or one build of it, with its history and where its logs are", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := e.snapshot(cmd.Context())
			if err != nil {
				return err
			}
			builds := buildsNamed(s, args[0])
			if len(builds) == 0 && !s.HasImage(args[0]) {
				return fmt.Errorf("image %s: %w", args[0], pool.ErrNotFound)
			}
			story := tell(s, args[0], builds)
			if encoded(e.output) {
				return encode(cmd.OutOrStdout(), e.output, story)
			}
			return printImage(cmd.OutOrStdout(), s, story, e.now())
		},
	}
}

func tell(s *pool.Snapshot, name string, builds []*pool.Build) imageStory {
	if len(builds) > 0 {
		name = builds[0].Image
	}
	story := imageStory{Image: name, Pause: s.Pause(name), Builds: []buildStory{}}
	for _, b := range builds {
		one := buildStory{Build: b, Uploads: []*pool.Upload{}}
		for _, u := range s.Uploads {
			if u.Image == b.Image && u.Build == b.ID {
				one.Uploads = append(one.Uploads, u)
			}
		}
		story.Builds = append(story.Builds, one)
	}
	return story
}

// printImage prints a story.
func printImage(w io.Writer, s *pool.Snapshot, story imageStory, now time.Time) error {
	var t text
	t.field("image", story.Image)
	if story.Pause != nil {
		t.field("builds", fmt.Sprintf("%s (%s ago)", story.Pause.Text(), ago(now, story.Pause.At)))
	}
	serving := s.Serving()
	for _, b := range story.Builds {
		t.gap()
		t.field("build", b.ID)
		t.field("state", string(b.State)+" for "+ago(now, b.Since))
		t.field("withdrawn", b.Withdrawn)
		t.field("error", b.Error)
		t.field("serves", serves(serving, b.Build))
		t.field("builder", b.Builder)
		t.field("log", b.Log)
		for _, a := range b.Artifacts {
			t.field("file", fmt.Sprintf("%s, %s, %s", a.Format, size(a.Bytes), cmp.Or(a.Path, "deleted")))
		}
		timeline(&t, b.Timeline, now)
		for _, u := range b.Uploads {
			t.WriteString("\n  upload to " + u.Provider + ": " + string(u.State) + "\n")
			t.indent = "  "
			t.upload(u, now)
			t.indent = ""
		}
	}
	_, err := io.WriteString(w, t.String())
	return err
}

// text gathers lines for a reader.
type text struct {
	strings.Builder

	indent string
}

// field adds a line, if there is something to say.
func (t *text) field(name, value string) {
	if value != "" {
		fmt.Fprintf(&t.Builder, "%s%-12s %s\n", t.indent, name, strings.ReplaceAll(value, "\n", "\n"+t.indent+strings.Repeat(" ", 13)))
	}
}

// gap adds an empty line between parts.
func (t *text) gap() {
	if t.Len() > 0 {
		t.WriteByte('\n')
	}
}

// upload adds what is known of an upload.
func (t *text) upload(u *pool.Upload, now time.Time) {
	t.field("withdrawn", u.Withdrawn)
	t.field("error", u.Error)
	t.field("failing", u.Failing)
	t.field("cloud image", strings.TrimSpace(u.ExternalName+" "+u.ExternalID))
	t.field("format", u.Format)
	t.field("sent", progress(u, now))
	if u.Attempts > 0 {
		t.field("failed", fmt.Sprintf("%d times before", u.Attempts))
	}
	timeline(t, u.Timeline, now)
}

// timeline adds the states that a record was in, and for how long.
func timeline[S ~string](t *text, line []pool.Entry[S], now time.Time) {
	if len(line) == 0 {
		return
	}
	fmt.Fprintf(&t.Builder, "%stimeline\n", t.indent)
	for i, entry := range line {
		until := now
		if i+1 < len(line) {
			until = line[i+1].At
		}
		said := fmt.Sprintf("%s  %s  %-9s %10s  %s", t.indent, entry.At.Format(time.RFC3339), entry.State,
			until.Sub(entry.At).Round(time.Millisecond), firstLine(entry.Reason))
		fmt.Fprintln(&t.Builder, strings.TrimRight(said, " "))
	}
}
