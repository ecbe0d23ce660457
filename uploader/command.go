package uploader

import (
	"slices"
	"strings"

	"poold/pool"
)

// Answer is a command that is carried out, in one write with its result.
type Answer struct {
	Command *pool.Command
	// Upload is what it is about, nil if there is none; After what becomes of
	// it, nil if it stays as it is.
	Upload, After *pool.Upload
	// Error is why the command is refused; empty if it is not.
	Error string
}

// write is the answer as a write.
func (a *Answer) write() pool.Write {
	done := *a.Command
	done.Done, done.Error, done.NotFound = true, a.Error, a.Upload == nil
	w := pool.Write{By: pool.Operator, Commands: []pool.Change[pool.Command]{pool.Update(a.Command, &done)}}
	if a.After != nil {
		w.Uploads = []pool.Change[pool.Upload]{pool.Update(a.Upload, a.After)}
	}
	return w
}

// target is the image and the build that an open command is about, and whether
// it is about an upload in the provider.
func target(c *pool.Command, provider string) (image, build string, ours bool) {
	verbs := []pool.Verb{pool.VerbWithdrawUpload, pool.VerbRestoreUpload, pool.VerbDeleteUpload, pool.VerbRetryUpload}
	at := max(0, strings.LastIndexByte(c.Target, '/'))
	return c.Target[:at], strings.TrimPrefix(c.Target[at:], "/"),
		!c.Done && c.Provider == provider && slices.Contains(verbs, c.Verb)
}

// obey answers commands about the image, one for each upload, and returns the
// uploads that none is about.
func (d *decision) obey(commands []*pool.Command, records []*pool.Upload) []*pool.Upload {
	d.asked = map[string]bool{}
	for _, c := range commands {
		_, build, _ := target(c, d.Provider.Name)
		if d.asked[build] {
			continue // the next pass sees what became of it
		}
		d.asked[build] = true
		a := Answer{Command: c, Error: "no such upload"}
		if i := slices.IndexFunc(records, func(u *pool.Upload) bool { return u.Build == build }); i >= 0 {
			a.Upload = records[i]
			a.After, a.Error = d.effect(c, records[i])
		}
		d.plan.Answers = append(d.plan.Answers, a)
	}
	return slices.DeleteFunc(records, func(u *pool.Upload) bool { return d.asked[u.Build] })
}

// effect is the upload after a command, nil if it stays as it is, or why the
// command is refused.
func (d *decision) effect(c *pool.Command, u *pool.Upload) (after *pool.Upload, refusal string) {
	changed := *u
	switch {
	case c.Verb == pool.VerbRetryUpload:
		return d.again(u)
	case c.Verb == pool.VerbDeleteUpload:
		changed.Withdrawn = "deleted " + c.Why()
		if u.State == pool.UploadDeleting || u.State == pool.UploadDeleted {
			return &changed, ""
		}
		return changed.Moved(pool.UploadDeleting, d.now).Because(changed.Withdrawn), ""
	case u.State != pool.UploadReady:
		return nil, "it is " + string(u.State)
	}
	changed.Withdrawn = ""
	if c.Verb == pool.VerbWithdrawUpload {
		changed.Withdrawn = "paused " + c.Why()
	}
	return &changed, ""
}

// again has an upload made anew as soon as it is gone, as if it had never
// failed.
func (d *decision) again(u *pool.Upload) (after *pool.Upload, refusal string) {
	switch u.State {
	case pool.UploadPending, pool.UploadUploading, pool.UploadTrial, pool.UploadReady:
		return nil, "it is " + string(u.State)
	case pool.UploadFailed, pool.UploadDeleting, pool.UploadDeleted:
	}
	if d.wanted == nil || d.wanted.ID != u.Build {
		return nil, "its build is not what the provider should have"
	}
	changed := *u
	changed.Withdrawn, changed.Error, changed.Attempts = "", "", 0
	return &changed, ""
}
