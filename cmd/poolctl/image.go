package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"poold/pool"
)

func image(e *env) *cobra.Command {
	return noun("image", "Images: list, build", imageList(e), imageBuild(e))
}

func imageList(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the builds of all images", Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := e.snapshot(cmd.Context())
			if err != nil {
				return err
			}
			now := e.now()
			return table[*pool.Build]{
				name: func(b *pool.Build) string { return b.Image + "/" + b.ID },
				columns: []column[*pool.Build]{
					{title: "IMAGE", value: func(b *pool.Build) string { return b.Image }},
					{title: "BUILD", value: func(b *pool.Build) string { return b.ID }},
					{title: "STATE", value: func(b *pool.Build) string { return string(b.State) }},
					{title: "FOR", value: func(b *pool.Build) string { return ago(now, b.Since) }},
					{title: "FORMATS", value: formats},
					{title: "UPLOADS", value: func(b *pool.Build) string { return uploads(s, b) }},
					{title: "ERROR", value: func(b *pool.Build) string { return firstLine(b.Error) }},
					{title: "BUILDER", wide: true, value: func(b *pool.Build) string { return b.Builder }},
					{title: "LOG", wide: true, value: func(b *pool.Build) string { return b.Log }},
				},
			}.print(cmd.OutOrStdout(), e.output, s.Builds)
		},
	}
}

func formats(b *pool.Build) string {
	var list []string
	for _, a := range b.Artifacts {
		list = append(list, a.Format+" "+size(a.Bytes))
	}
	return strings.Join(list, ", ")
}

// uploads says in how many providers a build is ready.
func uploads(s *pool.Snapshot, b *pool.Build) string {
	ready, all := 0, 0
	for _, u := range s.Uploads {
		if u.Image == b.Image && u.Build == b.ID {
			all++
			if u.State == pool.UploadReady {
				ready++
			}
		}
	}
	return fmt.Sprintf("%d of %d ready", ready, all)
}

func imageBuild(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "build IMAGE", Short: "Build an image now", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.command(cmd.Context(), pool.Command{Verb: pool.VerbBuild, Target: args[0]})
		},
	}
}

func upload(e *env) *cobra.Command {
	return noun("upload", "Uploads: list", uploadList(e))
}

func uploadList(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the uploads of all builds", Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := e.snapshot(cmd.Context())
			if err != nil {
				return err
			}
			now := e.now()
			return table[*pool.Upload]{
				name: func(u *pool.Upload) string { return u.Image + "/" + u.Build + "/" + u.Provider },
				columns: []column[*pool.Upload]{
					{title: "IMAGE", value: func(u *pool.Upload) string { return u.Image }},
					{title: "BUILD", value: func(u *pool.Upload) string { return u.Build }},
					{title: "PROVIDER", value: func(u *pool.Upload) string { return u.Provider }},
					{title: "STATE", value: func(u *pool.Upload) string { return string(u.State) }},
					{title: "FOR", value: func(u *pool.Upload) string { return ago(now, u.Since) }},
					{title: "SENT", value: func(u *pool.Upload) string { return size(u.SentBytes) + " of " + size(u.Bytes) }},
					{title: "ERROR", value: func(u *pool.Upload) string { return firstLine(u.Error) }},
					{title: "NAME", wide: true, value: func(u *pool.Upload) string { return u.ExternalName }},
					{title: "ID", wide: true, value: func(u *pool.Upload) string { return u.ExternalID }},
				},
			}.print(cmd.OutOrStdout(), e.output, s.Uploads)
		},
	}
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
