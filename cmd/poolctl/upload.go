package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"poold/pool"
)

// barWidth is how long the bar of an upload is.
const barWidth = 20

func upload(e *env) *cobra.Command {
	return noun("upload", "Uploads: list, show, pause, unpause, delete, retry", uploadList(e), uploadShow(e),
		uploadCommand(e, "pause", "Take uploads out of service: the ones before serve", pool.VerbWithdrawUpload),
		uploadCommand(e, "unpause", "Put uploads back into service", pool.VerbRestoreUpload),
		uploadCommand(e, "delete", "Delete uploads, and do not make them again; the ones before serve", pool.VerbDeleteUpload),
		uploadCommand(e, "retry", "Make uploads anew that failed or were deleted", pool.VerbRetryUpload))
}

func uploadName(u *pool.Upload) string { return u.Image + "/" + u.Build + "/" + u.Provider }

func findUpload(s *pool.Snapshot, name string) (*pool.Upload, error) {
	for _, u := range s.Uploads {
		if uploadName(u) == name {
			return u, nil
		}
	}
	return nil, fmt.Errorf("upload %s: %w", name, pool.ErrNotFound)
}

func uploadTable(now time.Time) table[*pool.Upload] {
	return table[*pool.Upload]{
		name: uploadName,
		columns: []column[*pool.Upload]{
			{title: "IMAGE", value: func(u *pool.Upload) string { return u.Image }},
			{title: "BUILD", value: func(u *pool.Upload) string { return u.Build }},
			{title: "PROVIDER", value: func(u *pool.Upload) string { return u.Provider }},
			{title: "STATE", value: func(u *pool.Upload) string { return string(u.State) }},
			{title: "FOR", value: func(u *pool.Upload) string { return ago(now, u.Since) }},
			{title: "SENT", value: func(u *pool.Upload) string { return progress(u, now) }},
			{title: "NOTE", value: func(u *pool.Upload) string { return uploadNote(u) }},
			{title: "NAME", wide: true, value: func(u *pool.Upload) string { return u.ExternalName }},
			{title: "ID", wide: true, value: func(u *pool.Upload) string { return u.ExternalID }},
		},
	}
}

// uploadNote says what an operator should know of an upload at a glance.
func uploadNote(u *pool.Upload) string {
	tried := ""
	if u.State == pool.UploadTrial {
		tried = fmt.Sprintf("on trial, %d of %d canaries failed", len(u.Tried), pool.CanaryTries)
	}
	return cmp.Or(u.Withdrawn, firstLine(u.Error), u.Failing, tried)
}

// progress says how much of an upload was sent and, while it is, how fast and
// for how much longer.
func progress(u *pool.Upload, now time.Time) string {
	said := size(u.SentBytes) + " of " + size(u.Bytes)
	if u.State != pool.UploadUploading {
		return said
	}
	if u.Bytes > 0 {
		done := int(min(u.SentBytes, u.Bytes) * barWidth / u.Bytes)
		said = "[" + strings.Repeat("#", done) + strings.Repeat(".", barWidth-done) + "] " + said
	}
	if u.BytesPerSecond > 0 {
		said += ", " + size(u.BytesPerSecond) + "/s"
	}
	if u.Expected != nil && u.Expected.After(now) {
		said += ", " + ago(*u.Expected, now) + " left"
	}
	return said
}

// uploadFilter says which uploads are wanted.
type uploadFilter struct {
	all                           bool
	image, build, provider, state string
}

func (f *uploadFilter) flags(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.BoolVar(&f.all, "all", false, "also those that were deleted")
	fs.StringVar(&f.image, "image", "", "only those of this image")
	fs.StringVar(&f.build, "build", "", "only those of this build")
	fs.StringVar(&f.provider, "provider", "", "only those in this provider")
	fs.StringVar(&f.state, "state", "", "only those in this state")
}

// wants leaves out what was deleted and is of no further interest: a failure
// and what an operator did are.
func (f *uploadFilter) wants(u *pool.Upload) bool {
	fits := func(want, is string) bool { return want == "" || want == is }
	noted := u.State != pool.UploadDeleted || u.Error != "" || u.Withdrawn != ""
	return (f.all || noted || f.state == string(pool.UploadDeleted)) &&
		fits(f.image, u.Image) && fits(f.build, u.Build) && fits(f.provider, u.Provider) && fits(f.state, string(u.State))
}

func uploadList(e *env) *cobra.Command {
	var f uploadFilter
	cmd := &cobra.Command{Use: "list", Short: "List the uploads of all builds", Args: exactly(0)}
	f.flags(cmd)
	check := func() error { return known("--state", f.state, pool.UploadMachine().States()) }
	return e.shows(cmd, check, func(w io.Writer, s *pool.Snapshot) error {
		uploads := slices.DeleteFunc(slices.Clone(s.Uploads), func(u *pool.Upload) bool { return !f.wants(u) })
		return uploadTable(e.now()).print(w, e.output, uploads)
	})
}

func uploadShow(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "show IMAGE/BUILD/PROVIDER", Short: "Show an upload and its history", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := e.snapshot(cmd.Context())
			if err != nil {
				return err
			}
			u, err := findUpload(s, args[0])
			if err != nil {
				return err
			}
			if encoded(e.output) {
				return encode(cmd.OutOrStdout(), e.output, u)
			}
			var t text
			t.field("upload", uploadName(u))
			t.field("state", string(u.State)+" for "+ago(e.now(), u.Since))
			t.upload(u, e.now())
			_, err = io.WriteString(cmd.OutOrStdout(), t.String())
			return err
		},
	}
}

// uploadCommand is a verb that gives a command about each upload.
func uploadCommand(e *env, use, short string, verb pool.Verb) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: use + " IMAGE/BUILD/PROVIDER...", Short: short, Args: some(),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := e.snapshot(cmd.Context())
			if err != nil {
				return err
			}
			return each(cmd, "upload", args, func(name string) error {
				u, err := findUpload(s, name)
				if err != nil {
					return pool.ErrNotFound
				}
				return e.command(cmd.Context(), pool.Command{
					Verb: verb, Target: u.Image + "/" + u.Build, Provider: u.Provider, Reason: reason,
				})
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for whoever finds it")
	return cmd
}
