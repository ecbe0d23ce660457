package uploader

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"poold/pool"
)

const (
	// keepReady is how many ready uploads of an image stay in the provider.
	keepReady = 2
	// A failed upload is tried again after retryFirst, doubling up to retryMax.
	retryFirst = 30 * time.Second
	retryMax   = 15 * time.Minute
	// unlistedFor is how long an image must be off the provider's list before
	// its uploads go: a configuration that was cut short is soon mended, and
	// what it deletes takes hours to come back.
	unlistedFor = time.Hour
)

// Plan is what is to be done with the uploads of one provider.
type Plan struct {
	// Answers are what operators want done. An upload that one of them is
	// about is nowhere else in the plan.
	Answers []Answer
	// Trials are uploads whose canary has told something.
	Trials []Trial
	Create []Creation
	// Send are uploads to be carried through until they are ready.
	Send []*pool.Upload
	// Retire are uploads to be moved to deleting.
	Retire []Retirement
	// Delete are uploads whose image is to be deleted in the cloud.
	Delete []*pool.Upload
	// Remove are records that are no longer needed.
	Remove []*pool.Upload
	// At is when time alone will change the plan; zero if it will not.
	At time.Time
}

// Creation is a new upload of a build.
type Creation struct {
	Build *pool.Build
	// Replaces is the record of the attempt that failed before, to be removed
	// first; nil if there was none.
	Replaces *pool.Upload
	Attempts int
}

// Retirement is an upload that is no longer wanted, and why.
type Retirement struct {
	Upload *pool.Upload
	Reason string
}

// View is what a plan is made from.
type View struct {
	Snapshot *pool.Snapshot
	Provider *pool.Provider
	// Peer has the files of the builds that it made.
	Peer string
	// Format is what the provider takes.
	Format string
	// Since is from when on the provider has been as it is.
	Since time.Time
}

// Decide makes the plan. It is pure.
func Decide(v View, now time.Time) Plan {
	var p Plan
	asked := map[string][]*pool.Command{}
	for _, c := range v.Snapshot.Commands {
		if image, _, ours := target(c, v.Provider.Name); ours {
			asked[image] = append(asked[image], c)
		}
	}
	for _, image := range images(v, asked) {
		d := decision{
			View: v, plan: &p, use: imageUse(v.Provider, image), builds: v.Snapshot.BuildsOf(image), now: now,
		}
		d.wanted = d.newest()
		d.image(d.obey(asked[image], uploads(v, image)))
	}
	return p
}

// decision is the deciding about one image.
type decision struct {
	View
	plan *Plan
	// use is nil if the provider does not list the image.
	use *pool.ProviderImage
	// builds are those of the image, newest first.
	builds []*pool.Build
	// wanted is the build that should be in the provider, or nil.
	wanted *pool.Build
	// asked are the builds whose upload a command is about.
	asked map[string]bool
	// ready counts the ready uploads that serve so far.
	ready int
	now   time.Time
}

// image decides about the uploads of the image that no command is about.
func (d *decision) image(records []*pool.Upload) {
	d.order(records)
	for _, u := range records {
		d.upload(u)
	}
	if d.wanted != nil && !d.asked[d.wanted.ID] && !slices.ContainsFunc(records, func(u *pool.Upload) bool { return u.Build == d.wanted.ID }) {
		d.plan.Create = append(d.plan.Create, Creation{Build: d.wanted})
	}
}

func (d *decision) upload(u *pool.Upload) {
	reason := d.unwanted(u)
	switch u.State {
	case pool.UploadPending, pool.UploadUploading:
		switch {
		case reason != "":
			d.retire(u, reason)
		case d.use != nil:
			d.plan.Send = append(d.plan.Send, u)
		}
	case pool.UploadTrial:
		d.trial(u, reason)
	case pool.UploadReady:
		d.keep(u, reason)
	case pool.UploadFailed:
		d.retire(u, "failed")
	case pool.UploadDeleting:
		d.plan.Delete = append(d.plan.Delete, u)
	case pool.UploadDeleted:
		d.gone(u)
	}
}

// keep retires a ready upload if there is a reason or newer ones do, but not
// while a launch needs it.
func (d *decision) keep(u *pool.Upload, reason string) {
	switch {
	case reason == "" && d.ready >= keepReady:
		reason = "superseded"
	case reason == "" && d.serves(u):
		d.ready++
	}
	if reason != "" && !d.needed(u) {
		d.retire(u, reason)
	}
}

// newest returns the build that the provider should have and this peer can
// bring, or nil: the newest ready one that nobody withdrew, if this peer made
// it in the format and has the file still.
func (d *decision) newest() *pool.Build {
	if d.use == nil || d.use.Paused {
		return nil
	}
	i := slices.IndexFunc(d.builds, func(b *pool.Build) bool { return b.State == pool.BuildReady && b.Withdrawn == "" })
	if i < 0 || d.builds[i].Builder != d.Peer {
		return nil
	}
	if a := d.builds[i].Artifact(d.Format); a == nil || a.Path == "" {
		return nil
	}
	return d.builds[i]
}

// order sorts uploads as their builds, newest first.
func (d *decision) order(records []*pool.Upload) {
	rank := make(map[string]int, len(d.builds))
	for i, b := range d.builds {
		rank[b.ID] = i - len(d.builds)
	}
	slices.SortStableFunc(records, func(a, b *pool.Upload) int { return cmp.Compare(rank[a.Build], rank[b.Build]) })
}

// unwanted is why an upload should not be, whatever else there is; or "".
func (d *decision) unwanted(u *pool.Upload) string {
	build := d.build(u)
	switch {
	case d.use == nil && d.unlisted(u.Image):
		return "the provider no longer lists the image"
	case build == nil && len(d.Snapshot.Unreadable) > 0:
		return "" // it may be there
	case build == nil || build.State != pool.BuildReady:
		return "its build is deleted"
	case build.Withdrawn != "" && u.State != pool.UploadReady:
		return "its build is " + build.Withdrawn
	case u.State == pool.UploadPending && d.wanted != nil && d.wanted.ID != u.Build:
		return "superseded before it was sent"
	}
	return ""
}

// unlisted tells whether it is meant that the provider does not list an image:
// it lists others, no running peer knows better, and it has been so for long
// enough. A configuration that is wrong or only a part must not delete what
// takes hours to bring back.
func (d *decision) unlisted(image string) bool {
	listed := func(m *pool.Member) bool { return slices.Contains(m.Uploads[d.Provider.Name], image) }
	if len(d.Provider.Images) == 0 || slices.ContainsFunc(d.Snapshot.Members, listed) {
		return false
	}
	return !d.wait(d.Since.Add(unlistedFor))
}

// wait tells whether a time is still to come, and has the plan made again then.
func (d *decision) wait(at time.Time) bool {
	if !d.now.Before(at) {
		return false
	}
	if d.plan.At.IsZero() || at.Before(d.plan.At) {
		d.plan.At = at
	}
	return true
}

// build returns the build of an upload, or nil.
func (d *decision) build(u *pool.Upload) *pool.Build {
	for _, b := range d.builds {
		if b.ID == u.Build {
			return b
		}
	}
	return nil
}

// serves tells whether nodes may be made from an upload that is ready.
func (d *decision) serves(u *pool.Upload) bool {
	b := d.build(u)
	return u.Withdrawn == "" && (b == nil || b.Withdrawn == "")
}

// needed tells whether a launch is about to use the upload, or uses it.
func (d *decision) needed(u *pool.Upload) bool {
	return slices.ContainsFunc(d.Snapshot.Nodes, func(n *pool.Node) bool {
		return n.Provider == u.Provider && (n.State == pool.NodePending || n.State == pool.NodeBuilding) &&
			(n.ImageID != "" && n.ImageID == u.ExternalID || n.Image == u.Image && n.Build == u.Build)
	})
}

func (d *decision) retire(u *pool.Upload, reason string) {
	d.plan.Retire = append(d.plan.Retire, Retirement{u, reason})
}

// gone decides about the record of an upload that is no longer in the cloud.
// That of one that an operator withdrew keeps it from being made again for as
// long as its build is there.
func (d *decision) gone(u *pool.Upload) {
	build := d.build(u)
	switch {
	case u.Withdrawn != "" && d.use != nil && build != nil && build.State == pool.BuildReady:
		return
	case d.wanted == nil || u.Build != d.wanted.ID:
		d.plan.Remove = append(d.plan.Remove, u)
		return
	case u.Error == "":
		d.plan.Create = append(d.plan.Create, Creation{Build: d.wanted, Replaces: u})
		return
	}
	if attempts := u.Attempts + 1; !d.wait(u.Since.Add(backoff(attempts))) {
		d.plan.Create = append(d.plan.Create, Creation{Build: d.wanted, Replaces: u, Attempts: attempts})
	}
}

// backoff is how long to wait after n failures in a row.
func backoff(n int) time.Duration { return min(retryFirst<<min(max(n-1, 0), 10), retryMax) }

// images lists what the provider lists, what it has uploads of and what is
// asked about, sorted.
func images(v View, asked map[string][]*pool.Command) []string {
	names := slices.Collect(maps.Keys(asked))
	for _, i := range v.Provider.Images {
		names = append(names, i.Name)
	}
	for _, u := range v.Snapshot.Uploads {
		if u.Provider == v.Provider.Name {
			names = append(names, u.Image)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func imageUse(p *pool.Provider, image string) *pool.ProviderImage {
	i := slices.IndexFunc(p.Images, func(i pool.ProviderImage) bool { return i.Name == image })
	if i < 0 {
		return nil
	}
	return &p.Images[i]
}

func uploads(v View, image string) []*pool.Upload {
	var found []*pool.Upload
	for _, u := range v.Snapshot.Uploads {
		if u.Provider == v.Provider.Name && u.Image == image {
			found = append(found, u)
		}
	}
	return found
}
