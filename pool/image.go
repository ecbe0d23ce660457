package pool

import (
	"maps"
	"slices"
	"time"
)

// timelineMost is how many entries a timeline keeps: an upload that fails is
// tried again for as long as its build is the newest.
const timelineMost = 40

// Entry is one entry of the timeline of a build or an upload.
type Entry[S ~string] struct {
	State S         `json:"state"`
	At    time.Time `json:"at"`
	// Reason is why, for a human.
	Reason string `json:"reason,omitempty"`
}

// entered returns a timeline with one more entry.
func entered[S ~string](line []Entry[S], to S, at time.Time) []Entry[S] {
	return append(slices.Clone(line[max(0, len(line)+1-timelineMost):]), Entry[S]{State: to, At: at})
}

// because returns a timeline with the reason of its last entry.
func because[S ~string](line []Entry[S], reason string) []Entry[S] {
	line = slices.Clone(line)
	if n := len(line); n > 0 {
		line[n-1].Reason = reason
	}
	return line
}

// BuildState is where a build is in its life.
type BuildState string

// The states of a build.
const (
	BuildBuilding BuildState = "building"
	BuildReady    BuildState = "ready"
	BuildFailed   BuildState = "failed"
	BuildDeleting BuildState = "deleting"
	BuildDeleted  BuildState = "deleted"
)

// BuildMachine returns the table of a build's life.
func BuildMachine() Machine[BuildState] {
	return Machine[BuildState]{
		Kind: "build", Initial: BuildBuilding, Terminal: BuildDeleted,
		Edges: []Edge[BuildState]{
			{BuildBuilding, BuildReady, []Actor{Builder}, "every format is there, with its checksums"},
			{BuildBuilding, BuildFailed, []Actor{Builder}, "the command failed, timed out or died with its builder"},
			{BuildReady, BuildDeleting, []Actor{Builder, Operator}, "superseded, unused or deleted by hand"},
			{BuildFailed, BuildDeleting, []Actor{Builder, Operator}, "failed"},
			{BuildDeleting, BuildDeleted, []Actor{Builder}, "its files and uploads are gone"},
		},
	}
}

// Artifact is one format of a build, on the disk of its builder.
type Artifact struct {
	// Format is "qcow2", "raw", "vhd" and so on.
	Format string `json:"format"`
	// Path is empty once every provider has the file, and it was, or is to be,
	// deleted here.
	Path string `json:"path"`
	// Bytes is the size of the file, DiskBytes how much of the disk it takes,
	// which is less where it has holes.
	Bytes     int64  `json:"bytes"`
	DiskBytes int64  `json:"disk_bytes,omitempty"`
	MD5       string `json:"md5"`
	SHA256    string `json:"sha256"`
	SHA512    string `json:"sha512"`
}

// Origin is what a build was made of that poold did not build: to know later
// whether there is something else now.
type Origin struct {
	// URL is where it was downloaded from; ETag and LastModified are what the
	// server said of it.
	URL          string `json:"url,omitempty"`
	ETag         string `json:"etag,omitempty"`
	LastModified string `json:"last_modified,omitempty"`
	// Provider and ImageID are the cloud and the image that it was taken from.
	Provider string `json:"provider,omitempty"`
	ImageID  string `json:"image_id,omitempty"`
	// Checksum is that of the file, as "ALGORITHM:HEX".
	Checksum string `json:"checksum,omitempty"`
	// Checked is when it was last found unchanged, nil before that.
	Checked *time.Time `json:"checked,omitempty"`
}

// Build is one outcome of an image's recipe.
type Build struct {
	V       int        `json:"v"`
	Image   string     `json:"image"`
	ID      string     `json:"id"`
	State   BuildState `json:"state"`
	Since   time.Time  `json:"since"`
	Created time.Time  `json:"created"`
	// Builder is the peer that built it and has its files.
	Builder string `json:"builder"`
	// RecipeHash tells builds of different recipes apart.
	RecipeHash string     `json:"recipe_hash,omitempty"`
	Artifacts  []Artifact `json:"artifacts,omitempty"`
	// Origin is nil of what a command built.
	Origin *Origin `json:"origin,omitempty"`
	// Attempts is how many builds of the same recipe failed in a row before
	// this one.
	Attempts int `json:"attempts,omitempty"`
	// Error is why the build failed; Log is the path of its log.
	Error string `json:"error,omitempty"`
	Log   string `json:"log,omitempty"`
	// Withdrawn is why and by whom the build was taken out of service: no
	// upload of it serves labels. Empty if it was not.
	Withdrawn string `json:"withdrawn,omitempty"`
	// Timeline is the states that it was in.
	Timeline []Entry[BuildState] `json:"timeline,omitempty"`

	Username   string `json:"username,omitempty"`
	PythonPath string `json:"python_path,omitempty"`
	ShellType  string `json:"shell_type,omitempty"`

	Record
}

// Moved returns a copy of b in another state.
func (b *Build) Moved(to BuildState, now time.Time) *Build {
	c := *b
	c.State, c.Since = to, now.UTC().Truncate(time.Millisecond)
	c.Timeline = entered(b.Timeline, to, c.Since)
	return &c
}

// Because returns a copy of b whose timeline says why it is in its state.
func (b *Build) Because(reason string) *Build {
	c := *b
	c.Timeline = because(b.Timeline, reason)
	return &c
}

// WasReady tells whether b ever became ready, whatever became of it since.
func (b *Build) WasReady() bool {
	return b.State == BuildReady ||
		slices.ContainsFunc(b.Timeline, func(e Entry[BuildState]) bool { return e.State == BuildReady })
}

// Artifact returns the artifact of a format, or nil.
func (b *Build) Artifact(format string) *Artifact {
	for i := range b.Artifacts {
		if b.Artifacts[i].Format == format {
			return &b.Artifacts[i]
		}
	}
	return nil
}

// UploadState is where an upload is in its life.
type UploadState string

// The states of an upload.
const (
	UploadPending   UploadState = "pending"
	UploadUploading UploadState = "uploading"
	UploadTrial     UploadState = "trial"
	UploadReady     UploadState = "ready"
	UploadFailed    UploadState = "failed"
	UploadDeleting  UploadState = "deleting"
	UploadDeleted   UploadState = "deleted"
)

// UploadMachine returns the table of an upload's life.
func UploadMachine() Machine[UploadState] {
	return Machine[UploadState]{
		Kind: "upload", Initial: UploadPending, Terminal: UploadDeleted,
		Edges: []Edge[UploadState]{
			{UploadPending, UploadUploading, []Actor{Uploader}, "the image's id is on record, data is sent"},
			{UploadPending, UploadFailed, []Actor{Uploader}, "cannot be uploaded: no such format, file gone"},
			{UploadPending, UploadDeleting, []Actor{Uploader, Operator}, "no longer wanted"},
			{UploadUploading, UploadReady, []Actor{Uploader}, "size and hash verified, active"},
			{UploadUploading, UploadTrial, []Actor{Uploader}, "the same, and a canary is launched from it before it serves"},
			{UploadTrial, UploadReady, []Actor{Uploader}, "the canary was reached, or none is wanted any more"},
			{UploadTrial, UploadFailed, []Actor{Uploader}, "no canary was reached, and there is another to serve"},
			{UploadTrial, UploadDeleting, []Actor{Uploader, Operator}, "no longer wanted, or gone from the cloud"},
			{UploadUploading, UploadFailed, []Actor{Uploader}, "sending or verifying failed"},
			{UploadUploading, UploadDeleting, []Actor{Uploader, Operator}, "no longer wanted"},
			{UploadReady, UploadDeleting, []Actor{Uploader, Operator}, "superseded, gone from the cloud or deleted by hand"},
			{UploadFailed, UploadDeleting, []Actor{Uploader, Operator}, "clean up what was sent"},
			{UploadDeleting, UploadDeleted, []Actor{Uploader, Operator}, "gone from the cloud, or its provider was erased"},
			{UploadPending, UploadDeleted, []Actor{Operator}, erased},
			{UploadUploading, UploadDeleted, []Actor{Operator}, erased},
			{UploadTrial, UploadDeleted, []Actor{Operator}, erased},
			{UploadReady, UploadDeleted, []Actor{Operator}, erased},
			{UploadFailed, UploadDeleted, []Actor{Operator}, erased},
		},
	}
}

// CanaryTries is how many canaries may fail before an upload does.
const CanaryTries = 3

// Upload is one build in one provider.
type Upload struct {
	V        int         `json:"v"`
	Image    string      `json:"image"`
	Build    string      `json:"build"`
	Provider string      `json:"provider"`
	State    UploadState `json:"state"`
	Since    time.Time   `json:"since"`
	Created  time.Time   `json:"created"`
	// ExternalID is the id of the image in the cloud; it is on record before
	// any data is sent.
	ExternalID   string `json:"external_id,omitempty"`
	ExternalName string `json:"external_name,omitempty"`
	Format       string `json:"format,omitempty"`
	// Method is how the data gets there: "put", "glance-direct" and so on.
	Method string `json:"method,omitempty"`
	// Task is the cloud's task that makes the image, where one does.
	Task string `json:"task,omitempty"`
	// Bytes is the size of the file, SentBytes how much of it was sent.
	Bytes     int64 `json:"bytes,omitempty"`
	SentBytes int64 `json:"sent_bytes,omitempty"`
	// BytesPerSecond is how fast it goes, and Expected when all of it will have
	// been sent at that; both only while it is sent.
	BytesPerSecond int64      `json:"bytes_per_second,omitempty"`
	Expected       *time.Time `json:"expected,omitempty"`
	// Attempts is how many uploads of this build to this provider failed
	// before; Error is why this one did.
	Attempts int    `json:"attempts,omitempty"`
	Error    string `json:"error,omitempty"`
	// Withdrawn is why and by whom the upload was taken out of service: it
	// serves no label, and once deleted it is not made again. Empty if it was
	// not.
	Withdrawn string `json:"withdrawn,omitempty"`
	// Failing is why nodes are rather made from an older upload, as far as
	// there is one: launches from this one fail. It is the allocator's word.
	Failing string `json:"failing,omitempty"`
	// Tried are the canaries that failed in a way that speaks of the image.
	Tried []NodeID `json:"tried,omitempty"`
	// Timeline is the states that it was in, those of earlier attempts before.
	Timeline []Entry[UploadState] `json:"timeline,omitempty"`

	Record
}

// Moved returns a copy of u in another state.
func (u *Upload) Moved(to UploadState, now time.Time) *Upload {
	c := *u
	c.State, c.Since = to, now.UTC().Truncate(time.Millisecond)
	c.Timeline = entered(u.Timeline, to, c.Since)
	return &c
}

// Because returns a copy of u whose timeline says why it is in its state.
func (u *Upload) Because(reason string) *Upload {
	c := *u
	c.Timeline = because(u.Timeline, reason)
	return &c
}

// ImageProperties merges the properties of an image and of its use in a
// provider; the provider wins.
func ImageProperties(i *Image, p *ProviderImage) map[string]string {
	merged := make(map[string]string, len(i.Properties)+len(p.Properties))
	maps.Copy(merged, i.Properties)
	maps.Copy(merged, p.Properties)
	return merged
}
