package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"poold/pool"
)

func image(e *env) *cobra.Command {
	return noun("image", "Images: list, show, logs, build, pause, unpause, delete",
		imageList(e), imageShow(e), imageLogs(e), imageBuild(e), imagePause(e), imageUnpause(e), imageDelete(e))
}

func buildName(b *pool.Build) string { return b.Image + "/" + b.ID }

func buildTable(e *env, s *pool.Snapshot) table[*pool.Build] {
	now, serving := e.now(), s.Serving()
	return table[*pool.Build]{
		name: buildName,
		columns: []column[*pool.Build]{
			{title: "IMAGE", value: func(b *pool.Build) string { return b.Image }},
			{title: "BUILD", value: func(b *pool.Build) string { return b.ID }},
			{title: "STATE", value: func(b *pool.Build) string { return string(b.State) }},
			{title: "FOR", value: func(b *pool.Build) string { return ago(now, b.Since) }},
			{title: "FORMATS", value: formats},
			{title: "UPLOADS", value: func(b *pool.Build) string { return uploadsOf(s, b) }},
			{title: "SERVES", value: func(b *pool.Build) string { return serves(serving, b) }},
			{title: "NOTE", value: func(b *pool.Build) string { return buildNote(s, b) }},
			{title: "BUILDER", wide: true, value: func(b *pool.Build) string { return b.Builder }},
			{title: "LOG", wide: true, value: func(b *pool.Build) string { return b.Log }},
		},
	}
}

// uploadsOf says in how many of the providers that get a build it is ready.
func uploadsOf(s *pool.Snapshot, b *pool.Build) string {
	ready, all := 0, 0
	for _, u := range s.Uploads {
		if u.Image == b.Image && u.Build == b.ID && u.State != pool.UploadDeleted {
			all++
			if u.State == pool.UploadReady {
				ready++
			}
		}
	}
	if all == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d ready", ready, all)
}

// serves names the providers in which nodes are made from a build.
func serves(serving map[pool.Use][]*pool.Upload, b *pool.Build) string {
	var names []string
	for use, uploads := range serving {
		if use.Image == b.Image && pool.Current(uploads).Build == b.ID {
			names = append(names, use.Provider)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// buildNote says what an operator should know of a build at a glance: why it
// does not serve, or not everywhere.
func buildNote(s *pool.Snapshot, b *pool.Build) string {
	if note := cmp.Or(b.Withdrawn, firstLine(b.Error)); note != "" {
		return note
	}
	var notes []string
	for _, u := range s.Uploads {
		if u.Image != b.Image || u.Build != b.ID {
			continue
		}
		if note := uploadNote(u); note != "" {
			notes = append(notes, u.Provider+": "+note)
		}
	}
	return strings.Join(notes, "; ")
}

// imageFilter says which builds are wanted.
type imageFilter struct {
	all          bool
	image, state string
}

func (f *imageFilter) wants(b *pool.Build) bool {
	return (f.all || b.State != pool.BuildDeleted || f.state == string(pool.BuildDeleted)) &&
		(f.image == "" || f.image == b.Image) && (f.state == "" || f.state == string(b.State))
}

func imageList(e *env) *cobra.Command {
	var f imageFilter
	cmd := &cobra.Command{Use: "list", Short: "List the builds of all images", Args: exactly(0)}
	cmd.Flags().BoolVar(&f.all, "all", false, "also the last ones that were deleted")
	cmd.Flags().StringVar(&f.image, "image", "", "only those of this image")
	cmd.Flags().StringVar(&f.state, "state", "", "only those in this state")
	check := func() error { return known("--state", f.state, pool.BuildMachine().States()) }
	return e.shows(cmd, check, func(w io.Writer, s *pool.Snapshot) error {
		builds := slices.DeleteFunc(slices.Clone(s.Builds), func(b *pool.Build) bool { return !f.wants(b) })
		return errors.Join(buildTable(e, s).print(w, e.output, builds), e.notePauses(w, s, f.image))
	})
}

// known refuses a word that a flag cannot have.
func known[S ~string](flag, word string, words []S) error {
	if word == "" || slices.Contains(words, S(word)) {
		return nil
	}
	return fmt.Errorf("%w: %s %s: it must be one of %s", errUsage, flag, word, strings.Join(plain(words), ", "))
}

// plain is words as strings.
func plain[S ~string](words []S) []string {
	list := make([]string, 0, len(words))
	for _, w := range words {
		list = append(list, string(w))
	}
	return list
}

// notePauses says below a table which images are paused. Other formats are for
// programs.
func (e *env) notePauses(w io.Writer, s *pool.Snapshot, image string) error {
	if e.output != formatTable && e.output != formatWide {
		return nil
	}
	for _, p := range s.Pauses {
		if p.Image == "" || image != "" && image != p.Image {
			continue
		}
		if _, err := fmt.Fprintf(w, "\n%s is %s (%s ago)\n", p.Image, p.Text(), ago(e.now(), p.At)); err != nil {
			return err
		}
	}
	return nil
}

func formats(b *pool.Build) string {
	var list []string
	for _, a := range b.Artifacts {
		list = append(list, a.Format+" "+size(a.Bytes))
	}
	return strings.Join(list, ", ")
}

func imageBuild(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "build IMAGE", Short: "Build an image now", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.command(cmd.Context(), pool.Command{Verb: pool.VerbBuild, Target: args[0]})
		},
	}
}

func imageDelete(e *env) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "delete IMAGE/BUILD...", Short: "Delete builds with their files and uploads; the ones before serve", Args: some(),
		RunE: func(cmd *cobra.Command, args []string) error {
			return each(cmd, "build", args, func(name string) error {
				return e.command(cmd.Context(), pool.Command{Verb: pool.VerbDeleteBuild, Target: name, Reason: reason})
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for whoever finds it")
	return cmd
}

func imageLogs(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "logs IMAGE[/BUILD]", Short: "Print the log of a build, or say where it is", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := e.snapshot(cmd.Context())
			if err != nil {
				return err
			}
			builds := buildsNamed(s, args[0])
			if len(builds) == 0 {
				return fmt.Errorf("image %s: %w", args[0], pool.ErrNotFound)
			}
			return printLog(cmd.OutOrStdout(), builds[0])
		},
	}
}

// buildsNamed returns the builds of an image, newest first, or the one build
// that is called so.
func buildsNamed(s *pool.Snapshot, name string) []*pool.Build {
	for _, b := range s.Builds {
		if buildName(b) == name {
			return []*pool.Build{b}
		}
	}
	return s.BuildsOf(name)
}

// printLog prints the log of a build if it is on this machine.
func printLog(w io.Writer, b *pool.Build) error {
	if b.Log == "" {
		return fmt.Errorf("build %s has no log", buildName(b))
	}
	file, err := os.Open(b.Log)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the log of build %s is not here; on peer %s it is, or was, %s", buildName(b), b.Builder, b.Log)
	}
	if err != nil {
		return err
	}
	_, err = io.Copy(w, file)
	return errors.Join(err, file.Close())
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// size shows bytes in the largest binary unit that leaves at least one.
func size(bytes int64) string {
	const unit = 1024
	value, name := float64(bytes), "B"
	for _, larger := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if value < unit {
			break
		}
		value, name = value/unit, larger
	}
	digits := 1
	if name == "B" {
		digits = 0
	}
	return strconv.FormatFloat(value, 'f', digits, 64) + " " + name
}
